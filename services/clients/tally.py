"""Counts the provider calls made for one request, across the threads that make them."""

from __future__ import annotations

import threading
from contextvars import ContextVar


class Tally:
    """How many calls were sent, and how many seconds they took together."""

    def __init__(self) -> None:
        self.calls = 0
        self.seconds = 0.0
        self._lock = threading.Lock()

    def add(self, seconds: float) -> None:
        """Count one call."""
        with self._lock:
            self.calls += 1
            self.seconds += seconds


current: ContextVar[Tally | None] = ContextVar("tally", default=None)
"""The tally of the request being served."""
