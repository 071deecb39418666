"""The same as `cached` with PostgreSQL as the store."""

from __future__ import annotations

from benchmarks.cached import measured
from benchmarks.postgresql import SKIPPED, new_database
from benchmarks.stage import Options, Row


def measure(options: Options) -> list[Row]:
    """Measure every kind of request; raise where a reply costs more than it may."""
    with new_database() as url:
        return [{"request": "all", "note": SKIPPED}] if url is None else measured(url, options)
