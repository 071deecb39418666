"""What holds for one request wherever it leads: whether it may wait, and whether it wants everything anew."""

from __future__ import annotations

import threading
from contextvars import ContextVar

from services.clock import Clock
from services.errors import BusyError

PATIENCE = 3.0  # seconds that a request waits for its turn to call a provider


class Places:
    """The bounded number of requests of a process that may wait for a provider at once."""

    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)

    def take(self) -> bool:
        """Take a place, if one is free."""
        return self._free.acquire(blocking=False)

    def leave(self) -> None:
        """Give a place back."""
        self._free.release()


class Asking:
    """One request: it has at most one place to wait in, and keeps it to its end."""

    def __init__(self, places: Places, clock: Clock) -> None:
        self._places = places
        self._clock = clock
        self._lock = threading.Lock()
        self._has_place = False
        self._ended = False
        self.not_before: float | None = None  # Unix seconds; what was fetched earlier will not do

    def wait(self) -> None:
        """Take a place to wait in; raise `BusyError` where all are taken."""
        with self._lock:
            # A part that goes on after its request has failed keeps nobody from a place.
            if self._has_place or self._ended:
                return
            if not self._places.take():
                raise BusyError("The gateway is busy.", hint="Try again in a second; what is kept is answered at once.")
            self._has_place = True

    def want_anew(self) -> None:
        """Accept nothing that was fetched before now."""
        self.not_before = self._clock.now().timestamp()

    def end(self) -> None:
        """Give the place back."""
        with self._lock:
            if self._has_place:
                self._places.leave()
            self._has_place = False
            self._ended = True


current: ContextVar[Asking | None] = ContextVar("asking", default=None)
"""The request being served; background work has none and waits as long as it takes."""


def patience() -> float | None:
    """Return the seconds for which a turn to call a provider is waited for here; None for as long as it takes."""
    return None if current.get() is None else PATIENCE
