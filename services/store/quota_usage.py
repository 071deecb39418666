"""The usage of the providers' rate limits, as read from the last answers, shared between processes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import select

from services.store.damaged_rows import parsed
from services.store.database import Database
from services.store.memory_tables import quota_usage
from services.store.upsert import Upsert, is_newer


class UsageRow(NamedTuple):
    """The usage of one limit as one answer reported it; times are Unix seconds."""

    account: str
    percent: float
    kinds: Mapping[str, float]
    blocked_until: float | None
    read_at: float


WRITE = Upsert(
    quota_usage,
    replace=("percent", "kinds", "blocked_until", "read_at"),
    only_if=is_newer(quota_usage.c.read_at, or_equal=False),
)


class QuotaUsage:
    """The quota usage of the memory database; a row is replaced only by a later one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, provider: str) -> list[UsageRow]:
        """Return the usage of a provider's limits."""
        with self._database.read() as connection:
            rows = connection.execute(select(quota_usage).where(quota_usage.c.provider == provider)).all()
        kinds = [(row, parsed(row.kinds, quota_usage.c.kinds)) for row in rows]
        return [
            UsageRow(row.account, row.percent, found, row.blocked_until, row.read_at)
            for row, found in kinds
            if isinstance(found, dict)
        ]

    def write(self, provider: str, rows: list[UsageRow]) -> None:
        """Write the usage of a provider's limits."""
        # Sorted, so that two processes lock the rows in the same order.
        ordered = sorted(rows, key=lambda row: row.account)
        values = [row._asdict() | {"provider": provider, "kinds": json.dumps(dict(row.kinds))} for row in ordered]
        self._database.upsert(WRITE, values)
