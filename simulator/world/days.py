"""Pacific days, which are the days of Instagram's insights."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

PACIFIC = ZoneInfo("America/Los_Angeles")
DAY = timedelta(days=1)
HOUR = 3600  # seconds


@lru_cache(maxsize=8192)
def midnight(day: date) -> int:
    """Return the first second of a day."""
    return int(datetime(day.year, day.month, day.day, tzinfo=PACIFIC).timestamp())


def day_of(moment: float) -> date:
    """Return the day that a moment lies in."""
    return datetime.fromtimestamp(moment, PACIFIC).date()


def elapsed(day: date, now: float) -> float:
    """Return how much of a day is over, from 0 to 1."""
    start, end = midnight(day), midnight(day + DAY)
    return min(1.0, max(0.0, (now - start) / (end - start)))


def days(first: date, last: date) -> Iterator[date]:
    """Walk from one day to another, both included."""
    while first <= last:
        yield first
        first += DAY


def days_starting_in(since: float, until: float) -> list[date]:
    """Return the days whose first second lies in a range, both ends included."""
    return [day for day in days(day_of(since), day_of(until)) if since <= midnight(day) <= until]


def utc_text(moment: float) -> str:
    """Write a moment as Instagram does: no colon in the offset."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
