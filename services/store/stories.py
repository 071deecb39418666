"""Stories with their numbers, kept for ever, because Instagram forgets a story after 24 hours.

Each number stands once for each source (polling, webhook). A newer known number replaces an older one, an unknown one
never replaces a known one; the database compares them, so any number of processes may write in any order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Row, and_, case, func, or_, select

from services.store.database import Database, chunks
from services.store.history_tables import stories, story_numbers, story_reads
from services.store.types import MAX_NAME, is_name
from services.store.upsert import Upsert, excluded, is_newer

POLLING, WEBHOOK = "polling", "webhook"
TOTAL = ""  # the bucket of a number that is no bucket


class StoryNumber(NamedTuple):
    """One number of a story, or None with the reason; `read_at` (Unix seconds) is when it was true."""

    metric: str
    bucket: str
    source: str
    value: float | int | None
    reason: str | None
    read_at: float


@dataclass(frozen=True)
class StoryRow:
    """A story: what never changes of it, when its numbers were last read and last delivered (Unix seconds).

    A story that only a webhook has named has no `created_at`. `ordered_at` is that moment or the best guess at it.
    """

    id: str
    ordered_at: float
    created_at: float | None = None
    media_type: str | None = None
    permalink: str | None = None
    read_at: float | None = None
    delivered_at: float | None = None
    numbers: Sequence[StoryNumber] = field(default=(), compare=False)


class KeptStoryCounts(NamedTuple):
    """How many stories are kept, and when those of any account were last read (Unix seconds)."""

    kept: int
    last_read_at: float | None


ROW = ("id", "ordered_at", "created_at", "media_type", "permalink", "read_at", "delivered_at")
LASTING = ("created_at", "media_type", "permalink")
NEWEST = ("read_at", "delivered_at")


class Stories:
    """The stories of the gateway database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, account: str, rows: Sequence[StoryRow]) -> None:
        """Add stories and their numbers in one transaction; what is known stays where the new row lacks it.

        A story or a number under a name that no column can hold is left out.
        """
        # Sorted, so that concurrent transactions lock rows in the same order (no deadlock).
        ordered = sorted((row for row in rows if is_name(row.id, MAX_NAME)), key=lambda row: row.id)
        if not ordered:
            return
        values = [{"account": account} | {name: getattr(row, name) for name in ROW} for row in ordered]
        numbers = [
            {"account": account, "story": row.id} | number._asdict()
            for row in ordered
            for number in sorted(row.numbers, key=lambda number: number[:3])
            if is_name(number.metric, MAX_NAME) and (number.bucket == TOTAL or is_name(number.bucket, MAX_NAME))
        ]
        now = self._database.clock.timestamp()
        with self._database.write() as connection:
            for chunk in chunks(values):
                KEEP.run(connection, chunk, now=now)
            for chunk in chunks(numbers):
                KEEP_NUMBERS.run(connection, chunk, now=now)

    def find(self, account: str, story: str) -> StoryRow | None:
        """Return a story of an account with its numbers."""
        query = select(*_columns()).where(stories.c.account == account, stories.c.id == story)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        found = self._with_numbers(account, rows)
        return found[0] if found else None

    def owners(self, story: str) -> list[str]:
        """Return the accounts for which a story is kept."""
        with self._database.read() as connection:
            return list(connection.execute(select(stories.c.account).where(stories.c.id == story)).scalars())

    def listed(
        self, account: str, *, since: float | None = None, until: float | None = None, limit: int
    ) -> list[StoryRow]:
        """Return the stories of an account with their numbers, the newest first; both ends are included."""
        query = select(*_columns()).where(stories.c.account == account)
        if since is not None:
            query = query.where(stories.c.ordered_at >= since)
        if until is not None:
            query = query.where(stories.c.ordered_at <= until)
        query = query.order_by(stories.c.ordered_at.desc(), stories.c.id.desc()).limit(limit)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return self._with_numbers(account, rows)

    def young(self, account: str, *, since: float) -> list[StoryRow]:
        """Return the stories of an account that were posted after a moment, without their numbers.

        For one that is kept as read ahead of the present it is not known when it was read.
        """
        query = select(*_columns()).where(stories.c.account == account, stories.c.created_at > since)
        with self._database.read() as connection:
            rows = [_row(row) for row in connection.execute(query)]
        return [replace(row, read_at=self._database.clock.past(row.read_at)) for row in rows]

    def begun_at(self, account: str) -> float | None:
        """Return when reading the stories of an account last began, whatever became of it."""
        query = select(story_reads.c.begun_at).where(story_reads.c.account == account)
        with self._database.read() as connection:
            begun_at: float | None = connection.execute(query).scalar()
        return self._database.clock.past(begun_at)

    def last_read_at(self, account: str) -> float | None:
        """Return when the list of an account's live stories was last answered."""
        query = select(story_reads.c.read_at).where(story_reads.c.account == account)
        with self._database.read() as connection:
            read_at: float | None = connection.execute(query).scalar()
        return self._database.clock.past(read_at)

    def begin(self, account: str, *, now: float) -> None:
        """Note that reading the stories of an account begins."""
        self._database.upsert(BEGIN_READ, {"account": account, "begun_at": now, "read_at": None})

    def end(self, account: str, *, read_at: float) -> None:
        """Note that the list of an account's live stories was answered."""
        row = {"account": account, "begun_at": read_at, "read_at": read_at}
        self._database.upsert(END_READ, row)

    def counts(self) -> KeptStoryCounts:
        """Return how many stories are kept, and when any were last read."""
        with self._database.read() as connection:
            kept = connection.execute(select(func.count()).select_from(stories)).scalar_one()
            last = connection.execute(select(func.max(story_reads.c.read_at))).scalar()
        return KeptStoryCounts(kept, last)

    def _with_numbers(self, account: str, rows: Sequence[Row[Any]]) -> list[StoryRow]:
        numbers = self._numbers(account, [row.id for row in rows])
        return [replace(_row(row), numbers=numbers.get(row.id, ())) for row in rows]

    def _numbers(self, account: str, ids: Collection[str]) -> Mapping[str, Sequence[StoryNumber]]:
        found: dict[str, list[StoryNumber]] = {}
        columns = [story_numbers.c[name] for name in StoryNumber._fields]
        with self._database.read() as connection:
            for chunk in chunks(ids):
                query = select(story_numbers.c.story, *columns).where(
                    story_numbers.c.account == account, story_numbers.c.story.in_(chunk)
                )
                for story, *values in connection.execute(query):
                    number = StoryNumber(*values)
                    found.setdefault(story, []).append(number._replace(value=_number(number.value)))
        # Sorted here: a file gives rows in the order of their keys, PostgreSQL as they were written last.
        return {story: sorted(each, key=lambda number: number[:3]) for story, each in found.items()}


def _keep_newer_number() -> Upsert:
    """Return the upsert by which a newer number replaces one of its key, if it is known or both are unknown."""
    columns = story_numbers.c
    new = excluded(columns.value)
    is_newest_known = and_(
        or_(new.is_not(None), columns.value.is_(None)),
        or_(is_newer(columns.read_at), columns.value.is_(None)),
    )
    return Upsert(story_numbers, replace=("value", "reason", "read_at"), only_if=is_newest_known)


def _keep_newer() -> Upsert:
    """Return the upsert by which the row of a story takes from a new one what it lacks, and the later times."""
    newer: dict[str, ColumnElement[Any]] = {
        name: func.coalesce(stories.c[name], excluded(stories.c[name])) for name in LASTING
    }
    newer |= {name: _later(stories.c[name]) for name in NEWEST}
    newer["ordered_at"] = func.coalesce(stories.c.created_at, excluded(stories.c.created_at), stories.c.ordered_at)
    return Upsert(stories, replace=newer)


def _columns() -> list[Column[Any]]:
    return [stories.c[name] for name in ROW]


def _row(row: Row[Any]) -> StoryRow:
    return StoryRow(**row._asdict())


def _later(column: Column[Any]) -> ColumnElement[Any]:
    """Return the later of two moments, the new one and the one in the table; either may be missing."""
    new = excluded(column)
    return case((or_(new.is_(None), ~is_newer(column)), column), else_=new)


def _number(value: float | None) -> float | int | None:
    """Return a count as the provider sent it: an integer, unless it is a fraction."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


KEEP = _keep_newer()
KEEP_NUMBERS = _keep_newer_number()
BEGIN_READ = Upsert(story_reads, replace=("begun_at",))
END_READ = Upsert(story_reads, replace=("read_at",))
