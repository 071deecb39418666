"""Reads numbers out of Instagram's insights, and never finds one that is not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import product

from services.catalogue import BREAKDOWNS
from services.days import EndTime, parse_provider_time

Number = int | float
Bucket = tuple[str, ...]

MAX_COUNT = 10**15  # Nothing on earth has been seen more often.


@dataclass(frozen=True)
class Reading:
    """One number of one metric, or None with the reason; with the numbers of its buckets where they were asked for."""

    value: Number | None
    reason: str | None = None
    buckets: Mapping[Bucket, Number | None] | None = None
    message: str | None = None

    def bucket(self, name: str) -> Reading:
        """Return the number of one bucket of a single breakdown, as a reading of its own."""
        if self.buckets is None:
            return Reading(None, self.reason or "not_answered", message=self.message)
        value = self.buckets.get((name,))
        return Reading(value, None if value is not None else "bucket_unknown")


def as_number(value: object) -> Number | None:
    """Return a provider's value if it is a number that can count something, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value <= MAX_COUNT else None


def as_count(value: object) -> int | None:
    """Return a provider's value if it can be a count of something, else None."""
    number = as_number(value)
    return number if isinstance(number, int) else None


def read_total(item: Mapping[str, object] | None, breakdown: Sequence[str]) -> Reading:
    """Read `total_value` of one metric of an answer; `item` is None where the metric is not in it."""
    if item is None:
        return Reading(None, "not_answered")
    total = item.get("total_value")
    if not isinstance(total, dict):
        return Reading(None, "not_answered" if total is None else "unreadable")
    value = as_number(total.get("value"))
    if value is None and total.get("value") is not None:
        return Reading(None, "unreadable")
    buckets = _buckets(total, breakdown, value) if breakdown else None
    if value is None:
        return Reading(None, "no_total" if buckets else "not_answered", buckets)
    return Reading(value, None, buckets)


def read_days(item: Mapping[str, object] | None, end_time: EndTime) -> dict[date, Reading]:
    """Read the daily values of one metric, by the day each belongs to, never by position."""
    values = None if item is None else item.get("values")
    readings = {}
    for point in values if isinstance(values, list) else ():
        moment = parse_provider_time(point.get("end_time")) if isinstance(point, dict) else None
        if moment is None:
            continue
        value = as_number(point.get("value"))
        reason = "not_answered" if point.get("value") is None else "unreadable"
        readings[end_time.day(int(moment.timestamp()))] = Reading(value, None if value is not None else reason)
    return readings


def add_up(readings: Sequence[Reading]) -> Reading:
    """Add the readings of an additive metric over consecutive windows; one unknown part makes the sum unknown."""
    unknown = next((reading for reading in readings if reading.value is None), None)
    buckets: Mapping[Bucket, Number | None] | None = None
    if all(reading.buckets is not None for reading in readings):
        parts = [reading.buckets or {} for reading in readings]
        every = dict.fromkeys(bucket for part in parts for bucket in part)
        buckets = {bucket: _sum([part.get(bucket) for part in parts]) for bucket in every}
    if unknown is not None:
        return Reading(None, unknown.reason, buckets, unknown.message)
    return Reading(_sum([reading.value for reading in readings]), None, buckets)


def _sum(values: Sequence[Number | None]) -> Number | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _buckets(
    total: Mapping[str, object], breakdown: Sequence[str], value: Number | None
) -> Mapping[Bucket, Number | None] | None:
    """Return every bucket, those not listed as 0 or None; or None where nothing can be told.

    Meta leaves out buckets of zero. A missing one is 0 if the listed ones add up to the total, or if there is no total
    but at least one bucket; else, or if a listed one cannot be read, it is unknown. A row that comes twice is either
    an echo or two rows: unless all together add up to the total, its bucket is unknown, and so is what is missing.
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
    complete = adds_up or (is_readable and value is None and not repeated)
    # Who the audience is (ages, places) has no closed list: there is nothing to add to what is listed.
    expected = product(*(BREAKDOWNS.get(dimension, ()) for dimension in breakdown))
    return dict.fromkeys(expected, 0 if complete else None) | listed | dict.fromkeys(repeated)


def _rows(total: Mapping[str, object], breakdown: Sequence[str]) -> Iterator[tuple[Bucket | None, Number | None]]:
    """Go through the listed buckets; None stands for a name or a number that cannot be read."""
    breakdowns = total.get("breakdowns")
    for part in breakdowns if isinstance(breakdowns, list) else ():
        keys = part.get("dimension_keys") if isinstance(part, dict) else None
        if not isinstance(keys, list) or not set(breakdown) <= set(map(str, keys)):
            continue
        # The order of the keys is the provider's, and there may be more of them than were asked for.
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
