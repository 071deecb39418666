"""The limits of requests a minute: of each key, of each address without a key, and of failed authentications."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from math import ceil
from typing import NamedTuple

from limits import RateLimitItemPerMinute
from limits.strategies import SlidingWindowCounterRateLimiter

from services.access.request_counts import RequestCounts
from services.caller import Caller
from services.clock import Clock
from services.store.database import DatabaseUnavailableError
from services.store.request_counts import RequestCountTable

WINDOW = 60  # seconds
MOST_AT_ONCE = 2_000  # counts that are written in one exchange; the rest waits for the next one
FAILURES_PER_MINUTE = 30  # authentications of one address that may fail before they are answered 429
KEY, ADDRESS, FAILURE = "key", "address", "failure"  # what is limited; the first two are names of policies in headers


class RateStatus(NamedTuple):
    """A limit after a request: whether the request is within it, what is left, and in how many seconds there is more.

    `reset` is the end of the window while something is left, else the time after which the next request is accepted.
    """

    policy: str
    limit: int
    is_allowed: bool
    remaining: int
    reset: int


class RequestRates:
    """Counts requests against the limits, in memory; processes exchange their counts with every heartbeat.

    The strategy is the sliding window counter of `limits`: the requests of the last 60 seconds are estimated as those
    of the current minute, and of the last minute the part that is not yet 60 seconds ago. Unlike fixed minutes it
    never lets twice the limit pass around the turn of a minute, and unlike a list of all requests it keeps two numbers.

    The exchange is not part of a request. A process learns from the database what the others have counted until their
    last exchange, so all together exceed a limit by what comes within two intervals of the exchange, one second. While
    the database is unavailable each process limits by what it has counted itself.
    """

    def __init__(self, table: RequestCountTable, clock: Clock, *, default: int, on_use: Callable[[], object]) -> None:
        """`default` is the limit of keys without one of their own, and of each address; 0 is none.

        `on_use` starts the exchange, unless it runs: not the constructor, because a thread does not survive a fork.
        """
        self._table = table
        self._clock = clock
        self._default = default
        self._on_use = on_use
        self._counts = RequestCounts(clock.timestamp)
        self._limiter = SlidingWindowCounterRateLimiter(self._counts)
        self._is_used = False  # since the last exchange
        self._used_in = -2  # the number of the last window with a request that was limited
        self._read_at = 0.0  # the moment of the last exchange, by the database's clock
        self._exchange = threading.Lock()

    def count(self, caller: Caller, address: str) -> RateStatus | None:
        """Count a request; return its limit and what is left of it, or None where it has no limit."""
        if caller.is_anonymous:
            return self._count(ADDRESS, address, self._default) if self._default else None
        limit = caller.requests_per_minute or self._default
        return self._count(KEY, caller.name, limit) if limit else None

    def count_failure(self, address: str) -> RateStatus:
        """Count an authentication that failed."""
        return self._count(FAILURE, address, FAILURES_PER_MINUTE)

    def share(self) -> None:
        """Tell the other processes what was counted here, and learn what they have counted.

        Raises `DatabaseUnavailableError`.
        """
        window = int(self._clock.timestamp() // WINDOW)
        if self._is_used:
            self._is_used, self._used_in = False, window
        if self._used_in < window - 1:
            return  # Nothing that was counted matters any more.
        with self._exchange:
            taken = self._counts.drain(MOST_AT_ONCE)
            try:
                totals, self._read_at = self._table.exchange(taken, changed_since=self._read_at, minute=window)
            except DatabaseUnavailableError:
                self._counts.give_back(taken, since=window - 1)
                raise
            self._counts.learn(totals, window=window)

    def _count(self, policy: str, who: str, limit: int) -> RateStatus:
        self._is_used = True
        self._on_use()
        item = _item(policy, who, limit)
        is_allowed = self._limiter.hit(item)
        previous, left, current, _ = self._counts.get_sliding_window(item.key, WINDOW)
        remaining, reset = quota_left(limit, previous=previous, current=current, left=left)
        if remaining and not is_allowed:
            remaining, reset = 0, 1  # It has become possible since the request was counted.
        return RateStatus(policy, limit, is_allowed, remaining, reset)


def quota_left(limit: int, *, previous: int, current: int, left: float) -> tuple[int, int]:
    """Return how many requests a limit leaves, and the seconds after which there are more.

    `previous` and `current` are the requests of the last and of the current window, which has `left` seconds left.
    """
    remaining = max(0, limit - int(current + previous * left / WINDOW))
    if remaining:
        return remaining, ceil(left)
    if current < limit:
        # The requests of the last window lose weight; the next one is accepted when they leave room for it.
        return 0, int(left - WINDOW * (limit - current) / previous) + 1
    # Nothing more in this window, whose requests then lose weight in turn.
    return 0, int(left + WINDOW * (1 - limit / max(current, 1))) + 1


class _Item(RateLimitItemPerMinute):
    """The limit of one caller, whose key is made once."""

    __slots__ = ("key",)

    def __init__(self, policy: str, who: str, limit: int) -> None:
        super().__init__(limit)
        self.key = super().key_for(policy, who)

    def key_for(self, *identifiers: object) -> str:
        """Return the key; the item is of one caller, so it needs no identifiers."""
        return self.key


_item = lru_cache(maxsize=4096)(_Item)
