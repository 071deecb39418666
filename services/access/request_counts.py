"""The requests of callers in the current and the last window: a memory storage for the `limits` library.

Its own memory storage is not used, for three reasons: it starts a thread for a sweep with every hit after a pause of
10 ms (measured: 80 to 380 microseconds a request, and 200 threads a second), it has no bound, and nothing that other
processes have counted can be added to it. The arithmetic is the same, and a test compares the two.

Windows begin at multiples of their length, by the clock of the machine, so that all processes have the same ones.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from math import floor

from limits.storage import Storage
from limits.storage.base import SlidingWindowCounterSupport

from services.store.request_counts import RequestCount

MOST_KEYS = 20_000  # about 5 MB; the one that was counted first is dropped

Window = tuple[str, int]
"""A key of the library, and the number of a window of it."""


class _Counter:
    """The requests of one key: those of all processes, as far as they are known here."""

    __slots__ = ("current", "previous", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.current = 0
        self.previous = 0

    def move_to(self, window: int) -> None:
        """Begin another window. One that does not follow, also one that is earlier, begins with nothing counted."""
        self.previous = self.current if window == self.window + 1 else 0
        self.window, self.current = window, 0


class RequestCounts(Storage, SlidingWindowCounterSupport):
    """Counts by key and window, safe for threads; what was counted here since the last exchange is kept apart."""

    STORAGE_SCHEME: list[str] | None = None  # It is made by its class, not by an address.

    def __init__(self, now: Callable[[], float], *, most: int = MOST_KEYS) -> None:
        """`now` gives the moment (Unix seconds)."""
        super().__init__()
        self._now = now
        self._most = most
        self._lock = threading.Lock()
        self._counters: dict[str, _Counter] = {}
        self._unshared: dict[Window, int] = {}

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        """The failures of a storage; this one has none."""
        return ()

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count requests, unless the limit leaves no room for them."""
        now = self._now()
        with self._lock:
            counter = self._counter(key, int(now // expiry))
            used = counter.current + counter.previous * (expiry - now % expiry) / expiry
            if floor(used) + amount > limit:
                return False
            self._add(key, counter, amount)
            return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return the counts of the last and of the current window, each with the seconds for which it counts."""
        now = self._now()
        with self._lock:
            counter = self._counters.get(key)
            if counter is None:
                return 0, 0.0, 0, 0.0
            if counter.window != (window := int(now // expiry)):
                counter.move_to(window)
            left = expiry - now % expiry
            return counter.previous, left, counter.current, left + expiry

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget the counts of a key in this process."""
        self.clear(key)

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count requests whatever the limit is; return how many there are in the current window."""
        window = int(self._now() // expiry)
        with self._lock:
            counter = self._counter(key, window)
            self._add(key, counter, amount)
            return counter.current

    def get(self, key: str) -> int:
        """Return the requests of a key in its last known window."""
        counter = self._counters.get(key)
        return 0 if counter is None else counter.current

    def get_expiry(self, key: str) -> float:
        """Return the moment: a window ends by itself."""
        return self._now()

    def check(self) -> bool:
        """Return that the memory can be used."""
        return True

    def reset(self) -> int | None:
        """Forget all counts of this process; return how many keys had some."""
        with self._lock:
            number = len(self._counters)
            self._counters.clear()
            self._unshared.clear()
            return number

    def clear(self, key: str) -> None:
        """Forget the counts of a key in this process."""
        with self._lock:
            self._counters.pop(key, None)

    def drain(self, most: int) -> dict[Window, int]:
        """Return what was counted here since it was drained last, of so many keys."""
        with self._lock:
            taken = dict(islice(self._unshared.items(), most))
            for each in taken:
                del self._unshared[each]
            return taken

    def give_back(self, taken: Mapping[Window, int], *, since: int) -> None:
        """Keep what could not be shared for the next time, except of windows before `since`: they no longer count."""
        with self._lock:
            for each, count in taken.items():
                self._unshared[each] = self._unshared.get(each, 0) + count
            self._unshared = {each: count for each, count in self._unshared.items() if each[1] >= since}

    def learn(self, totals: Iterable[RequestCount], *, window: int) -> None:
        """Take over what all processes have counted in the current window and in the one before.

        A count never falls within its window: the rows may have been deleted, or be older than what is known here.
        """
        with self._lock:
            for key, of, total in totals:
                if of not in (window, window - 1):
                    continue
                known = total + self._unshared.get((key, of), 0)
                counter = self._counter(key, window)
                if of == window:
                    counter.current = max(counter.current, known)
                else:
                    counter.previous = max(counter.previous, known)

    def _counter(self, key: str, window: int) -> _Counter:
        counter = self._counters.get(key)
        if counter is None:
            if len(self._counters) >= self._most:
                # If it comes again, its count is learned again from the database with the next exchange.
                del self._counters[next(iter(self._counters))]
            counter = self._counters[key] = _Counter(window)
        elif counter.window != window:
            counter.move_to(window)
        return counter

    def _add(self, key: str, counter: _Counter, amount: int) -> None:
        counter.current += amount
        each = key, counter.window
        if each in self._unshared or len(self._unshared) < self._most:
            self._unshared[each] = self._unshared.get(each, 0) + amount
