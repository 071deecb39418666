"""The requests of callers by minute, added up over all processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection, delete, select

from services.store.database import Database, chunks
from services.store.memory_tables import request_counts
from services.store.upsert import Upsert, excluded

OVERLAP = 2.0  # seconds: a transaction may commit later than another that began after it
KEPT_FOR = 180.0  # seconds for which a row stays that does not change: two windows and a margin

MOST_ROWS = 50_000  # of all callers: an attack from many addresses must not fill the disk


class RequestCount(NamedTuple):
    """The requests of one caller in one minute (since 1970), those of all processes."""

    caller: str
    minute: int
    requests: int


_REQUESTS, _CHANGED_AT = request_counts.c.requests, request_counts.c.changed_at
ADD = Upsert(request_counts, replace={"requests": _REQUESTS + excluded(_REQUESTS), "changed_at": excluded(_CHANGED_AT)})


class RequestCountTable:
    """The counts of the memory database: one row for each caller and minute, to which every process adds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def exchange(
        self, counted: Mapping[tuple[str, int], int], *, changed_since: float, minute: int
    ) -> tuple[list[RequestCount], float]:
        """Add what was counted by caller and minute; return the sums that have changed, and the moment.

        `changed_since` is the moment that the last exchange returned, `minute` is the current one. All is done in one
        transaction, so that what is added twice after a failure was not added before.
        """
        with self._database.write() if counted else self._database.read() as connection:
            now = float(connection.execute(select(self._database.now())).scalar_one())
            if counted:
                self._add(connection, counted, now)
            changed = request_counts.c.changed_at >= changed_since - OVERLAP
            columns = [request_counts.c[name] for name in RequestCount._fields]
            query = select(*columns).where(changed, request_counts.c.minute.in_((minute - 1, minute)))
            # In a damaged SQLite file there may be a text; the next request of its caller counts from 0 again.
            rows = [row for row in connection.execute(query) if isinstance(row.requests, int)]
            return [RequestCount(*row) for row in rows], now

    def _add(self, connection: Connection, counted: Mapping[tuple[str, int], int], now: float) -> None:
        # In one order, so that two processes never wait for each other's rows.
        rows = [
            {"caller": caller, "minute": minute, "requests": number, "changed_at": now}
            for (caller, minute), number in sorted(counted.items())
        ]
        for some in chunks(rows):
            ADD.run(connection, some)
        self._delete_old(connection, now)

    def sweep(self) -> None:
        """Delete the rows of the past, which no exchange does while no request is counted."""
        with self._database.write() as connection:
            self._delete_old(connection, float(connection.execute(select(self._database.now())).scalar_one()))

    @staticmethod
    def _delete_old(connection: Connection, now: float) -> None:
        """Delete what no longer counts; beyond the bound, what changed longest ago."""
        changed_at = request_counts.c.changed_at
        connection.execute(delete(request_counts).where(changed_at < now - KEPT_FOR))
        last = select(changed_at).order_by(changed_at.desc()).offset(MOST_ROWS).limit(1)
        if (beyond := connection.execute(last).scalar()) is not None:
            connection.execute(delete(request_counts).where(changed_at <= beyond))
