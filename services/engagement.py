"""Engagement: plain numbers in, plain numbers out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Counts:
    """What is known of one post; None is unknown, as hidden likes are."""

    likes: int | None
    comments: int | None

    @property
    def interactions(self) -> int | None:
        """Likes and comments together, or None if either is unknown."""
        return None if self.likes is None or self.comments is None else self.likes + self.comments

    @property
    def score(self) -> int | None:
        """Likes plus comments by the user's rule; a post with hidden likes counts by its comments."""
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
        reason = "likes_hidden"
    rate = total / len(known) / followers if reason is None and followers else None
    return EngagementRate(rate, reason, total, followers, len(known), len(counts) - len(known))
