"""Which workers there are: each writes every few seconds that it lives."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import case, cast, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import Double

from services.store.database import Database
from services.store.schema import workers

ALIVE_FOR = 10.0  # seconds after its last sign
FORGOTTEN_AFTER = 86_400.0  # seconds


class Seen(NamedTuple):
    """How many workers are alive, and how many seconds ago any was seen, if one was within a day."""

    alive: int
    seconds_ago: float | None


class Workers:
    """The table of workers; all moments are of the database's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect: Any = postgresql if database.is_postgresql else sqlite

    def beat(self, holder: str, *, host: str, pid: int) -> None:
        """Note that a worker lives."""
        with self._database.write() as connection:
            now = self._database.now()
            insert = self._dialect.insert(workers).values(
                holder=holder, host=host[:255], pid=pid, started_at=now, seen_at=now
            )
            connection.execute(insert.on_conflict_do_update(index_elements=[workers.c.holder], set_={"seen_at": now}))

    def leave(self, holder: str) -> None:
        """Note that a worker has ended."""
        with self._database.write() as connection:
            connection.execute(delete(workers).where(workers.c.holder == holder))

    def sweep(self) -> None:
        """Forget those that ended long ago without a word."""
        with self._database.write() as connection:
            long_ago = workers.c.seen_at < self._database.now() - FORGOTTEN_AFTER
            connection.execute(delete(workers).where(long_ago))

    def seen(self) -> Seen:
        """Return how many workers are alive, and when the last was seen."""
        ago = cast(self._database.now() - workers.c.seen_at, Double)
        alive = func.coalesce(func.sum(case((ago < ALIVE_FOR, 1), else_=0)), 0)
        with self._database.read() as connection:
            count, least = connection.execute(select(alive, func.min(ago)).where(ago < FORGOTTEN_AFTER)).one()
        return Seen(int(count), None if least is None else max(0.0, float(least)))
