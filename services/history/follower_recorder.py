"""Keeps the follower count of each day from every profile that is read, whatever it is read for."""

from __future__ import annotations

import threading
from datetime import date

from services.answers import Origin
from services.clients.graph.models import Account, Item, as_count
from services.clock import Clock
from services.days import pacific_day
from services.store.database import DatabaseUnavailableError
from services.store.follower_counts import FollowerCount, FollowerCounts

MAX_KNOWN = 50_000  # accounts of which this process remembers the last day that it kept


class FollowerRecorder:
    """Keeps the first profile of each account and Pacific day; the later ones cost no statement."""

    def __init__(self, table: FollowerCounts, *, origin: Origin, clock: Clock) -> None:
        self._table = table
        self._origin = origin
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, date] = {}

    def saw(self, account: Account, profile: Item) -> None:
        """Keep the counts of a profile that Instagram has just answered; one without followers is no count."""
        followers = as_count(profile.get("followers_count"))
        now = self._clock.now()
        day = pacific_day(now)
        with self._lock:
            if followers is None or self._kept.get(account.id) == day:
                return
        count = FollowerCount(
            day.isoformat(),
            followers,
            now.timestamp(),
            as_count(profile.get("follows_count")),
            as_count(profile.get("media_count")),
            self._origin.source,
            self._origin.api_version,
        )
        try:
            self._table.keep(account.id, count)
        except DatabaseUnavailableError:
            return  # The next profile of the day is kept instead, with its own time.
        with self._lock:
            if len(self._kept) >= MAX_KNOWN:
                self._kept.clear()
            self._kept[account.id] = day
