"""Posts and their numbers, kept for ever: at the fixed ages at which posts are compared, and at times in between.

Likes and comments come from the list of posts, the other numbers from insights, so each of the two parts of a reading
has its own moment. The first reading of a slot stays, unless a later one knows more; a known number is never replaced
by an unknown one. The database compares them, so any number of processes may write in any order.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Row, and_, case, func, or_, select

from services.clock import AHEAD
from services.store.database import Database, chunks
from services.store.history_tables import post_looks, post_readings, posts
from services.store.types import MAX_NAME, is_name
from services.store.upsert import Upsert, excluded, is_newer, lies_ahead

COUNTS = ("likes", "comments")
INSIGHTS = ("reach", "views", "saved", "shares", "total_interactions")
CHANGING = ("media_type", "media_product_type", "permalink", "caption")
SEEN_AGAIN = 6 * 3600.0  # seconds after which a post that is still listed is noted as seen


@dataclass(frozen=True)
class PostRow:
    """A post, when it was published, and when it was listed first and last (Unix seconds)."""

    id: str
    posted_at: float
    media_type: str | None = None
    media_product_type: str | None = None
    permalink: str | None = None
    caption: str | None = None
    first_seen_at: float = 0.0
    last_seen_at: float = 0.0


@dataclass(frozen=True)
class PartRow:
    """A part of a reading, its counts or its insights: the numbers by name, and why the unknown ones are.

    `slot` is an age in minutes, `age_label` the fixed age in hours if it was read at one.
    """

    post: str
    slot: int
    age_label: int | None
    read_at: float
    values: Mapping[str, float | int | None]
    reasons: Mapping[str, str]
    source: str
    api_version: str | None


@dataclass(frozen=True)
class PostReading:
    """The numbers of a post at one age; a part that was not read then has no moment and no numbers."""

    post: str
    slot: int
    age_label: int | None
    counts_read_at: float | None
    insights_read_at: float | None
    values: Mapping[str, float | int | None]
    reasons: Mapping[str, str]
    source: str
    api_version: str | None

    @property
    def read_at(self) -> float:
        """When its insights were read, or its counts where only they were (Unix seconds)."""
        moment = self.counts_read_at if self.insights_read_at is None else self.insights_read_at
        return 0.0 if moment is None else moment


class Look(NamedTuple):
    """When an account's posts were last begun to be looked at, and as of when that last came to its end."""

    begun_at: float
    looked_at: float | None


class PostCounts(NamedTuple):
    """How many posts are kept, and when those of any account were last looked at (Unix seconds)."""

    kept: int
    last_looked_at: float | None


class PostTable:
    """The posts of the gateway database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(
        self,
        account: str,
        rows: Sequence[PostRow],
        *,
        counts: Sequence[PartRow] = (),
        insights: Sequence[PartRow] = (),
    ) -> None:
        """Add posts and parts of readings in one transaction; what is known stays where the new row lacks it.

        What has an id that no column can hold is left out.
        """
        # Sorted, so that concurrent transactions lock rows in the same order (no deadlock).
        listed = sorted((row for row in rows if is_name(row.id, MAX_NAME)), key=lambda row: row.id)
        values = [{"account": account} | vars(row) for row in listed]
        now = self._database.clock.timestamp()
        with self._database.write() as connection:
            for chunk in chunks(values):
                KEEP_NEWS.run(connection, chunk, now=now)
            for chunk in chunks(_part_rows(account, COUNTS, "counts", counts)):
                KEEP_COUNTS.run(connection, chunk)
            for chunk in chunks(_part_rows(account, INSIGHTS, "insights", insights)):
                KEEP_INSIGHTS.run(connection, chunk)

    def find(self, account: str, post: str) -> PostRow | None:
        """Return a post of an account."""
        query = select(*_columns()).where(posts.c.account == account, posts.c.id == post)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else PostRow(**row._asdict())

    def owners(self, post: str, among: Collection[str]) -> list[str]:
        """Return the accounts for which a post is kept, of some; the primary key begins with the account."""
        found: list[str] = []
        with self._database.read() as connection:
            for chunk in chunks(among):
                query = select(posts.c.account).where(posts.c.account.in_(chunk), posts.c.id == post)
                found += connection.execute(query).scalars()
        return found

    def between(self, account: str, since: float, until: float) -> list[PostRow]:
        """Return the posts of an account that were published in a period, the newest first; both ends are included."""
        query = select(*_columns()).where(posts.c.account == account, posts.c.posted_at.between(since, until))
        query = query.order_by(posts.c.posted_at.desc(), posts.c.id.desc())
        with self._database.read() as connection:
            return [PostRow(**row._asdict()) for row in connection.execute(query)]

    def readings(
        self, account: str, ids: Collection[str], *, from_slot: int = 0, is_labelled: bool = False
    ) -> dict[str, list[PostReading]]:
        """Return the readings of some posts from an age on, or those at fixed ages only; the youngest age first."""
        found: dict[str, list[PostReading]] = {}
        with self._database.read() as connection:
            for chunk in chunks(ids):
                query = select(post_readings).where(
                    post_readings.c.account == account,
                    post_readings.c.post.in_(chunk),
                    post_readings.c.slot >= from_slot,
                )
                if is_labelled:
                    query = query.where(post_readings.c.age_label.is_not(None))
                for row in connection.execute(query.order_by(post_readings.c.post, post_readings.c.slot)):
                    found.setdefault(row.post, []).append(_post_reading(row))
        return found

    def last_insights(self, account: str, ids: Collection[str]) -> dict[str, float]:
        """Return when the insights of some posts were last read (Unix seconds)."""
        found: dict[str, float] = {}
        last = func.max(post_readings.c.insights_read_at)
        with self._database.read() as connection:
            for chunk in chunks(ids):
                query = select(post_readings.c.post, last).where(
                    post_readings.c.account == account,
                    post_readings.c.post.in_(chunk),
                    post_readings.c.insights_read_at <= self._database.clock.timestamp() + AHEAD,
                )
                rows = connection.execute(query.group_by(post_readings.c.post))
                found |= {post: read_at for post, read_at in rows if read_at is not None}
        return found

    def look(self, account: str) -> Look | None:
        """Return when an account's posts were looked at."""
        query = select(post_looks.c.begun_at, post_looks.c.looked_at).where(post_looks.c.account == account)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        # What lies ahead was long ago, so that the next look is due, and is not taken for the first one of the account.
        begun_at, looked_at = (None if at is None else self._database.clock.past(at) or 0.0 for at in row)
        return Look(begun_at or 0.0, looked_at)

    def begin_look(self, account: str, *, now: float) -> None:
        """Note that looking at an account's posts begins."""
        row = {"account": account, "begun_at": now, "looked_at": None}
        self._database.upsert(BEGIN_LOOK, row)

    def end_look(self, account: str, *, looked_at: float) -> None:
        """Note as of when an account's posts were looked at."""
        row = {"account": account, "begun_at": looked_at, "looked_at": looked_at}
        self._database.upsert(END_LOOK, row)

    def counts(self) -> PostCounts:
        """Return how many posts are kept, and when any were last looked at."""
        with self._database.read() as connection:
            kept = connection.execute(select(func.count()).select_from(posts)).scalar_one()
            last = connection.execute(select(func.max(post_looks.c.looked_at))).scalar()
        return PostCounts(kept, last)


def _columns() -> list[Column[Any]]:
    return [posts.c[name] for name in PostRow.__dataclass_fields__]


def _part_rows(account: str, names: Sequence[str], part: str, rows: Sequence[PartRow]) -> list[dict[str, Any]]:
    ordered = sorted((row for row in rows if is_name(row.post, MAX_NAME)), key=lambda row: (row.post, row.slot))
    return [
        {
            "account": account,
            "post": row.post,
            "slot": row.slot,
            "age_label": row.age_label,
            "source": row.source,
            "api_version": row.api_version,
            f"{part}_read_at": row.read_at,
            f"{part}_reasons": json.dumps(dict(row.reasons)) if row.reasons else None,
            **{name: row.values.get(name) for name in names},
        }
        for row in ordered
    ]


def _replacement(names: Sequence[str], part: str) -> tuple[dict[str, ColumnElement[Any]], ColumnElement[bool]]:
    """Return what a newer part of a reading replaces, and when: if there was none, or it knows more."""
    table = post_readings.c
    known, new = (_known([read(table[name]) for name in names]) for read in (lambda column: column, excluded))
    replace: dict[str, ColumnElement[Any]] = {name: func.coalesce(excluded(table[name]), table[name]) for name in names}
    replace |= {name: excluded(table[name]) for name in (f"{part}_read_at", f"{part}_reasons", "api_version")}
    return replace, or_(table[f"{part}_read_at"].is_(None), new > known)


def _keep_fuller(names: Sequence[str], part: str) -> Upsert:
    replace, is_fuller = _replacement(names, part)
    return Upsert(post_readings, replace=replace, only_if=is_fuller)


def _is_news() -> ColumnElement[bool]:
    """Return whether a post was changed, or is kept as seen long ago."""
    seen = posts.c.last_seen_at
    is_long_ago = or_(seen <= excluded(seen) - SEEN_AGAIN, lies_ahead(seen))
    return or_(is_long_ago, *(_differs(posts.c[name]) for name in CHANGING))


def _merge_post() -> Upsert:
    """Return the upsert by which the row of a post takes from another one what it lacks, and what was listed later."""
    columns = posts.c
    new = {column.name: excluded(column) for column in columns}
    is_later = is_newer(columns.last_seen_at, or_equal=False)
    replace: dict[str, ColumnElement[Any]] = {
        name: case((is_later, func.coalesce(new[name], columns[name])), else_=func.coalesce(columns[name], new[name]))
        for name in CHANGING
    }
    replace["last_seen_at"] = case((is_later, new["last_seen_at"]), else_=columns.last_seen_at)
    is_earlier = new["first_seen_at"] < columns.first_seen_at
    replace["first_seen_at"] = case((is_earlier, new["first_seen_at"]), else_=columns.first_seen_at)
    return Upsert(posts, replace=replace)


def _merge_reading() -> Upsert:
    """Return the upsert by which a reading takes each part that it lacks, or that knows more in another of its slot."""
    columns = post_readings.c
    replace: dict[str, ColumnElement[Any]] = {
        "age_label": func.coalesce(columns.age_label, excluded(columns.age_label))
    }
    for names, part in ((COUNTS, "counts"), (INSIGHTS, "insights")):
        newer, is_fuller = _replacement(names, part)
        replace |= {
            name: case((is_fuller, value), else_=columns[name])
            for name, value in newer.items()
            if name != "api_version"
        }
    return Upsert(post_readings, replace=replace)


def _known(columns: Sequence[ColumnElement[Any]]) -> ColumnElement[int]:
    """Return how many of some columns have a number."""
    total: ColumnElement[int] = case((columns[0].is_not(None), 1), else_=0)
    for column in columns[1:]:
        total = total + case((column.is_not(None), 1), else_=0)
    return total


def _differs(column: Column[Any]) -> ColumnElement[bool]:
    new = excluded(column)
    return and_(new.is_not(None), or_(column.is_(None), column != new))


def _post_reading(row: Row[Any]) -> PostReading:
    values = {name: _number(getattr(row, name)) for name in (*COUNTS, *INSIGHTS)}
    return PostReading(
        row.post,
        row.slot,
        row.age_label,
        row.counts_read_at,
        row.insights_read_at,
        values,
        # A number that was known before stays known when a fuller reading lacks it.
        {
            name: reason
            for name, reason in (_reasons(row.counts_reasons) | _reasons(row.insights_reasons)).items()
            if values.get(name) is None
        },
        row.source,
        row.api_version,
    )


def _reasons(text: str | None) -> dict[str, str]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}  # A damaged text explains nothing.
    return {str(name): str(reason) for name, reason in found.items()} if isinstance(found, dict) else {}


def _number(value: float | None) -> float | int | None:
    """Return a count as the provider sent it: an integer, unless it is a fraction."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


KEEP_NEWS = Upsert(
    posts,
    replace={
        "last_seen_at": excluded(posts.c.last_seen_at),
        **{name: func.coalesce(excluded(posts.c[name]), posts.c[name]) for name in CHANGING},
    },
    only_if=_is_news(),
)
KEEP_COUNTS, KEEP_INSIGHTS = _keep_fuller(COUNTS, "counts"), _keep_fuller(INSIGHTS, "insights")
MERGE_POST, MERGE_READING = _merge_post(), _merge_reading()
BEGIN_LOOK = Upsert(post_looks, replace=("begun_at",))
END_LOOK = Upsert(post_looks, replace=("looked_at",))
