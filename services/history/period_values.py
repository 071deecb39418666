"""The values of weeks and months: added up of kept days where that is right, and never where people are counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from services.clients.graph.models import Number
from services.history.periods import Interval, Period
from services.insights.audience import DEMOGRAPHICS
from services.insights.catalogue import Metric, Shape
from services.insights.values import Bucket, MetricValue, add_up
from services.store.history import KeptValue, days_between

Aggregation = Literal["none", "sum", "last"]

NOT_KEPT, NOT_OVER, DAYS_MISSING = "not_kept", "not_over", "days_missing"
UNIQUE, NOT_SUMMED = "unique_not_summed", "not_summed"


@dataclass(frozen=True)
class PeriodValue:
    """The value of a period, or None with the reason; with the days that it lacks."""

    value: Number | None
    reason: str | None = None
    final: bool = False
    buckets: Mapping[Bucket, Number | None] | None = None
    missing: tuple[str, ...] = ()
    read_at: float | None = None

    def bucket(self, name: str) -> PeriodValue:
        """Return the number of one bucket of a single breakdown, as a value of its own."""
        if self.buckets is None:
            return PeriodValue(None, self.reason or "bucket_unknown", missing=self.missing)
        value = self.buckets.get((name,))
        return PeriodValue(value, None if value is not None else "bucket_unknown", self.final)


def aggregation_of(metric: Metric | None, interval: Interval) -> Aggregation:
    """Return how the values of several days become one: they are added up only where that is known to be right.

    Demographics describe the present, so the last ones of a period are its own.
    """
    if interval != "day" and metric is not None and metric.name in DEMOGRAPHICS:
        return "last"
    if interval == "day" or metric is None or metric.unique or metric.shape is Shape.LIFETIME:
        return "none"
    return "sum"


def value_of_period(
    period: Period,
    aggregation: Aggregation,
    days: Mapping[str, KeptValue],
    whole: KeptValue | None,
    *,
    unique: bool,
) -> PeriodValue:
    """Return the value of a period, made of the kept `days`, or the kept value of exactly that period (`whole`).

    People are never added up over days, and an unknown day makes a sum unknown.
    """
    if period.first == period.last:
        return _as_period(days.get(period.first))
    if aggregation == "last":
        kept = [days[day] for day in days_between(period.first, period.last) if day in days]
        return _as_period(next((each for each in reversed(kept) if is_known(each)), kept[-1] if kept else None))
    if aggregation == "none":
        reason = UNIQUE if unique else NOT_SUMMED
        return _as_period(whole) if whole is not None else PeriodValue(None, reason)
    every = list(days_between(period.first, period.last))
    missing = [day for day in every if day not in days or not is_known(days[day])]
    if missing:
        return PeriodValue(None, DAYS_MISSING, missing=tuple(missing)) if whole is None else _as_period(whole)
    kept = [days[day] for day in every]
    is_final = all(each.final for each in kept)
    if all(each.buckets is None for each in kept):
        return PeriodValue(sum(each.value for each in kept if each.value is not None), None, is_final)
    total = add_up([_as_metric_value(each) for each in kept])
    return PeriodValue(total.value, total.reason, is_final, total.buckets)


def is_known(kept: KeptValue) -> bool:
    """Return whether a kept value has a number at all."""
    return kept.value is not None or kept.buckets is not None


def _as_metric_value(kept: KeptValue) -> MetricValue:
    return MetricValue(kept.value, None if kept.value is not None else kept.reason or "no_total", kept.buckets)


def _as_period(kept: KeptValue | None) -> PeriodValue:
    if kept is None:
        return PeriodValue(None, NOT_KEPT)
    reason = None if kept.value is not None else reason_of_unknown(kept)
    return PeriodValue(kept.value, reason, kept.final and is_known(kept), kept.buckets, read_at=kept.read_at)


def reason_of_unknown(kept: KeptValue) -> str:
    """Return why a kept row has no value."""
    return kept.reason or ("no_total" if kept.buckets is not None else NOT_KEPT)
