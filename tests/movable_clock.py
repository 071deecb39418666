"""A clock that only a test moves: to a moment, or on by some seconds."""

from __future__ import annotations

from datetime import datetime, timedelta

from services.clock import Clock


class MovableClock(Clock):
    """A clock that stands still until a test moves it; waiting moves it."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._monotonic = 0.0
        self.waits: list[float] = []

    def timestamp(self) -> float:
        return self._now.timestamp()

    def now(self) -> datetime:
        return self._now

    def set(self, now: datetime) -> None:
        self._now = now

    def monotonic(self) -> float:
        return self._monotonic

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._monotonic += seconds
        self._now += timedelta(seconds=seconds)
