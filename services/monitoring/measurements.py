"""What this process has counted since it last added it to the counts of all processes."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Mapping
from http import HTTPStatus
from itertools import pairwise

from services.clients.notification_receiver import failure_of
from services.monitoring.metric_families import (
    BUCKETS,
    CALL_SECONDS,
    CALLS,
    DELIVERIES,
    LOG_LINES_LOST,
    REQUEST_SECONDS,
    REQUESTS,
)

RECEIVER = "receiver"  # what the transport calls the receiver of the outgoing webhook
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST"})
OTHER = "other"
UNMATCHED = "unmatched"  # the route of a request for a path that is none
MAX_PENDING = 10_000  # measurements that wait to be counted
STATUSES = frozenset(str(status.value) for status in HTTPStatus)

assert all(low < high for low, high in pairwise(BUCKETS))  # noqa: S101  # `bisect` needs it.

Key = tuple[str, tuple[str, ...]]
"""The name of a family, and the values of its labels; of a histogram the last one is a bucket, or `sum`."""


class Measurements:
    """Counts requests and calls; safe for threads.

    A request costs one append to a deque, which needs no lock: a reply from the response cache takes less time than
    most ways to count it. The counting is done once a second, by the heartbeat.
    """

    def __init__(self) -> None:
        self._pending: deque[tuple[str, str, str, str, float]] = deque()
        self._lock = threading.Lock()
        self._counts: Counter[Key] = Counter()
        self._gauges: list[Callable[[], Mapping[str, float]]] = []
        self._lost_lines: Callable[[], int] = int

    def request(self, method: str, route: str, status: str, cache: str, started: float) -> None:
        """Count one request: `route` is the pattern of its path, `started` a moment of `time.perf_counter`."""
        self._pending.append((method, route, status, cache, time.perf_counter() - started))
        if len(self._pending) >= MAX_PENDING:  # The heartbeat is late, or was never started.
            self.collect()

    def call(self, provider: str, outcome: str, seconds: float) -> None:
        """Count one call: `outcome` is the status of its answer, or the code of its failure."""
        if outcome.isdigit() and outcome not in STATUSES:
            outcome = OTHER  # A provider may invent any status, and each would be a series for ever.
        with self._lock:
            if provider == RECEIVER:
                named = outcome if outcome.isdigit() or outcome == OTHER else failure_of(outcome)
                self._counts[DELIVERIES, (named,)] += 1
                return
            self._counts[CALLS, (provider, outcome)] += 1
            self._observe(CALL_SECONDS, provider, seconds)

    def register_gauges(self, read: Callable[[], Mapping[str, float]]) -> None:
        """Register how some values of this process are read, by name."""
        self._gauges.append(read)

    def count_lost_lines(self, read: Callable[[], int]) -> None:
        """Count what `read` returns each time: how many log lines were lost since it was called last."""
        self._lost_lines = read

    def gauges(self) -> Mapping[str, float]:
        """Return the values of this process by name."""
        return {name: value for read in self._gauges for name, value in read().items()}

    def collect(self) -> None:
        """Count the requests that wait to be counted."""
        with self._lock:
            for _ in range(len(self._pending)):
                try:
                    method, route, status, cache, seconds = self._pending.popleft()
                except IndexError:  # Another thread collects as well.
                    break
                self._counts[REQUESTS, (method if method in METHODS else OTHER, route, status, cache)] += 1
                self._observe(REQUEST_SECONDS, route, seconds)

    def drain(self) -> Mapping[Key, float]:
        """Return what was counted since, and count from zero again."""
        self.collect()
        lost = self._lost_lines()
        with self._lock:
            if lost:
                self._counts[LOG_LINES_LOST, ()] += lost
            taken, self._counts = self._counts, Counter()
        return taken

    def give_back(self, counts: Mapping[Key, float]) -> None:
        """Count again what could not be added to the counts of all processes."""
        with self._lock:
            for key, number in counts.items():
                self._counts[key] += number  # type: ignore[assignment]

    def _observe(self, family: str, label: str, seconds: float) -> None:
        at = bisect_left(BUCKETS, seconds)
        bucket = f"{BUCKETS[at]:g}" if at < len(BUCKETS) else "+Inf"
        self._counts[family, (label, bucket)] += 1
        self._counts[family, (label, "sum")] += seconds  # type: ignore[assignment]
