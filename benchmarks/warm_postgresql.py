"""A warm request with PostgreSQL as the store: a reply cached in the process must cost the same."""

from __future__ import annotations

from benchmarks.endpoints import GROWTH
from benchmarks.postgresql import SKIPPED, new_database
from benchmarks.stage import Options, Row
from benchmarks.warm import compared


def measure(options: Options) -> list[Row]:
    """Compare one kind of answer."""
    paths = {"growth-trends 30d": GROWTH}
    with new_database() as url:
        if url is None:
            return [{"request": next(iter(paths)), "note": SKIPPED}]
        return compared(paths, options, database_url=url)
