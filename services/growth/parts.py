"""What was read for growth: profile, posts and insights; one that cannot be had is its failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import NamedTuple, Self

from services.answers import Freshness, Warning_, deciding_entry
from services.cache.entries import CacheEntry
from services.cache.policies import FOR_EVER
from services.clients.graph.models import as_count
from services.errors import ProviderError, reason_of
from services.growth.followers_at_both_ends import Counts
from services.insights.final_days import PROVISIONAL_HOURS, first_provisional
from services.insights.request import ValueKey
from services.insights.values import MetricValue
from services.posts.insights import PostInsights
from services.posts.ordered_posts import Posts
from services.windows import Window


class SourcesPart(NamedTuple):
    """What a part of a reply rests on: one of the totals, or all else.

    `entry` stands for all entries behind it (`services.answers.deciding_entry`). `insights_read_at` (Unix seconds) is
    None where no insight of it can change any more.
    """

    entry: CacheEntry | None
    insights_read_at: float | None
    shifted: Sequence[str] = ()  # the metrics whose days Instagram marks by another time than midnight in California
    warnings: Sequence[Warning_] = ()  # about the list of posts
    is_worked_back: bool = False  # whether a number of followers is worked back from insights

    @classmethod
    def of(cls, insights: Sequence[CacheEntry], shifted: Sequence[str], others: Sequence[CacheEntry] = ()) -> Self:
        """Return a part that rests on some entries of insights, and on others."""
        ageing = [entry.fetched_at for entry in insights if entry.expires_at != FOR_EVER]
        return cls(deciding_entry([*insights, *others]), min(ageing, default=None), shifted)


class GrowthSources(NamedTuple):
    """What a reply rests on: how fresh it is, and what its reader should know of the values behind it.

    `insights_read_at` (Unix seconds) is None where no insight can change any more; then the present moment counts.
    """

    freshness: Freshness
    insights_read_at: float | None
    shifted: Sequence[str]
    warnings: Sequence[Warning_]

    @classmethod
    def of(cls, parts: Sequence[SourcesPart], *, now: datetime, gaps: bool = False) -> Self:
        """Return what a reply of some parts rests on; `gaps` if a part could not be fetched."""
        read_at = [part.insights_read_at for part in parts if part.insights_read_at is not None]
        return cls(
            Freshness.of([part.entry for part in parts if part.entry is not None], now=now, gaps=gaps),
            min(read_at) if read_at else None,
            sorted({metric for part in parts if part.shifted for metric in part.shifted}),
            [warning for part in parts if part.warnings for warning in part.warnings],
        )


@dataclass(frozen=True)
class Fetched:
    """Everything that was read for one answer; a part that could not be had is its failure, and takes no other down."""

    profile: CacheEntry | ProviderError
    posts: Posts | ProviderError
    metric_values: Mapping[ValueKey, MetricValue]
    insights_read_at: datetime
    post_insights: PostInsights | None = None
    counts: Counts = field(default_factory=dict)

    @cached_property
    def followers(self) -> int | None:
        """The present number of followers."""
        return followers_of(self.profile)

    @cached_property
    def provisional_from(self) -> date:
        """The first day whose totals may still change."""
        return first_provisional(self.insights_read_at, PROVISIONAL_HOURS)

    @property
    def followers_read_at(self) -> float:
        """When the present number of followers was read, in Unix seconds; if it is unknown, when the insights were."""
        return self.insights_read_at.timestamp() if isinstance(self.profile, ProviderError) else self.profile.fetched_at

    def gap_in(self, window: Window) -> str | None:
        """Return why not all posts of a window are known, or None if they are."""
        return reason_of(self.posts) if isinstance(self.posts, ProviderError) else self.posts.gap_in(window)

    def number_of_posts(self, window: Window) -> int | None:
        """Return how many posts a window has, or None if not all of them are known."""
        if isinstance(self.posts, ProviderError) or self.posts.gap_in(window) is not None:
            return None
        start, end = self.posts.positions(window)
        return end - start


def followers_of(profile: CacheEntry | ProviderError) -> int | None:
    """Return the number of followers in a profile, if it is known."""
    return None if isinstance(profile, ProviderError) else as_count(profile.value.get("followers_count"))
