"""The workers that are alive: each writes a heartbeat every few seconds."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import case, cast, delete, func, select
from sqlalchemy.types import Double

from services.clock import AHEAD
from services.store.database import Database
from services.store.job_tables import workers
from services.store.jobs import JOB_LEASE
from services.store.upsert import Upsert

WORKER_ALIVE_FOR = JOB_LEASE  # after the last heartbeat: then other workers take its jobs over
FORGOTTEN_AFTER = 86_400.0  # seconds


class WorkersSeen(NamedTuple):
    """The number of workers that are alive, and the seconds since the last heartbeat of any within a day."""

    alive: int
    seconds_ago: float | None


HEARTBEAT = Upsert(workers, replace=("seen_at",))


class Workers:
    """The workers of the gateway database; all times are by the database's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def heartbeat(self, holder: str, *, host: str, pid: int) -> None:
        """Write that a worker is alive."""
        now = self._database.now()
        row = {"holder": holder, "host": host, "pid": pid, "started_at": now, "seen_at": now}
        self._database.upsert(HEARTBEAT, row)

    def deregister(self, holder: str) -> None:
        """Delete a worker that ends."""
        with self._database.write() as connection:
            connection.execute(delete(workers).where(workers.c.holder == holder))

    def sweep(self) -> None:
        """Delete workers that ended long ago without deregistering."""
        with self._database.write() as connection:
            long_ago = workers.c.seen_at < self._database.now() - FORGOTTEN_AFTER
            connection.execute(delete(workers).where(long_ago))

    def seen(self) -> WorkersSeen:
        """Return how many workers are alive, and how long ago the last heartbeat was."""
        ago = cast(self._database.now() - workers.c.seen_at, Double)
        alive = func.coalesce(func.sum(case((ago < WORKER_ALIVE_FOR, 1), else_=0)), 0)
        with self._database.read() as connection:
            count, least = connection.execute(
                select(alive, func.min(ago)).where(ago.between(-AHEAD, FORGOTTEN_AFTER))
            ).one()
        return WorkersSeen(int(count), None if least is None else max(0.0, float(least)))
