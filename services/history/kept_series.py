"""Series of kept values: which rows answer a metric, and the shape of the series, its points and its table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from services.days import our_time
from services.errors import InvalidRequestError
from services.history.periods import NOT_KEPT, Aggregation, Interval, Period, PeriodValue
from services.insights.audience import AUDIENCE_BREAKDOWNS, DEMOGRAPHICS, HOUR_OF_DAY, ONLINE_FOLLOWERS
from services.insights.catalogue import BREAKDOWNS, METRICS, Metric
from services.insights.request import resolve
from services.store.follower_counts import CountRow
from services.store.history import DayRow, Kind

PROFILE_COUNTS: Mapping[str, str] = {"followers": "accounts", "follows": "accounts", "media_count": "posts"}
"""The counts of a profile, which are kept by day, and what each counts."""
KEPT_BY: Mapping[str, tuple[str, ...]] = dict.fromkeys(DEMOGRAPHICS, AUDIENCE_BREAKDOWNS) | {
    ONLINE_FOLLOWERS: HOUR_OF_DAY
}
"""The metrics that are kept by single dimensions only, without a total."""
KNOWN_BREAKDOWNS = (*BREAKDOWNS, *AUDIENCE_BREAKDOWNS, *HOUR_OF_DAY)
COLUMNS = (
    *("metric", "breakdown", "bucket", "interval", "aggregation", "since", "date", "value", "reason", "final"),
    *("missing_days", "counted_at"),
)
_HEAD: tuple[Literal["metric", "breakdown", "interval", "aggregation"], ...] = (
    *("metric", "breakdown", "interval", "aggregation"),
)


class BucketOfPoint(TypedDict):
    """One bucket of a breakdown; null where it is unknown."""

    dimension_values: list[str]
    value: float | None


class Point(TypedDict):
    """One day, week or month: `value` is null where it is unknown, and `reason` says why.

    `date` is the Pacific day that the value describes; of a week or month their last day, and `since` their first.
    `missing_days` lists the days that a sum lacks. `counted_at` is when a count of the profile, or demographics, were
    read.
    """

    date: str
    value: float | None
    reason: str | None
    final: bool
    since: NotRequired[str]
    results: NotRequired[list[BucketOfPoint]]
    missing_days: NotRequired[list[str]]
    counted_at: NotRequired[str]


class HistorySeries(TypedDict):
    """The kept values of one metric, oldest first.

    `aggregation` says how a week or month is made: the `sum` of its days, the `last` known value, or `none`: then only
    a kept value of exactly that period is given.
    """

    metric: str
    breakdown: str | None
    interval: Interval
    aggregation: Aggregation
    unit: str | None
    answered_by: NotRequired[str]
    points: list[Point]


@dataclass(frozen=True)
class SelectedMetric:
    """A metric as it was requested, and which rows answer it."""

    name: str
    metric: str
    breakdown: tuple[str, ...] = ()
    bucket: str | None = None
    buckets_reason: str | None = None

    @property
    def described(self) -> Metric | None:
        """What the catalogue says of the rows, if it knows them."""
        return METRICS.get(self.metric)


def by_catalogue(name: str, breakdown: tuple[str, ...]) -> tuple[SelectedMetric, ...]:
    """Return what the catalogue says of a name, or nothing where it depends on what is kept.

    A metric that is kept by its breakdowns only, without a requested one, is answered by each of them.
    """
    if name in PROFILE_COUNTS:
        return (SelectedMetric(name, name, buckets_reason="breakdown_not_supported" if breakdown else None),)
    metric = METRICS.get(name)
    if len(breakdown) > 1 or metric is None or metric.successor is not None:
        return ()  # Two dimensions are kept in the order in which they were requested of Instagram.
    if (dimensions := KEPT_BY.get(name)) is not None and (not breakdown or breakdown[0] in dimensions):
        return tuple(SelectedMetric(name, name, (each,)) for each in dimensions if breakdown in {(), (each,)})
    return (SelectedMetric(name, name, breakdown),) if set(breakdown) <= set(metric.breakdowns) else ()


def accepted_breakdowns(kinds: Iterable[Kind]) -> list[str]:
    """Return every dimension by which a metric can be asked for: those of Meta, and those that are kept."""
    kept = (dimension for _, breakdown in kinds for dimension in breakdown)
    return list(dict.fromkeys([*KNOWN_BREAKDOWNS, *kept]))


def refuse_impossible(
    breakdown: tuple[str, ...], selected: Mapping[str, Sequence[SelectedMetric]], kinds: Sequence[Kind] = ()
) -> None:
    """Raise `InvalidRequestError` for a breakdown that none of some metrics has, unless their totals are an answer.

    A single dimension leaves the totals in place, as /account-insights does. Two together are asked for because of
    their buckets, and metrics such as demographics have no total.
    """
    has_buckets = any(set(each.breakdown) == set(breakdown) for found in selected.values() for each in found)
    has_totals = len(breakdown) == 1 and not all(name in KEPT_BY for name in selected)
    if not breakdown or has_buckets or has_totals:
        return
    by_metric = {name: _breakdowns_of(name, kinds) for name in selected}
    accepted = ". ".join(f"{name}: {', '.join(each) or 'no breakdown'}" for name, each in by_metric.items())
    raise InvalidRequestError(
        f"breakdown: {','.join(breakdown)} is no breakdown of {', '.join(selected)}.", hint=f"Accepted: {accepted}."
    )


def _breakdowns_of(name: str, kinds: Sequence[Kind]) -> list[str]:
    """Return the breakdowns by which a metric can be asked for, two together with a comma between them."""
    metric = METRICS.get(name)
    while metric is not None and metric.successor is not None:
        metric = None if metric.successor.bucket else METRICS[metric.successor.metric]
    known = list(KEPT_BY.get(name, metric.breakdowns if metric is not None else ()))
    if metric is not None and metric.combined:
        known.append(",".join(metric.breakdowns))
    return list(dict.fromkeys([*known, *(",".join(kept) for each, kept in kinds if each == name and kept)]))


def by_kept(name: str, breakdown: tuple[str, ...], kinds: Sequence[Kind], login: str) -> tuple[SelectedMetric, ...]:
    """Return the rows that are kept under a name, else those of its successor; nothing where it is unknown."""
    of_name = [kept for metric, kept in kinds if metric == name]
    if of_name or (name in METRICS and METRICS[name].successor is None):
        found = next((kept for kept in of_name if set(kept) == set(breakdown)), None)
        if found is not None:
            return (SelectedMetric(name, name, found),)
        if not breakdown:
            return tuple(SelectedMetric(name, name, kept) for kept in of_name or [()])
        if name in METRICS and set(breakdown) <= set(METRICS[name].breakdowns) and _may_combine(name, breakdown):
            return (SelectedMetric(name, name, breakdown),)
        return (SelectedMetric(name, name, buckets_reason="breakdown_not_supported"),)
    if name not in METRICS:
        return ()
    resolved = resolve(name, breakdown, login)
    return (SelectedMetric(name, resolved.source.name, resolved.breakdown, resolved.bucket, resolved.buckets_reason),)


def _may_combine(name: str, breakdown: tuple[str, ...]) -> bool:
    return len(breakdown) == 1 or METRICS[name].combined


def as_series(
    selected: SelectedMetric, interval: Interval, aggregation: Aggregation, unit: str | None, points: list[Point]
) -> HistorySeries:
    """Return the points of a metric as a series."""
    series: HistorySeries = {
        "metric": selected.name,
        "breakdown": (",".join(selected.breakdown) or None) if selected.bucket is None else None,
        "interval": interval,
        "aggregation": aggregation,
        "unit": unit,
        "points": points,
    }
    return series if selected.name == selected.metric else {**series, "answered_by": selected.metric}


def day_points(page: Sequence[Period], rows: Sequence[DayRow]) -> list[Point]:
    """Return the points of days without a breakdown: as `point_of` does, in a fraction of its time."""
    if len(rows) == len(page):  # Each day has one row at most, so these are all of them, in their order.
        return [
            {"date": day, "value": int(value) if value.is_integer() else value, "reason": None, "final": final == 1}
            if value is not None
            else _unknown_day(day, reason)
            for day, value, reason, final, _, _ in rows
        ]
    kept = {row[0]: row for row in rows}
    points: list[Point] = []
    for day, _ in page:
        row = kept.get(day)
        points += [_unknown_day(day, None)] if row is None else day_points([Period(day, day)], [row])
    return points


def _unknown_day(day: str, reason: str | None) -> Point:
    return {"date": day, "value": None, "reason": reason or NOT_KEPT, "final": False}


def point_of(selected: SelectedMetric, period: Period, value: PeriodValue) -> Point:
    """Return a value as the point of a period."""
    shown = value if selected.bucket is None else value.bucket(selected.bucket)
    point: Point = {
        "date": period.last,
        "value": shown.value,
        "reason": shown.reason,
        "final": shown.final,
    }
    if period.first != period.last:
        point["since"] = period.first
    if selected.breakdown and selected.bucket is None and shown.buckets is not None:
        point["results"] = [
            {"dimension_values": list(names), "value": count} for names, count in sorted(shown.buckets.items())
        ]
    if selected.metric in DEMOGRAPHICS and shown.read_at is not None:
        point["counted_at"] = our_time(shown.read_at)
    if shown.missing:
        point["missing_days"] = list(shown.missing)
    return point


def count_points(page: Sequence[Period], rows: Sequence[CountRow], position: int) -> list[Point]:
    """Return the points of days of a count of the profile, which is at a position of the rows."""
    if len(rows) == len(page) and None not in [row[position] for row in rows]:
        return [
            {"date": row[0], "value": int(row[position]), "reason": None, "final": True, "counted_at": our_time(row[1])}
            for row in rows
        ]
    by_day = {row[0]: row for row in rows}
    return [count_point(period, by_day.get(period.last), position) for period in page]


def count_point(period: Period, row: CountRow | None, position: int) -> Point:
    """Return a count of the profile as the point of a period."""
    count = None if row is None else row[position]
    if row is None or count is None:
        point: Point = {"date": period.last, "value": None, "reason": NOT_KEPT, "final": False}
    else:
        point = {"date": period.last, "value": int(count), "reason": None, "final": True}
    if period.first != period.last:
        point["since"] = period.first
    if row is not None and count is not None:
        point["counted_at"] = our_time(row[1])
    return point


def table_rows(series: Iterable[HistorySeries]) -> Iterator[Mapping[str, object]]:
    """Yield one row for each point and, below it, one for each of its buckets."""
    for each in series:
        head: dict[str, object] = {name: each[name] for name in _HEAD}
        for point in each["points"]:
            row = {**head, **{name: value for name, value in point.items() if name != "results"}}
            row["missing_days"] = " ".join(point.get("missing_days", ()))
            yield row
            for result in point.get("results", ()):
                reason = "bucket_unknown" if result["value"] is None else None
                bucket = ",".join(result["dimension_values"])
                yield {**row, "bucket": bucket, "value": result["value"], "reason": reason, "missing_days": ""}
