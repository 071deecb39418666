"""Growth trends: an account's followers, engagement and totals, compared with the window before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Literal, NotRequired, Self

from typing_extensions import TypedDict

from services import request_context
from services.accounts.resolver import AccountResolver
from services.answers import Answer, Freshness, Origin, Table, Unavailable, Warning_, explain, unexpected_end_time
from services.cache.entries import CacheEntry
from services.cache.policies import FOR_EVER
from services.clients.graph.models import Account, as_count
from services.clock import Clock
from services.days import ONE_DAY, Window, first_provisional, last_days, our_time, pacific_day, utc
from services.engagement import EngagementRate, Method
from services.errors import ProviderError
from services.executors import Executor
from services.growth import growth
from services.insights.catalogue import PROVISIONAL_HOURS, PROVISIONAL_HOURS_OF_FOLLOWS
from services.insights.followers import FollowersAtStart, FollowersThen
from services.insights.reader import Insights, InsightsReader
from services.insights.request import InsightsRequest, ValueKey
from services.insights.values import MetricValue
from services.posts.cached_list import PostListPolicy
from services.posts.insights import PostInsights, PostInsightsReader
from services.posts.post import Post, Posts, reason_of
from services.posts.rates import Basis, rate_of_posts
from services.posts.reader import PostReader

Until = Literal["yesterday", "complete"]
TrendKey = Literal["followers", "engagement_rate", "reach", "views", "interactions", "posts"]

TITLES: Mapping[TrendKey, str] = {
    "followers": "Follower Growth Rate",
    "engagement_rate": "Engagement Rate Change",
    "reach": "Reach Change",
    "views": "Views Change",
    "interactions": "Interactions Change",
    "posts": "Posts Change",
}
ALWAYS: tuple[TrendKey, ...] = ("followers", "engagement_rate")
METRIC_OF: Mapping[str, str] = {"reach": "reach", "views": "views", "interactions": "total_interactions"}
UNITS: Mapping[TrendKey, str] = {"followers": "accounts", "engagement_rate": "fraction", "reach": "accounts"}
COLUMNS = (
    *("metric", "key", "current_value", "previous_value", "growth_rate", "reason"),
    *("unit", "basis", "approximate", "since", "until", "provisional_from"),
    *("er_method", "numerator", "denominator", "posts_used", "posts_left_out", "previous_since", "previous_until"),
)


class WindowDays(TypedDict):
    """The first and the last Pacific day of a window."""

    since: str
    until: str


class Engagement(TypedDict):
    """What an engagement rate is made of.

    By followers it is numerator / denominator / posts_used. By reach or views numerator and denominator are sums over
    the posts used, and `left_out` counts the other posts by reason. What rests on unknown posts is null.
    """

    numerator: float | None
    denominator: float | None
    posts_used: int | None
    posts_left_out: int | None
    left_out: NotRequired[Mapping[str, int] | None]


class Coverage(TypedDict, total=False):
    """What the two values of a trend rest on; up to `covered_until` its parts are all reported, and seen."""

    covered_until: str | None
    current: Engagement
    previous: Engagement
    method: Method


class Trend(TypedDict):
    """One change; `growth_rate` in percent, null with `reason` where a value is unknown.

    `key` names the trend for programs and never changes; `metric` is its title. `provisional_from` is the first day of
    its windows whose values may still change, null where all are final.
    """

    metric: str
    key: TrendKey
    current_value: float | None
    previous_value: float | None
    growth_rate: float | None
    reason: str | None
    unit: str
    basis: str | None
    approximate: bool
    provisional_from: str | None
    window: WindowDays
    previous_window: NotRequired[WindowDays]
    coverage: Coverage


@dataclass(frozen=True)
class Fetched:
    """Everything that was read for one answer; a part that could not be had is its failure, and takes no other down."""

    profile: CacheEntry | ProviderError
    posts: Posts | ProviderError
    metric_values: Mapping[ValueKey, MetricValue]
    insights_read_at: datetime
    freshness: Freshness
    post_insights: PostInsights | None = None

    @property
    def followers(self) -> int | None:
        """The present number of followers."""
        return _followers_of(self.profile)

    def gap_in(self, window: Window) -> str | None:
        """Return why not all posts of a window are known, or None if they are."""
        return reason_of(self.posts) if isinstance(self.posts, ProviderError) else self.posts.gap_in(window)

    def posts_of(self, window: Window) -> list[Post]:
        """Return the posts of a window."""
        posts = () if isinstance(self.posts, ProviderError) else self.posts.posts
        return [post for post in posts if _is_in(post, window)]


@dataclass(frozen=True)
class Followers:
    """The numbers of followers at both ends of a window: at its end, which is now unless later days are left out."""

    start: FollowersAtStart
    end: FollowersAtStart | None

    @classmethod
    def of(cls, window: Window, read_at: datetime, today: date) -> Self:
        """Return the two ends of a window."""
        later = Window(window.last + ONE_DAY, today - ONE_DAY)
        end = FollowersAtStart(later, read_at, today) if later.first <= later.last else None
        return cls(FollowersAtStart(window, read_at, today), end)

    @property
    def both(self) -> list[FollowersAtStart]:
        """Both ends that are worked back from now."""
        return [each for each in (self.start, self.end) if each is not None]

    def values(
        self, current: int | None, metric_values: Mapping[ValueKey, MetricValue]
    ) -> tuple[FollowersThen, FollowersThen]:
        """Return the numbers at the start and at the end; two numbers of different bases do not compare."""
        then = self.start.value(current, metric_values)
        if self.end is None:
            return then, FollowersThen(current, None if current is not None else "current_unknown", None, None)
        end = self.end.value(current, metric_values)
        # On quiet days follows and unfollows come without a number; no new followers since then fit either basis.
        is_mixed = then.basis != end.basis and end.value != current
        if then.value is not None and end.value is not None and is_mixed:
            then = FollowersThen(None, "inconsistent", then.basis, then.covered_until)
        return then, end


class GrowthTrends:
    """The changes of an account over a period."""

    def __init__(
        self,
        *,
        accounts: AccountResolver,
        posts: PostReader,
        post_insights: PostInsightsReader,
        reader: InsightsReader,
        executor: Executor,
        origin: Origin,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._posts = posts
        self._post_insights = post_insights
        self._reader = reader
        self._executor = executor
        self._origin = origin
        self._clock = clock

    def over(
        self,
        days: int,
        *,
        metrics: Sequence[str] = (),
        until: Until = "yesterday",
        er_basis: Basis = "followers",
        er_method: Method = "mean_of_posts",
        account: str | None = None,
        refresh: bool = False,
    ) -> Answer:
        """Return the trends of `days` days against the days before them.

        The days end with yesterday, or with the last one whose values are `complete`. Followers are compared with the
        start of the period, engagement and the added `metrics` (keys of `TITLES`) with the window of equal length
        before it. The engagement rate is that by followers, or by each post's own reach or views (`er_basis`).
        `refresh` reads everything again that can change.
        """
        request_context.accept_only_new(refresh=refresh)
        now = self._clock.now()
        window = last_days(days, now=now, final_after=PROVISIONAL_HOURS if until == "complete" else 0)
        selected = self._accounts.find(account)
        totals = [METRIC_OF[key] for key in metrics if key in METRIC_OF]
        fetched = self._fetch(selected, window, now, totals, with_post_insights=er_basis != "followers")
        followers = Followers.of(window, fetched.insights_read_at, pacific_day(now))
        trends = [_followers_trend(window, followers, fetched), _engagement_trend(window, fetched, er_basis, er_method)]
        trends += [_total_trend(key, window, fetched) for key in TITLES if key in metrics and key not in ALWAYS]
        provisional = [trend["provisional_from"] for trend in trends if trend["provisional_from"] is not None]
        warnings = _warnings(trends, window, fetched)
        if not isinstance(fetched.posts, ProviderError):
            warnings += fetched.posts.warnings
        return Answer(
            body={"trends": trends},
            account=selected.id,
            origin=self._origin,
            freshness=fetched.freshness,
            meta={
                "account": selected.id,
                "username": self._accounts.username(selected),
                "api_version": self._origin.api_version,
                "provisional_from": min(provisional, default=None),
            },
            unavailable=_unavailable(trends, fetched),
            warnings=warnings,
            table=Table(COLUMNS, [_row(trend) for trend in trends]),
        )

    def _fetch(
        self, account: Account, window: Window, now: datetime, totals: Sequence[str], *, with_post_insights: bool
    ) -> Fetched:
        """Read profile and posts beside the insights; only the fallback for followers waits for the profile.

        Raises a failure only if nothing at all is known.
        """
        before = window.before()
        needed = PostListPolicy(since=before.since, read_after=window.until)
        both_read = self._executor.start(partial(self._posts.read_with_profile, account, needed))
        followers = Followers.of(window, now, pacific_day(now))
        requests = [request for each in followers.both for request in each.requests()]
        if totals:
            requests += [InsightsRequest(tuple(totals), each) for each in (window, before)]
        metric_values: dict[ValueKey, MetricValue] = {}
        entries: list[CacheEntry] = []
        gaps = False
        for is_fallback in (False, True):
            if is_fallback:
                current = _followers_of(both_read.result()[0])
                requests = [one for each in followers.both for one in each.fallback_requests(current, metric_values)]
            if not requests:
                continue
            try:
                insights = self._reader.read(account, requests, only_gaps=True)
            except ProviderError as error:
                insights = Insights.unknown(requests, error)
            metric_values |= insights.metric_values
            entries += insights.entries
            gaps = gaps or insights.gaps
        profile, posts = both_read.result()
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
                gaps = gaps or (isinstance(part, Posts) and part.failure is not None)
        if post_insights is not None:
            entries += post_insights.entries
            gaps = gaps or post_insights.failure is not None
        freshness = Freshness.of(entries, now=now, gaps=gaps)
        read_at = utc(min(ageing, default=now.timestamp()))
        return Fetched(profile, posts, metric_values, read_at, freshness, post_insights)

    def _insights_of(
        self, account: Account, posts: Posts | ProviderError, windows: Sequence[Window]
    ) -> PostInsights | None:
        """Read the insights of the posts of some windows, if the posts are known."""
        if isinstance(posts, ProviderError):
            return None
        needed = [post for post in posts.posts if any(_is_in(post, window) for window in windows)]
        return self._post_insights.read(account, needed, listed=posts.posts)


def _is_in(post: Post, window: Window) -> bool:
    return window.since <= post.timestamp.timestamp() <= window.until


def _followers_of(profile: CacheEntry | ProviderError) -> int | None:
    return None if isinstance(profile, ProviderError) else as_count(profile.value.get("followers_count"))


def _followers_trend(window: Window, followers: Followers, fetched: Fetched) -> Trend:
    then, end = followers.values(fetched.followers, fetched.metric_values)
    reason = reason_of(fetched.profile) if isinstance(fetched.profile, ProviderError) else end.reason or then.reason
    trend = _trend("followers", window, end.value, then.value, reason=reason)
    provisional = first_provisional(fetched.insights_read_at, PROVISIONAL_HOURS_OF_FOLLOWS)
    return {
        **trend,
        "basis": then.basis,
        "approximate": True,
        # Followers who came and went after the window count too where its end is now.
        "provisional_from": None if then.value is None else _clipped(provisional, window, window),
        "coverage": {"covered_until": then.covered_until},
    }


def _engagement_trend(window: Window, fetched: Fetched, basis: Basis, method: Method) -> Trend:
    before = window.before()
    current, previous = (_rate(each, fetched, basis, method) for each in (window, before))
    trend = _trend("engagement_rate", window, current.rate, previous.rate, reason=current.reason or previous.reason)
    coverage: Coverage = {
        "covered_until": _seen_until(window, fetched),
        "current": _parts(current, basis),
        "previous": _parts(previous, basis),
    }
    if (basis, method) != ("followers", "mean_of_posts"):
        coverage["method"] = method
    provisional = None
    if basis != "followers" and (current.rate is not None or previous.rate is not None):
        provisional = _clipped(first_provisional(fetched.insights_read_at, PROVISIONAL_HOURS), before, window)
    return {
        **trend,
        "basis": "current_followers" if basis == "followers" else basis,
        "previous_window": _days(before),
        "approximate": _is_incomplete(fetched) or provisional is not None,
        "provisional_from": provisional,
        "coverage": coverage,
    }


def _total_trend(key: TrendKey, window: Window, fetched: Fetched) -> Trend:
    before = window.before()
    if key == "posts":
        counts = [_count(each, fetched) for each in (window, before)]
        trend = _trend(key, window, *counts, reason=fetched.gap_in(window) or fetched.gap_in(before))
        covered_until = _seen_until(window, fetched)
        return {
            **trend,
            "previous_window": _days(before),
            "approximate": _is_incomplete(fetched),
            "coverage": {"covered_until": covered_until},
        }
    current, previous = (fetched.metric_values[METRIC_OF[key], (), each] for each in (window, before))
    trend = _trend(key, window, current.value, previous.value, reason=current.reason or previous.reason)
    provisional = None
    if current.value is not None or previous.value is not None:
        provisional = _clipped(first_provisional(fetched.insights_read_at, PROVISIONAL_HOURS), before, window)
    complete = fetched.insights_read_at - timedelta(hours=PROVISIONAL_HOURS)
    return {
        **trend,
        "previous_window": _days(before),
        "approximate": provisional is not None,
        "provisional_from": provisional,
        "coverage": {"covered_until": our_time(min(complete, utc(window.until + 1)))},
    }


def _clipped(day: date, first: Window, last: Window) -> str | None:
    """Return the first provisional day within two windows, or None where all their days are final."""
    return max(day, first.first).isoformat() if day <= last.last else None


def _seen_until(window: Window, fetched: Fetched) -> str | None:
    """Return up to when the list has every post of a window, or None where it could not be read."""
    if isinstance(fetched.posts, ProviderError):
        return None
    return our_time(min(fetched.posts.read_at, utc(window.until + 1)))


def _is_incomplete(fetched: Fetched) -> bool:
    """Return whether posts may be missing from the list: without a readable time, or out of its order."""
    posts = fetched.posts
    return not isinstance(posts, ProviderError) and bool(posts.unreadable or posts.unordered)


def _trend(
    key: TrendKey, window: Window, current: float | None, previous: float | None, *, reason: str | None = None
) -> Trend:
    change = growth(current, previous)
    return {
        "metric": TITLES[key],
        "key": key,
        "current_value": current,
        "previous_value": previous,
        "growth_rate": change.rate,
        "reason": (reason or change.reason) if change.rate is None else change.reason,
        "unit": UNITS.get(key, key),
        "basis": None,
        "approximate": False,
        "provisional_from": None,
        "window": _days(window),
        "coverage": {},
    }


def _rate(window: Window, fetched: Fetched, basis: Basis, method: Method) -> EngagementRate:
    by_followers = basis == "followers"
    if (gap := fetched.gap_in(window)) is not None:
        followers = fetched.followers if by_followers else None
        return EngagementRate(None, gap, None, followers, None, None, left_out=None)
    rate = rate_of_posts(
        fetched.posts_of(window),
        basis=basis,
        method=method,
        followers=fetched.followers,
        insights=fetched.post_insights,
    )
    if by_followers and isinstance(fetched.profile, ProviderError) and rate.rate is None:
        return replace(rate, reason=reason_of(fetched.profile))
    return rate


def _count(window: Window, fetched: Fetched) -> int | None:
    return len(fetched.posts_of(window)) if fetched.gap_in(window) is None else None


def _days(window: Window) -> WindowDays:
    return {"since": window.first.isoformat(), "until": window.last.isoformat()}


def _parts(rate: EngagementRate, basis: Basis) -> Engagement:
    parts: Engagement = {
        "numerator": rate.numerator,
        "denominator": rate.denominator,
        "posts_used": rate.posts_used,
        "posts_left_out": rate.posts_left_out,
    }
    if basis != "followers":
        parts["left_out"] = None if rate.left_out is None else dict(rate.left_out)
    return parts


def _unavailable(trends: Sequence[Trend], fetched: Fetched) -> list[Unavailable]:
    """Explain each unknown change; where a failure is the reason, with its wait."""
    failures = [fetched.profile, fetched.posts, getattr(fetched.posts, "failure", None)]
    failures.append(getattr(fetched.post_insights, "failure", None))
    waits = {value.reason: value.retry_after for value in fetched.metric_values.values()}
    waits |= {reason_of(each): each.retry_after for each in failures if isinstance(each, ProviderError)}
    unknown = [trend for trend in trends if trend["growth_rate"] is None]
    return [
        explain(
            trend["metric"],
            trend["reason"],
            retry_after=waits.get(trend["reason"]),
            of_media=trend["key"] == "engagement_rate",
        )
        for trend in unknown
        if trend["reason"] is not None
    ]


def _warnings(trends: Sequence[Trend], window: Window, fetched: Fetched) -> list[Warning_]:
    warnings: list[Warning_] = []
    shifted = {metric for (metric, _, _), value in fetched.metric_values.items() if value.is_shifted}
    warnings += [unexpected_end_time(metric) for metric in sorted(shifted)]
    if any(trend["basis"] == "current_followers" for trend in trends):
        message = "Both engagement rates are divided by the current followers; earlier follower counts are not known."
        warnings.append({"code": "current_followers", "message": message})
    if fetched.insights_read_at.timestamp() - PROVISIONAL_HOURS_OF_FOLLOWS * 3600 <= window.since:
        message = (
            f"Instagram reports follows and unfollows up to {PROVISIONAL_HOURS_OF_FOLLOWS} hours late; "
            "request a longer period."
        )
        warnings.append({"code": "follows_not_reported_yet", "message": message})
    totals = {
        trend["key"]: day for trend in trends if (day := trend["provisional_from"]) and trend["key"] != "followers"
    }
    if totals:
        message = (
            f"{', '.join(totals)}: Instagram reports the days from {min(totals.values())} on only in part so far, up "
            f"to {PROVISIONAL_HOURS} hours late; until=complete ends the windows before them."
        )
        warnings.append({"code": "provisional_days", "message": message})
    return warnings


def _row(trend: Trend) -> Mapping[str, object]:
    row = {name: value for name, value in trend.items() if not isinstance(value, dict)} | trend["window"]
    if (previous := trend.get("previous_window")) is not None:
        row |= {"previous_since": previous["since"], "previous_until": previous["until"]}
    coverage = trend["coverage"]
    if (current := coverage.get("current")) is not None:
        row |= {name: value for name, value in current.items() if name in COLUMNS}
        row["er_method"] = coverage.get("method", "mean_of_posts")  # JSON leaves out the default.
    return row
