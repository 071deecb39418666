"""The number of followers at the start of each Pacific day: the first reading of the day, kept without expiry.

Instagram reports the present number only, and forgets it at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, func, select

from services.store.database import Database, excluded
from services.store.schema import follower_counts

LARGEST = 2**53  # the largest count that every column and every reader of JSON holds exactly


class FollowerCount(NamedTuple):
    """The counts of a profile on a Pacific day (ISO date), and when they were read (Unix seconds).

    `source` and `api_version` are as those of `HistoryValue`.
    """

    day: str
    followers: int
    read_at: float
    follows: int | None = None
    media_count: int | None = None
    source: str = "instagram"
    api_version: str | None = None


class FollowerCounts:
    """The follower counts of the gateway database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, account: str, count: FollowerCount) -> None:
        """Keep a count, unless an earlier one of its day is kept; it may be read or imported in any order."""
        if not 0 <= count.followers <= LARGEST:
            return
        replace, is_earlier = earlier_count()
        row = {"account": account} | count._asdict()
        self._database.upsert(follower_counts, row, replace=replace, only_if=is_earlier)

    def days(self, account: str, *, since: str, until: str, limit: int | None = None) -> list[FollowerCount]:
        """Return the counts of a range of days (ISO dates, both included), oldest first."""
        query = _of(account).where(follower_counts.c.day.between(since, until))
        with self._database.read() as connection:
            return [_count(row) for row in connection.execute(query.order_by(follower_counts.c.day).limit(limit))]

    def at_or_after(self, account: str, day: str) -> FollowerCount | None:
        """Return the count of a day or, where it was not read on that day, of the next day that has one."""
        query = _of(account).where(follower_counts.c.day >= day).order_by(follower_counts.c.day).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _count(row)

    def at_or_before(self, account: str, day: str) -> FollowerCount | None:
        """Return the count of a day or, where it was not read on that day, of the last day before that has one."""
        query = _of(account).where(follower_counts.c.day <= day).order_by(follower_counts.c.day.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _count(row)

    def known_counts(self, account: str) -> list[str]:
        """Return which of the counts of a profile are known of any day."""
        columns = [follower_counts.c[name] for name in ("followers", "follows", "media_count")]
        query = select(*(func.max(column) for column in columns)).where(follower_counts.c.account == account)
        with self._database.read() as connection:
            newest = connection.execute(query).one()
        return [column.name for column, value in zip(columns, newest, strict=True) if value is not None]


def earlier_count() -> tuple[Mapping[str, ColumnElement[Any]], ColumnElement[bool]]:
    """Return what a row takes from a new one of its day, and when: all of it, if that was read before."""
    columns = follower_counts.c
    replaced = {name: excluded(columns[name]) for name in FollowerCount._fields if name != "day"}
    return replaced, excluded(columns.read_at) < columns.read_at


def _of(account: str) -> Select[Any]:
    columns = [follower_counts.c[name] for name in FollowerCount._fields]
    return select(*columns).where(follower_counts.c.account == account)


def _count(row: Row[Any]) -> FollowerCount:
    counts = {name: _integer(row._mapping[name]) for name in ("followers", "follows", "media_count")}
    return FollowerCount(**row._asdict() | counts)


def _integer(value: float | None) -> int | None:
    return None if value is None else int(value)
