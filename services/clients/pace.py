"""How fast a provider is called: each call waits for its turn among those of all processes."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from services.clients.http import NAMES
from services.clock import Clock
from services.errors import ProviderRateLimitedError, Remedy

SLACK = 1.2  # A call may be on its way for longer than the next but one; the provider counts arrivals.
LOOKED_EVERY = 0.1  # seconds, at least

Turns = Callable[[float, float], float | None]
"""Gets the seconds between two turns and those that a caller would wait; gives those until its turn, which was taken
only where they are fewer, or None where nobody can tell."""


class Pace:
    """At most so many calls in a second; safe for threads."""

    def __init__(
        self,
        provider: str,
        rate: float,
        clock: Clock,
        *,
        shared: Turns = lambda _spacing, _most: None,
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

    def wait_turn(self) -> None:
        """Wait until a call may be made; raise `ProviderRateLimitedError` at once where that is beyond all patience."""
        most = self._patience()
        while (wait := self._take(self._spacing if most is None else most)) is not None:
            if most is not None:
                raise self._too_many(wait)
            # Who has time queues for the next turn only, so that callers need not wait behind all that has time.
            self._clock.wait(max(LOOKED_EVERY, wait - self._spacing))

    def _take(self, most: float) -> float | None:
        """Wait for a turn; return the seconds until it instead, where they are too many."""
        wait = self._shared(self._spacing, most)
        if wait is None:
            wait = self._own(most)
        if wait >= most:
            return wait
        if wait > 0:
            self._clock.wait(wait)
        return None

    def _own(self, most: float) -> float:
        """Take a turn among the calls of this process, while it cannot hear of the others."""
        with self._lock:
            now = self._clock.monotonic()
            wait = max(0.0, self._next_at - now)
            if wait < most:
                self._next_at = now + wait + self._spacing
            return wait

    def _too_many(self, wait: float) -> ProviderRateLimitedError:
        failure = ProviderRateLimitedError(
            f"{NAMES[self._provider]} allows {self._rate:g} calls a second, and others wait for theirs already.",
            provider=self._provider,
            hint="Try again when the wait is over; nothing was asked, and nothing was charged.",
            retry_after=math.ceil(wait),
            reached=False,
            remedy=Remedy.NOTHING,
        )
        failure.whole_app = True
        return failure
