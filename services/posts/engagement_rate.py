"""The engagement rate over posts: by followers, or by their own reach or views."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal, NamedTuple, Self

from services.posts.engagement_score import HIDDEN, Counts

Method = Literal["mean_of_posts", "ratio_of_sums", "median"]
"""How the rates of posts become one: their mean, all interactions by all of what they are divided by, their median."""


@dataclass(frozen=True)
class EngagementRate:
    """One rate over posts, as a fraction, with its parts.

    `numerator` is the sum of the interactions of the posts used. `denominator` is the followers by which each was
    divided, or the sum of the posts' own reach or views; then `left_out` counts the posts without a rate by reason.
    Where the posts are unknown, so are the numbers that are counted over them.
    """

    rate: float | None
    reason: str | None
    numerator: float | None
    denominator: float | None
    posts_used: int | None
    posts_left_out: int | None
    left_out: Mapping[str, int] | None = field(default_factory=dict)


class OwnRate(NamedTuple):
    """The interactions of one post, and its own reach or views; with the reason where either is unknown, or the last 0.

    Both have to be of one family (organic, or with ads), else their quotient measures nothing.
    """

    interactions: float | None
    base: float | None
    reason: str | None = None


def rate_by_own_base(posts: Sequence[OwnRate], method: Method) -> EngagementRate:
    """Return the rate of posts by their own reach or views; posts without a rate are left out and counted."""
    parts = [(interactions, base) for interactions, base, _ in posts if interactions is not None and base]
    left_out: Counter[str] = Counter()
    if len(parts) < len(posts):
        left_out.update(post.reason or "not_answered" for post in posts if post.interactions is None or not post.base)
    numerator, denominator = sum([each for each, _ in parts]), sum([base for _, base in parts])
    rate, reason = None, None
    if not posts:
        reason = "no_posts"
    elif not parts:
        reason = left_out.most_common(1)[0][0]
    elif method == "ratio_of_sums":
        rate = numerator / denominator
    else:
        rates = [interactions / base for interactions, base in parts]
        rate = median(rates) if method == "median" else sum(rates) / len(rates)
    return EngagementRate(rate, reason, numerator, denominator, len(parts), len(posts) - len(parts), left_out)


@dataclass(frozen=True)
class Interactions:
    """What the interactions of some posts add up to; those of posts with an unknown count are not among them."""

    posts: int
    known: int  # posts
    total: int
    median: Callable[[], float]  # of the known ones, if there are any
    of_posts: Callable[[], Sequence[Counts]]

    @classmethod
    def of(cls, posts: Iterable[Counts]) -> Self:
        """Add up the interactions of posts."""
        listed = list(posts)
        known = [count for post in listed if (count := post.interactions) is not None]
        return cls(len(listed), len(known), sum(known), lambda: median(known), lambda: listed)


def engagement_rate(
    posts: Interactions | Iterable[Counts], followers: int | None, method: Method = "mean_of_posts"
) -> EngagementRate:
    """Return the engagement rate by followers; posts with an unknown count are left out and counted.

    All posts are divided by the same number, so that their mean and the ratio of the sums are one.
    """
    interactions = posts if isinstance(posts, Interactions) else Interactions.of(posts)
    known, total = interactions.known, interactions.total
    reason = None
    if followers is None:
        reason = "followers_unknown"
    elif followers == 0:
        reason = "no_followers"
    elif not interactions.posts:
        reason = "no_posts"
    elif not known:
        reason = _reason_for_no_counts(interactions.of_posts())
    typical = interactions.median() if method == "median" and known else total / known if known else 0
    rate = typical / followers if reason is None and followers else None
    return EngagementRate(rate, reason, total, followers, known, interactions.posts - known)


def _reason_for_no_counts(posts: Sequence[Counts]) -> str:
    """Return the first reason that is not the owner's choice, else which counts the owner hides, likes first."""
    reasons = [post.likes_reason or post.comments_reason for post in posts]
    others = (reason for reason in reasons if reason is not None and reason not in HIDDEN)
    return next(others, None) or next((reason for reason in HIDDEN if reason in reasons), HIDDEN[0])
