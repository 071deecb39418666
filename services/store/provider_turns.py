"""The time of the next call to each provider, shared by all processes."""

from __future__ import annotations

from sqlalchemy import Double, case, cast, select

from services.store.database import Database
from services.store.memory_tables import rate_limits
from services.store.upsert import Upsert

MAX_AHEAD = 300.0  # seconds; no caller queues that long, so a later time was written before a clock was set back


class ProviderTurns:
    """One row for each provider in the memory database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def acquire(self, provider: str, spacing: float, most: float) -> float:
        """Return the seconds until the caller may call; its slot is taken only if they are fewer than `most`.

        Slots are `spacing` seconds apart, by the clock of the database.
        """
        next_at = rate_limits.c.next_at
        with self._database.write() as connection:
            now = self._database.now()
            queued = next_at.between(now, now + MAX_AHEAD)
            take = Upsert(
                rate_limits,
                replace={"next_at": case((queued, next_at), else_=now) + spacing},
                only_if=~queued | (next_at - now < most),
                returning=(cast(next_at - spacing - now, Double),),
            )
            wait = take.run(connection, {"provider": provider, "next_at": now + spacing}).scalar_one_or_none()
            if wait is None:
                left = select(cast(next_at - now, Double)).where(rate_limits.c.provider == provider)
                return max(most, float(connection.execute(left).scalar_one()))
        return max(0.0, float(wait))
