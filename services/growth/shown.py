"""Trends as replies show them: each once for all requests over the same values, and what such a reply rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

from services.answers import Unavailable
from services.cache.cache import Cache
from services.cache.policies import MINUTE
from services.cache.recent_reads import ReadsOfAccount, RecentReads
from services.csv_cells import cells, csv_lines
from services.days import Window, first_provisional
from services.growth.parts import GrowthSources
from services.growth.trends import METRIC_OF, Trend, TrendKey
from services.insights.catalogue import PROVISIONAL_HOURS, PROVISIONAL_HOURS_OF_FOLLOWS
from services.posts.engagement import Method
from services.posts.rates import Basis

COLUMNS = (
    *("metric", "key", "current_value", "previous_value", "growth_rate", "reason"),
    *("unit", "basis", "approximate", "since", "until", "provisional_from"),
    *("er_method", "numerator", "denominator", "posts_used", "posts_left_out", "previous_since", "previous_until"),
)
MOST_SHOWN = 1_000  # trends, of about 2 kB each


class TrendsRequest(NamedTuple):
    """Which trends are requested, and on which Pacific day."""

    window: Window
    today: date
    keys: tuple[TrendKey, ...]
    basis: Basis
    method: Method


class ShownTrend:
    """A trend as JSON and as CSV; requests share it, so nothing may change it."""

    __slots__ = ("_line", "trend", "unavailable")

    def __init__(self, trend: Trend, unavailable: Unavailable | None) -> None:
        self.trend = trend
        self.unavailable = unavailable
        self._line: str | None = None

    @property
    def line(self) -> str:
        """The trend as a line of CSV, which is made once."""
        if self._line is None:
            self._line = csv_lines([cells(map(_row(self.trend).get, COLUMNS))])
        return self._line


class ShownGrowth(NamedTuple):
    """The trends of one reply, and what they rest on."""

    trends: Sequence[ShownTrend]
    sources: GrowthSources


Moment = float | tuple[date, date]
SourcesKey = tuple[date, date, date, tuple[str, ...], bool]  # first and last day, today, metrics, with post insights
ShownKey = tuple[date, date, date, TrendKey, Basis | None, Method | None, Moment]
ReadingOfTrends = ReadsOfAccount[SourcesKey | ShownKey, GrowthSources | ShownTrend]


class ShownTrends:
    """What replies showed moments ago, so that others over the same values are made of it without reading anything.

    A trend is kept with everything that it depends on in its key: the days, the day on which it was requested, how it
    is calculated, and when the insights were read. It ends with the first of the values that it was made of, and as
    soon as any value of the account is replaced.
    """

    def __init__(self, cache: Cache) -> None:
        self._recent: RecentReads[SourcesKey | ShownKey, GrowthSources | ShownTrend] = RecentReads(MINUTE, MOST_SHOWN)
        cache.on_change(self._recent.forget)

    def begin(self, account: str) -> ReadingOfTrends:
        """Return what `known` and `add` need; to be taken before the values are read."""
        return self._recent.of(account)

    @staticmethod
    def known(reading: ReadingOfTrends, request: TrendsRequest, *, now: datetime) -> ShownGrowth | None:
        """Return the trends of a request, or None unless all of them were shown before and have not expired."""
        sources = reading.get(_sources_key(request))
        if not isinstance(sources, GrowthSources) or now.timestamp() >= sources.freshness.expires_at:
            return None
        moment = _moment(sources, now)
        trends = []
        for key in request.keys:
            shown = reading.get(_shown_key(request, key, moment))
            if not isinstance(shown, ShownTrend):
                return None
            trends.append(shown)
        return ShownGrowth(trends, sources)

    def add(
        self,
        account: str,
        reading: ReadingOfTrends,
        request: TrendsRequest,
        shown: ShownGrowth,
        *,
        now: datetime,
    ) -> None:
        """Keep the trends of a request; to be called where another one would be answered by the same values."""
        moment = _moment(shown.sources, now)
        kept: dict[SourcesKey | ShownKey, GrowthSources | ShownTrend] = {_sources_key(request): shown.sources}
        for key, each in zip(request.keys, shown.trends, strict=True):
            kept[_shown_key(request, key, moment)] = each
        self._recent.put(account, reading, kept)


def _moment(sources: GrowthSources, now: datetime) -> Moment:
    """Return when the insights were read; where none can change, the days that are provisional at present."""
    if sources.insights_read_at is not None:
        return sources.insights_read_at
    return first_provisional(now, PROVISIONAL_HOURS), first_provisional(now, PROVISIONAL_HOURS_OF_FOLLOWS)


def _sources_key(request: TrendsRequest) -> SourcesKey:
    window = request.window
    metrics = tuple([key for key in request.keys if key in METRIC_OF])
    return window.first, window.last, request.today, metrics, request.basis != "followers"


def _shown_key(request: TrendsRequest, key: TrendKey, moment: Moment) -> ShownKey:
    window = request.window
    if key == "engagement_rate":
        return window.first, window.last, request.today, key, request.basis, request.method, moment
    return window.first, window.last, request.today, key, None, None, moment


def _row(trend: Trend) -> Mapping[str, object]:
    row = {name: value for name, value in trend.items() if not isinstance(value, dict)} | trend["window"]
    if (previous := trend.get("previous_window")) is not None:
        row |= {"previous_since": previous["since"], "previous_until": previous["until"]}
    coverage = trend["coverage"]
    if (current := coverage.get("current")) is not None:
        row |= {name: value for name, value in current.items() if name in COLUMNS}
        row["er_method"] = coverage.get("method", "mean_of_posts")  # JSON leaves out the default.
    return row
