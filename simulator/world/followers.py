"""Followers day by day, walked once from an account's beginning."""

import threading
from dataclasses import dataclass
from datetime import date

from simulator.world.accounts import Account
from simulator.world.days import DAY
from simulator.world.draw import draw


@dataclass(frozen=True, slots=True)
class Flow:
    """What a day did to the followers."""

    before: int
    follows: int
    unfollows: int


class Followers:
    """The flow of every day of an account, as far as it was requested."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._draw = draw("followers", account.seed, account.index)
        self._rate = self._draw.uniform(*account.kind.follows)
        self._flows: list[Flow] = []
        self._now = self._draw.randint(*account.kind.followers) if account.index else account.kind.followers[0]
        self._lock = threading.Lock()

    def on(self, day: date) -> Flow:
        """Return the flow of a day; before the account's beginning nothing flows."""
        place = (day - self._account.created) // DAY
        if place < 0:
            return Flow(0, 0, 0)
        if place >= len(self._flows):
            with self._lock:
                while place >= len(self._flows):
                    self._flows.append(self._next())
        return self._flows[place]

    def _next(self) -> Flow:
        lowest, highest = self._account.kind.bounds
        follows = self._draw.count(self._rate * self._draw.spread(0.3))
        unfollows = self._draw.count(self._rate * self._account.kind.loss)
        unfollows = min(unfollows, max(0, self._now + follows - lowest))
        follows = min(follows, highest - self._now + unfollows)
        flow = Flow(self._now, follows, unfollows)
        self._now += follows - unfollows
        return flow
