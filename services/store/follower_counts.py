"""The number of followers at the start of each Pacific day: the first reading of the day, kept without expiry.

Instagram reports the present number only, and forgets it at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, func, literal_column, or_, select

from services.store.database import Database, chunks
from services.store.history_tables import follower_counts
from services.store.types import LARGEST_EXACT
from services.store.upsert import Upsert, excluded

MAY_LACK = ("follows", "media_count")  # of a count; one without followers is none


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


class DailyCount(NamedTuple):
    """One of the counts of a profile on a day, and when it was read (Unix seconds)."""

    value: int
    read_at: float


class CountColumns(NamedTuple):
    """Days (ISO dates), oldest first, when the counts of each were read (Unix seconds), and each requested count."""

    days: Sequence[str] = ()
    read_ats: Sequence[float] = ()
    counts: Mapping[str, Sequence[float | None]] = {}

    def known(self, name: str) -> dict[str, DailyCount]:
        """Return a count by the days of which it is known."""
        rows = zip(self.days, self.counts.get(name, ()), self.read_ats, strict=True)
        return {day: DailyCount(int(count), read_at) for day, count, read_at in rows if count is not None}


class FollowerCounts:
    """The follower counts of the gateway database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, account: str, count: FollowerCount) -> None:
        """Keep a count, or what an earlier one of its day lacks; they may be read or imported in any order."""
        if not 0 <= count.followers <= LARGEST_EXACT:
            return
        self._database.upsert(KEEP_EARLIER, {"account": account} | count._asdict())

    def days(self, account: str, *, since: str, until: str, limit: int | None = None) -> list[FollowerCount]:
        """Return the counts of a range of days (ISO dates, both included), oldest first."""
        query = _DAYS if limit is None else _DAYS.limit(limit)
        with self._database.read() as connection:
            rows = connection.execute(query, {"account": account, "since": since, "until": until}).all()
        return [_count(row) for row in rows]

    def columns(self, account: str, names: Sequence[str], *, since: str, until: str) -> CountColumns:
        """Return some of the counts by day (ISO dates, both included)."""
        parameters = {"account": account, "since": since, "until": until}
        return _columns(names, self._database.plain_columns(_between(tuple(names)), parameters))

    def columns_of_days(self, account: str, names: Sequence[str], days: Collection[str]) -> CountColumns:
        """Return the same of some days."""
        parts = []
        for chunk in chunks(sorted(days)):
            parameters = {"account": account} | {f"day_{number}": day for number, day in enumerate(chunk)}
            parts.append(self._database.plain_columns(_of_days(tuple(names), len(chunk)), parameters))
        columns = (
            parts[0] if len(parts) == 1 else [tuple(chain.from_iterable(each)) for each in zip(*parts, strict=True)]
        )
        return _columns(names, columns)

    def known_counts(self, account: str) -> list[str]:
        """Return which of the counts of a profile are known of any day."""
        columns = [follower_counts.c[name] for name in ("followers", "follows", "media_count")]
        query = select(*(func.max(column) for column in columns)).where(follower_counts.c.account == account)
        with self._database.read() as connection:
            newest = connection.execute(query).one()
        return [column.name for column, value in zip(columns, newest, strict=True) if value is not None]


def _keep_earlier() -> Upsert:
    """Return the upsert by which a row takes all that is known from a new one of its day that was read before.

    Of a later one it takes the counts that it lacks.
    """
    columns = follower_counts.c
    new = {name: excluded(columns[name]) for name in FollowerCount._fields if name != "day"}
    is_earlier = new["read_at"] < columns.read_at
    replaced: dict[str, ColumnElement[Any]] = {
        name: case((is_earlier, value), else_=columns[name]) for name, value in new.items()
    }
    for name in MAY_LACK:
        both = func.coalesce(new[name], columns[name]), func.coalesce(columns[name], new[name])
        replaced[name] = case((is_earlier, both[0]), else_=both[1])
    is_lacking = [and_(columns[name].is_(None), new[name].is_not(None)) for name in MAY_LACK]
    return Upsert(follower_counts, replace=replaced, only_if=or_(is_earlier, *is_lacking))


KEEP_EARLIER = _keep_earlier()
_OF_ACCOUNT = select(*(follower_counts.c[name] for name in FollowerCount._fields)).where(
    follower_counts.c.account == bindparam("account")
)
_DAY = follower_counts.c.day
_DAYS = _OF_ACCOUNT.where(_DAY.between(bindparam("since"), bindparam("until"))).order_by(_DAY)


@cache
def _between(names: tuple[str, ...]) -> Select[Any]:
    return _rows(names).where(_DAY.between(bindparam("since"), bindparam("until")))


@cache
def _of_days(names: tuple[str, ...], days: int) -> Select[Any]:
    """Return the query for so many days: the text of one list of any length is written again for each request."""
    return _rows(names).where(_DAY.in_([bindparam(f"day_{number}") for number in range(days)]))


def _rows(names: Sequence[str]) -> Select[Any]:
    columns = [follower_counts.c[name] for name in ("read_at", *names)]
    # Its type needs no look: what lies between two texts is one.
    day: ColumnElement[str] = literal_column("follower_counts.day")
    return select(day, *columns).where(follower_counts.c.account == bindparam("account")).order_by(_DAY)


def _columns(names: Sequence[str], columns: Sequence[Sequence[Any]]) -> CountColumns:
    days, read_ats, *counts = columns
    return CountColumns(days, read_ats, dict(zip(names, counts, strict=True)))


def _count(row: Sequence[Any]) -> FollowerCount:
    day, followers, read_at, follows, media_count, source, api_version = row
    return FollowerCount(
        day,
        int(followers),
        read_at,
        None if follows is None else int(follows),
        None if media_count is None else int(media_count),
        source,
        api_version,
    )
