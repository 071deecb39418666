"""How far the daily snapshots and the back-fill of each account have come."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select

from services.store.database import Database
from services.store.history_tables import account_snapshots
from services.store.upsert import Upsert, excluded, lies_ahead


class AccountSnapshot(NamedTuple):
    """The last Pacific day (ISO date) whose snapshot was completed, and the progress of the back-fill in calls.

    Times are Unix seconds. A back-fill that has begun and not ended goes on after a restart.
    """

    account: str
    day: str | None = None
    taken_at: float | None = None
    backfill_begun_at: float | None = None
    backfill_ended_at: float | None = None
    backfill_total: int | None = None
    backfill_left: int | None = None


class SnapshotCounts(NamedTuple):
    """How many accounts have a snapshot at all, of how many one day's is taken, and when the last one was.

    And how many back-fills are under way, with their calls and those that are left.
    """

    accounts: int
    taken: int
    taken_at: float | None
    filling: int
    calls: int
    calls_left: int


class AccountSnapshots:
    """The progress of snapshots in the gateway database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, account: str) -> AccountSnapshot:
        """Return the progress of an account; of one without a snapshot nothing but its name.

        A snapshot that is kept as taken ahead of the present was that of a day which has not come: it counts as none.
        """
        query = _columns().where(account_snapshots.c.account == account)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            return AccountSnapshot(account)
        found = AccountSnapshot(**row._asdict())
        is_past = self._database.clock.past(found.taken_at) is not None
        return found if is_past else found._replace(day=None, taken_at=None)

    def all(self) -> list[AccountSnapshot]:
        """Return the progress of every account that has any."""
        with self._database.read() as connection:
            rows = connection.execute(_columns().order_by(account_snapshots.c.account)).all()
        return [AccountSnapshot(**row._asdict()) for row in rows]

    def counts(self, *, day: str) -> SnapshotCounts:
        """Return the counts over all accounts; `day` is the present Pacific day (ISO date)."""
        filling = _is_under_way()
        columns = (
            func.count(),
            func.coalesce(func.sum(case((account_snapshots.c.day >= day, 1), else_=0)), 0),
            func.max(account_snapshots.c.taken_at),
            func.coalesce(func.sum(case((filling, 1), else_=0)), 0),
            func.coalesce(func.sum(case((filling, account_snapshots.c.backfill_total), else_=0)), 0),
            func.coalesce(func.sum(case((filling, account_snapshots.c.backfill_left), else_=0)), 0),
        )
        with self._database.read() as connection:
            row = connection.execute(select(*columns).select_from(account_snapshots)).one()
        accounts, taken, taken_at, *rest = row
        return SnapshotCounts(int(accounts), int(taken), taken_at, *map(int, rest))

    def complete(self, account: str, *, day: str, taken_at: float) -> None:
        """Note that the snapshot of a day is complete; an earlier day changes nothing."""
        self._database.upsert(COMPLETE, {"account": account, "day": day, "taken_at": taken_at})

    def begin_backfill(self, account: str, *, now: float, calls: int) -> None:
        """Note that a back-fill of an account begins, with so many calls to make; one that is under way goes on."""
        row = {
            "account": account,
            "backfill_begun_at": now,
            "backfill_ended_at": None,
            "backfill_total": calls,
            "backfill_left": calls,
        }
        self._database.upsert(BEGIN_BACKFILL, row)

    def note_backfill(self, account: str, *, left: int, ended_at: float | None = None) -> None:
        """Note how many calls of a back-fill are left, and when it ended."""
        row = {"account": account, "backfill_left": left, "backfill_ended_at": ended_at}
        self._database.upsert(NOTE_BACKFILL, row)


def _is_under_way() -> ColumnElement[bool]:
    return and_(account_snapshots.c.backfill_begun_at.is_not(None), account_snapshots.c.backfill_ended_at.is_(None))


def _columns() -> Select[Any]:
    return select(*(account_snapshots.c[name] for name in AccountSnapshot._fields))


COMPLETE = Upsert(
    account_snapshots,
    replace=("day", "taken_at"),
    only_if=or_(
        func.coalesce(account_snapshots.c.day, "") <= excluded(account_snapshots.c.day),
        lies_ahead(account_snapshots.c.taken_at),
    ),
)
BEGIN_BACKFILL = Upsert(
    account_snapshots,
    replace=("backfill_begun_at", "backfill_ended_at", "backfill_total", "backfill_left"),
    only_if=~_is_under_way(),
)
NOTE_BACKFILL = Upsert(account_snapshots, replace=("backfill_left", "backfill_ended_at"))
