"""How much of the providers' limits is used, as each process last read it, for the others to know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from services.store.database import Database
from services.store.schema import usages


class UsageRow(NamedTuple):
    """What one answer told of a limit; moments are Unix seconds."""

    account: str
    percent: float
    kinds: Mapping[str, float]
    blocked_until: float | None
    read_at: float


class Usages:
    """The table of usages; a row is replaced by a later one only."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect: Any = postgresql if database.is_postgresql else sqlite

    def read(self, provider: str) -> list[UsageRow]:
        """Return what is known of a provider's limits."""
        with self._database.read() as connection:
            rows = connection.execute(select(usages).where(usages.c.provider == provider)).all()
        return [
            UsageRow(row.account, row.percent, json.loads(row.kinds), row.blocked_until, row.read_at) for row in rows
        ]

    def write(self, provider: str, rows: list[UsageRow]) -> None:
        """Note what was read."""
        insert = self._dialect.insert(usages)
        upsert = insert.on_conflict_do_update(
            index_elements=[usages.c.provider, usages.c.account],
            set_={name: insert.excluded[name] for name in ("percent", "kinds", "blocked_until", "read_at")},
            where=usages.c.read_at < insert.excluded.read_at,
        )
        values = [row._asdict() | {"provider": provider, "kinds": json.dumps(dict(row.kinds))} for row in rows]
        with self._database.write() as connection:
            connection.execute(upsert, values)
