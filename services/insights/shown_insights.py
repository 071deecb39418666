"""Account insights as replies show them: each value once for all requests that want it, and each series of values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import NamedTuple, NotRequired

from typing_extensions import TypedDict

from services.answers import BreakdownOfValue, BucketValue, deciding_entry, rows_with_buckets
from services.cache.cache import Cache
from services.cache.entries import CacheEntry
from services.cache.policies import MINUTE
from services.cache.recent_reads import ReadsOfAccount, RecentReads
from services.days import EndTime, provider_time
from services.insights.reader import Insights
from services.insights.request import ResolvedMetric, value_of
from services.insights.values import MetricValue
from services.reasons import Unavailable, explain
from services.rendering.csv_cells import cells, csv_lines
from services.rendering.prepared_json import json_text
from services.rendering.prepared_parts import PreparedPart
from services.windows import Window

COLUMNS = ("name", "period", "date", "end_time", "breakdown", "bucket", "value", "reason")
MOST_DAYS = 93  # of one metric
MOST_SHOWN = 4_000  # values, of about 1 kB each
MOST_IN_SERIES = 8_000  # values, which take about 200 bytes each as JSON and as lines of CSV


class InsightValue(TypedDict):
    """One day or window: `value` is null where it is unknown, and `reason` says why.

    `date` is the Pacific day that the value describes; of a week or 28 days their last day.
    """

    value: float | None
    date: str
    end_time: str
    reason: NotRequired[str]
    breakdowns: NotRequired[list[BreakdownOfValue]]


class Insight(TypedDict):
    """One metric, under the requested name; `estimated` where Meta calls its numbers estimates."""

    name: str
    period: str
    values: list[InsightValue]
    title: str
    description: str
    id: str
    unit: str
    estimated: NotRequired[bool]
    answered_by: NotRequired[str]


class ShownDay(NamedTuple):
    """What replies show of one metric over one window; requests share it, so nothing may change it.

    `entry` is what it comes from, if it comes from one fresh entry: then it can be shown until that expires.
    """

    last: date
    value: InsightValue
    metric_value: MetricValue
    entry: CacheEntry | None


@dataclass(frozen=True)
class ShownSeries:
    """What replies show of one metric over some windows; requests share it, so nothing may change it.

    `entry` stands for all those that its age and its expiry depend on. One that is kept, of which each value comes from
    a fresh entry, can be shown again until `expires_at` (Unix seconds).
    """

    name: str
    values: int  # how many
    insight: PreparedPart  # as JSON
    unavailable: Sequence[Unavailable]
    is_shifted: bool  # whether Instagram marks a day by another time than midnight in California
    entry: CacheEntry | None
    expires_at: float

    @cached_property
    def lines(self) -> PreparedPart:
        """The same as CSV, made for the first caller that wants it."""
        insight: Insight = json.loads(self.insight.text)
        head = {"name": insight["name"], "period": insight["period"]}
        rows = (row for value in insight["values"] for row in _rows(head, value))
        return PreparedPart(csv_lines(cells(map(row.get, COLUMNS)) for row in rows).encode())


DaysKey = tuple[str, str]  # the metric and the period
Days = Mapping[date, ShownDay]
SeriesKey = tuple[str, str, date, date]  # and the last days of the first and of the last window


class KnownInsights(NamedTuple):
    """What is known of an account since a moment before its values were read."""

    account: str
    days: ReadsOfAccount[DaysKey, Days]
    series: ReadsOfAccount[SeriesKey, ShownSeries]


class ShownInsights:
    """What replies showed moments ago, so that others over the same days are made of it without reading anything."""

    def __init__(self, cache: Cache, end_time: EndTime) -> None:
        self._end_time = end_time
        self._days: RecentReads[DaysKey, Days] = RecentReads(MINUTE, MOST_SHOWN, weigh=len)
        self._series: RecentReads[SeriesKey, ShownSeries] = RecentReads(MINUTE, MOST_IN_SERIES, weigh=_length)
        cache.on_change(self._days.forget)
        cache.on_change(self._series.forget)

    def begin(self, account: str) -> KnownInsights:
        """Return what `add` needs; to be taken before the values are read."""
        return KnownInsights(account, self._days.of(account), self._series.of(account))

    def known(
        self, account: str, metrics: Sequence[ResolvedMetric], period: str, windows: Sequence[Window], *, now: float
    ) -> list[ShownSeries] | None:
        """Return the series of some metrics, or None unless all of them were shown before and have not expired."""
        if not windows or not all(map(_is_plain, metrics)):
            return None
        reading = self.begin(account)
        found = []
        for metric in metrics:
            key = (metric.metric.name, period, windows[0].last, windows[-1].last)
            series = reading.series.get(key)
            if series is None or now >= series.expires_at:
                days = _fresh(reading.days.get((metric.metric.name, period)), windows, now=now)
                if days is None:
                    return None
                series = _series(metric, period, days, account)
                self._series.put(account, reading.series, {key: series})
            found.append(series)
        return found

    def add(
        self,
        reading: KnownInsights,
        metrics: Sequence[ResolvedMetric],
        period: str,
        windows: Sequence[Window],
        insights: Insights,
    ) -> list[ShownSeries]:
        """Return the series of some metrics that were read, and keep the values that can be shown again."""
        shown = [(metric, self._shown(metric, windows, insights)) for metric in metrics]
        kept: dict[DaysKey, Days] = {}
        for metric, days in shown:
            fresh = {day.last: day for day in days if day.entry is not None}
            before = reading.days.get((metric.metric.name, period), {})
            if fresh:
                kept[metric.metric.name, period] = {**before, **fresh} if len(before) < MOST_DAYS else fresh
        self._days.put(reading.account, reading.days, kept)
        return [_series(metric, period, days, reading.account) for metric, days in shown]

    def _shown(self, metric: ResolvedMetric, windows: Sequence[Window], insights: Insights) -> list[ShownDay]:
        """Return what is shown of each window, with the entry that it comes from where it can be shown again."""
        days = []
        for window in windows:
            metric_value = value_of(metric, window, insights.metric_values)
            value = self._value(metric, window, metric_value)
            entry = insights.sources.get((metric.source.name, (), window)) if _is_plain(metric) else None
            if entry is not None:
                entry = None if entry.stale else entry.without_value()
            days.append(ShownDay(window.last, value, metric_value, entry))
        return days

    def _value(self, resolved: ResolvedMetric, window: Window, metric_value: MetricValue) -> InsightValue:
        value: InsightValue = {
            "value": metric_value.value,
            "date": window.last.isoformat(),
            "end_time": provider_time(self._end_time.of(window.last)),
        }
        if metric_value.reason is not None:
            value["reason"] = metric_value.reason
        # A metric that one bucket of its successor answers has no breakdown of its own.
        if resolved.breakdown and resolved.bucket is None and metric_value.buckets is not None:
            results: list[BucketValue] = [
                {"dimension_values": list(bucket), "value": count}
                for bucket, count in sorted(metric_value.buckets.items())
            ]
            value["breakdowns"] = [{"dimension_keys": list(resolved.breakdown), "results": results}]
        return value


def _length(series: ShownSeries) -> int:
    return series.values


def _is_plain(metric: ResolvedMetric) -> bool:
    """Return whether the value of a metric is the one that was read, not a bucket of it."""
    return not metric.breakdown and metric.reason is None and metric.buckets_reason is None


def _fresh(known: Days | None, windows: Sequence[Window], *, now: float) -> list[ShownDay] | None:
    """Return the values of some windows, or None unless all of them can be shown again."""
    if known is None:
        return None
    days = [known.get(window.last) for window in windows]
    found = [day for day in days if day is not None and day.entry is not None and now < day.entry.expires_at]
    return found if len(found) == len(windows) else None


def _series(resolved: ResolvedMetric, period: str, days: Sequence[ShownDay], account: str) -> ShownSeries:
    entries = [day.entry for day in days if day.entry is not None]
    return ShownSeries(
        resolved.metric.name,
        len(days),
        PreparedPart(json_text(_insight(resolved, period, days, account))),
        _unavailable(resolved.metric.name, days),
        any(day.metric_value.is_shifted for day in days),
        deciding_entry(entries),
        min((entry.expires_at for entry in entries), default=0.0),
    )


def _insight(resolved: ResolvedMetric, period: str, days: Sequence[ShownDay], account: str) -> Insight:
    metric = resolved.metric
    insight: Insight = {
        "name": metric.name,
        "period": period,
        "values": [day.value for day in days],
        "title": metric.title,
        "description": metric.description,
        "id": f"{account}_{metric.name}",
        "unit": metric.unit,
    }
    if resolved.source.estimated:
        insight["estimated"] = True
    if metric.successor is not None:
        insight["answered_by"] = resolved.source.name
    return insight


def _unavailable(name: str, days: Sequence[ShownDay]) -> list[Unavailable]:
    """Name a metric once for each reason for which any of its values is unknown."""
    unavailable: dict[str, Unavailable] = {}
    for metric_value in (day.metric_value for day in days):
        for reason in _reasons(metric_value):
            entry = explain(name, reason, metric_value.message, retry_after=metric_value.retry_after)
            unavailable.setdefault(reason, entry)
    return list(unavailable.values())


def _reasons(metric_value: MetricValue) -> Iterator[str]:
    if metric_value.reason is not None:
        yield metric_value.reason
    if metric_value.buckets_reason is not None:
        yield metric_value.buckets_reason
    if metric_value.buckets is not None and None in metric_value.buckets.values():
        yield "bucket_unknown"


def _rows(head: Mapping[str, object], value: InsightValue) -> Iterator[Mapping[str, object]]:
    """Yield one row for a value and, below it, one for each of its buckets."""
    row = {**head, "date": value["date"], "end_time": value["end_time"]}
    return rows_with_buckets(row, value["value"], value.get("reason"), value.get("breakdowns", ()))
