"""Trends as replies show them: each once for all requests over the same values, and what such a reply rests on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple, Self

from services.cache.cache import Cache
from services.cache.policies import MINUTE
from services.cache.recent_reads import ReadsOfAccount, RecentReads
from services.days import utc
from services.growth.parts import GrowthSources, SourcesPart
from services.growth.trends import METRIC_OF, Trend, TrendKey
from services.insights.final_days import PROVISIONAL_HOURS, PROVISIONAL_HOURS_OF_FOLLOWS, first_provisional
from services.posts.engagement_rate import Method
from services.posts.rate_of_posts import Basis
from services.reasons import Unavailable
from services.rendering.csv_cells import cells, csv_lines
from services.rendering.prepared_json import json_text
from services.rendering.prepared_parts import PreparedPart
from services.windows import Window

COLUMNS = (
    *("metric", "key", "current_value", "previous_value", "growth_rate", "reason"),
    *("unit", "basis", "approximate", "since", "until", "provisional_from"),
    *("er_method", "numerator", "denominator", "posts_used", "posts_left_out", "previous_since", "previous_until"),
)
MOST_SHOWN = 4 * 1024 * 1024  # bytes; 60 accounts with two periods, each in every way, are 3 MB
TREND_OVERHEAD, PART_SIZE = 600, 600  # bytes of objects, about


class TrendsRequest(NamedTuple):
    """Which trends are requested, and on which Pacific day."""

    window: Window
    today: date
    keys: tuple[TrendKey, ...]
    basis: Basis
    method: Method

    @property
    def parts(self) -> list[TrendKey | None]:
        """The parts that a reply rests on: all that is no total (None), and each of the totals."""
        return [None, *[key for key in self.keys if key in METRIC_OF]]


@dataclass(slots=True, kw_only=True)
class ShownTrend:
    """A trend as JSON and as CSV, and what else replies say of it; requests share it, so nothing may change it."""

    key: TrendKey
    current_value: float | None
    previous_value: float | None
    growth_rate: float | None
    reason: str | None
    basis: str | None
    approximate: bool
    provisional_from: str | None
    unavailable: Unavailable | None
    json: PreparedPart
    _line: PreparedPart | None = None

    @classmethod
    def of(cls, trend: Trend, unavailable: Unavailable | None) -> Self:
        """Return a trend as it is shown."""
        return cls(
            key=trend["key"],
            current_value=trend["current_value"],
            previous_value=trend["previous_value"],
            growth_rate=trend["growth_rate"],
            reason=trend["reason"],
            basis=trend["basis"],
            approximate=trend["approximate"],
            provisional_from=trend["provisional_from"],
            unavailable=unavailable,
            json=PreparedPart(json_text(trend)),
        )

    @property
    def line(self) -> PreparedPart:
        """The trend as a line of CSV, which is made once."""
        if self._line is None:
            row = _row(json.loads(self.json.text))
            self._line = PreparedPart(csv_lines([cells(map(row.get, COLUMNS))]).encode())
        return self._line

    @property
    def size(self) -> int:
        """The bytes that it takes, about: its line of CSV is half as long as its JSON at most."""
        return TREND_OVERHEAD + len(self.json.text) * 3 // 2


class ShownGrowth(NamedTuple):
    """The trends of one reply, and what they rest on."""

    trends: Sequence[ShownTrend]
    sources: GrowthSources


Moment = float | tuple[date, date]
# First and last day, today, the total (None: all else), and whether the insights of posts were read.
PartKey = tuple[date, date, date, TrendKey | None, bool]
ShownKey = tuple[date, date, date, TrendKey, Basis | None, Method | None, Moment]
ReadingOfTrends = ReadsOfAccount[PartKey | ShownKey, SourcesPart | ShownTrend]


class ShownTrends:
    """What replies showed moments ago, so that others over the same values are made of it without reading anything.

    A trend is kept with everything that it depends on in its key: the days, the day on which it was requested, how it
    is calculated, and when the insights were read. What a reply rests on is kept by the part, so that a reply of other
    metrics is made of the parts of several. A reply ends with the first of the values that it was made of, and as soon
    as any value of the account is replaced.
    """

    def __init__(self, cache: Cache) -> None:
        self._recent: RecentReads[PartKey | ShownKey, SourcesPart | ShownTrend] = RecentReads(
            MINUTE, MOST_SHOWN, weigh=_size
        )
        cache.on_change(self._recent.forget)

    def begin(self, account: str) -> ReadingOfTrends:
        """Return what `known` and `add` need; to be taken before the values are read."""
        return self._recent.of(account)

    @staticmethod
    def known(reading: ReadingOfTrends, request: TrendsRequest, *, now: datetime) -> ShownGrowth | None:
        """Return the trends of a request, or None unless all of them were shown before and have not expired."""
        parts = []
        for key in request.parts:
            part = reading.get(_part_key(request, key))
            if not isinstance(part, SourcesPart):
                return None
            parts.append(part)
        sources = GrowthSources.of(parts, now=now)
        if now.timestamp() >= sources.freshness.expires_at or _is_present_named(request, parts, sources, now):
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
        parts: Mapping[TrendKey | None, SourcesPart | None],
        *,
        now: datetime,
    ) -> None:
        """Keep the trends of a request, and what they rest on as far as it is known.

        To be called where another request would be answered by the same values.
        """
        known = {key: part for key, part in parts.items() if part is not None}
        kept: dict[PartKey | ShownKey, SourcesPart | ShownTrend] = {
            _part_key(request, key): part for key, part in known.items()
        }
        if len(known) == len(parts) and not _is_present_named(request, list(known.values()), shown.sources, now):
            moment = _moment(shown.sources, now)
            for key, each in zip(request.keys, shown.trends, strict=True):
                kept[_shown_key(request, key, moment)] = each
        self._recent.put(account, reading, kept)


def _is_present_named(
    request: TrendsRequest, parts: Sequence[SourcesPart], sources: GrowthSources, now: datetime
) -> bool:
    """Return whether trends name the present moment, because no insight ages: then they are others a moment later."""
    if sources.insights_read_at is not None:
        return False
    return any(part.is_worked_back for part in parts) or (len(parts) > 1 and now < _final_at(request.window))


def _final_at(window: Window) -> datetime:
    """Return from when on the totals of a window are final."""
    return utc(window.until + 1) + timedelta(hours=PROVISIONAL_HOURS)


def _moment(sources: GrowthSources, now: datetime) -> Moment:
    """Return when the insights were read; where none can change, the days that are provisional at present."""
    if sources.insights_read_at is not None:
        return sources.insights_read_at
    return first_provisional(now, PROVISIONAL_HOURS), first_provisional(now, PROVISIONAL_HOURS_OF_FOLLOWS)


def _part_key(request: TrendsRequest, key: TrendKey | None) -> PartKey:
    window = request.window
    return window.first, window.last, request.today, key, key is None and request.basis != "followers"


def _shown_key(request: TrendsRequest, key: TrendKey, moment: Moment) -> ShownKey:
    window = request.window
    if key == "engagement_rate":
        return window.first, window.last, request.today, key, request.basis, request.method, moment
    return window.first, window.last, request.today, key, None, None, moment


def _size(shown: SourcesPart | ShownTrend) -> int:
    return shown.size if isinstance(shown, ShownTrend) else PART_SIZE


def _row(trend: Trend) -> Mapping[str, object]:
    row = {name: value for name, value in trend.items() if not isinstance(value, dict)} | trend["window"]
    if (previous := trend.get("previous_window")) is not None:
        row |= {"previous_since": previous["since"], "previous_until": previous["until"]}
    coverage = trend["coverage"]
    if (current := coverage.get("current")) is not None:
        row |= {name: value for name, value in current.items() if name in COLUMNS}
        row["er_method"] = coverage.get("method", "mean_of_posts")  # JSON leaves out the default.
    return row
