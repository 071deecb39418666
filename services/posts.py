"""Posts as their account sees them, read out of Instagram's list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.answers import Warning_
from services.days import parse_provider_time
from services.engagement import LIKES_HIDDEN, Counts
from services.memory import Memo
from services.readings import as_count


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


@dataclass(frozen=True)
class Posts:
    """The posts since a moment, newest first, each once; and what stood in the way of a complete list."""

    posts: tuple[Post, ...]
    memo: Memo
    read_at: datetime
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
        counts=_counts(item.get("like_count"), item.get("comments_count")),
    )


def _counts(likes: object, comments: object) -> Counts:
    """Read both counts; Instagram leaves out the likes where their owner hides them."""
    return Counts(
        as_count(likes),
        as_count(comments),
        likes_reason=_why_unknown(likes, absent=LIKES_HIDDEN),
        comments_reason=_why_unknown(comments, absent="not_answered"),
    )


def _why_unknown(value: object, *, absent: str) -> str | None:
    if value is None:
        return absent
    return "unreadable" if as_count(value) is None else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
