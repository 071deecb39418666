"""Account insights: the metrics of an account by day, week or four weeks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import NamedTuple, NotRequired

from typing_extensions import TypedDict

from services import request_context
from services.accounts.resolver import AccountResolver
from services.answers import (
    Answer,
    Freshness,
    Origin,
    Substitution,
    Table,
    Unavailable,
    Warning_,
    explain,
    unexpected_end_time,
)
from services.cache.cache import Cache
from services.cache.entries import CacheEntry
from services.cache.policies import FOR_EVER, MINUTE
from services.cache.recent_reads import RecentReads
from services.clock import Clock
from services.days import Bound, EndTime, Window, between, check_range, midnight, pacific_day, provider_time
from services.errors import InvalidRequestError
from services.insights.catalogue import METRICS
from services.insights.reader import Insights, InsightsReader
from services.insights.request import ResolvedMetric, requests_of, resolve, value_of
from services.insights.values import MetricValue
from services.transfer.cells import cell

PERIOD_DAYS: Mapping[str, int] = {"day": 1, "week": 7, "days_28": 28}
COLUMNS = ("name", "period", "date", "end_time", "breakdown", "bucket", "value", "reason")
MAX_DAYS = 93  # Values by day cost one provider call each.

MOST_SHOWN = 4_000  # values, of about 1 kB each


class BucketValue(TypedDict):
    """One bucket of a breakdown."""

    dimension_values: list[str]
    value: float | None


class BreakdownOfValue(TypedDict):
    """A value by the buckets of one breakdown, or of two together."""

    dimension_keys: list[str]
    results: list[BucketValue]


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
    rows: Sequence[tuple[object, ...]]
    metric_value: MetricValue
    entry: CacheEntry | None


ShownKey = tuple[str, str]  # the metric and the period
ShownDays = Mapping[date, ShownDay]
ShownByMetric = Mapping[ResolvedMetric, Sequence[ShownDay]]


class AccountInsights:
    """The account's metrics, in the shape of the user's documents, which the provider once had."""

    def __init__(
        self,
        *,
        accounts: AccountResolver,
        reader: InsightsReader,
        cache: Cache,
        end_time: EndTime,
        origin: Origin,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._reader = reader
        self._end_time = end_time
        self._origin = origin
        self._clock = clock
        self._recent: RecentReads[ShownKey, ShownDays] = RecentReads(MINUTE, MOST_SHOWN, weigh=len)
        cache.on_change(self._recent.forget)

    def between(
        self,
        metrics: Sequence[str],
        period: str,
        *,
        since: Bound | None = None,
        until: Bound | None = None,
        breakdown: Sequence[str] = (),
        account: str | None = None,
        refresh: bool = False,
    ) -> Answer:
        """Return the metrics for each day (`day`), 7 days (`week`) or 28 days (`days_28`) of a range.

        `refresh` reads everything again that can change. Raises `InvalidRequestError` where the range has more than 93
        days, and the provider's failures.
        """
        request_context.accept_only_new(refresh=refresh)
        now = self._clock.now()
        windows, warnings = _windows(self._range(since, until, PERIOD_DAYS[period], now), period)
        selected = self._accounts.find(account)
        resolved = [resolve(METRICS[name], tuple(breakdown), selected.login) for name in metrics]
        reading = self._recent.of(selected.id)
        shown = _known(reading, resolved, period, windows, now=now.timestamp()) if not refresh else None
        if shown is None:
            insights = self._reader.read(selected, requests_of(resolved, windows), with_totals=True)
            freshness = Freshness.of(insights.entries, now=now, gaps=insights.gaps)
            shown = {metric: self._shown(metric, period, windows, insights) for metric in resolved}
            self._recent.put(selected.id, reading, _kept(reading, shown, period))
        else:
            freshness = Freshness.of(_entries(shown), now=now)
        data = [self._insight(metric, period, days, selected.id) for metric, days in shown.items()]
        return Answer(
            body={"data": data},
            account=selected.id,
            origin=self._origin,
            freshness=freshness,
            meta={
                "account": selected.id,
                "username": self._accounts.username(selected),
                "api_version": self._origin.api_version,
                "provisional_from": _provisional_from(resolved, windows, freshness.fetched_at),
            },
            unavailable=_unavailable(shown),
            substitutions=list(_substitutions(resolved)),
            warnings=[*warnings, *_shifted(shown)],
            table=Table(COLUMNS, (row for days in shown.values() for day in days for row in day.rows)),
        )

    def _shown(
        self, metric: ResolvedMetric, period: str, windows: Sequence[Window], insights: Insights
    ) -> list[ShownDay]:
        """Return what is shown of each window, with the entry that it comes from where it can be shown again."""
        head = {"name": metric.metric.name, "period": period}
        days = []
        for window in windows:
            metric_value = value_of(metric, window, insights.metric_values)
            value = self._value(metric, window, metric_value)
            rows = [tuple(cell(row.get(name)) for name in COLUMNS) for row in _rows(head, value)]
            entry = insights.sources.get((metric.source.name, (), window)) if _is_plain(metric) else None
            if entry is not None:
                entry = None if entry.stale else replace(entry, value={})
            days.append(ShownDay(window.last, value, rows, metric_value, entry))
        return days

    def _range(self, since: Bound | None, until: Bound | None, length: int, now: datetime) -> Window | None:
        check_range(since, until, pacific_day(now))
        range_ = between(since, until, length=length, now=now, end_time=self._end_time)
        if range_ is not None and len(range_) > MAX_DAYS:
            raise InvalidRequestError(
                f"since and until span {len(range_)} days.", hint=f"Accepted: at most {MAX_DAYS} days in one request."
            )
        return range_

    def _insight(self, resolved: ResolvedMetric, period: str, days: Sequence[ShownDay], account_id: str) -> Insight:
        metric = resolved.metric
        insight: Insight = {
            "name": metric.name,
            "period": period,
            "values": [day.value for day in days],
            "title": metric.title,
            "description": metric.description,
            "id": f"{account_id}_{metric.name}",
            "unit": metric.unit,
        }
        if resolved.source.estimated:
            insight["estimated"] = True
        if metric.successor is not None:
            insight["answered_by"] = resolved.source.name
        return insight

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


def _windows(range_: Window | None, period: str) -> tuple[list[Window], list[Warning_]]:
    if range_ is None:
        return [], [{"code": "empty_range", "message": "No day ends between since and until."}]
    windows, rest = range_.counted_back(PERIOD_DAYS[period])
    if rest is None:
        return windows, []
    message = f"{rest.first} to {rest.last} is shorter than the period and is not part of the answer."
    return windows, [{"code": "days_left_over", "message": message}]


def _is_plain(metric: ResolvedMetric) -> bool:
    """Return whether the value of a metric is the one that was read, not a bucket of it."""
    return not metric.breakdown and metric.reason is None and metric.buckets_reason is None


def _known(
    reading: Mapping[ShownKey, ShownDays],
    metrics: Sequence[ResolvedMetric],
    period: str,
    windows: Sequence[Window],
    *,
    now: float,
) -> ShownByMetric | None:
    """Return what is shown of some metrics, or None unless all of it was shown before and has not expired."""
    shown: dict[ResolvedMetric, list[ShownDay]] = {}
    for metric in metrics:
        known = reading.get((metric.metric.name, period)) if _is_plain(metric) else None
        if known is None:
            return None
        days = [known.get(window.last) for window in windows]
        found = [day for day in days if day is not None and day.entry is not None and now < day.entry.expires_at]
        if len(found) < len(windows):
            return None
        shown[metric] = found
    return shown if windows else None


def _kept(reading: Mapping[ShownKey, ShownDays], shown: ShownByMetric, period: str) -> Mapping[ShownKey, ShownDays]:
    """Return what was just shown, beside what was shown before of the same metrics."""
    kept: dict[ShownKey, ShownDays] = {}
    for metric, days in shown.items():
        fresh = {day.last: day for day in days if day.entry is not None}
        key = (metric.metric.name, period)
        before = reading.get(key, {})
        if fresh:
            kept[key] = {**before, **fresh} if len(before) < MAX_DAYS else fresh
    return kept


def _entries(shown: ShownByMetric) -> Iterator[CacheEntry]:
    """Yield the entries behind what is shown; of final ones, which do not age, the oldest one counts."""
    final: CacheEntry | None = None
    for days in shown.values():
        for day in days:
            entry = day.entry
            if entry is None:
                continue
            if entry.expires_at != FOR_EVER:
                yield entry
            elif final is None or entry.fetched_at < final.fetched_at:
                final = entry
    if final is not None:
        yield final


def _unavailable(values: ShownByMetric) -> list[Unavailable]:
    """Name each metric once for each reason for which any of its values is unknown."""
    unavailable: dict[tuple[str, str], Unavailable] = {}
    for resolved, days in values.items():
        name = resolved.metric.name
        for day in days:
            metric_value = day.metric_value
            for reason in _reasons(metric_value):
                entry = explain(name, reason, metric_value.message, retry_after=metric_value.retry_after)
                unavailable.setdefault((name, reason), entry)
    return list(unavailable.values())


def _shifted(values: ShownByMetric) -> Iterator[Warning_]:
    """Warn of metrics whose days Instagram marks by another time than midnight in California."""
    for resolved, days in values.items():
        if any(day.metric_value.is_shifted for day in days):
            yield unexpected_end_time(resolved.metric.name)


def _reasons(metric_value: MetricValue) -> Iterator[str]:
    if metric_value.reason is not None:
        yield metric_value.reason
    if metric_value.buckets_reason is not None:
        yield metric_value.buckets_reason
    if metric_value.buckets is not None and None in metric_value.buckets.values():
        yield "bucket_unknown"


def _substitutions(metrics: Iterable[ResolvedMetric]) -> Iterator[Substitution]:
    for resolved in metrics:
        if (successor := resolved.metric.successor) is not None:
            yield {
                "requested": resolved.metric.name,
                "answered_by": resolved.source.name,
                "since": successor.since,
            }


def _provisional_from(metrics: Sequence[ResolvedMetric], windows: Sequence[Window], fetched_at: float) -> str | None:
    """Return the first day whose values may still change, or None where all are final."""
    hours = max((resolved.source.provisional_hours for resolved in metrics), default=0)
    for window in windows:
        for day in window:
            if midnight(day + timedelta(days=1)) > fetched_at - hours * 3600:
                return day.isoformat()
    return None


def _rows(head: Mapping[str, object], value: InsightValue) -> Iterator[Mapping[str, object]]:
    """Yield one row for a value and, below it, one for each of its buckets."""
    row = {**head, "date": value["date"], "end_time": value["end_time"]}
    yield row | {"breakdown": "", "bucket": "", "value": value["value"], "reason": value.get("reason", "")}
    for part in value.get("breakdowns", ()):
        for result in part["results"]:
            yield row | {
                "breakdown": ",".join(part["dimension_keys"]),
                "bucket": ",".join(result["dimension_values"]),
                "value": result["value"],
                "reason": "" if result["value"] is not None else "bucket_unknown",
            }
