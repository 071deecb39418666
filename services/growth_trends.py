"""Growth trends: how an account does now against the window before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import NotRequired

from typing_extensions import TypedDict

from services.accounts import Accounts
from services.answers import Answer, Freshness, Table, Unavailable, Warning_
from services.asks import Ask, Key
from services.catalogue import PROVISIONAL_HOURS_OF_FOLLOWS
from services.clients.graph import Account
from services.clock import Clock
from services.days import Window, last_days, pacific_day
from services.engagement import EngagementRate, engagement_rate
from services.errors import ProviderError
from services.followers import FollowersAtStart
from services.growth import growth
from services.insights import Insights, InsightsReader
from services.media import MediaList
from services.memory import Memo
from services.parallel import Beside
from services.posts import Post, Posts
from services.readings import Reading, as_count
from services.reasons import explain

TITLES: Mapping[str, str] = {
    "followers": "Follower Growth Rate",
    "engagement_rate": "Engagement Rate Change",
    "reach": "Reach Change",
    "views": "Views Change",
    "interactions": "Interactions Change",
    "posts": "Posts Change",
}
ALWAYS = ("followers", "engagement_rate")
SOURCES: Mapping[str, str] = {"reach": "reach", "views": "views", "interactions": "total_interactions"}
UNITS: Mapping[str, str] = {"followers": "accounts", "engagement_rate": "fraction", "reach": "accounts"}


COLUMNS = (
    *("metric", "current_value", "previous_value", "growth_rate", "reason"),
    *("unit", "basis", "approximate", "since", "until"),
)


class WindowDays(TypedDict):
    """The first and the last Pacific day of a window."""

    since: str
    until: str


class Engagement(TypedDict):
    """What an engagement rate is made of: numerator / denominator / posts_used."""

    numerator: int
    denominator: int | None
    posts_used: int
    posts_left_out: int


class Coverage(TypedDict, total=False):
    """On what the two values of a trend rest."""

    covered_until: str | None
    current: Engagement
    previous: Engagement


class Trend(TypedDict):
    """One change; `growth_rate` in percent, null with `reason` where a value is unknown."""

    metric: str
    current_value: float | None
    previous_value: float | None
    growth_rate: float | None
    reason: str | None
    unit: str
    basis: str | None
    approximate: bool
    window: WindowDays
    previous_window: NotRequired[WindowDays]
    coverage: Coverage


@dataclass(frozen=True)
class Fetched:
    """All that was read for one answer."""

    followers: int | None
    posts: Posts
    readings: Mapping[Key, Reading]
    freshness: Freshness


class GrowthTrends:
    """The changes of an account over a period."""

    def __init__(
        self,
        accounts: Accounts,
        media: MediaList,
        reader: InsightsReader,
        *,
        beside: Beside,
        source: str,
        version: str,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._media = media
        self._reader = reader
        self._beside = beside
        self._source = source
        self._version = version
        self._clock = clock

    def over(self, days: int, *, metrics: Sequence[str] = (), account: str | None = None) -> Answer:
        """Return the trends of the last `days` finished days against the days before them.

        Followers are compared with the start of the period, engagement and the added `metrics` (keys of `TITLES`)
        with the window of equal length before it.
        """
        now = self._clock.now()
        window = last_days(days, now=now)
        found = self._accounts.find(account)
        fetched = self._fetch(found, window, now, [SOURCES[name] for name in metrics if name in SOURCES])
        start = FollowersAtStart(window, fetched.freshness.fetched_at, pacific_day(now))
        trends = [_followers_trend(window, start, fetched), _engagement_trend(window, fetched)]
        trends += [_total_trend(name, window, fetched) for name in TITLES if name in metrics and name not in ALWAYS]
        meta = {
            "account": found.id,
            "api_version": self._version,
            "unavailable": _unavailable(trends),
            "substitutions": [],
            "warnings": [*_warnings(trends, window, fetched.freshness.fetched_at), *fetched.posts.warnings],
        }
        table = Table(COLUMNS, [_row(trend) for trend in trends])
        return Answer({"trends": trends}, fetched.freshness, self._source, found.id, meta, table)

    def _fetch(self, account: Account, window: Window, now: datetime, totals: Sequence[str]) -> Fetched:
        """Read everything side by side; only the second way to the followers waits for the first."""
        before = window.before()
        since = datetime.fromtimestamp(before.since, UTC)
        profile_read = self._beside.start(partial(self._accounts.profile, account))
        posts_read = self._beside.start(partial(self._media.since, account, since))
        start = FollowersAtStart(window, now, pacific_day(now))
        asks = start.asks()
        if totals:
            asks += [Ask(tuple(totals), each) for each in (window, before)]
        insights = self._insights(account, asks, profile_read)
        readings, memos, gaps = dict(insights.readings), [*insights.memos], insights.gaps
        profile = profile_read.result()
        followers = as_count(profile.value.get("followers_count"))
        if fallback := start.fallback_asks(followers, readings):
            second = self._insights(account, fallback, profile_read)
            readings |= second.readings
            memos, gaps = [*memos, *second.memos], gaps or second.gaps
        posts = posts_read.result()
        freshness = Freshness.of([*memos, profile, posts.memo], now=now, gaps=gaps)
        return Fetched(followers, posts, readings, freshness)

    def _insights(self, account: Account, asks: Sequence[Ask], profile_read: Future[Memo]) -> Insights:
        """Read insights; while Instagram is in trouble, a kept profile is answered without them."""
        try:
            return self._reader.read(account, asks, only_gaps=True)
        except ProviderError as error:
            if not profile_read.result().stale:
                raise
            unknown = Reading(None, error.code, message=error.message)
            return Insights({key: unknown for ask in asks for key in ask.reading_keys()}, [], gaps=True)


def _followers_trend(window: Window, start: FollowersAtStart, fetched: Fetched) -> Trend:
    then = start.value(fetched.followers, fetched.readings)
    trend = _trend("followers", window, fetched.followers, then.value, reason=then.reason)
    return {**trend, "basis": then.basis, "approximate": True, "coverage": {"covered_until": then.covered_until}}


def _engagement_trend(window: Window, fetched: Fetched) -> Trend:
    before = window.before()
    now, then = (_rate(each, fetched) for each in (window, before))
    trend = _trend("engagement_rate", window, now.rate, then.rate, reason=now.reason or then.reason)
    return {
        **trend,
        "basis": "current_followers",
        "previous_window": _days(before),
        "coverage": {"current": _parts(now), "previous": _parts(then)},
    }


def _total_trend(name: str, window: Window, fetched: Fetched) -> Trend:
    before = window.before()
    if name == "posts":
        now, then = (_count(each, fetched.posts) for each in (window, before))
        reason = "truncated" if None in {now, then} else None
        return {**_trend(name, window, now, then, reason=reason), "previous_window": _days(before)}
    current, previous = (fetched.readings[SOURCES[name], (), each] for each in (window, before))
    trend = _trend(name, window, current.value, previous.value, reason=current.reason or previous.reason)
    return {**trend, "previous_window": _days(before)}


def _trend(
    name: str, window: Window, current: float | None, previous: float | None, *, reason: str | None = None
) -> Trend:
    change = growth(current, previous)
    return {
        "metric": TITLES[name],
        "current_value": current,
        "previous_value": previous,
        "growth_rate": change.rate,
        "reason": (reason or change.reason) if change.rate is None else change.reason,
        "unit": UNITS.get(name, name),
        "basis": None,
        "approximate": False,
        "window": _days(window),
        "coverage": {},
    }


def _rate(window: Window, fetched: Fetched) -> EngagementRate:
    if not fetched.posts.reach_back_to(window.since):
        return EngagementRate(None, "truncated", 0, fetched.followers, 0, 0)
    return engagement_rate((post.counts for post in _within(window, fetched.posts.posts)), fetched.followers)


def _count(window: Window, posts: Posts) -> int | None:
    return len(_within(window, posts.posts)) if posts.reach_back_to(window.since) else None


def _within(window: Window, posts: Sequence[Post]) -> list[Post]:
    return [post for post in posts if window.since <= post.timestamp.timestamp() <= window.until]


def _days(window: Window) -> WindowDays:
    return {"since": window.first.isoformat(), "until": window.last.isoformat()}


def _parts(rate: EngagementRate) -> Engagement:
    return {
        "numerator": rate.numerator,
        "denominator": rate.denominator,
        "posts_used": rate.posts_used,
        "posts_left_out": rate.posts_left_out,
    }


def _unavailable(trends: Sequence[Trend]) -> list[Unavailable]:
    unknown = [trend for trend in trends if trend["growth_rate"] is None]
    return [explain(trend["metric"], trend["reason"]) for trend in unknown if trend["reason"] is not None]


def _warnings(trends: Sequence[Trend], window: Window, now: datetime) -> list[Warning_]:
    warnings: list[Warning_] = []
    if any(trend["basis"] == "current_followers" for trend in trends):
        message = "Both engagement rates are divided by the current followers; those of the time are not known."
        warnings.append({"code": "current_followers", "message": message})
    if now.timestamp() - PROVISIONAL_HOURS_OF_FOLLOWS * 3600 <= window.since:
        message = (
            f"Instagram tells who came and went up to {PROVISIONAL_HOURS_OF_FOLLOWS} hours late; ask for more days."
        )
        warnings.append({"code": "follows_not_reported_yet", "message": message})
    return warnings


def _row(trend: Trend) -> Mapping[str, object]:
    flat = {key: value for key, value in trend.items() if not isinstance(value, dict)}
    return flat | trend["window"]
