"""The days of an account: as they truly were, and as the provider reports them so far."""

from collections.abc import Iterable
from datetime import date
from functools import lru_cache

from simulator.world.accounts import Account
from simulator.world.day import Day, as_day
from simulator.world.days import DAY, HOUR, day_of, elapsed, midnight
from simulator.world.draw import draw
from simulator.world.followers import Flow, Followers
from simulator.world.measures import measures

REPORTED_LATE = 0.2  # How many days show nothing at all at first,
LATE_HOURS = 6  # until so long after their end.


class History:
    """What happened to one account, day by day."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self._followers = Followers(account)

    def true_day(self, day: date, now: float) -> Day:
        """Return a day as it is: complete, or for today as far as it went."""
        return self._reported(day, elapsed(day, now))

    def reported_day(self, day: date, now: float, delay_hours: float) -> Day | None:
        """Return a day as the provider reports it: complete after a delay, before that a part of it or nothing."""
        if day < self.account.created or midnight(day) > now:
            return None
        age = (now - midnight(day + DAY)) / HOUR
        if age >= delay_hours:
            return self.true_day(day, now)
        chance = draw("delay", self.account.seed, self.account.index, day.toordinal())
        is_late = chance.chance(REPORTED_LATE)
        # The sandbox account always has numbers: the first call of a newcomer asks for its last finished day.
        if is_late and age < LATE_HOURS and self.account.index:
            return None
        least = chance.uniform(0.55, 0.8)
        reported = least + (1 - least) * max(0.0, age) / delay_hours
        return self._reported(day, elapsed(day, now) * reported)

    def followers(self, now: float) -> int:
        """Return the followers at a moment, without delay; the same as the day says, without its other numbers."""
        day = day_of(now)
        flow, share = self._followers.on(day), elapsed(day, now)
        return flow.before + int(flow.follows * share) - int(flow.unfollows * share)

    def _reported(self, day: date, share: float) -> Day:
        flow = self._followers.on(day)
        if share >= 1:
            return _whole_day(self.account, day, flow)
        return as_day(day, measures(self.account, day, flow).scaled(share))


@lru_cache(maxsize=16384)
def _whole_day(account: Account, day: date, flow: Flow) -> Day:
    return as_day(day, measures(account, day, flow))


@lru_cache(maxsize=4096)
def history_of(account: Account) -> History:
    """Return the history of an account, one for all who ask."""
    return History(account)


def unique(values: Iterable[int], uniqueness: float) -> int:
    """Return how many different people several days reached: more than on the best day, fewer than their sum.

    With k = uniqueness: round((1 - k) x max + k x sum), by Python's round.
    """
    people = list(values)
    return round((1 - uniqueness) * max(people, default=0) + uniqueness * sum(people))
