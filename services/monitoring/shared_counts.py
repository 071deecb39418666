"""Brings together what the processes count: each adds to common counts in the database every second."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress

from services.clock import Clock
from services.monitoring.measurements import Key, Measurements
from services.store.counters import Counters, ProcessGauges
from services.store.database import DatabaseUnavailableError

GAUGES_EVERY = 5.0  # seconds


class Exchange:
    """The counts and values of all processes, gateways and workers, on every machine that shares the database.

    A process adds what it has counted since the last time, so nothing has to be known of the processes that ended, and
    a count never goes back. What cannot be added stays here, and is added later. A kill loses a second.
    """

    def __init__(self, measurements: Measurements, counters: Counters, *, clock: Clock) -> None:
        self._measurements = measurements
        self._counters = counters
        self._clock = clock
        self._process = uuid.uuid4().hex
        self._gauges_at: float | None = None  # monotonic
        self._last: dict[Key, float] = {}

    def share(self) -> None:
        """Add what was counted here to the common counts; raises `DatabaseUnavailableError`."""
        if counts := self._measurements.drain():
            try:
                self._counters.add(counts)
            except BaseException:
                self._measurements.give_back(counts)
                raise
        now = self._clock.monotonic()
        if self._gauges_at is None or now - self._gauges_at >= GAUGES_EVERY:
            self._counters.write_gauges(self._process, self._measurements.gauges())
            self._gauges_at = now

    def counts(self) -> Mapping[Key, float]:
        """Return the counts of all processes, this one's to this moment; without the database those read last."""
        with suppress(DatabaseUnavailableError):
            self.share()
            self._last = self._counters.read()
        return self._last

    def gauges(self) -> Sequence[ProcessGauges]:
        """Return the values of each process that is alive, of this one as they are now."""
        own = ProcessGauges(self._process, self._measurements.gauges())
        with suppress(DatabaseUnavailableError):
            return [own, *(each for each in self._counters.gauges() if each.process != self._process)]
        return [own]

    def close(self) -> None:
        """Add what was counted last."""
        with suppress(DatabaseUnavailableError):
            if counts := self._measurements.drain():
                self._counters.add(counts)
            if self._gauges_at is not None:
                self._counters.forget_process(self._process)
