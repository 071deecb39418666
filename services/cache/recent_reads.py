"""What was read of the database moments ago, so that requests over the same account do not read it again."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class ReadsOfAccount(dict[K, V]):
    """What is known of one account since a moment; it is read without a lock."""

    def __init__(self) -> None:
        super().__init__()
        self.began_at = time.monotonic()


class RecentReads(Generic[K, V]):
    """Readings by account, each for some seconds; the least recently used accounts are dropped first.

    Another process may write meanwhile, which this one sees when the reading ends. A thread takes the reading of an
    account before it reads the database, and puts into that one what it has read. So where `forget` comes in between,
    nothing old gets into the next reading.
    """

    def __init__(self, seconds: float, most: int) -> None:
        """Keep `most` values in all, each for so many `seconds`."""
        self._seconds = seconds
        self._most = most
        self._lock = threading.Lock()
        self._readings: OrderedDict[str, ReadsOfAccount[K, V]] = OrderedDict()
        self._count = 0

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
            before = len(reading)
            reading |= values
            if self._readings.get(account) is reading:
                self._count += len(reading) - before
            while self._count > self._most and self._readings:
                self._drop(next(iter(self._readings)))

    def forget(self, account: str) -> None:
        """End the reading of an account, of which something has changed."""
        with self._lock:
            self._drop(account)

    def _drop(self, account: str) -> None:
        dropped = self._readings.pop(account, None)
        self._count -= 0 if dropped is None else len(dropped)
