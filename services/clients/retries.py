"""Second tries: of reads that cost nothing, within one budget of seconds."""

from __future__ import annotations

from collections.abc import Callable
from secrets import SystemRandom
from typing import TypeVar

from services.clock import Clock
from services.errors import ProviderError

MAX_TRIES = 3
FIRST_DELAY = 0.25  # seconds; doubled each time, then anything between half and all of it
T = TypeVar("T")

_random = SystemRandom()


class Retries:
    """Repeats a call whose failure allows it; one place, so that nothing retries inside a retry."""

    def __init__(self, *, budget: float, clock: Clock) -> None:
        self._budget = budget
        self._clock = clock

    def run(self, call: Callable[[], T], *, allowed: Callable[[ProviderError], bool]) -> T:
        """Return what `call` returns, after at most three tries, none of which begins beyond the budget."""
        deadline = self._clock.monotonic() + self._budget
        for attempt in range(MAX_TRIES):
            try:
                return call()
            except ProviderError as error:
                delay = FIRST_DELAY * 2**attempt * _random.uniform(0.5, 1)
                spent = self._clock.monotonic() + delay >= deadline
                if attempt + 1 == MAX_TRIES or spent or not allowed(error):
                    raise
            self._clock.wait(delay)
        raise AssertionError("unreachable: the last try returns or raises")
