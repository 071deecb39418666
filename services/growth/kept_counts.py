"""The kept counts of followers by day, as growth needs them: those of an account are read at most once a minute."""

from __future__ import annotations

from datetime import date, timedelta

from services.cache.cache import Cache
from services.cache.policies import MINUTE
from services.cache.recent_reads import RecentReads
from services.growth.followers_at_both_ends import Counts
from services.store.database import DatabaseUnavailableError
from services.store.follower_counts import FollowerCounts
from services.windows import Window

USUAL = timedelta(days=31)  # before the last day; most requests are about no more
MOST_READINGS = 200  # of which each has some dozens of rows


class KeptCounts:
    """What this process knows of the table of follower counts."""

    def __init__(self, table: FollowerCounts, cache: Cache) -> None:
        self._table = table
        self._recent: RecentReads[Window, Counts] = RecentReads(MINUTE, MOST_READINGS)
        cache.on_change(self._recent.forget)

    def between(self, account: str, days: Window) -> Counts | None:
        """Return the kept counts of some days, oldest first; None where the database is unavailable."""
        reading = self._recent.of(account)
        usual = Window(min(days.first, days.last - USUAL), days.last)
        known = reading.get(usual)
        if known is None:
            try:
                columns = self._table.columns(account, ("followers",), since=str(usual.first), until=str(usual.last))
            except DatabaseUnavailableError:
                return None
            known = {date.fromisoformat(day): count for day, count in columns.known("followers").items()}
            self._recent.put(account, reading, {usual: known})
        return known if usual == days else {day: count for day, count in known.items() if day >= days.first}
