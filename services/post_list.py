"""A list of posts as it is remembered: which posts it has, from when on it is complete, and how old its parts are."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from services.clients.graph import Item
from services.memory import Json
from services.memory.rules import HOUR
from services.posts import as_post

MAX_CAPTION = 501  # characters that are remembered: one more than is shown, so that a cut can be told
FIELDS = ("id", "timestamp", "permalink", "caption", "media_type", "media_product_type", "like_count", "comments_count")
NEW_POSTS_FRESH_FOR = HOUR
OLD_POSTS_FRESH_FOR = 6 * HOUR  # of posts beyond the first page, whose counts hardly move
EVER, NEVER = -math.inf, math.inf  # before the first post, and after the last


@dataclass
class PostList:
    """Posts as they came, newest first; all moments are Unix seconds.

    Posts from `head_from` on were read when the list was; older ones, back to `complete_from`, at `tail_read_at`.
    """

    posts: list[dict[str, object]] = field(default_factory=list)
    head_from: float = NEVER
    complete_from: float = NEVER
    tail_read_at: float | None = None
    truncated: bool = False  # whether Instagram has older ones that it did not list
    unreadable: int = 0

    @classmethod
    def from_json(cls, value: Any) -> PostList:
        """Read what `as_json` wrote."""
        moments = {name: EVER if value[name] is None else value[name] for name in ("head_from", "complete_from")}
        return cls(**(value | moments))

    def as_json(self) -> Json:
        """Write the list; JSON has no infinity."""
        moments = {"head_from": self.head_from, "complete_from": self.complete_from}
        return vars(self) | {name: None if moment == EVER else moment for name, moment in moments.items()}

    def reaches(self, since: float) -> bool:
        """Return whether the list has every post since a moment that Instagram lists."""
        return self.complete_from <= since or self.truncated

    def tail_age_matters(self, since: float) -> bool:
        """Return whether somebody who needs the posts since a moment needs some of the older reading."""
        return self.tail_read_at is not None and since < self.head_from

    def take(self, items: Iterable[Item]) -> None:
        """Add a page below what is there; a post that comes twice is taken once."""
        known = {post["id"] for post in self.posts}
        for item in items:
            post = as_post(item)
            if post is None:
                self.unreadable += 1
                continue
            self.head_from = self.complete_from = post.timestamp.timestamp()
            if post.id not in known:
                known.add(post.id)
                self.posts.append(_remembered(item))

    def end(self) -> None:
        """Note that there are no older posts."""
        self.head_from = self.complete_from = EVER

    def above(self, older: PostList, older_read_at: float) -> PostList:
        """Return this list, continued by what an older one has of the time before it, if that leaves no gap."""
        if self.head_from == EVER or older.complete_from > self.head_from:
            return self
        mine = {post["id"] for post in self.posts}
        rest = [post for post in older.posts if post["id"] not in mine and _moment(post) < self.head_from]
        return PostList(
            [*self.posts, *rest],
            self.head_from,
            older.complete_from,
            older.tail_read_at or older_read_at,
            older.truncated,
            max(self.unreadable, older.unreadable),
        )

    def ids(self) -> Collection[object]:
        """Return the ids of the posts."""
        return {post["id"] for post in self.posts}


@dataclass(frozen=True)
class ListRule:
    """How long a list is fresh for somebody who needs the posts since a moment, or some seconds before its reading."""

    since: float | None = None
    seconds: float = 0.0

    def first(self, read_at: float) -> float:
        """Return from when on posts are needed of a list that was read at a moment."""
        return read_at - self.seconds if self.since is None else self.since

    def expires_at(self, value: Json, fetched_at: float) -> float | None:
        """Return when one of the needed posts is too old, or None where the list does not reach back far enough."""
        listed = PostList.from_json(value)
        since = self.first(fetched_at)
        if not listed.reaches(since):
            return None
        expires_at = fetched_at + NEW_POSTS_FRESH_FOR
        if listed.tail_read_at is not None and listed.tail_age_matters(since):
            expires_at = min(expires_at, listed.tail_read_at + OLD_POSTS_FRESH_FOR)
        return expires_at

    def grace(self, value: Json) -> float:
        """Return for how long an expired list serves at once."""
        return 6 * HOUR


def _remembered(item: Item) -> dict[str, object]:
    kept = {name: item[name] for name in FIELDS if name in item}
    caption = kept.get("caption")
    return kept | {"caption": caption[:MAX_CAPTION]} if isinstance(caption, str) else kept


def _moment(item: Item) -> float:
    post = as_post(item)
    return post.timestamp.timestamp() if post is not None else NEVER
