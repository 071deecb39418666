"""Posts as their account sees them, read out of Instagram's list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from sys import intern
from types import MappingProxyType
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from services.answers import Warning_
from services.cache.entries import CacheEntry
from services.clients.graph.models import as_count, media_id_of
from services.days import Window, our_time, parse_provider_time
from services.engagement import Counts, hidden
from services.errors import InsightsError

if TYPE_CHECKING:
    from services.posts.ordered_posts import OrderedPosts

COUNTS = ("like_count", "comments_count")
KEPT = "kept"  # of a cached post: its counts that are missing in the last answer, and when each was read
NOTHING_KEPT: Mapping[str, float] = MappingProxyType({})
PRODUCT_TYPES = frozenset({"AD", "FEED", "REELS", "STORY"})


class Owner(TypedDict):
    """The account that owns a post."""

    id: str | None
    username: str | None


@dataclass(frozen=True, slots=True)
class Post:
    """A post as its account sees it; None is unknown."""

    id: str
    timestamp: datetime
    permalink: str | None
    caption: str | None
    media_type: str | None
    media_product_type: str | None
    counts: Counts
    owner: Owner | None = None  # of another account's post
    kept: Mapping[str, float] = field(
        default_factory=lambda: NOTHING_KEPT
    )  # when the counts were read that are older than the post

    @property
    def has_known_type(self) -> bool:
        """Whether the media product type is one of those that Meta documents."""
        return self.media_product_type in PRODUCT_TYPES


@dataclass(frozen=True)
class Posts:
    """The posts since a moment, newest first, each once; and what stood in the way of a complete list."""

    posts: tuple[Post, ...]
    ordered: OrderedPosts  # of which `posts` are the first
    entry: CacheEntry
    read_at: datetime
    complete_from: float  # Unix seconds, after which every post is known
    truncated: bool = False
    unreadable: int = 0
    unordered: bool = False
    counts_kept: int = 0
    posts_kept: bool = False
    failure: InsightsError | None = None

    def positions(self, window: Window) -> tuple[int, int]:
        """Return the positions of the posts of a window: the first, and the one after the last."""
        start, end = self.ordered.between(window.since, window.until)
        return start, max(start, min(end, len(self.posts)))

    def gap_in(self, window: Window) -> str | None:
        """Return why not all posts of a window are known, or None if they are."""
        if self.read_at.timestamp() <= window.until:
            return "not_seen_yet"
        if self.complete_from < window.since:
            return None
        return "truncated" if self.failure is None else reason_of(self.failure)

    @property
    def warnings(self) -> list[Warning_]:
        """What the reader of numbers made from this list should know."""
        found = {
            "truncated": self.truncated and "Instagram lists more posts than could be read.",
            "posts_incomplete": self.failure is not None and self._incomplete(),
            "posts_out_of_order": self.unordered
            and "Instagram's list of posts is not in the order of time, so posts may be missing.",
            "posts_unreadable": self.unreadable
            and f"{self.unreadable} posts without a readable id or time are left out.",
            "posts_kept": self.posts_kept and "Instagram lists no posts at present; the posts listed before are used.",
            "counts_kept": self.counts_kept
            and f"{self.counts_kept} counts are missing in Instagram's last answer; the last known ones are used.",
        }
        return [{"code": code, "message": message} for code, message in found.items() if isinstance(message, str)]

    def _incomplete(self) -> str:
        since = f" Posts before {our_time(self.complete_from)} are not known." if self.posts else ""
        wait = None if self.failure is None else self.failure.retry_after
        again = f" Ask again in {wait} seconds; then only the rest is read." if wait else " Ask again later."
        return f"The list of posts could not be read to its end: {self.failure and self.failure.message}{since}{again}"


def reason_of(failure: InsightsError) -> str:
    """Return a failure as the reason of an unknown number."""
    return "throttled" if failure.code == "provider_rate_limited" else failure.code


def as_post(item: Mapping[str, object]) -> Post | None:
    """Read one post of a page, or return None where it has no id or no time."""
    post_id, timestamp = media_id_of(item), parse_provider_time(item.get("timestamp"))
    if post_id is None or timestamp is None:
        return None
    kept = item.get(KEPT)
    return Post(
        id=post_id,
        timestamp=timestamp,
        permalink=_text(item.get("permalink")),
        caption=_text(item.get("caption")),
        media_type=_name(item.get("media_type")),
        media_product_type=_name(item.get("media_product_type")),
        counts=_counts(item.get("like_count"), item.get("comments_count")),
        owner=_owner(item.get("owner")),
        kept={name: read_at for name, (read_at, _) in kept.items()} if isinstance(kept, dict) else NOTHING_KEPT,
    )


def _owner(owner: object) -> Owner | None:
    if not isinstance(owner, dict):
        return None
    return {"id": media_id_of(owner), "username": _text(owner.get("username"))}


def _counts(likes: object, comments: object) -> Counts:
    return Counts(
        as_count(likes),
        as_count(comments),
        likes_reason=_why_unknown(likes, "likes"),
        comments_reason=_why_unknown(comments, "comments"),
    )


def _why_unknown(value: object, what: str) -> str | None:
    """Return why a count is unknown; Instagram leaves out every count that the owner hides."""
    if value is None:
        return hidden(what)
    return "unreadable" if as_count(value) is None else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _name(value: object) -> str | None:
    """Return one of few texts; thousands of posts share it."""
    return intern(value) if isinstance(value, str) else None
