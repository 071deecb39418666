"""Counts that all processes add to, and values of which each process has its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import delete, select

from services.clock import AHEAD
from services.store.damaged_rows import is_writable, parsed
from services.store.database import Database, chunks
from services.store.memory_tables import counters, process_gauges
from services.store.upsert import Upsert, excluded

PROCESS_ALIVE_FOR = 15.0  # seconds after which a process that wrote nothing counts as ended
FORGOTTEN_AFTER = 3600.0  # seconds
LARGEST_GAUGE = 1e15  # of the values of a process

Key = tuple[str, tuple[str, ...]]


class ProcessGauges(NamedTuple):
    """The values of one process by name."""

    process: str
    values: Mapping[str, float]


ADD = Upsert(counters, replace={"value": counters.c.value + excluded(counters.c.value)})
WRITE_GAUGES = Upsert(process_gauges, replace=("content", "seen_at"))


class Counters:
    """The counts of the memory database. They begin at zero again where that database is deleted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, counts: Mapping[Key, float]) -> None:
        """Add to the counts of all processes, all or nothing; raises `DatabaseUnavailableError`."""
        rows = [
            {"name": name, "labels": json.dumps(labels), "value": value} for (name, labels), value in counts.items()
        ]
        # Sorted, so that two processes lock the rows in the same order.
        rows.sort(key=lambda row: (row["name"], row["labels"]))
        with self._database.write() as connection:
            for some in chunks(rows):
                ADD.run(connection, some)

    def read(self) -> dict[Key, float]:
        """Return the counts of all processes."""
        with self._database.read() as connection:
            rows = connection.execute(select(counters.c.name, counters.c.labels, counters.c.value)).all()
        found = ((row, parsed(row.labels, counters.c.labels)) for row in rows)
        return {(row.name, tuple(labels)): row.value for row, labels in found if _are_labels(labels)}

    def write_gauges(self, process: str, values: Mapping[str, float]) -> None:
        """Write the values of one process."""
        row = {"process": process, "content": json.dumps(dict(values)), "seen_at": self._database.now()}
        self._database.upsert(WRITE_GAUGES, row)

    def forget_process(self, process: str) -> None:
        """Delete the values of a process that ends."""
        with self._database.write() as connection:
            connection.execute(delete(process_gauges).where(process_gauges.c.process == process))

    def gauges(self) -> list[ProcessGauges]:
        """Return the values of each process that is alive."""
        now = self._database.now()
        alive = process_gauges.c.seen_at.between(now - PROCESS_ALIVE_FOR, now + AHEAD)
        with self._database.read() as connection:
            rows = connection.execute(select(process_gauges.c.process, process_gauges.c.content).where(alive)).all()
        found = ((row.process, parsed(row.content, process_gauges.c.content)) for row in rows)
        return [ProcessGauges(process, _numbers(values)) for process, values in found if isinstance(values, dict)]

    def sweep(self) -> None:
        """Delete the values of processes that ended without a word."""
        old = process_gauges.c.seen_at < self._database.now() - FORGOTTEN_AFTER
        with self._database.write() as connection:
            connection.execute(delete(process_gauges).where(old))


def _are_labels(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) and is_writable(each) for each in value)


def _numbers(values: Mapping[str, object]) -> dict[str, float]:
    """Return the values that a process can have written; others are damaged."""
    return {
        name: value
        for name, value in values.items()
        if is_writable(name) and isinstance(value, int | float) and -LARGEST_GAUGE <= value <= LARGEST_GAUGE
    }
