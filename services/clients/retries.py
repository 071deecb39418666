"""Retries of reads that cost nothing, with backoff, within one budget of seconds."""

from __future__ import annotations

from secrets import SystemRandom

from services import request_context
from services.clock import Clock
from services.errors import MAX_TRIES

FIRST_DELAY = 0.25  # seconds; doubled each time, then anything between half and all of it

_random = SystemRandom()


class Retries:
    """How often one read may be tried, and until when. One place decides it, so that nothing retries inside a retry."""

    def __init__(self, *, budget: float, clock: Clock) -> None:
        self._budget = budget
        self._clock = clock

    def begin(self) -> Backoff:
        """Return the backoff of one read, whose budget runs from now on, to the request's deadline at most."""
        budget = min(self._budget, request_context.remaining())
        return Backoff(self._clock, deadline=self._clock.monotonic() + budget)


class Backoff:
    """The waits between the tries of one read."""

    def __init__(self, clock: Clock, *, deadline: float) -> None:
        self._clock = clock
        self._deadline = deadline
        self._failures = 0

    @property
    def has_begun(self) -> bool:
        """Whether there was a second try."""
        return self._failures > 0

    def wait(self) -> bool:
        """Wait before the next try; return False at once where there may be none: tries or budget are used up."""
        delay = FIRST_DELAY * 2**self._failures * _random.uniform(0.5, 1)
        self._failures += 1
        if self._failures == MAX_TRIES or self._clock.monotonic() + delay >= self._deadline:
            return False
        self._clock.wait(delay)
        return True
