"""Remembers which metrics Instagram refused an account, so that they are not asked for again at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from services.clock import Clock

REMEMBERED_FOR = 3600  # seconds


class Refusals:
    """What was refused, by account, metric and breakdown. The catalogue bounds how much that can be."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._refused: dict[tuple[str, str, Sequence[str]], tuple[str, float]] = {}

    def remember(self, account: str, metric: str, breakdown: Sequence[str], message: str) -> None:
        """Note that a metric was refused, while others of the same call were answered."""
        with self._lock:
            self._refused[account, metric, breakdown] = (message, self._clock.monotonic() + REMEMBERED_FOR)

    def message(self, account: str, metric: str, breakdown: Sequence[str]) -> str | None:
        """Return what the provider said when it refused the metric, or None where it may be asked."""
        with self._lock:
            message, until = self._refused.get((account, metric, breakdown), ("", 0.0))
        return message if self._clock.monotonic() < until else None
