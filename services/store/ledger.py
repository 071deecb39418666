"""The ledger: a row is written before a call that may cost something, and settled after it.

- open: the call is being made, or whoever made it died
- charged, free: what came tells
- uncertain: the call never came back; it counts as spent, and holds its creator for a while

At most one row of a creator is open, by a unique index: that is what makes a double charge impossible. The credits of
a month are one row that is raised under a condition, so its limit is never passed, however many ask at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from services.store.database import Database
from services.store.reports import KeptReport, NewReport, Pending, Reports, latest
from services.store.schema import ledger, ledger_months
from services.terms import PRICE, Terms

Why = Literal["in the air", "uncertain", "settled", "limit"]


class NotOpenedError(Exception):
    """No call may be made: one is in the air, one is uncertain, its result is there, or the limit is reached.

    `at` is when the call that stands in the way was opened or became uncertain (Unix seconds).
    """

    def __init__(self, why: Why, at: float = 0.0) -> None:
        super().__init__(why)
        self.why = why
        self.at = at


@dataclass(frozen=True)
class Order:
    """Whose report is to be bought for whom, and which report would do without a call."""

    account: str
    creator: str
    caller: str
    at: float  # Unix seconds
    not_before: float = 0.0  # A report that was fetched earlier will not do.


@dataclass(frozen=True)
class Opened:
    """A row that was opened for an order."""

    id: int
    order: Order


@dataclass(frozen=True)
class Settlement:
    """What came of a call."""

    state: Literal["charged", "free", "uncertain"]
    code: str
    at: float
    report: NewReport | None = None
    pending: str | None = None  # Modash's words, where the report is not ready
    retry: bool = False  # whether a report that was not ready before is asked for again after this


class Standing(NamedTuple):
    """What is known of a creator: the newest report, whether one is being made, since when a call is uncertain."""

    report: KeptReport | None = None
    pending: Pending | None = None
    uncertain_since: float | None = None
    away: bool = False  # The store is, so this is only what the process has seen.


class Ledger:
    """The ledger of the gateway database, by account (the source)."""

    def __init__(self, database: Database, reports: Reports) -> None:
        self._database = database
        self._reports = reports
        self._dialect: Any = postgresql if database.is_postgresql else sqlite

    def standing(self, account: str, creator: str, terms: Terms, *, now: float) -> Standing:
        """Return what is known of a creator."""
        with self._database.read() as connection:
            # A report comes with its settlement, so what is not found here is still open or pending below.
            unsettled = self._unsettled(connection, account, creator)
            pending = self._reports.pending(connection, account, creator)
            report = latest(connection, account, creator)
        ended = [row.opened_at + terms.longest_call if row.state == "open" else row.settled_at for row in unsettled]
        held = [moment for moment in ended if moment <= now < moment + terms.hold]
        return Standing(report, pending, max(held, default=None))

    def open(self, order: Order, terms: Terms) -> Opened:
        """Write the row of a call that is about to be made; raise `NotOpenedError` where none may be."""
        with self._database.write() as connection:
            self._expire(connection, order, terms)
            row = {
                "account": order.account,
                "creator": order.creator,
                "caller": order.caller,
                "month": month_of(order.at),
                "state": "open",
                "milli_credits": PRICE,
                "opened_at": order.at,
            }
            added = self._dialect.insert(ledger).values(row).on_conflict_do_nothing().returning(ledger.c.id)
            id_ = connection.execute(added).scalar()
            # Everything else is asked after the row is ours: whoever had one before has settled it by then.
            self._check(connection, order, terms, is_first=id_ is not None)
            self._reserve(connection, order.account, str(row["month"]), terms.limit)
        assert id_ is not None  # noqa: S101  # Else the check has raised.
        return Opened(id_, order)

    def settle(self, opened: Opened, settlement: Settlement, terms: Terms) -> None:
        """Settle a row and keep what came, in one transaction; whoever is late, but knows more, is heard as well."""
        order = opened.order
        known = ("open", "uncertain") if settlement.state != "uncertain" else ("open",)
        settled = (
            update(ledger)
            .where(ledger.c.id == opened.id, ledger.c.state.in_(known))
            .values(state=settlement.state, settled_at=settlement.at, code=settlement.code)
            .returning(ledger.c.month)
        )
        if settlement.state == "free":
            settled = settled.values(milli_credits=0)
        with self._database.write() as connection:
            month = connection.execute(settled).scalar()
            if month is None:
                return
            if settlement.state == "free":
                its = (ledger_months.c.account == order.account) & (ledger_months.c.month == month)
                left = ledger_months.c.milli_credits - PRICE
                connection.execute(update(ledger_months).where(its).values(milli_credits=left))
            if settlement.report is not None:
                self._reports.keep(
                    connection, order.account, order.creator, settlement.report, fetched_at=order.at, price=PRICE
                )
            self._note_pending(connection, order, settlement, terms)

    def forget(self, opened: Opened) -> None:
        """Take back the row of a call that was never sent."""
        order = opened.order
        with self._database.write() as connection:
            gone = connection.execute(delete(ledger).where(ledger.c.id == opened.id, ledger.c.state == "open")).rowcount
            its = (ledger_months.c.account == order.account) & (ledger_months.c.month == month_of(order.at))
            left = ledger_months.c.milli_credits - PRICE * gone
            connection.execute(update(ledger_months).where(its).values(milli_credits=left))

    def expire(self, account: str, terms: Terms, *, now: float) -> None:
        """Make every row uncertain whose call must be over."""
        query = select(ledger.c.creator).where(ledger.c.account == account, ledger.c.state == "open")
        with self._database.read() as connection:
            overdue = list(connection.execute(query.where(ledger.c.opened_at <= now - terms.longest_call)).scalars())
        for creator in overdue:  # One by one, so that nobody waits for somebody who waits.
            with self._database.write() as connection:
                self._expire(connection, Order(account, creator, "", now), terms)

    def _expire(self, connection: Connection, order: Order, terms: Terms) -> None:
        """Make a row uncertain whose call must be over; whoever made it died."""
        dead = ledger.c.opened_at + terms.longest_call
        connection.execute(
            update(ledger)
            .where(ledger.c.account == order.account, ledger.c.creator == order.creator)
            .where(ledger.c.state == "open", dead <= order.at)
            .values(state="uncertain", settled_at=dead, code="never_came_back")
        )

    def _check(self, connection: Connection, order: Order, terms: Terms, *, is_first: bool) -> None:
        report = latest(connection, order.account, order.creator)
        if report is not None and terms.serves(report.fetched_at, now=order.at, not_before=order.not_before):
            raise NotOpenedError("settled")
        for row in self._unsettled(connection, order.account, order.creator):
            if row.state == "open" and not is_first:
                raise NotOpenedError("in the air", row.opened_at)
            if row.state == "uncertain" and row.settled_at + terms.hold > order.at:
                raise NotOpenedError("uncertain", row.settled_at)
        if not is_first:
            raise NotOpenedError("in the air", order.at)
        pending = self._reports.pending(connection, order.account, order.creator)
        if pending is not None and terms.asked_again_at(pending.asked_at, pending.attempts) > order.at:
            raise NotOpenedError("settled")

    def _reserve(self, connection: Connection, account: str, month: str, limit: int) -> None:
        row = self._dialect.insert(ledger_months).values(account=account, month=month, milli_credits=0)
        connection.execute(row.on_conflict_do_nothing())
        its = (ledger_months.c.account == account) & (ledger_months.c.month == month)
        raised = (
            update(ledger_months)
            .where(its, ledger_months.c.milli_credits + PRICE <= limit)
            .values(milli_credits=ledger_months.c.milli_credits + PRICE)
        )
        if connection.execute(raised).rowcount == 0:
            raise NotOpenedError("limit")

    def _unsettled(self, connection: Connection, account: str, creator: str) -> list[Any]:
        query = select(ledger).where(ledger.c.account == account, ledger.c.creator == creator)
        return list(connection.execute(query.where(ledger.c.state.in_(("open", "uncertain"))).order_by(ledger.c.id)))

    def _note_pending(self, connection: Connection, order: Order, settlement: Settlement, terms: Terms) -> None:
        """Count how often a report was not ready; what is over for another reason is over."""
        before = self._reports.pending(connection, order.account, order.creator)
        is_new = before is None or terms.has_given_up(before.attempts)
        attempts = 1 if before is None or is_new else before.attempts + 1
        after = None
        if settlement.pending is not None:
            after = Pending(settlement.at, attempts, settlement.pending)
        elif settlement.retry and before is not None and not is_new:
            after = Pending(settlement.at, attempts, before.message)
        if before is not None or after is not None:
            self._reports.note_pending(connection, order.account, order.creator, after)


def month_of(moment: float) -> str:
    """Return the calendar month (UTC) of a moment."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m")
