"""How many followers an account had at the start of a window, as well as Instagram lets us know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from services.asks import Ask, Key
from services.catalogue import FOLLOWER_COUNT_DAYS, MIN_FOLLOWERS, PROVISIONAL_HOURS_OF_FOLLOWS
from services.days import Window, our_time
from services.readings import Reading, add_up

FOLLOWS, BREAKDOWN = "follows_and_unfollows", ("follow_type",)
NEW_FOLLOWERS = "follower_count"


@dataclass(frozen=True)
class FollowersThen:
    """A number of followers at the start of a window, worked back from now; or None with the reason."""

    value: int | None
    reason: str | None
    basis: str | None
    covered_until: str | None


class FollowersAtStart:
    """Works back from the present number through what was gained and lost since the window began."""

    def __init__(self, window: Window, fetched_at: datetime, today: date) -> None:
        # Followers are counted now, so what came and went today belongs in as well.
        self._gains = Window(window.first, today)
        self._fetched_at = fetched_at

    def asks(self) -> list[Ask]:
        """Return what has to be asked for the first way: follows and unfollows since the start."""
        return [Ask((FOLLOWS,), self._gains, BREAKDOWN)]

    def fallback_asks(self, current: int | None, readings: Mapping[Key, Reading]) -> list[Ask]:
        """Return what has to be asked for the second way, where the first gave nothing: new followers by day."""
        if current is None or current < MIN_FOLLOWERS:
            return []
        finished = Window(self._gains.first, self._gains.last - timedelta(days=1))
        if self._net(readings) is not None or not 0 < len(finished) <= FOLLOWER_COUNT_DAYS:
            return []
        return [Ask((NEW_FOLLOWERS,), finished, series=True)]

    def value(self, current: int | None, readings: Mapping[Key, Reading]) -> FollowersThen:
        """Return the number at the start; always approximate, for removed accounts are in no report."""
        covered_until = our_time(self._fetched_at - timedelta(hours=PROVISIONAL_HOURS_OF_FOLLOWS))
        if current is None:
            return FollowersThen(None, "current_unknown", None, None)
        net, basis = self._net(readings), FOLLOWS
        if net is None:
            gross = self._gross(readings)
            if gross.value is None:
                reason = "few_followers" if current < MIN_FOLLOWERS else gross.reason
                return FollowersThen(None, reason, None, None)
            net, basis = int(gross.value), NEW_FOLLOWERS
        if net > current:
            return FollowersThen(None, "inconsistent", basis, covered_until)
        return FollowersThen(current - net, None, basis, covered_until)

    def _net(self, readings: Mapping[Key, Reading]) -> int | None:
        reading = readings.get((FOLLOWS, BREAKDOWN, self._gains))
        if reading is None:
            return None
        gained, lost = reading.bucket("FOLLOWER").value, reading.bucket("NON_FOLLOWER").value
        return None if gained is None or lost is None else int(gained - lost)

    def _gross(self, readings: Mapping[Key, Reading]) -> Reading:
        days = [day for day in self._gains if day != self._gains.last]
        found = [readings.get((NEW_FOLLOWERS, (), Window(day, day))) for day in days]
        known = [reading for reading in found if reading is not None]
        if len(known) == len(days) > 0:
            return add_up(known)
        # The second way was not gone, so the reason is the first one's.
        first = readings.get((FOLLOWS, BREAKDOWN, self._gains))
        return Reading(None, (first.reason if first and first.buckets is None else None) or "not_answered")
