"""One page of the history: which rows its points are made of, and the points.

A year of some metrics is thousands of rows. So those without a breakdown stay columns of the driver's values, until
they are points; only where a sum lacks a day, and for buckets, each becomes a value of its own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from services.history.kept_series import (
    PROFILE_COUNTS,
    Points,
    SelectedMetric,
    count_point,
    count_points,
    day_points,
    point_of,
)
from services.history.period_values import Aggregation, PeriodValue, aggregation_of, value_of_period
from services.history.periods import Interval, Period
from services.store.follower_counts import CountColumns, DailyCount, FollowerCounts
from services.store.history import DayColumns, DaysByKind, History, NumberColumns, WindowsByKind

NO_DAYS, NO_NUMBERS, NO_COUNTS = DayColumns(), NumberColumns(), CountColumns()


class SeriesOfPage(NamedTuple):
    """The points of a metric, how each is made, and its unit."""

    aggregation: Aggregation
    unit: str | None
    points: Points


@dataclass(frozen=True)
class KeptPage:
    """The kept rows of one page."""

    periods: Sequence[Period]
    interval: Interval
    columns: Mapping[str, DayColumns] = field(default_factory=dict)  # by metric, without a breakdown
    numbers: Mapping[str, NumberColumns] = field(default_factory=dict)  # the same, for sums
    days: DaysByKind = field(default_factory=dict)
    windows: WindowsByKind = field(default_factory=dict)
    counts: CountColumns = NO_COUNTS

    def read_at(self, default: float) -> float:
        """Return when the oldest value was read that can still change; where none can, when the newest was."""
        values = [each for days in self.days.values() for each in days.values()]
        values += [each for windows in self.windows.values() for each in windows.values()]
        ageing = [each.read_at for each in values if not each.final]
        moments = [each.read_at for each in values]
        of_metrics: list[DayColumns | NumberColumns] = [*self.columns.values(), *self.numbers.values()]
        for columns in of_metrics:
            moments += columns.read_ats
            if not all(columns.finals):
                ageing += [at for at, final in zip(columns.read_ats, columns.finals, strict=True) if not final]
        if ageing:
            return min(ageing)
        moments += self.counts.read_ats
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
            if self.interval == "day":
                columns = self.columns.get(selected.metric, NO_DAYS)
                return SeriesOfPage(aggregation, unit, day_points(self.periods, columns))
            sums = zip(self.periods, _sums(self.periods, self.numbers.get(selected.metric, NO_NUMBERS)), strict=True)
            return SeriesOfPage(aggregation, unit, [point_of(selected, period, value) for period, value in sums])
        days, windows = self.days.get(kind, {}), self.windows.get(kind, {})
        unique = described is not None and described.unique
        points = []
        for period in self.periods:
            value = value_of_period(period, aggregation, days, windows.get(period), unique=unique)
            points.append(point_of(selected, period, value))
        return SeriesOfPage(aggregation, unit, points)

    def _counts(self, name: str) -> Points:
        if self.interval == "day":
            return count_points(self.periods, self.counts, name)
        known = self.counts.known(name)
        if all(period.last in known for period in self.periods):
            return [count_point(period, known[period.last]) for period in self.periods]
        last: dict[Period, DailyCount] = {}
        for day, count in known.items():
            if (period := _period_of(day, self.periods)) is not None:
                last[period] = count
        return [count_point(period, last.get(period)) for period in self.periods]


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
        counts = self._counts(account, names, periods) if names else NO_COUNTS
        others = [each for each in selected if each.name not in PROFILE_COUNTS]
        plain = {each.metric for each in others if _is_in_columns(each, interval)}
        columns = self._columns(account, plain, since, until) if plain and interval == "day" else {}
        numbers = self._numbers(account, plain, since, until) if plain and interval != "day" else {}
        is_there = columns.keys() | numbers.keys()
        needed = {(each.metric, each.breakdown) for each in others if each.breakdown or each.metric not in is_there}
        if not needed:
            return KeptPage(periods, interval, columns, numbers, counts=counts)
        found, windows = self._history.series(
            account, since=since, until=until, kinds=needed, with_windows=interval != "day"
        )
        days = {kind: found.get(kind, {}) for kind in needed}
        return KeptPage(periods, interval, columns, numbers, days, windows, counts)

    def _columns(self, account: str, metrics: Collection[str], since: str, until: str) -> Mapping[str, DayColumns]:
        """Return the days of the metrics of which each kept one has a value, or a reason: else its buckets say that."""
        found = self._history.day_columns(account, metrics, since=since, until=until)
        columns = {metric: found.get(metric, NO_DAYS) for metric in metrics}
        return {metric: each for metric, each in columns.items() if _is_explained(each)}

    def _numbers(self, account: str, metrics: Collection[str], since: str, until: str) -> Mapping[str, NumberColumns]:
        """Return the numbers of the metrics of which every day is known.

        A sum that lacks a day is not made, and the kept value of exactly its period may be there instead.
        """
        found = self._history.number_columns(account, metrics, since=since, until=until)
        days = _days(since, until)
        return {name: each for name, each in found.items() if len(each.values) == days and None not in each.values}

    def _counts(self, account: str, names: Sequence[str], periods: Sequence[Period]) -> CountColumns:
        """Return the counts of all days, or only those of the last day of each week or month where all are known."""
        since, until = periods[0].first, periods[-1].last
        if len(periods) < _days(since, until):
            last = self._follower_counts.columns_of_days(account, names, [period.last for period in periods])
            if len(last.days) == len(periods) and all(None not in counts for counts in last.counts.values()):
                return last
        return self._follower_counts.columns(account, names, since=since, until=until)


def _is_in_columns(selected: SelectedMetric, interval: Interval) -> bool:
    """Return whether the points of a metric can be made of columns: days without buckets, or sums of such."""
    return not selected.breakdown and (interval == "day" or aggregation_of(selected.described, interval) == "sum")


def _is_explained(columns: DayColumns) -> bool:
    values, reasons = columns.values, columns.reasons
    return None not in values or (None, None) not in zip(values, reasons, strict=True)


def _days(since: str, until: str) -> int:
    return date.fromisoformat(until).toordinal() - date.fromisoformat(since).toordinal() + 1


def _sums(periods: Sequence[Period], numbers: NumberColumns) -> Iterator[PeriodValue]:
    """Yield the sum of each of some consecutive periods, every day of which is known."""
    begin = 0
    for period in periods:
        end = begin + _days(period.first, period.last)
        # Each value is a float; a sum of counts is a count.
        total = sum(filter(None, numbers.values[begin:end]), 0.0)
        yield PeriodValue(int(total) if total.is_integer() else total, None, min(numbers.finals[begin:end]) == 1)
        begin = end


def _period_of(day: str, periods: Sequence[Period]) -> Period | None:
    """Return the period of a day."""
    position = bisect_left(periods, day, key=lambda period: period.last)
    return periods[position] if position < len(periods) else None
