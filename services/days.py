"""Days: Pacific days, and the times that mark them.

Meta cuts all account insights at midnight in California, whatever the account's own time zone. A day therefore lasts
23, 24 or 25 hours. All arithmetic here goes from date to date, and the zone gives the time of each midnight.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

PACIFIC = ZoneInfo("America/Los_Angeles")
ONE_DAY = timedelta(days=1)
HALF_A_DAY = 43_200  # seconds
FIRST_YEAR, LAST_YEAR = 2000, 2100  # A time outside is a provider's mistake.


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


@lru_cache(maxsize=4_096)
def midnight(day: date) -> int:
    """Return the moment a Pacific day begins, in Unix seconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=PACIFIC).timestamp())


def pacific_day(moment: datetime | int) -> date:
    """Return the Pacific day that a moment (aware, or Unix seconds) falls into."""
    if isinstance(moment, int):
        moment = datetime.fromtimestamp(moment, UTC)
    return moment.astimezone(PACIFIC).date()


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
        is_late = moment.year > LAST_YEAR if isinstance(moment, datetime) else moment > 0
        return "9999-12-31T23:59:59Z" if is_late else "0001-01-01T00:00:00Z"
    return f"{in_utc.isoformat()[:19]}Z"  # In a fifth of the time of `strftime`; a year of counts has 365 of them.
