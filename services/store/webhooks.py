"""Deliveries of webhooks as they were received, and the changes in them, each kept once."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from sqlalchemy import ColumnElement, Table, and_, case, delete, func, select, update

from services.store.account_tables import accounts
from services.store.damaged_rows import can_be_found, next_attempt, parsed
from services.store.database import Database, chunks, lock_in_order
from services.store.group_commit import GroupCommit
from services.store.job_tables import CHANGE_FAILED
from services.store.job_tables import webhook_changes as changes
from services.store.job_tables import webhook_deliveries as deliveries
from services.store.upsert import Upsert, is_due, is_newer

PENDING, APPLIED, KEPT, FAILED = "pending", "applied", "kept", "failed"
FORGOTTEN_AT_ONCE = 10  # deliveries, of up to 16 MB each
LISTED_AT_ONCE = 1_000  # digests
MAX_READ_BYTES = 16 * 1024 * 1024  # of the bodies that are read at once, beyond the first one


@dataclass(frozen=True)
class Change:
    """One change of a delivery: the provider's field and value, and its time in Unix seconds."""

    account: str
    field: str
    value: object
    time: float

    @cached_property
    def text(self) -> str:
        """The value as JSON in ASCII, the same for every order of its keys."""
        return json.dumps(self.value, sort_keys=True, separators=(",", ":"))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of account, field and value: equal changes are duplicates, whatever delivery brings them."""
        return hashlib.sha256(f"{self.account}\n{json.dumps(self.field)}\n{self.text}".encode()).hexdigest()


class Delivery(NamedTuple):
    """The body of a delivery, and when it was received (Unix seconds)."""

    digest: str
    body: bytes
    received_at: float


class DeliveryContent(NamedTuple):
    """The changes of a delivery, and what of it could not be read."""

    delivery: Delivery
    changes: Sequence[Change]
    failure: str | None


class PendingChange(NamedTuple):
    """A change that has to be applied; `attempts` counts those before."""

    digest: str
    change: Change
    attempts: int


class WebhookCounts(NamedTuple):
    """The number of deliveries and changes that wait, and of changes that could not be applied."""

    waiting: int
    failed: int


ADD_DELIVERY = Upsert(deliveries)
KEEP_LATER = Upsert(
    changes,
    replace=("time", "state", "due_at", "attempts"),
    only_if=is_newer(changes.c.time, or_equal=False),
)


class WebhookTable:
    """The deliveries and changes of the gateway database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._commit = GroupCommit(self._insert)

    def keep(self, body: bytes, *, signed_by: str, received_at: float) -> None:
        """Return once a delivery is committed; one with the same body stays as it is.

        Raises `DatabaseUnavailableError`, after which nothing is kept.
        """
        row = {"digest": hashlib.sha256(body).hexdigest(), "body": body, "signed_by": signed_by}
        self._commit(row | {"received_at": received_at})

    def unread(self, limit: int) -> list[Delivery]:
        """Return deliveries whose changes are not entered yet, the oldest first."""
        sizes = select(deliveries.c.digest, func.length(deliveries.c.body).label("size"))
        sizes = sizes.where(deliveries.c.read_at.is_(None)).order_by(deliveries.c.received_at).limit(limit)
        with self._database.read() as connection:
            chosen: list[str] = []
            total = 0
            for row in connection.execute(sizes):
                total += row.size
                if chosen and total > MAX_READ_BYTES:
                    break
                chosen.append(row.digest)
            query = select(deliveries).where(deliveries.c.digest.in_(chosen)).order_by(deliveries.c.received_at)
            rows = connection.execute(query).all() if chosen else ()
        return [Delivery(row.digest, bytes(row.body), row.received_at) for row in rows]

    def enter(self, readings: Sequence[DeliveryContent], *, applicable: Collection[str], now: float) -> None:
        """Enter the changes of deliveries, each once, and mark the deliveries as read.

        Changes whose field is in `applicable` are pending from now on, the others only kept. A duplicate with a newer
        time is pending again: of the values A, B and A of one story, the last one has to win.
        """
        rows: dict[str, Mapping[str, object]] = {}
        newest: dict[str, float] = {}
        for reading in readings:
            for change in reading.changes:
                if change.time > newest.get(change.digest, 0.0):
                    newest[change.digest] = change.time
                    due_at = now if change.field in applicable else None
                    rows[change.digest] = _row(change, reading.delivery.received_at, due_at)
        for some in chunks(rows.values()):
            # One short transaction after another, so that a delivery that arrives meanwhile can be kept. If the process
            # ends in between, the deliveries are read again.
            self._database.upsert(KEEP_LATER, some)
        with self._database.write() as connection:
            for reading in readings:
                mark = update(deliveries).where(deliveries.c.digest == reading.delivery.digest)
                connection.execute(mark.values(read_at=now, failure=reading.failure))

    def due(self, limit: int, *, now: float, longest_wait: float = 0.0) -> list[PendingChange]:
        """Return changes that have to be applied, the oldest by the provider's time first.

        `longest_wait` are the seconds for which a change that could not be applied is put off at most.
        """
        latest = case((changes.c.attempts > 0, longest_wait), else_=0.0)
        query = (
            select(changes)
            .where(is_due(changes.c.due_at, now, latest))
            .order_by(changes.c.time, changes.c.digest)
            .limit(limit)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [
            PendingChange(
                row.digest, Change(row.account, row.field, parsed(row.value, changes.c.value), row.time), row.attempts
            )
            for row in rows
            if can_be_found(row.digest)
        ]

    def applied(self, pending: Collection[PendingChange], *, now: float) -> None:
        """Mark changes as applied, unless one has become newer meanwhile."""
        with self._database.write() as connection:
            for each in pending:
                done = update(changes).where(_is_same(each))
                connection.execute(done.values(state=APPLIED, due_at=None, applied_at=now, failure=None))

    def set_aside(self, pending: PendingChange) -> None:
        """Only keep a change whose account is not here, unless it has become newer, or the account was added since."""
        is_here = select(accounts.c.id).where(accounts.c.id == pending.change.account)
        with self._database.write() as connection:
            # The row first: where the account is added meanwhile, the change is resumed after this transaction.
            lock_in_order(connection, changes, _is_same(pending))
            if connection.execute(is_here).first() is None:
                connection.execute(update(changes).where(_is_same(pending)).values(state=KEPT, due_at=None))

    def resume(self, account: str, applicable: Collection[str], *, now: float) -> None:
        """Let changes of an account wait from now on that were only kept, of fields that can be applied."""
        # Those that wait already too: another process may be setting one of them aside at this moment.
        which = and_(
            changes.c.account == account, changes.c.state.in_([KEPT, PENDING]), changes.c.field.in_(applicable)
        )
        with self._database.write() as connection:
            lock_in_order(connection, changes, which)
            connection.execute(update(changes).where(which).values(state=PENDING, due_at=now))

    def postpone(self, pending: PendingChange, due_at: float | None, *, failure: str) -> None:
        """Let a change that could not be applied wait until a time, or give it up, unless it has become newer."""
        values = {"state": FAILED if due_at is None else PENDING, "due_at": due_at, "failure": failure}
        failed = update(changes).where(_is_same(pending))
        with self._database.write() as connection:
            connection.execute(failed.values(attempts=next_attempt(pending.attempts), **values))

    def counts(self) -> WebhookCounts:
        """Return how much waits, and how much could not be applied."""
        # Each by its index: readiness asks for them, and a week of comments may be a million changes.
        unread = select(func.count()).select_from(deliveries).where(deliveries.c.read_at.is_(None))
        pending, failed = (
            select(func.count()).select_from(changes).where(which)
            for which in (changes.c.due_at.is_not(None), CHANGE_FAILED)
        )
        with self._database.read() as connection:
            of_deliveries, *of_changes = (connection.execute(each).scalar_one() for each in (unread, pending, failed))
        return WebhookCounts(of_deliveries + of_changes[0], of_changes[1])

    def sweep(self, received_before: float) -> None:
        """Delete old deliveries that were read, and old changes that do not wait."""
        old_delivery = and_(deliveries.c.read_at.is_not(None), deliveries.c.received_at < received_before)
        old_change = and_(changes.c.due_at.is_(None), changes.c.received_at < received_before)
        for table, is_old in ((deliveries, old_delivery), (changes, old_change)):
            # What cannot be deleted, for example a damaged digest, must not be listed for ever.
            while self._delete_some(table, is_old):
                pass

    def _delete_some(self, table: Table, is_old: ColumnElement[bool]) -> bool:
        """Delete some old rows; return whether any were deleted and there may be more."""
        with self._database.read() as connection:
            listed = connection.execute(select(table.c.digest).where(is_old).limit(LISTED_AT_ONCE)).scalars().all()
        deleted = 0
        for some in chunks(filter(can_be_found, listed)):
            # One short transaction after another: a delivery that arrives now must not wait for all of them.
            with self._database.write() as connection:
                deleted += connection.execute(delete(table).where(table.c.digest.in_(some), is_old)).rowcount
        return deleted > 0 and len(listed) == LISTED_AT_ONCE

    def forget(self, account: str) -> int:
        """Delete the deliveries that were read and name an account; return how many there were."""
        query = select(deliveries.c.digest).where(deliveries.c.read_at.is_not(None))
        query = query.order_by(deliveries.c.digest).limit(LISTED_AT_ONCE)
        # An id is a text or a number, as `id_of` takes it.
        name = re.compile(rf'"{re.escape(account)}"|:\s*{re.escape(account)}\s*[,}}]'.encode())
        last, deleted = "", 0
        while True:
            with self._database.read() as connection:
                listed = connection.execute(query.where(deliveries.c.digest > last)).scalars().all()
            # After a digest that is no UTF-8 no other one can be looked for.
            digests = list(filter(can_be_found, listed))
            if not digests:
                return deleted
            last = digests[-1]
            for start in range(0, len(digests), FORGOTTEN_AT_ONCE):
                deleted += self._forget(digests[start : start + FORGOTTEN_AT_ONCE], name)

    def _forget(self, digests: Sequence[str], name: re.Pattern[bytes]) -> int:
        """Delete those of some deliveries whose body has a name; return how many there were."""
        query = select(deliveries.c.digest, deliveries.c.body).where(deliveries.c.digest.in_(digests))
        with self._database.read() as connection:
            named = [row.digest for row in connection.execute(query) if name.search(bytes(row.body))]
        if named:
            with self._database.write() as connection:
                connection.execute(delete(deliveries).where(deliveries.c.digest.in_(named)))
        return len(named)

    def _insert(self, rows: list[dict[str, object]]) -> None:
        # Sorted, so that transactions of two processes lock equal deliveries in the same order.
        self._database.upsert(ADD_DELIVERY, sorted(rows, key=lambda row: str(row["digest"])))


def _is_same(pending: PendingChange) -> ColumnElement[bool]:
    """Return the condition that a change has not become newer since it was read."""
    return and_(changes.c.digest == pending.digest, changes.c.time == pending.change.time)


def _row(change: Change, received_at: float, due_at: float | None) -> Mapping[str, object]:
    return {
        "digest": change.digest,
        "account": change.account,
        "field": change.field,
        "value": change.text,
        "time": change.time,
        "received_at": received_at,
        "state": KEPT if due_at is None else PENDING,
        "due_at": due_at,
        "attempts": 0,
    }
