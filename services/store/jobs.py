"""Background jobs: rows that any number of workers share."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, case, delete, func, or_, select, tuple_, update

from services.store.damaged_rows import MOST_ATTEMPTS, can_be_found, log_damaged, parsed
from services.store.database import Database, Transaction
from services.store.job_tables import jobs
from services.store.upsert import Upsert, excluded, is_due

HEARTBEAT_INTERVAL = 2.0  # seconds; a worker extends the leases of its jobs so often
JOB_LEASE = 5 * HEARTBEAT_INTERVAL
LATE_AFTER = 60.0  # seconds
UNHELD = ""  # the holder of a job that no worker holds
# What only a damaged row has: such a job runs now, instead of never.
LATEST_DUE, LATEST_LEASE = 400 * 86_400.0, 600.0  # seconds from now, far beyond any job and any lease
SPARE = 100  # jobs of damaged names that keep no worker from the others

_IS_GIVEN_UP = and_(jobs.c.holder == UNHELD, jobs.c.due_at.is_(None))
PUT = Upsert(
    jobs,
    replace={
        "due_at": case((jobs.c.due_at < excluded(jobs.c.due_at), jobs.c.due_at), else_=excluded(jobs.c.due_at)),
        "attempts": case((_IS_GIVEN_UP, 0), else_=jobs.c.attempts),
        "payload": case((_IS_GIVEN_UP, excluded(jobs.c.payload)), else_=jobs.c.payload),
    },
)


@dataclass(frozen=True)
class Job:
    """A job as one worker claimed it; `attempts` counts the claims that were attempts, this one included."""

    kind: str
    key: str
    payload: Mapping[str, Any]
    attempts: int
    holder: str


class JobCounts(NamedTuple):
    """The number of jobs that wait, that run, that are more than a minute late, and that were given up."""

    waiting: int
    running: int
    late: int
    given_up: int


class Jobs:
    """The jobs of the gateway database.

    A job is either free (no holder; with a due time, unless it was given up) or held by a worker until its lease ends.
    After that any worker may claim it, so a job may run twice, but never twice within one lease. A held job has a due
    time only if it was put again meanwhile; then it runs again after this run.

    Due times and leases are those of the database's clock. Callers give the due times by `DatabaseClock`; leases are
    compared within the statements, because an error there would let two workers run one job at once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self,
        kind: str,
        key: str,
        *,
        due_at: float,
        payload: Mapping[str, Any] | None = None,
        within: Transaction | None = None,
    ) -> None:
        """Add a job with a due time (Unix seconds), within a transaction or in one of its own.

        An existing one keeps its payload and the earlier due time.
        """
        row = {
            "kind": kind,
            "key": key,
            "payload": json.dumps(dict(payload or {})),
            "due_at": due_at,
            "attempts": 0,
            "holder": UNHELD,
            "lease_until": 0.0,
        }
        if within is not None:
            PUT.run(within, row)
        else:
            self._database.upsert(PUT, row)

    def keys(self, kind: str) -> set[str]:
        """Return the keys of the jobs of a kind, except those that were given up."""
        given_up = and_(jobs.c.holder == UNHELD, jobs.c.due_at.is_(None))
        with self._database.read() as connection:
            return set(connection.execute(select(jobs.c.key).where(jobs.c.kind == kind, ~given_up)).scalars())

    def bring_forward(self, latest: Mapping[str, float], *, after_failure: float, now: float) -> int:
        """Let jobs run now whose due time is further ahead than any can be; return how many there were.

        `latest` are the seconds until the next run of a kind at most, `after_failure` those after a run that failed.
        """
        overdue = [
            and_(
                jobs.c.kind == kind, is_due(jobs.c.due_at, now, case((jobs.c.attempts == 0, most), else_=after_failure))
            )
            for kind, most in latest.items()
        ]
        late = update(jobs).where(jobs.c.holder == UNHELD, jobs.c.due_at > now, or_(*overdue))
        with self._database.write() as connection:
            return connection.execute(late.values(due_at=now)).rowcount

    def claim(self, holder: str, limit: int, *, now: float, kinds: Collection[str]) -> list[Job]:
        """Claim due jobs of some kinds for one lease, the longest overdue first.

        Jobs that another worker holds are claimed as well once their lease has ended.
        """
        key = (jobs.c.kind, jobs.c.key)
        claimable = (
            select(*key)
            .where(jobs.c.kind.in_(sorted(kinds)), self._is_claimable(now))
            .order_by(func.coalesce(jobs.c.due_at, jobs.c.lease_until))
        )
        if self._database.is_postgresql:
            # Rows that another worker is claiming right now are skipped instead of waited for.
            claimable = claimable.limit(limit).with_for_update(skip_locked=True)
        else:
            claimable = claimable.limit(limit + SPARE)
        with self._database.write() as connection:
            found = [(row.kind, row.key) for row in connection.execute(claimable)]
            found = [each for each in found if can_be_found(each[1])][:limit]
            if not found:
                return []
            claimed = (
                update(jobs)
                .where(tuple_(*key).in_(found))
                .values(
                    holder=holder,
                    lease_until=self._database.now() + JOB_LEASE,
                    attempts=case((jobs.c.attempts.between(0, MOST_ATTEMPTS), jobs.c.attempts), else_=0) + 1,
                    due_at=None,
                )
                .returning(*key, jobs.c.payload, jobs.c.attempts)
            )
            rows = {(row.kind, row.key): row for row in connection.execute(claimed)}
        return [
            Job(kind, key, _payload(kind, key, rows[kind, key].payload), rows[kind, key].attempts, holder)
            for kind, key in found
        ]

    def extend(self, held: Collection[Job]) -> None:
        """Extend the leases of some jobs."""
        if not held:
            return
        any_of_them = or_(*(_is_claim(job) for job in held))
        with self._database.write() as connection:
            connection.execute(update(jobs).where(any_of_them).values(lease_until=self._database.now() + JOB_LEASE))

    def complete(self, job: Job) -> None:
        """Delete a job that is done; if it was put again meanwhile, free it with its attempts reset."""
        with self._database.write() as connection:
            put_again = update(jobs).where(_is_claim(job), jobs.c.due_at.is_not(None))
            connection.execute(put_again.values(holder=UNHELD, lease_until=0.0, attempts=0, failure=None))
            connection.execute(delete(jobs).where(_is_claim(job)))

    def reschedule(
        self,
        job: Job,
        due_at: float,
        *,
        failure: str | None = None,
        reset_attempts: bool = False,
        is_attempt: bool = True,
    ) -> None:
        """Free a job until a due time, or an earlier one at which it was put again meanwhile."""
        attempts = 0 if reset_attempts else job.attempts if is_attempt else job.attempts - 1
        earlier = case((jobs.c.due_at < due_at, jobs.c.due_at), else_=due_at)
        values = {"due_at": earlier, "failure": failure, "attempts": attempts}
        with self._database.write() as connection:
            connection.execute(update(jobs).where(_is_claim(job)).values(holder=UNHELD, lease_until=0.0, **values))

    def dead_letter(self, job: Job, failure: str) -> None:
        """Give a job up: it stays visible to operators, and runs again only if it is put again, or was meanwhile."""
        attempts = case((jobs.c.due_at.is_not(None), 0), else_=jobs.c.attempts)
        values = {"holder": UNHELD, "lease_until": 0.0, "attempts": attempts, "failure": failure}
        with self._database.write() as connection:
            connection.execute(update(jobs).where(_is_claim(job)).values(**values))

    def release(self, held: Collection[Job], *, now: float) -> None:
        """Free jobs that were not finished, due at once."""
        for job in held:
            self.reschedule(job, now)

    def counts(self, *, now: float) -> JobCounts:
        """Return the number of jobs in each state."""
        lease_left = jobs.c.lease_until - self._database.now()
        held = jobs.c.holder != UNHELD
        waits = and_(~held, jobs.c.due_at.is_not(None))
        late = or_(and_(waits, jobs.c.due_at < now - LATE_AFTER), and_(held, lease_left < -LATE_AFTER))
        given_up = and_(~held, jobs.c.due_at.is_(None))
        columns = [func.coalesce(func.sum(case((each, 1), else_=0)), 0) for each in (waits, held, late, given_up)]
        with self._database.read() as connection:
            return JobCounts(*(int(count) for count in connection.execute(select(*columns)).one()))

    def _is_claimable(self, now: float) -> ColumnElement[bool]:
        is_due = or_(jobs.c.due_at <= now, jobs.c.due_at > now + LATEST_DUE)
        lease, moment = jobs.c.lease_until, self._database.now()
        has_ended = or_(lease <= moment, lease > moment + LATEST_LEASE)
        return or_(and_(jobs.c.holder == UNHELD, is_due), and_(jobs.c.holder != UNHELD, has_ended))


def _payload(kind: str, key: str, text: str) -> Mapping[str, Any]:
    """Return the payload of a job; a damaged one is empty, as that of most jobs."""
    payload = parsed(text, jobs.c.payload, otherwise={})
    if isinstance(payload, dict):
        return payload
    log_damaged(jobs.name, (kind, key))
    return {}


def _is_claim(job: Job) -> ColumnElement[bool]:
    """Return whether a row is still the given claim of a job.

    The number of attempts is the fence: a worker whose lease ended and whose job was claimed again, even by itself,
    cannot complete, extend or reschedule the later claim.
    """
    return and_(
        jobs.c.kind == job.kind,
        jobs.c.key == job.key,
        jobs.c.holder == job.holder,
        jobs.c.attempts == job.attempts,
    )
