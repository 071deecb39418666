"""Engagement: plain numbers in, plain numbers out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LIKES_HIDDEN = "likes_hidden"


@dataclass(frozen=True)
class Counts:
    """What is known of one post; None is unknown, with the reason beside it."""

    likes: int | None
    comments: int | None
    likes_reason: str | None = None
    comments_reason: str | None = None

    @property
    def likes_hidden(self) -> bool:
        """Whether the likes are unknown because their owner hides them."""
        return self.likes_reason == LIKES_HIDDEN

    @property
    def interactions(self) -> int | None:
        """Likes and comments together, or None if either is unknown."""
        return None if self.likes is None or self.comments is None else self.likes + self.comments

    @property
    def score(self) -> int | None:
        """Likes plus comments by the user's rule; where one of them is unknown, the other counts alone."""
        known = [count for count in (self.likes, self.comments) if count is not None]
        return sum(known) if known else None


@dataclass(frozen=True)
class EngagementRate:
    """The mean of interactions / followers over posts, as a fraction, with what it is made of.

    `numerator` is the sum of the interactions of the posts used, `denominator` the followers each was divided by.
    """

    rate: float | None
    reason: str | None
    numerator: int
    denominator: int | None
    posts_used: int
    posts_left_out: int


def engagement_rate(posts: Iterable[Counts], followers: int | None) -> EngagementRate:
    """Return the mean engagement rate by followers; posts with an unknown count are left out and counted."""
    posts = list(posts)
    counts = [post.interactions for post in posts]
    known = [count for count in counts if count is not None]
    total = sum(known)
    reason = None
    if followers is None:
        reason = "followers_unknown"
    elif followers == 0:
        reason = "no_followers"
    elif not counts:
        reason = "no_posts"
    elif not known:
        reason = _why_none_is_used(posts)
    rate = total / len(known) / followers if reason is None and followers else None
    return EngagementRate(rate, reason, total, followers, len(known), len(counts) - len(known))


def _why_none_is_used(posts: Sequence[Counts]) -> str:
    """Return `likes_hidden` if all posts hide their likes, else the first other reason."""
    reasons = (post.likes_reason or post.comments_reason for post in posts)
    return next((reason for reason in reasons if reason not in {None, LIKES_HIDDEN}), LIKES_HIDDEN)
