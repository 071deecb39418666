"""What was read of the database moments ago, so that requests over the same account do not read it again."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


def _one(_value: object) -> int:
    return 1


class ReadsOfAccount(dict[K, V]):
    """What is known of one account since a moment; it is read without a lock."""

    def __init__(self) -> None:
        super().__init__()
        self.began_at = time.monotonic()


class RecentReads(Generic[K, V]):
    """Readings by account, each for some seconds.

    Beyond the bound the least recently used accounts are dropped first, and of the last one the values that were added
    first: one account may have more than all that is kept.

    Another process may write meanwhile, which this one sees when the reading ends. A thread takes the reading of an
    account before it reads the database, and puts into that one what it has read. So where `forget` comes in between,
    nothing old gets into the next reading.
    """

    def __init__(self, seconds: float, most: int, *, weigh: Callable[[V], int] = _one) -> None:
        """Keep what weighs `most` in all, each for so many `seconds`; usually each value weighs 1."""
        self._seconds = seconds
        self._most = most
        self._weigh = weigh
        self._lock = threading.Lock()
        self._readings: OrderedDict[str, ReadsOfAccount[K, V]] = OrderedDict()
        self._weight = 0

    def of(self, account: str) -> ReadsOfAccount[K, V]:
        """Return the reading of an account, which may be a new one."""
        with self._lock:
            reading = self._readings.get(account)
            if reading is None or time.monotonic() - reading.began_at >= self._seconds:
                self._drop(account)
                reading = self._readings[account] = ReadsOfAccount()
            self._readings.move_to_end(account)
            return reading

    def put(self, account: str, reading: ReadsOfAccount[K, V], values: Mapping[K, V]) -> None:
        """Add what was read from the database to the reading that was taken before."""
        with self._lock:
            more = sum(map(self._weigh, values.values()))
            less = sum(self._weigh(reading[key]) for key in values if key in reading)
            reading |= values
            if self._readings.get(account) is reading:
                self._weight += more - less
            while self._weight > self._most and self._readings:
                oldest, values_of_oldest = next(iter(self._readings.items()))
                if len(self._readings) > 1 or not values_of_oldest:
                    self._drop(oldest)
                else:
                    self._weight -= self._weigh(values_of_oldest.pop(next(iter(values_of_oldest))))

    def forget(self, account: str) -> None:
        """End the reading of an account, of which something has changed."""
        with self._lock:
            self._drop(account)

    def _drop(self, account: str) -> None:
        dropped = self._readings.pop(account, None)
        if dropped is not None:
            self._weight -= sum(map(self._weigh, dropped.values()))
