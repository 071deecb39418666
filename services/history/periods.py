"""Days, weeks and months of the history: which days they have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple, overload

from services.days import ONE_DAY
from services.windows import Window

Interval = Literal["day", "week", "month"]


class Period(NamedTuple):
    """A day, a week or a month: its first and its last day, as ISO dates like those of the history."""

    first: str
    last: str


class DaysAsPeriods(Sequence[Period]):
    """Consecutive days, each a period: most pages need their number only, because the rows name their days."""

    def __init__(self, ordinals: range) -> None:
        self._ordinals = ordinals

    @overload
    def __getitem__(self, index: int) -> Period: ...

    @overload
    def __getitem__(self, index: slice) -> DaysAsPeriods: ...

    def __getitem__(self, index: int | slice) -> Period | DaysAsPeriods:
        """Return the day at a position, or some days."""
        if isinstance(index, slice):
            return DaysAsPeriods(self._ordinals[index])
        day = date.fromordinal(self._ordinals[index]).isoformat()
        return Period(day, day)

    def __len__(self) -> int:
        return len(self._ordinals)

    def __iter__(self) -> Iterator[Period]:
        """Yield the days, oldest first."""
        days = list(map(date.isoformat, map(date.fromordinal, self._ordinals)))
        return map(Period, days, days)


@lru_cache(maxsize=1_000)
def period_around(day: date, interval: Interval) -> Window:
    """Return the day, the week (Monday to Sunday) or the calendar month that a day lies in."""
    if interval == "week":
        first = day - timedelta(days=day.weekday())
        return Window(first, first + timedelta(days=6))
    if interval == "month":
        first = day.replace(day=1)
        return Window(first, (first + timedelta(days=31)).replace(day=1) - ONE_DAY)
    return Window(day, day)


def whole_periods(days: Window, interval: Interval) -> tuple[Sequence[Period], list[Window]]:
    """Return the periods that lie within some days, oldest first, and the days before and after them."""
    if interval == "day":
        return DaysAsPeriods(range(days.first.toordinal(), days.last.toordinal() + 1)), []
    whole: list[Period] = []
    rest: list[Window] = []
    period = period_around(days.first, interval)
    while period.first <= days.last:
        if period.first >= days.first and period.last <= days.last:
            whole.append(Period(period.first.isoformat(), period.last.isoformat()))
        else:
            rest.append(Window(max(period.first, days.first), min(period.last, days.last)))
        period = period_around(period.last + ONE_DAY, interval)
    return whole, rest
