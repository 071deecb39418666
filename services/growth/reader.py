"""Reads growth: trends that were shown moments ago, or else profile, posts and insights side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial

from services import request_context
from services.cache.cache import Cache
from services.cache.entries import CacheEntry
from services.clients.graph.models import Account
from services.days import ONE_DAY, utc
from services.errors import ProviderError, reason_of
from services.executors import Executor, Future
from services.growth.followers_at_both_ends import Followers
from services.growth.kept_counts import KeptCounts
from services.growth.parts import Fetched, GrowthSources, SourcesPart, followers_of
from services.growth.shown_trends import ShownGrowth, ShownTrend, ShownTrends, TrendsRequest
from services.growth.trends import ALWAYS, METRIC_OF, Trend, TrendKey, engagement_trend, followers_trend, total_trend
from services.insights.request import InsightsRequest, ValueKey
from services.insights.sums_of_kept_days import LongWindowReader
from services.insights.values import MetricValue
from services.posts.engagement_score import HIDDEN
from services.posts.insights import PostInsights, PostInsightsReader
from services.posts.listed_posts import PostListPolicy
from services.posts.ordered_posts import Posts
from services.posts.post import Post
from services.posts.reader import PostReader
from services.reasons import Unavailable, explain
from services.windows import Window

Both = tuple[CacheEntry | ProviderError, Posts | ProviderError]


class GrowthReader:
    """Reads the trends of one account for one window and the one before it."""

    def __init__(
        self,
        *,
        posts: PostReader,
        post_insights: PostInsightsReader,
        insights: LongWindowReader,
        counts: KeptCounts,
        executor: Executor,
        cache: Cache,
    ) -> None:
        self._posts = posts
        self._post_insights = post_insights
        self._insights = insights
        self._counts = counts
        self._executor = executor
        self._shown = ShownTrends(cache)

    def read(self, account: Account, request: TrendsRequest, *, now: datetime) -> ShownGrowth:
        """Return the requested trends: as they were shown moments ago, or made of what is read.

        Profile and posts are read beside the insights; only the fallback for followers waits for the profile. Raises a
        failure only if nothing at all is known.
        """
        reading = self._shown.begin(account.id)
        shown = None if request_context.not_before() else self._shown.known(reading, request, now=now)
        if shown is not None:
            return shown
        window, before = request.window, request.window.before()
        needed = PostListPolicy(since=before.since, read_after=window.until)
        cached: Both | None = self._posts.cached_with_profile(account, needed)
        # Another thread is for a provider call; what is cached is here before one could begin.
        both_read = None if cached else self._executor.start(partial(self._posts.read_with_profile, account, needed))
        # Of a window that ends now, the number at its end is the present one.
        kept = self._counts.between(
            account.id, Window(window.first, min(window.last + ONE_DAY, request.today - ONE_DAY))
        )
        counts = {} if kept is None else kept
        followers = Followers.of(window, now, request.today, counts)
        uncounted = followers.uncounted
        totals = {key: METRIC_OF[key] for key in request.keys if key in METRIC_OF}
        of_followers = [one for each in uncounted for one in each.requests()]
        of_totals = [InsightsRequest(tuple(totals.values()), each) for each in (window, before)] if totals else []
        requests = [*of_followers, *of_totals]
        found = [self._insights.read(account, requests)] if requests else []
        metric_values = dict(found[0].metric_values) if found else {}
        profile, posts = cached or _result(both_read)
        current = followers_of(profile)
        if requests := [one for each in uncounted for one in each.fallback_requests(current, metric_values)]:
            of_followers += requests
            fallback = self._insights.read(account, requests)
            found.append(fallback)
            metric_values |= fallback.metric_values
        post_insights = self._insights_of(account, posts, [window, before]) if request.basis != "followers" else None
        is_any_known = followers.is_counted or any(each.value is not None for each in metric_values.values())
        if isinstance(profile, ProviderError) and isinstance(posts, ProviderError) and not is_any_known:
            raise profile
        failed = [isinstance(profile, ProviderError), isinstance(posts, ProviderError), _has_failed(post_insights)]
        gaps = any(failed) or any(each.gaps for each in found)
        others = [*_entries(profile, posts), *([] if post_insights is None else post_insights.entries)]
        warnings = [] if isinstance(posts, ProviderError) else posts.warnings
        of_insights = [entry for each in found for entry in each.entries]
        whole = SourcesPart.of(of_insights, _shifted(metric_values.items()), others)._replace(warnings=warnings)
        sources = GrowthSources.of([whole], now=now, gaps=gaps)
        # Where no insight ages, the present moment stands for them.
        read_at = now if sources.insights_read_at is None else utc(sources.insights_read_at)
        fetched = Fetched(profile, posts, metric_values, read_at, post_insights, counts)
        shown = ShownGrowth(_trends_of(fetched, request), sources)
        if kept is not None and not gaps:
            behind = {key: entries for each in found for key, entries in each.parts.items()}
            part_of = partial(_part, metric_values=metric_values, behind=behind)
            rest = part_of([key for each in of_followers for key in each.value_keys()], others=others)
            parts: dict[TrendKey | None, SourcesPart | None] = {
                None: rest and rest._replace(warnings=warnings, is_worked_back=bool(uncounted)),
                **{key: part_of([(metric, (), each) for each in (window, before)]) for key, metric in totals.items()},
            }
            self._shown.add(account.id, reading, request, shown, parts, now=now)
        return shown

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


def _part(
    keys: Sequence[ValueKey],
    *,
    metric_values: Mapping[ValueKey, MetricValue],
    behind: Mapping[ValueKey, Sequence[CacheEntry]],
    others: Sequence[CacheEntry] = (),
) -> SourcesPart | None:
    """Return what some values and other entries make a part of; None where not all entries of a value are known."""
    if not all(key in behind for key in keys):
        return None
    entries = [entry for key in keys for entry in behind[key]]
    return SourcesPart.of(entries, _shifted((key, metric_values[key]) for key in keys), others)


def _shifted(values: Iterable[tuple[ValueKey, MetricValue]]) -> list[str]:
    return sorted({metric for (metric, _, _), value in values if value.is_shifted})


def _posts_in(window: Window, posts: Posts) -> Sequence[Post]:
    start, end = posts.positions(window)
    return posts.posts[start:end]


def _trends_of(fetched: Fetched, request: TrendsRequest) -> list[ShownTrend]:
    """Return the trends of a request as they are shown."""
    window, before = request.window, request.window.before()
    followers = Followers.of(window, fetched.insights_read_at, request.today, fetched.counts)
    trends = [
        followers_trend(window, followers, fetched),
        engagement_trend(window, before, fetched, followers, basis=request.basis, method=request.method),
        *(total_trend(key, window, before, fetched) for key in request.keys if key not in ALWAYS),
    ]
    return [ShownTrend.of(trend, _unavailable(trend, fetched)) for trend in trends]


def _unavailable(trend: Trend, fetched: Fetched) -> Unavailable | None:
    """Explain an unknown change; where a failure is the reason, with its wait."""
    reason = trend["reason"]
    if trend["growth_rate"] is not None or reason is None:
        return None
    failures = [fetched.profile, fetched.posts, getattr(fetched.posts, "failure", None)]
    failures.append(getattr(fetched.post_insights, "failure", None))
    waits = {value.reason: value.retry_after for value in fetched.metric_values.values()}
    waits |= {reason_of(each): each.retry_after for each in failures if isinstance(each, ProviderError)}
    # What is hidden is hidden by all posts of the window.
    is_of_media = trend["key"] == "engagement_rate" and reason not in HIDDEN
    return explain(trend["metric"], reason, retry_after=waits.get(reason), of_media=is_of_media)
