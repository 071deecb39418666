"""What Instagram told of days that are over: kept for ever, for Instagram forgets them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from services.store.database import Database
from services.store.schema import readings


class Told(NamedTuple):
    """What is kept: a metric, the dimensions of its breakdown, the first and the last day (ISO dates)."""

    metric: str
    breakdown: tuple[str, ...]
    first_day: str
    last_day: str


class Kept(NamedTuple):
    """A number, the numbers of its buckets by their names, and when both were read (Unix seconds)."""

    value: float | int | None
    buckets: Mapping[tuple[str, ...], float | int | None] | None
    read_at: float


class History:
    """The readings of the gateway database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect: Any = postgresql if database.is_postgresql else sqlite

    def read(self, account: str, wanted: Collection[Told]) -> dict[Told, Kept]:
        """Return what is kept of what is wanted."""
        if not wanted:
            return {}
        query = select(readings).where(
            readings.c.account == account,
            readings.c.metric.in_({each.metric for each in wanted}),
            readings.c.breakdown.in_({",".join(each.breakdown) for each in wanted}),
            readings.c.first_day.between(
                min(each.first_day for each in wanted), max(each.first_day for each in wanted)
            ),
        )
        found: dict[Told, Kept] = {}
        with self._database.read() as connection:
            for row in connection.execute(query):
                breakdown = tuple(row.breakdown.split(",")) if row.breakdown else ()
                told = Told(row.metric, breakdown, row.first_day, row.last_day)
                try:
                    found[told] = Kept(_number(row.value), _buckets(row.buckets), row.read_at)
                except (ValueError, TypeError):
                    continue  # A damaged row is as good as none; it is replaced when the days are read again.
        return {told: found[told] for told in wanted if told in found}

    def keep(self, account: str, told: Mapping[Told, Kept]) -> None:
        """Keep what is final."""
        if not told:
            return
        rows = [
            {
                "account": account,
                "metric": what.metric,
                "breakdown": ",".join(what.breakdown),
                "first_day": what.first_day,
                "last_day": what.last_day,
                "value": kept.value,
                "buckets": None
                if kept.buckets is None
                else json.dumps([[list(names), count] for names, count in kept.buckets.items()]),
                "read_at": kept.read_at,
            }
            for what, kept in sorted(told.items(), key=lambda item: item[0])
        ]
        insert = self._dialect.insert(readings)
        upsert = insert.on_conflict_do_update(
            index_elements=list(readings.primary_key),
            set_={name: insert.excluded[name] for name in ("value", "buckets", "read_at")},
        )
        with self._database.write() as connection:
            connection.execute(upsert, rows)

    def purge(self, account: str) -> int:
        """Delete everything of an account, for good; return how many numbers that were."""
        with self._database.write() as connection:
            return int(connection.execute(delete(readings).where(readings.c.account == account)).rowcount)


def _number(value: float | None) -> float | int | None:
    """Return a count as it came: whole, unless the provider gave a fraction."""
    return int(value) if value is not None and value.is_integer() else value


def _buckets(text: str | None) -> Mapping[tuple[str, ...], float | int | None] | None:
    return None if text is None else {tuple(names): count for names, count in json.loads(text)}
