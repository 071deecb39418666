"""Reads numbers out of Instagram's insights, and never finds one that is not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import product
from typing import Self

from services.cache.policies import merge
from services.clients.graph.models import Number, as_number
from services.days import EndTime, parse_provider_time
from services.errors import ProviderError, reason_of
from services.insights.catalogue import BREAKDOWN_SPELLINGS, BREAKDOWNS, METRICS, RARE_BUCKETS
from services.windows import Window

Bucket = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MetricValue:
    """One number of one metric, or None with the reason; with the numbers of its buckets where they were requested."""

    value: Number | None
    reason: str | None = None
    buckets: Mapping[Bucket, Number | None] | None = None
    message: str | None = None
    retry_after: int | None = None  # seconds, where the reason is a failure that names them
    buckets_reason: str | None = None  # why there are no buckets, where they were requested and the total is known
    is_shifted: bool = False  # whether Instagram marked the day by another time than its midnight

    @classmethod
    def failed(cls, error: ProviderError) -> Self:
        """Return the unknown value of a call that failed, with the cause as its reason."""
        return cls(None, reason_of(error), None, error.message, error.retry_after)

    def bucket(self, name: str) -> MetricValue:
        """Return the number of one bucket of a single breakdown, as a value of its own."""
        if self.buckets is None:
            return replace(self, value=None, reason=self.reason or self.buckets_reason or "not_answered")
        value = self.buckets.get((name,))
        return MetricValue(value, None if value is not None else "bucket_unknown")


def read_total(
    item: Mapping[str, object] | None,
    breakdown: Sequence[str],
    *,
    window: Window | None = None,
    end_time: EndTime = EndTime.DAY_END,
    listed: Mapping[str, Sequence[str]] = BREAKDOWNS,
) -> MetricValue:
    """Read the total of one metric over a window; `item` is None where the metric is not in the answer.

    `listed` has the buckets of each breakdown that has a closed list of them.

    Instead of `total_value`, a number or `values` with a single number is read where it can only be the total: it names
    no day, or the window is that day. Anything else that is there and cannot be read is `unreadable`.
    """
    if item is None:
        return MetricValue(None, "not_answered")
    total = item.get("total_value")
    if total is None and item.get("values") is not None:
        return _total_of_points(item["values"], window, end_time)
    if not isinstance(total, dict):
        value = as_number(total)
        reason = "not_answered" if total is None else "unreadable"
        return MetricValue(value) if value is not None else MetricValue(None, reason)
    value = as_number(total.get("value"))
    if value is None and total.get("value") is not None:
        return MetricValue(None, "unreadable")
    metric = METRICS.get(str(item.get("name")))
    is_unique = metric is not None and metric.unique
    buckets = _buckets(total, breakdown, value, closed=listed, unique=is_unique) if breakdown else None
    if value is None:
        return MetricValue(None, "no_total" if buckets else "not_answered", buckets)
    return MetricValue(value, None, buckets)


def _total_of_points(values: object, window: Window | None, end_time: EndTime) -> MetricValue:
    """Read `values` where a total was requested."""
    if (value := as_number(values)) is not None:
        return MetricValue(value)
    points: list[object] = values if isinstance(values, list) else [None]
    if not points:
        return MetricValue(None, "not_answered")
    point = points[0]
    if len(points) > 1 or not isinstance(point, dict):
        return MetricValue(None, "unreadable")
    if point.get("end_time") is not None and window is not None:
        days = _by_day(points, end_time)
        if len(window) > 1 or window.first not in days:
            return MetricValue(None, "unreadable")
        return days[window.first]
    return _value_of(point)


def read_days(
    item: Mapping[str, object] | None, end_time: EndTime, window: Window | None = None
) -> dict[date, MetricValue]:
    """Read the daily values of one metric, by the day each belongs to, never by position.

    Of a window each day has a value. One that is in no readable point is `not_answered` if all points name their days,
    else `unreadable`. For a single day a number alone, or a total, can only be that day's value.
    """
    values = None if item is None else item.get("values")
    points = values if isinstance(values, list) else []
    by_day = _by_day(points, end_time)
    if window is None:
        return by_day
    # As far as it can be seen, nothing was left out if each point has its own day.
    is_strange = values is not None and (not isinstance(values, list) or len(points) != len(by_day))
    if item is not None and len(window) == 1 and not by_day and (is_strange or values is None):
        return {window.first: read_total(item, (), window=window, end_time=end_time)}
    is_strange = is_strange or (values is None and item is not None and item.get("total_value") is not None)
    missing = MetricValue(None, "unreadable" if is_strange else "not_answered")
    return {day: by_day.get(day, missing) for day in window}


def _by_day(points: Sequence[object], end_time: EndTime) -> dict[date, MetricValue]:
    """Return the value of each day that a point names; of two different values for a day, neither is known."""
    found: dict[date, MetricValue] = {}
    for point in points:
        moment = parse_provider_time(point.get("end_time")) if isinstance(point, dict) else None
        if moment is None or not isinstance(point, dict):
            continue
        seconds = int(moment.timestamp())
        day = end_time.day(seconds)
        value = replace(_value_of(point), is_shifted=end_time.of(day) != seconds)
        if day in found and found[day].value != value.value:
            value = MetricValue(None, "unreadable", is_shifted=value.is_shifted)
        found[day] = value
    return found


def _value_of(point: Mapping[str, object]) -> MetricValue:
    value = as_number(point.get("value"))
    reason = "not_answered" if point.get("value") is None else "unreadable"
    return MetricValue(value, None if value is not None else reason)


def merge_values(known: MetricValue, new: MetricValue) -> MetricValue:
    """Return a new value in which the known one fills each number that is newly unknown: the total, or a bucket.

    Of buckets that are all known none is missing: one that only the known value lists is not listed any more.
    """
    old, buckets = known.buckets, new.buckets
    if old is not None and (buckets is None or None in buckets.values()):
        buckets = merge(old, buckets or {})
    if new.value is None and known.value is not None:
        return MetricValue(known.value, None, buckets, is_shifted=known.is_shifted)
    return replace(new, buckets=buckets)


def add_up(metric_values: Sequence[MetricValue]) -> MetricValue:
    """Add the values of an additive metric over consecutive windows; one unknown part makes the sum unknown."""
    unknown = next((metric_value for metric_value in metric_values if metric_value.value is None), None)
    buckets: Mapping[Bucket, Number | None] | None = None
    if all(metric_value.buckets is not None for metric_value in metric_values):
        parts = [metric_value.buckets or {} for metric_value in metric_values]
        every = dict.fromkeys(bucket for part in parts for bucket in part)
        # A part whose buckets are all known has 0 of one that it does not list.
        missing = [None if None in part.values() else 0 for part in parts]
        buckets = {
            bucket: _sum([part.get(bucket, usual) for part, usual in zip(parts, missing, strict=True)])
            for bucket in every
        }
    is_shifted = any(metric_value.is_shifted for metric_value in metric_values)
    if unknown is not None:
        return replace(unknown, buckets=buckets, is_shifted=is_shifted)
    total = _sum([metric_value.value for metric_value in metric_values])
    return MetricValue(total, None, buckets, is_shifted=is_shifted)


def _sum(values: Sequence[Number | None]) -> Number | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _buckets(
    total: Mapping[str, object],
    breakdown: Sequence[str],
    value: Number | None,
    *,
    closed: Mapping[str, Sequence[str]],
    unique: bool = False,
) -> Mapping[Bucket, Number | None] | None:
    """Return every bucket, those not listed as 0 or None; or None where nothing is known.

    Meta leaves out buckets of zero. A missing one is 0 if the catalogue knows every listed one and these add up to the
    total, or if there is no total but at least one bucket; else, or if a listed one cannot be read, it is unknown. A
    bucket that the catalogue does not know means that Meta's list is another one: what it does not list may then have
    another name, so it is not 0.

    A row that comes twice is either an echo or two rows: unless all together add up to the total, its bucket is
    unknown, and so is what is missing. Rows of a dimension that was not requested come several times for each bucket;
    people (`unique`) may be in several of them, so their buckets are unknown.
    """
    rows = list(_rows(total, breakdown))
    listed: dict[Bucket, Number | None] = {}
    for bucket, count in rows:
        if bucket is not None:
            listed[bucket] = _sum([listed.get(bucket, 0), count])
    known = [count for count in listed.values() if count is not None]
    if not known and value != 0:
        return None
    is_readable = all(bucket is not None and count is not None for bucket, count in rows)
    adds_up = is_readable and sum(known) == value
    repeated = {bucket for (bucket, _), times in Counter(rows).items() if bucket and times > 1 and not adds_up}
    if unique:
        counted = Counter(bucket for bucket, _ in rows)
        repeated |= {bucket for bucket in listed if counted[bucket] > 1}
    adds_up = adds_up and not repeated
    names = [(dimension, name) for bucket in listed for dimension, name in zip(breakdown, bucket, strict=True)]
    if value != 0 and not all(_is_listed(dimension, name, closed) for dimension, name in names):
        adds_up = is_readable = False
    is_complete_alone = all(name in closed.get(dimension, (name,)) for dimension, name in names)
    complete = adds_up or (is_readable and value is None and not repeated and is_complete_alone)
    # Demographics (ages, places) have no closed list of buckets, so there is none to add.
    expected = product(*(closed.get(dimension, ()) for dimension in breakdown))
    return dict.fromkeys(expected, 0 if complete else None) | listed | dict.fromkeys(repeated)


def _is_listed(dimension: str, name: str, closed: Mapping[str, Sequence[str]]) -> bool:
    known = closed.get(dimension)
    return known is None or name in known or name in RARE_BUCKETS.get(dimension, ())


def _rows(total: Mapping[str, object], breakdown: Sequence[str]) -> Iterator[tuple[Bucket | None, Number | None]]:
    """Go through the listed buckets; None is a name or a number that cannot be read."""
    breakdowns = total.get("breakdowns")
    for part in breakdowns if isinstance(breakdowns, list) else ():
        keys = part.get("dimension_keys") if isinstance(part, dict) else None
        keys = [BREAKDOWN_SPELLINGS.get(str(key), str(key)) for key in keys] if isinstance(keys, list) else []
        if not set(breakdown) <= set(keys):
            continue
        # The order of the keys is the provider's, and there may be more of them than were requested.
        positions = [keys.index(dimension) for dimension in breakdown]
        results = part.get("results")
        for result in results if isinstance(results, list) else ():
            row = result if isinstance(result, dict) else {}
            yield _bucket(row.get("dimension_values"), positions, len(keys)), as_number(row.get("value"))


def _bucket(values: object, positions: Sequence[int], length: int) -> Bucket | None:
    if not isinstance(values, list) or len(values) != length:
        return None
    names = [values[position] for position in positions]
    return tuple(name.upper() for name in names) if all(isinstance(name, str) for name in names) else None
