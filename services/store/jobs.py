"""What is to be done in the background: rows that any number of workers share."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, case, delete, func, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from services.store.database import Database
from services.store.schema import jobs

LEASE = 10.0  # seconds
LATE_AFTER = 60.0  # seconds
NOBODY = ""  # holds what nobody works on


@dataclass(frozen=True)
class Job:
    """One thing to do, taken by somebody; `attempts` counts how often it was, this time included."""

    kind: str
    key: str
    payload: Mapping[str, Any]
    attempts: int
    holder: str


class Counts(NamedTuple):
    """How many jobs wait, are worked on, wait for more than a minute beyond their time, and were given up."""

    waiting: int
    running: int
    late: int
    given_up: int


class Jobs:
    """The table of jobs.

    A job is free (nobody holds it; it has a due time, unless it was given up) or held until its lease is over, when
    it is anybody's again. A held one has a due time only if it was put again meanwhile. Due times are of the callers'
    clocks, which agree to a second; leases are of the database's clock, for which nobody has to agree.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect: Any = postgresql if database.is_postgresql else sqlite

    def put(self, kind: str, key: str, *, due_at: float, payload: Mapping[str, Any] | None = None) -> None:
        """Have a job done; one that is there already keeps its payload and the earlier due time (Unix seconds)."""
        insert = self._dialect.insert(jobs).values(
            kind=kind,
            key=key,
            payload=json.dumps(dict(payload or {})),
            due_at=due_at,
            attempts=0,
            holder=NOBODY,
            lease_until=0.0,
        )
        given_up = and_(jobs.c.holder == NOBODY, jobs.c.due_at.is_(None))
        earlier = case((jobs.c.due_at < insert.excluded.due_at, jobs.c.due_at), else_=insert.excluded.due_at)
        upsert = insert.on_conflict_do_update(
            index_elements=[jobs.c.kind, jobs.c.key],
            set_={
                "due_at": earlier,
                "attempts": case((given_up, 0), else_=jobs.c.attempts),
                "payload": case((given_up, insert.excluded.payload), else_=jobs.c.payload),
            },
        )
        with self._database.write() as connection:
            connection.execute(upsert)

    def take(self, holder: str, limit: int, *, now: float, kinds: Collection[str]) -> list[Job]:
        """Take due jobs of some kinds that nobody holds any more, the one due first first; each for one lease."""
        key = (jobs.c.kind, jobs.c.key)
        ready = (
            select(*key)
            .where(jobs.c.kind.in_(sorted(kinds)), self._is_ready(now))
            .order_by(func.coalesce(jobs.c.due_at, jobs.c.lease_until))
            .limit(limit)
        )
        if self._database.is_postgresql:
            ready = ready.with_for_update(skip_locked=True)
        with self._database.write() as connection:
            found = [(row.kind, row.key) for row in connection.execute(ready)]
            if not found:
                return []
            taken = (
                update(jobs)
                .where(tuple_(*key).in_(found))
                .values(
                    holder=holder,
                    lease_until=self._database.now() + LEASE,
                    attempts=jobs.c.attempts + 1,
                    due_at=None,
                )
                .returning(*key, jobs.c.payload, jobs.c.attempts)
            )
            rows = {(row.kind, row.key): row for row in connection.execute(taken)}
        return [
            Job(kind, key, json.loads(rows[kind, key].payload), rows[kind, key].attempts, holder) for kind, key in found
        ]

    def renew(self, held: Collection[Job]) -> None:
        """Hold on to some jobs for another lease."""
        if not held:
            return
        mine = or_(*(_is(job) for job in held))
        with self._database.write() as connection:
            connection.execute(update(jobs).where(mine).values(lease_until=self._database.now() + LEASE))

    def done(self, job: Job) -> None:
        """End a job; one that was put again meanwhile is to be done again."""
        with self._database.write() as connection:
            again = update(jobs).where(_is(job), jobs.c.due_at.is_not(None))
            connection.execute(again.values(holder=NOBODY, lease_until=0.0, attempts=0, failure=None))
            connection.execute(delete(jobs).where(_is(job)))

    def again(self, job: Job, due_at: float, *, failure: str | None = None, anew: bool = False) -> None:
        """Have a job done again at a time, or earlier if it was put again; `anew` counts its attempts from zero."""
        earlier = case((jobs.c.due_at < due_at, jobs.c.due_at), else_=due_at)
        values = {"due_at": earlier, "failure": failure} | ({"attempts": 0} if anew else {})
        with self._database.write() as connection:
            connection.execute(update(jobs).where(_is(job)).values(holder=NOBODY, lease_until=0.0, **values))

    def give_up(self, job: Job, failure: str) -> None:
        """Leave a job undone, to be seen, until it is put again; if it was meanwhile, it begins anew."""
        attempts = case((jobs.c.due_at.is_not(None), 0), else_=jobs.c.attempts)
        values = {"holder": NOBODY, "lease_until": 0.0, "attempts": attempts, "failure": failure}
        with self._database.write() as connection:
            connection.execute(update(jobs).where(_is(job)).values(**values))

    def give_back(self, held: Collection[Job], *, now: float) -> None:
        """Let somebody else begin jobs anew at once."""
        for job in held:
            self.again(job, now)

    def counts(self, *, now: float) -> Counts:
        """Return how many jobs there are."""
        lease_over = jobs.c.lease_until - self._database.now()
        held = jobs.c.holder != NOBODY
        waits = and_(~held, jobs.c.due_at.is_not(None))
        late = or_(and_(waits, jobs.c.due_at < now - LATE_AFTER), and_(held, lease_over < -LATE_AFTER))
        given_up = and_(~held, jobs.c.due_at.is_(None))
        columns = [func.coalesce(func.sum(case((each, 1), else_=0)), 0) for each in (waits, held, late, given_up)]
        with self._database.read() as connection:
            return Counts(*(int(count) for count in connection.execute(select(*columns)).one()))

    def _is_ready(self, now: float) -> ColumnElement[bool]:
        return or_(
            and_(jobs.c.holder == NOBODY, jobs.c.due_at <= now),
            and_(jobs.c.holder != NOBODY, jobs.c.lease_until <= self._database.now()),
        )


def _is(job: Job) -> ColumnElement[bool]:
    """Return whether a row is a job as its holder took it, and not as somebody else did since."""
    return and_(
        jobs.c.kind == job.kind,
        jobs.c.key == job.key,
        jobs.c.holder == job.holder,
        jobs.c.attempts == job.attempts,
    )
