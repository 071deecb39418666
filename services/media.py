"""The one list of an account's posts, which top posts and growth share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from services.answers import Warning_
from services.clients.graph import MEDIA_PAGE, Account, GraphClient
from services.days import parse_provider_time
from services.engagement import Counts
from services.errors import ProviderError, Remedy
from services.readings import as_count

MAX_POSTS = 10_000  # Instagram lists no more, the newest first.
MAX_PAGES = 1_000  # A list that goes on for longer is none.


@dataclass(frozen=True)
class Post:
    """A post as its account sees it; None is unknown."""

    id: str
    timestamp: datetime
    permalink: str | None
    caption: str | None
    media_type: str | None
    media_product_type: str | None
    counts: Counts

    @property
    def likes_hidden(self) -> bool:
        """Whether the provider left the likes out, as it does where their owner hides them."""
        return self.counts.likes is None


@dataclass(frozen=True)
class Posts:
    """The posts since a moment, newest first, each once; and what stood in the way of a complete list."""

    posts: tuple[Post, ...]
    truncated: bool = False
    unreadable: int = 0

    def reach_back_to(self, moment: int) -> bool:
        """Return whether the list is complete from a moment (Unix seconds) on."""
        return not self.truncated or (bool(self.posts) and self.posts[-1].timestamp.timestamp() < moment)

    @property
    def warnings(self) -> list[Warning_]:
        """What the reader of numbers made from this list should know."""
        warnings: list[Warning_] = []
        if self.truncated:
            warnings.append({"code": "truncated", "message": "Instagram lists more posts than could be read."})
        if self.unreadable:
            message = f"{self.unreadable} posts without a readable id or time are left out."
            warnings.append({"code": "posts_unreadable", "message": message})
        return warnings


class MediaList:
    """Reads an account's posts page by page."""

    def __init__(self, graph: GraphClient) -> None:
        self._graph = graph

    def since(self, account: Account, start: datetime, *, given_up: Callable[[], bool] = lambda: False) -> Posts:
        """Return every post published at `start` or later.

        Pages come newest first, so reading ends with the first page whose last post is older. A post may come twice
        when another is published meanwhile. Where Instagram says that a page is too much, smaller ones are asked for.
        Reading ends early when `given_up` says that nobody waits for the list any more.
        """
        posts: dict[str, Post] = {}
        unreadable = 0
        after: str | None = None
        cursors: set[str] = set()
        limit = MEDIA_PAGE
        for _ in range(MAX_PAGES):
            if len(posts) >= MAX_POSTS or given_up():
                break
            try:
                page = self._graph.media_page(account, after=after, limit=limit)
            except ProviderError as error:
                if error.remedy is not Remedy.SHRINK or limit == 1:
                    raise
                limit //= 2
                continue
            read = [as_post(item) for item in page.posts]
            unreadable += read.count(None)
            known = [post for post in read if post is not None]
            for post in known:
                posts.setdefault(post.id, post)
            if not page.more or (known and known[-1].timestamp < start):
                return _from(start, posts, unreadable=unreadable)
            after = page.after
            if after is None or after in cursors:
                break
            cursors.add(after)
        return _from(start, posts, truncated=True, unreadable=unreadable)


def _from(start: datetime, posts: Mapping[str, Post], *, truncated: bool = False, unreadable: int) -> Posts:
    return Posts(tuple(post for post in posts.values() if post.timestamp >= start), truncated, unreadable)


def as_post(item: Mapping[str, object]) -> Post | None:
    """Read one post of a page, or return None where it has no id or no time."""
    post_id, timestamp = item.get("id"), parse_provider_time(item.get("timestamp"))
    if not isinstance(post_id, str) or timestamp is None:
        return None
    return Post(
        id=post_id,
        timestamp=timestamp,
        permalink=_text(item.get("permalink")),
        caption=_text(item.get("caption")),
        media_type=_text(item.get("media_type")),
        media_product_type=_text(item.get("media_product_type")),
        counts=Counts(as_count(item.get("like_count")), as_count(item.get("comments_count"))),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
