"""Values of days that can no longer change: kept without expiry, because Instagram deletes its own after a while."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import NamedTuple

from sqlalchemy import delete, select

from services.store.database import Database
from services.store.schema import metric_values


class HistoryKey(NamedTuple):
    """A metric, the dimensions of its breakdown, and its first and last day (ISO dates)."""

    metric: str
    breakdown: tuple[str, ...]
    first_day: str
    last_day: str


class HistoryValue(NamedTuple):
    """A number, the numbers of its buckets by their names, and when both were read (Unix seconds)."""

    value: float | int | None
    buckets: Mapping[tuple[str, ...], float | int | None] | None
    read_at: float


class History:
    """The final metric values of the gateway database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, account: str, keys: Collection[HistoryKey]) -> dict[HistoryKey, HistoryValue]:
        """Return the kept values of some keys."""
        if not keys:
            return {}
        query = select(metric_values).where(
            metric_values.c.account == account,
            metric_values.c.metric.in_({each.metric for each in keys}),
            metric_values.c.breakdown.in_({",".join(each.breakdown) for each in keys}),
            metric_values.c.first_day.between(
                min(each.first_day for each in keys), max(each.first_day for each in keys)
            ),
        )
        found: dict[HistoryKey, HistoryValue] = {}
        with self._database.read() as connection:
            for row in connection.execute(query):
                breakdown = tuple(row.breakdown.split(",")) if row.breakdown else ()
                key = HistoryKey(row.metric, breakdown, row.first_day, row.last_day)
                try:
                    found[key] = HistoryValue(_number(row.value), _buckets(row.buckets), row.read_at)
                except (ValueError, TypeError):
                    continue  # A damaged row is ignored; the next read of its days replaces it.
        return {key: found[key] for key in keys if key in found}

    def keep(self, account: str, values: Mapping[HistoryKey, HistoryValue]) -> None:
        """Keep final values; one with a number that no column can hold is left out."""
        if not values:
            return
        rows = [
            {
                "account": account,
                "metric": key.metric,
                "breakdown": ",".join(key.breakdown),
                "first_day": key.first_day,
                "last_day": key.last_day,
                "value": kept.value,
                "buckets": None
                if kept.buckets is None
                else json.dumps([[list(names), count] for names, count in kept.buckets.items()]),
                "read_at": kept.read_at,
            }
            for key, kept in sorted(values.items(), key=lambda item: item[0])
            if all(map(_is_finite, (kept.value, *(kept.buckets or {}).values())))
        ]
        if not rows:
            return
        self._database.upsert(metric_values, rows, replace=("value", "buckets", "read_at"))

    def purge(self, account: str) -> int:
        """Delete all values of an account, for good; return how many there were."""
        with self._database.write() as connection:
            return int(connection.execute(delete(metric_values).where(metric_values.c.account == account)).rowcount)


def _is_finite(number: float | None) -> bool:
    try:
        return number is None or math.isfinite(number)
    except OverflowError:  # an integer of hundreds of digits
        return False


def _number(value: float | None) -> float | int | None:
    """Return a count as the provider sent it: an integer, unless it is a fraction."""
    return int(value) if value is not None and value.is_integer() else value


def _buckets(text: str | None) -> Mapping[tuple[str, ...], float | int | None] | None:
    return None if text is None else {tuple(names): count for names, count in json.loads(text)}
