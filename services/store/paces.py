"""When a provider may be called next, for all processes together."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Double, case, cast, select
from sqlalchemy.dialects import postgresql, sqlite

from services.store.database import Database
from services.store.schema import paces

AHEAD_AT_MOST = 300.0  # seconds; nobody queues that far, so a turn beyond that was taken before a clock was put back


class Paces:
    """The table of paces: one row for each provider."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect: Any = postgresql if database.is_postgresql else sqlite

    def take(self, provider: str, spacing: float, most: float) -> float:
        """Return the seconds until the caller's turn to call; it was taken only where they are fewer than `most`.

        Turns are `spacing` seconds apart, by the clock of the database.
        """
        next_at = paces.c.next_at
        with self._database.write() as connection:
            now = self._database.now()
            insert = self._dialect.insert(paces).values(provider=provider, next_at=now + spacing)
            queued = next_at.between(now, now + AHEAD_AT_MOST)
            taken = insert.on_conflict_do_update(
                index_elements=[paces.c.provider],
                set_={"next_at": case((queued, next_at), else_=now) + spacing},
                where=~queued | (next_at - now < most),
            ).returning(cast(next_at - spacing - now, Double))
            wait = connection.execute(taken).scalar_one_or_none()
            if wait is None:
                left = select(cast(next_at - now, Double)).where(paces.c.provider == provider)
                return max(most, float(connection.execute(left).scalar_one()))
        return max(0.0, float(wait))
