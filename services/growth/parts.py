"""What is read for growth: profile, posts and insights side by side; one that cannot be had is its failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property, partial

from services.answers import Freshness
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
        both: Both | None = self._posts.cached_with_profile(account, needed)
        # Another thread is for a provider call; what is cached is here before one could begin.
        both_read = None if both else self._executor.start(partial(self._posts.read_with_profile, account, needed))
        today = pacific_day(now)
        # Of a window that ends now, the number at its end is the present one.
        counts = self._counts.between(account.id, Window(window.first, min(window.last + ONE_DAY, today - ONE_DAY)))
        uncounted = Followers.of(window, now, today, counts).uncounted
        requests = [request for each in uncounted for request in each.requests()]
        if totals:
            requests += [InsightsRequest(tuple(totals), each) for each in (window, before)]
        metric_values: dict[ValueKey, MetricValue] = {}
        entries: list[CacheEntry] = []
        gaps = False
        for is_fallback in (False, True):
            if is_fallback:
                both = both or _result(both_read)
                current = _followers_of(both[0])
                requests = [one for each in uncounted for one in each.fallback_requests(current, metric_values)]
            if not requests:
                continue
            try:
                insights = self._reader.read(account, requests, only_gaps=True)
            except ProviderError as error:
                insights = Insights.unknown(requests, error)
            metric_values |= insights.metric_values
            entries += insights.entries
            gaps = gaps or insights.gaps
        profile, posts = both or _result(both_read)
        post_insights = self._insights_of(account, posts, [window, before]) if with_post_insights else None
        is_nothing_known = isinstance(posts, ProviderError) and all(
            each.value is None for each in metric_values.values()
        )
        if isinstance(profile, ProviderError) and is_nothing_known:
            raise profile
        ageing = [entry.fetched_at for entry in entries if entry.expires_at != FOR_EVER]
        for part in (profile, posts):
            if isinstance(part, ProviderError):
                gaps = True
            else:
                entries.append(part if isinstance(part, CacheEntry) else part.entry)
        if post_insights is not None:
            entries += post_insights.entries
            gaps = gaps or post_insights.failure is not None
        freshness = Freshness.of(entries, now=now, gaps=gaps)
        read_at = utc(min(ageing, default=now.timestamp()))
        return Fetched(profile, posts, metric_values, read_at, freshness, post_insights, counts)

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


def _posts_in(window: Window, posts: Posts) -> Sequence[Post]:
    start, end = posts.positions(window)
    return posts.posts[start:end]


def _followers_of(profile: CacheEntry | ProviderError) -> int | None:
    return None if isinstance(profile, ProviderError) else as_count(profile.value.get("followers_count"))
