"""The outbox of the outgoing webhook: events that wait to be delivered, and those that were."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, case, delete, func, or_, select, update

from services.store.damaged_rows import can_be_found, next_attempt
from services.store.database import Database, Transaction
from services.store.job_tables import notifications
from services.store.upsert import Upsert, is_due

MAX_WAITING = 10_000  # events; beyond that the oldest are given up
MAX_GIVEN_UP = 10_000  # that are kept
TOO_MANY = "too_many_waiting"  # the failure of an event that was given up for newer ones
NO_RECEIVER = "no_receiver"  # the failure of an event that was given up because none was set for so long
DELIVERED_KEPT = 7 * 86_400.0  # seconds
GIVEN_UP_KEPT_DAYS = 30


class Notification(NamedTuple):
    """An event, the body in which it is delivered, and what became of it so far; times are Unix seconds."""

    id: str
    event: str
    account: str | None
    creator: str | None
    body: str
    created_at: float
    attempts: int = 0
    due_at: float | None = None
    delivered_at: float | None = None
    given_up_at: float | None = None
    failure: str | None = None


class NotificationCounts(NamedTuple):
    """The number of events that wait, and of those that were given up within 30 days."""

    waiting: int
    given_up: int


IS_WAITING = notifications.c.due_at.is_not(None)
IS_GIVEN_UP = notifications.c.given_up_at.is_not(None)


ADD = Upsert(notifications)


class NotificationTable:
    """The events of the gateway database.

    An event waits (it has a due time) until it is delivered or given up. The worker that delivers it writes afterwards
    what became of it. A worker that is killed in between has written nothing, so the event is delivered again, under
    the same id.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, event: Notification, *, within: Transaction | None = None) -> int:
        """Let an event wait, within a transaction or in one of its own; return how many others were given up for it.

        An event with a known id stays as it is.
        """
        if within is not None:
            return self._put(within, event)
        with self._database.write() as connection:
            return self._put(connection, event)

    def due(self, now: float, limit: int, *, longest_wait: float = 0.0) -> list[Notification]:
        """Return events that are to be delivered now, the longest overdue first.

        `longest_wait` are the seconds for which an event whose delivery failed is put off at most.
        """
        latest = case((notifications.c.attempts > 0, longest_wait), else_=0.0)
        query = select(*_COLUMNS).where(IS_WAITING, is_due(notifications.c.due_at, now, latest))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(notifications.c.due_at, notifications.c.id).limit(limit))
            return [Notification(*row) for row in rows if can_be_found(row.id)]

    def delivered(self, event: Notification, now: float) -> None:
        """Note that the receiver has accepted an event."""
        # It may have been given up for newer ones during the attempt.
        done = {"due_at": None, "delivered_at": now, "given_up_at": None, "failure": None}
        done["attempts"] = next_attempt(event.attempts)
        with self._database.write() as connection:
            connection.execute(update(notifications).where(notifications.c.id == event.id).values(done))

    def failed(self, event: Notification, failure: str, now: float, *, due_at: float | None) -> None:
        """Note that an attempt failed; the event waits for the next one, or (without a due time) is given up."""
        # A worker that was suspended during its attempt changes nothing where another one has gone on meanwhile.
        same = (notifications.c.id == event.id) & IS_WAITING & (notifications.c.attempts == event.attempts)
        values = {"attempts": next_attempt(event.attempts), "failure": failure, "due_at": due_at}
        if due_at is None:
            values["given_up_at"] = now
        with self._database.write() as connection:
            connection.execute(update(notifications).where(same).values(values))

    def resend(self, ids: Collection[str], now: float) -> int:
        """Let events that were given up wait again (all of them without ids), and others be due at once.

        Returns how many there are.
        """
        which = or_(IS_GIVEN_UP, IS_WAITING) if not ids else notifications.c.id.in_(sorted(ids))
        values = {"attempts": 0, "due_at": now, "given_up_at": None, "delivered_at": None, "failure": None}
        with self._database.write() as connection:
            return connection.execute(update(notifications).where(which).values(values)).rowcount

    def listed(self, limit: int) -> list[Notification]:
        """Return events that were not delivered, the newest first."""
        query = select(*_COLUMNS).where(or_(IS_WAITING, IS_GIVEN_UP))
        query = query.order_by(notifications.c.created_at.desc(), notifications.c.id.desc())
        with self._database.read() as connection:
            return [Notification(*row) for row in connection.execute(query.limit(limit))]

    def counts(self) -> NotificationCounts:
        """Return how many events wait, and how many were given up."""
        columns = [func.coalesce(func.sum(case((each, 1), else_=0)), 0) for each in (IS_WAITING, IS_GIVEN_UP)]
        with self._database.read() as connection:
            return NotificationCounts(*map(int, connection.execute(select(*columns)).one()))

    def give_up_overdue(self, now: float) -> int:
        """Give up events that have been due for as long as given-up ones are kept; return how many there were.

        Only for a gateway without a receiver: with one, the schedule of attempts ends long before.
        """
        overdue = IS_WAITING & (notifications.c.due_at < now - GIVEN_UP_KEPT_DAYS * 86_400.0)
        values = {"due_at": None, "given_up_at": now, "failure": NO_RECEIVER}
        with self._database.write() as connection:
            return connection.execute(update(notifications).where(overdue).values(values)).rowcount

    def sweep(self, now: float) -> None:
        """Delete what was delivered or given up long ago."""
        old = or_(
            notifications.c.delivered_at < now - DELIVERED_KEPT,
            notifications.c.given_up_at < now - GIVEN_UP_KEPT_DAYS * 86_400.0,
        )
        with self._database.write() as connection:
            connection.execute(delete(notifications).where(old))

    def _put(self, connection: Transaction, event: Notification) -> int:
        ADD.run(connection, event._asdict())
        over = _number(connection, IS_WAITING) - MAX_WAITING
        if over <= 0:
            return 0
        values = {"due_at": None, "given_up_at": event.created_at, "failure": TOO_MANY}
        oldest = _oldest(connection, IS_WAITING, over)
        connection.execute(update(notifications).where(notifications.c.id.in_(oldest)).values(values))
        if (many := _number(connection, IS_GIVEN_UP) - MAX_GIVEN_UP) > 0:
            connection.execute(
                delete(notifications).where(notifications.c.id.in_(_oldest(connection, IS_GIVEN_UP, many)))
            )
        return over


_COLUMNS = [notifications.c[name] for name in Notification._fields]


def _number(connection: Transaction, condition: ColumnElement[bool]) -> int:
    return connection.execute(select(func.count()).select_from(notifications).where(condition)).scalar_one()


def _oldest(connection: Transaction, condition: ColumnElement[bool], limit: int) -> list[str]:
    query = select(notifications.c.id).where(and_(condition)).order_by(notifications.c.created_at, notifications.c.id)
    return list(connection.execute(query.limit(limit)).scalars())
