"""Days: Pacific days, windows of them, and the times that mark them.

Meta cuts all account insights at midnight in California, whatever the account's own time zone. A day therefore lasts
23, 24 or 25 hours. All arithmetic here goes from date to date, and the zone gives the time of each midnight.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from services.errors import InvalidRequestError

PACIFIC = ZoneInfo("America/Los_Angeles")
MAX_SECONDS = 2_592_000  # The widest range of one Graph call: 30 days of 24 hours, in seconds.
ONE_DAY = timedelta(days=1)
HALF_A_DAY = 43_200  # seconds
FIRST_YEAR, LAST_YEAR = 2000, 2100  # A time outside is a provider's mistake.

Bound = int | date
"""A limit of a range as callers give it: Unix seconds, or a date that means the whole Pacific day."""


class EndTime(StrEnum):
    """Which midnight of its day a provider's `end_time` is.

    Meta's older pages speak of the end of the period; one live test matches the start. UNCONFIRMED, so one setting
    (`END_TIME_CONVENTION`) chooses, and only this class knows the difference.
    """

    DAY_END = "day_end"
    DAY_START = "day_start"

    def of(self, day: date) -> int:
        """Return the `end_time` of a day, in Unix seconds."""
        return midnight(day + ONE_DAY if self is EndTime.DAY_END else day)

    def day(self, end_time: int) -> date:
        """Return the day of an `end_time` (Unix seconds): the one whose Pacific midnight is nearest.

        So 07:00 or 08:00 UTC all year round, and midnight in the account's own zone, still name their day.
        """
        marked = pacific_day(end_time + HALF_A_DAY)
        return marked - ONE_DAY if self is EndTime.DAY_END else marked


@dataclass(frozen=True, order=True)
class Window:
    """Consecutive Pacific days, both ends included."""

    first: date
    last: date

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


@lru_cache(maxsize=4_096)
def midnight(day: date) -> int:
    """Return the moment a Pacific day begins, in Unix seconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=PACIFIC).timestamp())


def pacific_day(moment: datetime | int) -> date:
    """Return the Pacific day that a moment (aware, or Unix seconds) falls into."""
    if isinstance(moment, int):
        moment = datetime.fromtimestamp(moment, UTC)
    return moment.astimezone(PACIFIC).date()


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


@lru_cache(maxsize=4_096)
def provider_time(moment: int) -> str:
    """Return Unix seconds as the provider writes them: `2026-05-04T07:00:00+0000`."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")


def parse_provider_time(text: object) -> datetime | None:
    """Return the time that a provider wrote, or None if it is not one."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo and FIRST_YEAR <= moment.year <= LAST_YEAR else None


def utc(seconds: float) -> datetime:
    """Return Unix seconds as a datetime."""
    return datetime.fromtimestamp(seconds, UTC)


def our_time(moment: datetime | float) -> str:
    """Return a moment (aware, or Unix seconds) as we write it: `2026-05-04T07:00:00Z`.

    One that no calendar has is written as the nearest that it has.
    """
    try:
        in_utc = moment.astimezone(UTC) if isinstance(moment, datetime) else utc(moment)
    except (OverflowError, ValueError):  # Of a row that another program wrote; a list of rows is written all the same.
        return "9999-12-31T23:59:59Z" if isinstance(moment, float | int) and moment > 0 else "0001-01-01T00:00:00Z"
    return f"{in_utc.isoformat()[:19]}Z"  # In a fifth of the time of `strftime`; a year of counts has 365 of them.
