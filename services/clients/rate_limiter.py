"""A rate limiter: bounds the calls to a provider per second, over all processes."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from services.clients.http import NAMES
from services.clock import Clock
from services.errors import ProviderRateLimitedError, RetryStrategy

SLACK = 1.2  # The provider counts arrivals, and a call may take longer on its way than the next one.
# Background work waits long, but not without end: a paid call may leave within `longest_wait` only.
MAX_BACKGROUND_WAIT = 20.0  # seconds
POLL_INTERVAL = 0.1  # seconds, at least

TakeTurn = Callable[[float, float], float | None]
"""Takes a turn among those of all processes: gets the seconds between two turns, and how many the caller would wait.

Returns the seconds until the turn, which is taken only if they are fewer; None if the database is unavailable.
"""


class RateLimiter:
    """At most `rate` calls a second; safe for threads."""

    def __init__(
        self,
        provider: str,
        rate: float,
        clock: Clock,
        *,
        shared: TakeTurn = lambda _spacing, _most: None,
        patience: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._provider = provider
        self._rate = rate
        self._spacing = SLACK / rate
        self._clock = clock
        self._shared = shared
        self._patience = patience
        self._lock = threading.Lock()
        self._next_at = 0.0

    def acquire(self) -> None:
        """Wait until a call may be made; raise `ProviderRateLimitedError` at once if that would exceed the patience."""
        most = self._patience()
        deadline = self._clock.monotonic() + (MAX_BACKGROUND_WAIT if most is None else 0.0)
        while (wait := self._acquire_within(self._spacing if most is None else most)) is not None:
            if self._clock.monotonic() >= deadline:
                raise self._too_many(wait)
            # Background work may hold at most one turn ahead, so that it never delays interactive requests.
            left = deadline - self._clock.monotonic()
            self._clock.wait(max(POLL_INTERVAL, min(wait - self._spacing, left)))

    def _acquire_within(self, most: float) -> float | None:
        """Wait for a turn and return None; return the seconds until it instead if they are too many."""
        wait = self._shared(self._spacing, most)
        if wait is None:
            wait = self._acquire_locally(most)
        if wait >= most:
            return wait
        if wait > 0:
            self._clock.wait(wait)
        return None

    def _acquire_locally(self, most: float) -> float:
        """Take a turn among the calls of this process, while the database is unavailable."""
        with self._lock:
            now = self._clock.monotonic()
            wait = max(0.0, self._next_at - now)
            if wait < most:
                self._next_at = now + wait + self._spacing
            return wait

    def _too_many(self, wait: float) -> ProviderRateLimitedError:
        return ProviderRateLimitedError(
            f"{NAMES[self._provider]} allows {self._rate:g} calls a second, and too many are waiting.",
            provider=self._provider,
            hint="Try again when the wait is over; no call was made, and nothing was charged.",
            retry_after=math.ceil(wait),
            reached=False,
            retry_strategy=RetryStrategy.NOTHING,
            whole_app=True,
        )
