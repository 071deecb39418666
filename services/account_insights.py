"""Account insights: the metrics of an account by day, week or four weeks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NotRequired

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
from services.clock import Clock
from services.days import Bound, EndTime, Window, between, check_range, midnight, pacific_day, provider_time
from services.errors import InvalidRequestError
from services.insights.catalogue import METRICS
from services.insights.reader import InsightsReader
from services.insights.request import ResolvedMetric, requests_of, resolve, value_of
from services.insights.values import MetricValue

PERIOD_DAYS: Mapping[str, int] = {"day": 1, "week": 7, "days_28": 28}
COLUMNS = ("name", "period", "date", "end_time", "breakdown", "bucket", "value", "reason")
MAX_DAYS = 93  # Values by day cost one provider call each.

ValuesByMetric = Mapping[ResolvedMetric, Mapping[Window, MetricValue]]


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


class AccountInsights:
    """The account's metrics, in the shape of the user's documents, which the provider once had."""

    def __init__(
        self, *, accounts: AccountResolver, reader: InsightsReader, end_time: EndTime, origin: Origin, clock: Clock
    ) -> None:
        self._accounts = accounts
        self._reader = reader
        self._end_time = end_time
        self._origin = origin
        self._clock = clock

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
        insights = self._reader.read(selected, requests_of(resolved, windows), with_totals=True)
        freshness = Freshness.of(insights.entries, now=now, gaps=insights.gaps)
        values = {
            metric: {window: value_of(metric, window, insights.metric_values) for window in windows}
            for metric in resolved
        }
        data = [self._insight(metric, period, values[metric], selected.id) for metric in values]
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
            unavailable=_unavailable(values),
            substitutions=list(_substitutions(resolved)),
            warnings=[*warnings, *_shifted(values)],
            table=Table(COLUMNS, list(_rows(data))),
        )

    def _range(self, since: Bound | None, until: Bound | None, length: int, now: datetime) -> Window | None:
        check_range(since, until, pacific_day(now))
        range_ = between(since, until, length=length, now=now, end_time=self._end_time)
        if range_ is not None and len(range_) > MAX_DAYS:
            raise InvalidRequestError(
                f"since and until span {len(range_)} days.", hint=f"Accepted: at most {MAX_DAYS} days in one request."
            )
        return range_

    def _insight(
        self, resolved: ResolvedMetric, period: str, values: Mapping[Window, MetricValue], account_id: str
    ) -> Insight:
        metric = resolved.metric
        insight: Insight = {
            "name": metric.name,
            "period": period,
            "values": [self._value(resolved, window, value) for window, value in values.items()],
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


def _unavailable(values: ValuesByMetric) -> list[Unavailable]:
    """Name each metric once for each reason for which any of its values is unknown."""
    unavailable: dict[tuple[str, str], Unavailable] = {}
    for resolved, by_window in values.items():
        name = resolved.metric.name
        for metric_value in by_window.values():
            for reason in _reasons(metric_value):
                entry = explain(name, reason, metric_value.message, retry_after=metric_value.retry_after)
                unavailable.setdefault((name, reason), entry)
    return list(unavailable.values())


def _shifted(values: ValuesByMetric) -> Iterator[Warning_]:
    """Warn of metrics whose days Instagram marks by another time than midnight in California."""
    for resolved, by_window in values.items():
        if any(metric_value.is_shifted for metric_value in by_window.values()):
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


def _rows(data: Iterable[Insight]) -> Iterator[Mapping[str, object]]:
    """Yield one row for each value and, below it, one for each of its buckets."""
    for insight in data:
        head = {"name": insight["name"], "period": insight["period"]}
        for value in insight["values"]:
            row = head | {"date": value["date"], "end_time": value["end_time"]}
            yield row | {"breakdown": "", "bucket": "", "value": value["value"], "reason": value.get("reason", "")}
            for part in value.get("breakdowns", ()):
                for result in part["results"]:
                    yield row | {
                        "breakdown": ",".join(part["dimension_keys"]),
                        "bucket": ",".join(result["dimension_values"]),
                        "value": result["value"],
                        "reason": "" if result["value"] is not None else "bucket_unknown",
                    }
