"""Posts as their account sees them, read out of Instagram's list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from sys import intern
from types import MappingProxyType

from typing_extensions import TypedDict

from services.clients.graph.models import as_count, media_id_of
from services.days import parse_provider_time
from services.media.catalogue import AD, FEED, REELS, STORY
from services.posts.engagement_score import Counts, hidden

COUNTS = ("like_count", "comments_count")
MAX_CAPTION = 500  # characters that are shown and kept
KEPT = "kept"  # of a cached post: its counts that are missing in the last answer, and when each was read
NOTHING_KEPT: Mapping[str, float] = MappingProxyType({})
PRODUCT_TYPES = frozenset({AD, FEED, REELS, STORY})


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
