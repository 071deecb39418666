"""The ledger: a row is written before a call that may cost something, and settled after it.

- open: the call is being made, or the process that made it died
- charged, free: the answer shows which
- uncertain: no readable answer came back; the call counts as spent, and holds its creator for a while

Two properties make a double charge and a passed limit impossible, and both are kept by the database alone, whatever
threads, processes and machines do:

- A unique index allows one open row for a creator. That row is the lock of a purchase: the process that inserted it may
  call Modash, every other one may not. Nothing has to be renewed and nothing expires early, so a slow process never
  loses its lock to a second buyer. A process that dies leaves its row open, and `expire` makes it uncertain.
- The credits of a month are one row, raised by an UPDATE whose condition is the limit. The database runs the updates
  of one row one after the other, so two buyers can never both take the last credits. What a caller has spent of its own
  budget is added up after that update, so it includes every purchase that went before.

This module knows no policy: whether a creator's report may be bought now is decided by a function that `open` calls
inside its transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from services.store.credit_limits import give_back, month_of, reserve
from services.store.database import Database, Transaction
from services.store.database_clock import DatabaseClock
from services.store.report_tables import ledger, settlements_set_apart
from services.store.reports import KeptReport, NewReport, PendingReport, Reports, has_given_up, latest
from services.store.upsert import Upsert

IN_FLIGHT, RENAMED = "in_flight", "renamed"


class UnsettledCall(NamedTuple):
    """A row that is open or uncertain: for which report, what it may have cost, since when, and why."""

    id: int
    creator: str
    caller: str
    state: str
    milli_credits: int
    opened_at: float
    settled_at: float | None
    code: str | None


class CreatorRecord(NamedTuple):
    """All that the store holds of a creator: the newest report, whether one is being made, and unsettled calls."""

    report: KeptReport | None = None
    pending: PendingReport | None = None
    unsettled: tuple[UnsettledCall, ...] = ()


PurchaseCheck = Callable[[CreatorRecord, float], str | None]
"""Gets what the store holds of a creator, and the moment; returns the state that prevents a call, or None."""


PendingChange = Callable[[Transaction, PendingReport | None, PendingReport | None], None]
"""Gets, within the transaction that settles a call, whether its report was being made before and is after it."""


def ignore_pending_change(*_: object) -> None:
    """Do nothing with it."""


class NotOpenedError(Exception):
    """No call may be made; `state` is what the check returned, what `reserve` returned, IN_FLIGHT or RENAMED.

    RENAMED: the creator is an id, and its handle has become known. The handle is the creator's one name from then on.
    """

    def __init__(self, state: str, record: CreatorRecord) -> None:
        super().__init__(state)
        self.state = state
        self.record = record


@dataclass(frozen=True)
class Order:
    """A report that is to be bought: of which creator, for which caller, and within which limits.

    Amounts are thousandths of a credit, times are seconds.
    """

    source: str
    creator: str
    caller: str
    price: int
    limit: int  # for the calendar month
    longest_call: float  # after which a call that has not come back never will
    max_retries: int  # of a report that is not ready
    budget: int | None = None  # of the caller, for the calendar month; None is no limit of its own

    def has_given_up(self, attempts: int) -> bool:
        """Return whether so many attempts are too many to go on."""
        return has_given_up(attempts, max_retries=self.max_retries)


@dataclass(frozen=True)
class Opened:
    """A row that was opened for an order, and when (Unix seconds)."""

    id: int
    order: Order
    at: float


@dataclass(frozen=True)
class Settlement:
    """The result of a call."""

    state: Literal["charged", "free", "uncertain"]
    code: str
    at: float
    report: NewReport | None = None
    pending: str | None = None  # Modash's words, where the report is not ready
    retry: bool = False  # whether a report that was not ready before is asked for again after this


OPEN = Upsert(ledger, returning=(ledger.c.id,))
SET_APART = Upsert(settlements_set_apart, returning=(settlements_set_apart.c.ledger_id,))


class Ledger:
    """The ledger of the gateway database, by source; all times are by the database's clock."""

    def __init__(self, database: Database, reports: Reports, clock: DatabaseClock) -> None:
        self._database = database
        self._reports = reports
        self._clock = clock

    def record(self, source: str, creator: str) -> CreatorRecord:
        """Return all that the store holds of a creator."""
        with self._database.read() as connection:
            return self._record(connection, source, creator)

    def open(self, order: Order, check: PurchaseCheck) -> Opened:
        """Write the row of a call that is about to be made; raise `NotOpenedError` where none may be made."""
        with self._database.write() as connection:
            now = self._clock.read(connection)
            # The row of a dead process must not block the insert below permanently.
            self._expire(connection, order.source, order.creator, longest_call=order.longest_call, now=now)
            row = {
                "source": order.source,
                "creator": order.creator,
                "caller": order.caller,
                "month": month_of(now),
                "state": "open",
                "milli_credits": order.price,
                "opened_at": now,
            }
            id_: int | None = OPEN.run(connection, row).scalar()
            # First the insert, then the reading. In PostgreSQL the insert waits for a concurrent transaction with an
            # open row of this creator, so what is read afterwards includes what that purchase brought. Read before,
            # a report that arrives in between would be missed and bought again. Such a report may also say to which
            # handle an id belongs; it is kept under the handle, and the id has no record of it.
            record = self._record(connection, order.source, order.creator)
            record = record._replace(unsettled=tuple(call for call in record.unsettled if call.id != id_))
            is_renamed = self._reports.handle_in(connection, order.source, order.creator) is not None
            state = RENAMED if is_renamed else check(record, now)
            if state is not None:
                raise NotOpenedError(state, record)  # The transaction is rolled back, and with it our row.
            if id_ is None:
                # The row that stood in the way was settled between the insert and the reading.
                raise NotOpenedError(IN_FLIGHT, record)
            state = reserve(
                connection,
                order.source,
                order.caller,
                month_of(now),
                price=order.price,
                limit=order.limit,
                budget=order.budget,
            )
            if state is not None:
                raise NotOpenedError(state, record)
        return Opened(id_, order, now)

    def settle(
        self, opened: Opened, settlement: Settlement, *, on_pending: PendingChange = ignore_pending_change
    ) -> bool:
        """Settle a row and keep what the call brought, in one transaction: a charge without its report cannot be.

        A late settlement counts too: where a row has become uncertain meanwhile, the result of its call is still the
        truth about it. A second settlement of the same row changes nothing. Returns whether the row is there.
        """
        order = opened.order
        replaced = ("open",) if settlement.state == "uncertain" else ("open", "uncertain")
        row = _is_row(opened)
        settled = (
            update(ledger)
            .where(row, ledger.c.state.in_(replaced))
            .values(state=settlement.state, settled_at=settlement.at, code=settlement.code)
            .returning(ledger.c.month)
        )
        if settlement.state == "free":
            settled = settled.values(milli_credits=0)
        with self._database.write() as connection:
            # The month of the row, not of today: a call may begin in one month and end in the next.
            month = connection.execute(settled).scalar()
            if month is None:
                return connection.execute(select(ledger.c.id).where(row)).scalar() is not None
            if settlement.state == "free":
                give_back(connection, order.source, month, order.price)
            if settlement.report is not None:
                self._reports.keep(
                    connection, order.source, order.creator, settlement.report, fetched_at=opened.at, price=order.price
                )
            on_pending(connection, *self._note_pending(connection, order, settlement))
        return True

    def set_apart(self, opened: Opened, settlement: Settlement, failure: str) -> None:
        """Keep a settlement that the database refused, as text; its row of the ledger becomes uncertain with time."""
        its_id, content = settlements_set_apart.c.ledger_id, content_of(opened, settlement)
        row = {"ledger_id": opened.id, "content": content, "failure": failure, "set_apart_at": settlement.at}
        with self._database.write() as connection:
            if SET_APART.run(connection, row).first() is not None:
                return
            same = select(its_id).where(settlements_set_apart.c.content == content)
            if connection.execute(same).first() is None:
                # A call of another database had the number, for ids begin again where one is replaced.
                least = connection.execute(select(func.min(its_id))).scalar() or 0
                SET_APART.run(connection, row | {"ledger_id": min(least, 0) - 1})

    def number_set_apart(self) -> int:
        """Return how many settlements were set apart."""
        with self._database.read() as connection:
            return connection.execute(select(func.count()).select_from(settlements_set_apart)).scalar_one()

    def forget(self, opened: Opened) -> None:
        """Delete the row of a call that was never sent, as if it had not been opened.

        It may have become uncertain meanwhile, if its process was suspended for longer than a call takes.
        """
        order = opened.order
        row = _is_row(opened) & ledger.c.state.in_(("open", "uncertain"))
        with self._database.write() as connection:
            gone = connection.execute(delete(ledger).where(row)).rowcount
            give_back(connection, order.source, month_of(opened.at), order.price * gone)

    def expire(self, source: str, *, longest_call: float) -> None:
        """Make every open row uncertain whose call must be over."""
        query = select(ledger.c.creator).where(ledger.c.source == source, ledger.c.state == "open")
        with self._database.read() as connection:
            now = self._clock.read(connection)
            overdue = list(connection.execute(query.where(ledger.c.opened_at <= now - longest_call)).scalars())
        # One transaction for each row: one that held several locks could deadlock with another process's.
        for creator in overdue:
            with self._database.write() as connection:
                self._expire(connection, source, creator, longest_call=longest_call, now=now)

    def _expire(self, connection: Connection, source: str, creator: str, *, longest_call: float, now: float) -> None:
        """Make an open row uncertain whose call must be over: the process that made it died.

        It counts as settled from the moment at which its call was over, not from now, so that the hold after it does
        not depend on when the row is noticed.
        """
        over_at = ledger.c.opened_at + longest_call
        connection.execute(
            update(ledger)
            .where(ledger.c.source == source, ledger.c.creator == creator, ledger.c.state == "open", over_at <= now)
            .values(state="uncertain", settled_at=over_at, code="never_came_back")
        )

    def _record(self, connection: Connection, source: str, creator: str) -> CreatorRecord:
        # The order matters where each statement sees the newest state, as outside of a transaction. A settlement moves
        # a row from `ledger` to `reports` or `pending_reports` at once. Read in this order, a purchase that is settled
        # in between shows up twice, which does no harm; in the other order it would show up nowhere.
        columns = [ledger.c[name] for name in UnsettledCall._fields]
        query = select(*columns).where(ledger.c.source == source, ledger.c.creator == creator)
        rows = connection.execute(query.where(ledger.c.state.in_(("open", "uncertain"))).order_by(ledger.c.id))
        unsettled = tuple(UnsettledCall(*row) for row in rows)
        pending = self._reports.pending(connection, source, creator)
        return CreatorRecord(latest(connection, source, creator), pending, unsettled)

    def _note_pending(
        self, connection: Connection, order: Order, settlement: Settlement
    ) -> tuple[PendingReport | None, PendingReport | None]:
        """Count how often a report was not ready, or note that nothing is pending any more; return both states."""
        before = self._reports.pending(connection, order.source, order.creator)
        # After the last attempt a later caller starts over, with the first short wait.
        is_first = before is None or order.has_given_up(before.attempts)
        attempts = 1 if before is None or is_first else before.attempts + 1
        after = None
        if settlement.pending is not None:
            after = PendingReport(settlement.at, attempts, settlement.pending)
        elif settlement.retry and before is not None and not is_first:
            after = PendingReport(settlement.at, attempts, before.message)
        if before is not None or after is not None:
            self._reports.note_pending(connection, order.source, order.creator, after)
        return before, after


def content_of(opened: Opened, settlement: Settlement) -> str:
    """Return a settlement as JSON in ASCII, which every database takes."""
    content = {"id": opened.id, "at": opened.at, "order": asdict(opened.order), "settlement": asdict(settlement)}
    return json.dumps(content, default=list)


def _is_row(opened: Opened) -> ColumnElement[bool]:
    # With the moment: a settlement may wait in a file while the database is replaced by one with the same ids.
    return (ledger.c.id == opened.id) & (ledger.c.opened_at == opened.at)
