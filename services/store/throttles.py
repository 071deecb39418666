"""The throttles in force, shared by all processes: until when a provider wants no calls."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import and_, bindparam, delete, or_, select, update

from services.store.database import Database
from services.store.memory_tables import throttles
from services.store.upsert import NOW, Upsert, excluded, lies_ahead


class ThrottleRow(NamedTuple):
    """One throttle; `account` is "" for all calls. Times are Unix seconds; `failure` is that of `cache.failure_text`.

    `next_call_at` is the end, if the provider has given it, else the time of the next probe.
    """

    account: str
    began_at: float
    ends_at: float
    next_call_at: float
    failure: str


_IS_GUESSED = throttles.c.next_call_at != throttles.c.ends_at
_IS_REPORTED = excluded(throttles.c.next_call_at) == excluded(throttles.c.ends_at)
_IS_LONGER = excluded(throttles.c.ends_at) > throttles.c.ends_at
BEGIN = Upsert(
    throttles,
    replace=("began_at", "ends_at", "next_call_at", "failure"),
    only_if=or_(_IS_GUESSED, and_(_IS_REPORTED, _IS_LONGER)),
)


# Of one that began ahead of the present it is not known when it ends: it counts as over, and the next call finds out.
_IS_OVER = or_(throttles.c.ends_at <= NOW, lies_ahead(throttles.c.began_at))
READ_IN_FORCE = select(*(throttles.c[name] for name in ThrottleRow._fields)).where(
    throttles.c.provider == bindparam("provider"), ~_IS_OVER
)


class ThrottleTable:
    """The throttles of the memory database, one row for each account."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, provider: str, *, now: float) -> list[ThrottleRow]:
        """Return the throttles in force."""
        with self._database.read() as connection:
            rows = connection.execute(READ_IN_FORCE, {"provider": provider, "now": now})
            return [ThrottleRow(*row) for row in rows]

    def begin(self, provider: str, row: ThrottleRow, *, now: float) -> None:
        """Write a throttle, unless one is in force whose end the provider gave and which ends later."""
        with self._database.write() as connection:
            over = delete(throttles).where(throttles.c.provider == provider, _IS_OVER)
            connection.execute(over, {"now": now})
            BEGIN.run(connection, row._asdict() | {"provider": provider})

    def claim_probe(self, provider: str, account: str, *, now: float, next_call_at: float) -> bool:
        """Take the probe that is due; return False if another process has taken it. The next one is due later."""
        own = and_(throttles.c.provider == provider, throttles.c.account == account)
        with self._database.write() as connection:
            due = update(throttles).where(own, throttles.c.next_call_at <= now).values(next_call_at=next_call_at)
            if connection.execute(due).rowcount:
                return True
            # Without a row another process has ended the throttle, so the call may be made.
            taken = select(throttles.c.account).where(own, ~_IS_OVER)
            return connection.execute(taken, {"now": now}).first() is None

    def end(self, provider: str, account: str, *, began_at: float) -> None:
        """Remove a throttle, but none that began later."""
        with self._database.write() as connection:
            connection.execute(
                delete(throttles).where(
                    throttles.c.provider == provider,
                    throttles.c.account == account,
                    throttles.c.began_at <= began_at,
                )
            )
