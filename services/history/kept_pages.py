"""One page of the history: which rows its points are made of, and the points.

A year of some metrics is thousands of rows. So those without a breakdown stay as the driver gives them, until they are
points; only where a sum lacks a day, and for buckets, each becomes a value of its own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from services.history.kept_series import (
    PROFILE_COUNTS,
    Point,
    SelectedMetric,
    count_point,
    count_points,
    day_points,
    point_of,
)
from services.history.periods import Aggregation, Interval, Period, PeriodValue, aggregation_of, value_of_period
from services.store.follower_counts import CountRow, FollowerCounts
from services.store.history import DayRow, DaysByKind, History, WindowsByKind


class SeriesOfPage(NamedTuple):
    """The points of a metric, how each is made, and its unit."""

    aggregation: Aggregation
    unit: str | None
    points: list[Point]


@dataclass(frozen=True)
class KeptPage:
    """The kept rows of one page."""

    periods: Sequence[Period]
    interval: Interval
    rows: Mapping[str, Sequence[DayRow]] = field(default_factory=dict)  # by metric, without a breakdown
    days: DaysByKind = field(default_factory=dict)
    windows: WindowsByKind = field(default_factory=dict)
    counts: Sequence[CountRow] = ()
    counted: Sequence[str] = ()  # what the numbers of `counts` are

    def read_at(self, default: float) -> float:
        """Return when the oldest value was read that can still change; where none can, when the newest was."""
        values = [each for days in self.days.values() for each in days.values()]
        values += [each for windows in self.windows.values() for each in windows.values()]
        ageing = [each.read_at for each in values if not each.final]
        moments = [each.read_at for each in values]
        for rows in self.rows.values():
            ageing += [row[4] for row in rows if not row[3]]
            moments += [row[4] for row in rows]
        if ageing:
            return min(ageing)
        moments += [row[1] for row in self.counts]
        return max(moments, default=default)

    def series(self, selected: SelectedMetric) -> SeriesOfPage:
        """Return the points of a metric."""
        if selected.name in PROFILE_COUNTS:
            aggregation: Aggregation = "none" if self.interval == "day" else "last"
            return SeriesOfPage(aggregation, PROFILE_COUNTS[selected.name], self._counts(selected.name))
        described, kind = selected.described, (selected.metric, selected.breakdown)
        aggregation = aggregation_of(described, self.interval)
        unit = None if described is None else described.unit
        if kind not in self.days and not selected.breakdown:
            rows = self.rows.get(selected.metric, ())
            if self.interval == "day":
                return SeriesOfPage(aggregation, unit, day_points(self.periods, rows))
            sums = zip(self.periods, _sums(self.periods, rows), strict=True)
            return SeriesOfPage(aggregation, unit, [point_of(selected, period, value) for period, value in sums])
        days, windows = self.days.get(kind, {}), self.windows.get(kind, {})
        unique = described is not None and described.unique
        points = []
        for period in self.periods:
            value = value_of_period(period, aggregation, days, windows.get(period), unique=unique)
            points.append(point_of(selected, period, value))
        return SeriesOfPage(aggregation, unit, points)

    def _counts(self, name: str) -> list[Point]:
        position = 2 + self.counted.index(name) if name in self.counted else 0
        if self.interval == "day":
            return count_points(self.periods, self.counts, position)
        known = [row for row in self.counts if row[position] is not None]
        last = {period: row for row in known if (period := _period_of(row[0], self.periods)) is not None}
        return [count_point(period, last.get(period), position) for period in self.periods]


class KeptPageReader:
    """Reads the pages of an account."""

    def __init__(self, history: History, follower_counts: FollowerCounts) -> None:
        self._history = history
        self._follower_counts = follower_counts

    def read(
        self, account: str, selected: Sequence[SelectedMetric], periods: Sequence[Period], interval: Interval
    ) -> KeptPage:
        """Return what is kept of some metrics; raises `DatabaseUnavailableError`."""
        if not periods:
            return KeptPage(periods, interval)
        since, until = periods[0].first, periods[-1].last
        names = [name for name in PROFILE_COUNTS if any(each.name == name for each in selected)]
        counts = self._counts(account, names, periods) if names else ()
        others = [each for each in selected if each.name not in PROFILE_COUNTS]
        in_rows = {each.metric for each in others if _is_in_rows(each, interval)}
        rows = self._history.day_rows(account, in_rows, since=since, until=until) if in_rows else {}
        # A sum that lacks a day is not made, and the kept value of exactly its period may be there instead.
        is_enough = _is_explained if interval == "day" else _is_complete
        in_rows = {metric for metric in in_rows if is_enough(rows.get(metric, ()), periods)}
        needed = {(each.metric, each.breakdown) for each in others if each.breakdown or each.metric not in in_rows}
        if not needed:
            return KeptPage(periods, interval, rows, counts=counts, counted=names)
        found, windows = self._history.series(
            account, since=since, until=until, kinds=needed, with_windows=interval != "day"
        )
        days = {kind: found.get(kind, {}) for kind in needed}
        rows = {metric: each for metric, each in rows.items() if metric in in_rows}
        return KeptPage(periods, interval, rows, days, windows, counts, names)

    def _counts(self, account: str, names: Sequence[str], periods: Sequence[Period]) -> Sequence[CountRow]:
        """Return the counts of all days, or only those of the last day of each week or month where all are known."""
        since, until = periods[0].first, periods[-1].last
        if len(periods) < _days(since, until):
            last = self._follower_counts.rows_of_days(account, names, [period.last for period in periods])
            if len(last) == len(periods) and all(None not in row for row in last):
                return last
        return self._follower_counts.rows(account, names, since=since, until=until)


def _is_in_rows(selected: SelectedMetric, interval: Interval) -> bool:
    """Return whether the points of a metric can be made of plain rows: days without buckets, or sums of such."""
    return not selected.breakdown and (interval == "day" or aggregation_of(selected.described, interval) == "sum")


def _is_explained(rows: Sequence[DayRow], _periods: Sequence[Period]) -> bool:
    """Return whether each row has a value, or the reason why it has none: else its buckets say that."""
    return not any(row[1] is None and row[2] is None for row in rows)


def _is_complete(rows: Sequence[DayRow], periods: Sequence[Period]) -> bool:
    """Return whether every day of some consecutive periods has a known value."""
    is_each_there = len(rows) == _days(periods[0].first, periods[-1].last)
    return is_each_there and None not in [row[1] for row in rows]


def _days(since: str, until: str) -> int:
    return date.fromisoformat(until).toordinal() - date.fromisoformat(since).toordinal() + 1


def _sums(periods: Sequence[Period], rows: Sequence[DayRow]) -> Iterator[PeriodValue]:
    """Yield the sum of each of some consecutive periods, every day of which is known."""
    values, finals = [row[1] or 0.0 for row in rows], [row[3] for row in rows]
    begin = 0
    for period in periods:
        end = begin + _days(period.first, period.last)
        total = sum(values[begin:end], 0.0)
        # Each value is a float; a sum of counts is a count.
        yield PeriodValue(int(total) if total.is_integer() else total, None, min(finals[begin:end]) == 1)
        begin = end


def _period_of(day: str, periods: Sequence[Period]) -> Period | None:
    """Return the period of a day."""
    position = bisect_left(periods, day, key=lambda period: period.last)
    return periods[position] if position < len(periods) else None
