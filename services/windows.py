"""Windows of Pacific days: what a caller's range means, and how a window is cut for calls to Meta."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache

from services.days import ONE_DAY, EndTime, midnight, pacific_day
from services.errors import InvalidRequestError

MAX_SECONDS = 2_592_000  # The widest range of one Graph call: 30 days of 24 hours, in seconds.

Bound = int | date
"""A limit of a range as callers give it: Unix seconds, or a date that means the whole Pacific day."""


@dataclass(frozen=True, order=True)
class Window:
    """Consecutive Pacific days, both ends included."""

    first: date
    last: date
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Hashed some times for each value of a request: every key of a value has a window.
        object.__setattr__(self, "_hash", hash((self.first, self.last)))

    def __hash__(self) -> int:
        return self._hash

    def __iter__(self) -> Iterator[date]:
        """Yield the days, oldest first."""
        return map(date.fromordinal, range(self.first.toordinal(), self.last.toordinal() + 1))

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def since(self) -> int:
        """The first second of the window, in Unix seconds."""
        return midnight(self.first)

    @property
    def until(self) -> int:
        """The last second of the window, in Unix seconds."""
        return midnight(self.last + ONE_DAY) - 1

    def pieces(self) -> list[Window]:
        """Cut the window into the fewest pieces that Meta answers in one call each, oldest first, about equally long.

        The length counts in seconds: 30 days across the autumn clock change are an hour too long. The pieces are about
        equally long, because an empty answer is not 0, and a short last piece would be empty most often.
        """
        return list(_pieces(self))

    def _cut(self, count: int) -> list[Window]:
        starts = [self.first + timedelta(days=len(self) * index // count) for index in range(count)]
        return [
            Window(start, following - ONE_DAY)
            for start, following in zip(starts, [*starts[1:], self.last + ONE_DAY], strict=True)
        ]

    def halves(self) -> list[Window]:
        """Cut the window into two of about equal length, oldest first."""
        return self._cut(2)

    def before(self) -> Window:
        """Return the window of equal length that ends where this one begins."""
        return Window(self.first - timedelta(days=len(self)), self.first - ONE_DAY)

    def counted_back(self, length: int) -> tuple[list[Window], Window | None]:
        """Cut into windows of `length` days, counted back from the last day; return them oldest first, and the rest."""
        windows, rest = _counted_back(self, length)
        return list(windows), rest


@lru_cache(maxsize=64)
def _counted_back(window: Window, length: int) -> tuple[tuple[Window, ...], Window | None]:
    count, rest = divmod(len(window), length)
    windows = tuple(
        Window(window.last - timedelta(days=length * (index + 1) - 1), window.last - timedelta(days=length * index))
        for index in reversed(range(count))
    )
    return windows, Window(window.first, window.first + timedelta(days=rest - 1)) if rest else None


@lru_cache(maxsize=1_024)
def _pieces(window: Window) -> tuple[Window, ...]:
    count = 1
    while any(piece.until - piece.since >= MAX_SECONDS for piece in window._cut(count)):
        count += 1
    return tuple(window._cut(count))


def last_days(count: int, *, now: datetime, final_after: float = 0) -> Window:
    """Return the last `count` Pacific days that ended some hours ago (`final_after`) or earlier."""
    last = pacific_day(now - timedelta(hours=final_after)) - ONE_DAY
    return Window(last - timedelta(days=count - 1), last)


def between(since: Bound | None, until: Bound | None, *, length: int, today: date, end_time: EndTime) -> Window | None:
    """Return the days of a caller's range, or None if no day belongs to it; `today` is the Pacific day.

    A date means that day. For Unix seconds a day belongs if its `end_time` lies within, both ends included. Without
    `until` the range ends with the last finished day (or today, if it begins there); without `since` it has `length`
    days. Today is the last possible day.
    """
    last = None if until is None else min(until if isinstance(until, date) else _last_day(until, end_time), today)
    first = since if since is None or isinstance(since, date) else _first_day(since, end_time)
    if last is None:
        last = today if first is not None and first >= today else today - ONE_DAY
    if first is None:
        first = last - timedelta(days=length - 1)
    return Window(first, last) if first <= last else None


def check_range(since: Bound | None, until: Bound | None, today: date) -> None:
    """Raise `InvalidRequestError` for a caller's range that ends before it begins, or begins in the future."""
    if since is not None and until is not None and is_after(since, until):
        raise InvalidRequestError(f"since ({since}) is after until ({until}).", hint="Exchange them.")
    if since is not None and is_after(since, today):
        raise InvalidRequestError(f"since ({since}) is in the future.", hint="Accepted: today or earlier.")


def is_after(since: Bound, until: Bound) -> bool:
    """Return whether a range's beginning lies after its end; a date stands for its whole day."""
    first = midnight(since) if isinstance(since, date) else since
    last = midnight(until + ONE_DAY) if isinstance(until, date) else until
    return first > last or (isinstance(since, date) and isinstance(until, date) and since > until)


def _first_day(since: int, end_time: EndTime) -> date:
    day = pacific_day(since) - 2 * ONE_DAY
    while end_time.of(day) < since:
        day += ONE_DAY
    return day


def _last_day(until: int, end_time: EndTime) -> date:
    day = pacific_day(until) + 2 * ONE_DAY
    while end_time.of(day) > until:
        day -= ONE_DAY
    return day
