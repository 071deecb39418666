"""What was spent: sums over the ledger, for readers and for the estimate of the balance."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement, func, or_, select

from services.store.credit_limits import BUDGET, DAMAGED_MONTH, LIMIT, most_spent_before, spent_by
from services.store.damaged_rows import WITH_DAMAGED_ROWS, log_damaged
from services.store.database import Database
from services.store.ledger import UnsettledCall
from services.store.report_tables import ledger, ledger_months

UNCERTAIN_AT_MOST = 100  # rows that are listed


class SpendingSum(NamedTuple):
    """The rows of one month, caller and state: how many, and their credits in thousandths."""

    month: str
    caller: str
    state: str
    calls: int
    milli_credits: int


class Spending:
    """Reads the ledger of the gateway database, by source."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_month(self, source: str, month: str) -> int | None:
        """Return the thousandths of a credit that count as spent in a month; None where the row holds no such number.

        A damaged row is read here, for without one nothing was spent.
        """
        its = (ledger_months.c.source == source) & (ledger_months.c.month == month)
        query = select(ledger_months.c.milli_credits).where(its).execution_options(**{WITH_DAMAGED_ROWS: True})
        with self._database.read() as connection:
            spent = connection.execute(query).scalars().all() or [0]
        if isinstance(spent[0], int) and spent[0] >= 0:
            return spent[0]
        log_damaged(ledger_months.name, (source, month))
        return None

    def of_caller(self, caller: str, source: str, month: str, *, price: int) -> int:
        """Return the thousandths of a credit that count as spent by a caller in a month."""
        with self._database.read() as connection:
            return int(connection.execute(spent_by(connection, caller, source, month, price=price)).scalar_one())

    def reached(
        self, source: str, caller: str, month: str, *, price: int, limit: int, budget: int | None
    ) -> str | None:
        """Return what `services.store.credit_limits.reserve` would return for a report now; nothing is counted."""
        spent = self.of_month(source, month)
        if spent is None:
            return DAMAGED_MONTH
        if spent > most_spent_before(limit, price):
            return LIMIT
        if budget is None:
            return None
        own = self.of_caller(caller, source, month, price=price)
        return BUDGET if own > most_spent_before(budget, price) else None

    def sums(self, source: str, *, caller: str | None = None) -> list[SpendingSum]:
        """Return the sums of every month and caller, or of one caller, by state, the newest month first."""
        groups = (ledger.c.month, ledger.c.caller, ledger.c.state)
        query = (
            select(*groups, func.count(), func.sum(ledger.c.milli_credits))
            .where(ledger.c.source == source, *_by(caller))
            .group_by(*groups)
        )
        with self._database.read() as connection:
            sums = [
                SpendingSum(month, caller, state, calls, int(thousandths))
                for month, caller, state, calls, thousandths in connection.execute(query)
            ]
        # Sorted here, because the order of a database of PostgreSQL may be that of a language.
        return sorted(sorted(sums), key=lambda each: each.month, reverse=True)

    def since(self, source: str, moment: float, *, longest_call: float) -> int:
        """Return the thousandths of a credit that the ledger has booked since a moment (Unix seconds).

        A row counts if its call was not over by then: it is still open, or was settled later. So a charge is never
        left out. One that was made while the balance was on its way may count twice, until the next balance.
        """
        query = select(func.coalesce(func.sum(ledger.c.milli_credits), 0)).where(
            ledger.c.source == source,
            ledger.c.state.in_(("open", "charged", "uncertain")),
            # Implied by the next condition, because no call is longer; but this one the index can answer.
            ledger.c.opened_at >= moment - longest_call,
            or_(ledger.c.settled_at.is_(None), ledger.c.settled_at > moment),
        )
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def unsettled(self, source: str, *, caller: str | None = None) -> list[UnsettledCall]:
        """Return the calls that are open or uncertain, of every caller or of one, the newest first."""
        columns = [ledger.c[name] for name in UnsettledCall._fields]
        query = (
            select(*columns)
            .where(ledger.c.source == source, ledger.c.state.in_(("open", "uncertain")), *_by(caller))
            .order_by(ledger.c.opened_at.desc(), ledger.c.id.desc())
            .limit(UNCERTAIN_AT_MOST)
        )
        with self._database.read() as connection:
            return [UnsettledCall(*row) for row in connection.execute(query)]


def _by(caller: str | None) -> list[ColumnElement[bool]]:
    return [] if caller is None else [ledger.c.caller == caller]
