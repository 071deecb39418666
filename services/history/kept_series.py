"""Series of kept values: which rows answer a metric, and the shape of the series, its points and its table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NotRequired, cast

from typing_extensions import TypedDict

from services.days import our_time
from services.errors import InvalidRequestError
from services.history.period_values import NOT_KEPT, Aggregation, PeriodValue
from services.history.periods import Interval, Period
from services.history.points import KnownDays, Point, number
from services.insights.audience import AUDIENCE_BREAKDOWNS, DEMOGRAPHICS, HOUR_OF_DAY, ONLINE_FOLLOWERS
from services.insights.catalogue import BREAKDOWNS, METRICS, Metric
from services.insights.request import resolve
from services.rendering.prepared_json import prepared
from services.store.follower_counts import CountColumns, DailyCount
from services.store.history import DayColumns, Kind

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
Points = list[Point] | KnownDays
_HEAD: tuple[Literal["metric", "breakdown", "interval", "aggregation"], ...] = (
    *("metric", "breakdown", "interval", "aggregation"),
)


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
    selected: SelectedMetric, interval: Interval, aggregation: Aggregation, unit: str | None, points: Points
) -> HistorySeries:
    """Return the points of a metric as a series."""
    shown = prepared(points.as_json()) if isinstance(points, KnownDays) else points
    series: HistorySeries = {
        "metric": selected.name,
        "breakdown": (",".join(selected.breakdown) or None) if selected.bucket is None else None,
        "interval": interval,
        "aggregation": aggregation,
        "unit": unit,
        "points": cast("list[Point]", shown),
    }
    return series if selected.name == selected.metric else {**series, "answered_by": selected.metric}


def reasons_of(points: Points) -> list[str]:
    """Return why values of some points are unknown, each reason once."""
    if isinstance(points, KnownDays):
        return []
    return [reason for reason in dict.fromkeys([point["reason"] for point in points]) if reason is not None]


def day_points(page: Sequence[Period], columns: DayColumns) -> Points:
    """Return the points of days without a breakdown."""
    days, values, reasons, finals = columns.days, columns.values, columns.reasons, columns.finals
    # Each day has one row at most, so as many as the page has are all of them, in their order.
    if page and len(days) == len(page) and None not in values:
        return KnownDays(days, cast("Sequence[float]", values), finals)
    rows = list(zip(days, values, reasons, finals, strict=True))
    if len(days) != len(page):
        kept = {row[0]: row for row in rows}
        rows = [kept.get(day, (day, None, None, 0)) for day, _ in page]
    return [
        {"date": day, "value": number(value), "reason": None, "final": final == 1}
        if value is not None
        else {"date": day, "value": None, "reason": reason or NOT_KEPT, "final": False}
        for day, value, reason, final in rows
    ]


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


def count_points(page: Sequence[Period], columns: CountColumns, name: str) -> Points:
    """Return the points of days of a count of the profile."""
    counts = columns.counts.get(name, ())
    are_known = len(counts) == len(page) and None not in counts
    if page and are_known and all(map(float.is_integer, cast("Sequence[float]", counts))):
        return KnownDays(columns.days, cast("Sequence[float]", counts), (1,) * len(page), columns.read_ats)
    known = columns.known(name)
    return [count_point(period, known.get(period.last)) for period in page]


def count_point(period: Period, count: DailyCount | None) -> Point:
    """Return a count of the profile as the point of a period."""
    point: Point = {
        "date": period.last,
        "value": None if count is None else count.value,
        "reason": NOT_KEPT if count is None else None,
        "final": count is not None,
    }
    if period.first != period.last:
        point["since"] = period.first
    if count is not None:
        point["counted_at"] = our_time(count.read_at)
    return point


def table_rows(series: Iterable[HistorySeries], points: Iterable[Points]) -> Iterator[Mapping[str, object]]:
    """Yield one row for each point of some series and, below it, one for each of its buckets."""
    for each, points_of_series in zip(series, points, strict=True):
        head: dict[str, object] = {name: each[name] for name in _HEAD}
        for point in points_of_series:
            row = {**head, **{name: value for name, value in point.items() if name != "results"}}
            row["missing_days"] = " ".join(point.get("missing_days", ()))
            yield row
            for result in point.get("results", ()):
                reason = "bucket_unknown" if result["value"] is None else None
                bucket = ",".join(result["dimension_values"])
                yield {**row, "bucket": bucket, "value": result["value"], "reason": reason, "missing_days": ""}
