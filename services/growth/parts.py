"""What is read for growth: profile, posts and insights side by side; one that cannot be had is its failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property, partial
from typing import NamedTuple

from services.answers import Freshness, Warning_
from services.cache.entries import CacheEntry
from services.cache.policies import FOR_EVER
from services.clients.graph.models import Account, as_count
from services.days import ONE_DAY, Window, first_provisional, pacific_day, utc
from services.errors import ProviderError
from services.executors import Executor, Future
from services.growth.followers import Counts, Followers
from services.growth.kept_counts import KeptCounts
from services.insights.catalogue import PROVISIONAL_HOURS
from services.insights.long_windows import LongWindowReader
from services.insights.reader import Insights
from services.insights.request import InsightsRequest, ValueKey
from services.insights.values import MetricValue
from services.posts.insights import PostInsights, PostInsightsReader
from services.posts.listed_posts import PostListPolicy
from services.posts.ordered_posts import Posts
from services.posts.post import Post, reason_of
from services.posts.reader import PostReader

Both = tuple[CacheEntry | ProviderError, Posts | ProviderError]


class GrowthSources(NamedTuple):
    """What a reply rests on: how fresh it is, and what its reader should know of the values behind it.

    `insights_read_at` (Unix seconds) is None where no insight can change any more; then the present moment counts.
    """

    freshness: Freshness
    insights_read_at: float | None
    shifted: Sequence[str]  # the metrics whose days Instagram marks by another time than midnight in California
    warnings: Sequence[Warning_]  # about the list of posts


@dataclass(frozen=True)
class Fetched:
    """Everything that was read for one answer; a part that could not be had is its failure, and takes no other down."""

    profile: CacheEntry | ProviderError
    posts: Posts | ProviderError
    metric_values: Mapping[ValueKey, MetricValue]
    insights_read_at: datetime
    freshness: Freshness
    post_insights: PostInsights | None = None
    counts: Counts = field(default_factory=dict)
    is_ageing: bool = True  # whether any of the insights can still change; else they count as read at present
    is_lasting: bool = False  # whether another request would be answered by the same until its `freshness` expires

    @cached_property
    def followers(self) -> int | None:
        """The present number of followers."""
        return _followers_of(self.profile)

    @cached_property
    def provisional_from(self) -> date:
        """The first day whose totals may still change."""
        return first_provisional(self.insights_read_at, PROVISIONAL_HOURS)

    @property
    def followers_read_at(self) -> float:
        """When the present number of followers was read, in Unix seconds; if it is unknown, when the insights were."""
        return self.insights_read_at.timestamp() if isinstance(self.profile, ProviderError) else self.profile.fetched_at

    @property
    def sources(self) -> GrowthSources:
        """What the reply rests on."""
        shifted = {metric for (metric, _, _), value in self.metric_values.items() if value.is_shifted}
        return GrowthSources(
            self.freshness,
            self.insights_read_at.timestamp() if self.is_ageing else None,
            sorted(shifted),
            [] if isinstance(self.posts, ProviderError) else self.posts.warnings,
        )

    def gap_in(self, window: Window) -> str | None:
        """Return why not all posts of a window are known, or None if they are."""
        return reason_of(self.posts) if isinstance(self.posts, ProviderError) else self.posts.gap_in(window)

    def number_of_posts(self, window: Window) -> int:
        """Return how many posts are known of a window."""
        if isinstance(self.posts, ProviderError):
            return 0
        start, end = self.posts.positions(window)
        return end - start


class GrowthReader:
    """Reads the parts of growth for one window and the one before it."""

    def __init__(
        self,
        *,
        posts: PostReader,
        post_insights: PostInsightsReader,
        reader: LongWindowReader,
        counts: KeptCounts,
        executor: Executor,
    ) -> None:
        self._posts = posts
        self._post_insights = post_insights
        self._reader = reader
        self._counts = counts
        self._executor = executor

    def read(
        self,
        account: Account,
        window: Window,
        before: Window,
        *,
        now: datetime,
        totals: Sequence[str],
        with_post_insights: bool,
    ) -> Fetched:
        """Read profile and posts beside the insights; only the fallback for followers waits for the profile.

        `before` is the window that the `window` is compared with. Raises a failure only if nothing at all is known.
        """
        needed = PostListPolicy(since=before.since, read_after=window.until)
        cached: Both | None = self._posts.cached_with_profile(account, needed)
        # Another thread is for a provider call; what is cached is here before one could begin.
        both_read = None if cached else self._executor.start(partial(self._posts.read_with_profile, account, needed))
        today = pacific_day(now)
        # Of a window that ends now, the number at its end is the present one.
        kept = self._counts.between(account.id, Window(window.first, min(window.last + ONE_DAY, today - ONE_DAY)))
        counts = {} if kept is None else kept
        uncounted = Followers.of(window, now, today, counts).uncounted
        requests = [request for each in uncounted for request in each.requests()]
        if totals:
            requests += [InsightsRequest(tuple(totals), each) for each in (window, before)]
        found = [self._insights(account, requests)] if requests else []
        metric_values = dict(found[0].metric_values) if found else {}
        profile, posts = cached or _result(both_read)
        current = _followers_of(profile)
        if requests := [one for each in uncounted for one in each.fallback_requests(current, metric_values)]:
            found.append(self._insights(account, requests))
            metric_values |= found[-1].metric_values
        post_insights = self._insights_of(account, posts, [window, before]) if with_post_insights else None
        is_nothing_known = isinstance(posts, ProviderError) and all(
            each.value is None for each in metric_values.values()
        )
        if isinstance(profile, ProviderError) and is_nothing_known:
            raise profile
        of_insights = [entry for each in found for entry in each.entries]
        of_posts = [] if post_insights is None else post_insights.entries
        entries = [*of_insights, *_entries(profile, posts), *of_posts]
        gaps = (
            isinstance(profile, ProviderError) or isinstance(posts, ProviderError) or any(each.gaps for each in found)
        )
        ageing = [entry.fetched_at for entry in of_insights if entry.expires_at != FOR_EVER]
        # Where no insight ages, the present moment stands for them; trends that name it are others a moment later.
        is_present_named = not ageing and bool(uncounted or (totals and now < _final_at(window)))
        return Fetched(
            profile,
            posts,
            metric_values,
            utc(min(ageing, default=now.timestamp())),
            Freshness.of(entries, now=now, gaps=gaps),
            post_insights,
            counts,
            is_ageing=bool(ageing),
            is_lasting=kept is not None and not gaps and not is_present_named,
        )

    def _insights(self, account: Account, requests: Sequence[InsightsRequest]) -> Insights:
        """Read insights; a failure is the reason of each value."""
        try:
            return self._reader.read(account, requests, only_gaps=True)
        except ProviderError as error:
            return Insights.unknown(requests, error)

    def _insights_of(
        self, account: Account, posts: Posts | ProviderError, windows: Sequence[Window]
    ) -> PostInsights | None:
        """Read the insights of the posts of some windows, if the posts are known; a window with a gap has no rate."""
        if isinstance(posts, ProviderError):
            return None
        whole = [window for window in windows if posts.gap_in(window) is None]
        needed = [post for window in whole for post in _posts_in(window, posts)]
        return self._post_insights.read(account, needed, listed=posts.posts)


def _result(both_read: Future[Both] | None) -> Both:
    if both_read is None:
        raise TypeError("What is not cached has to be read.")
    return both_read.result()


def _entries(*parts: CacheEntry | Posts | ProviderError) -> list[CacheEntry]:
    """Return the entries behind the parts that could be had."""
    known = [part for part in parts if not isinstance(part, ProviderError)]
    return [part if isinstance(part, CacheEntry) else part.entry for part in known]


def _has_failed(post_insights: PostInsights | None) -> bool:
    return post_insights is not None and post_insights.failure is not None


def _final_at(window: Window) -> datetime:
    """Return from when on the totals of a window are final."""
    return utc(window.until + 1) + timedelta(hours=PROVISIONAL_HOURS)


def _posts_in(window: Window, posts: Posts) -> Sequence[Post]:
    start, end = posts.positions(window)
    return posts.posts[start:end]


def _followers_of(profile: CacheEntry | ProviderError) -> int | None:
    return None if isinstance(profile, ProviderError) else as_count(profile.value.get("followers_count"))
