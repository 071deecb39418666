"""What was spent: sums over the ledger, for people to read."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import func, select

from services.store.database import Database
from services.store.schema import ledger, ledger_months

UNCERTAIN_AT_MOST = 100  # rows that are listed


class Sum(NamedTuple):
    """The rows of one month, caller and state: how many, and their credits in thousandths."""

    month: str
    caller: str
    state: str
    calls: int
    milli_credits: int


class Unsettled(NamedTuple):
    """A row that is open or uncertain: whose report, what it may have cost, since when, and why."""

    creator: str
    caller: str
    state: str
    milli_credits: int
    opened_at: float
    settled_at: float | None
    code: str | None


class Spending:
    """Reads the ledger of the gateway database, by account (the source)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_month(self, account: str, month: str) -> int:
        """Return the thousandths of a credit that count as spent in a month."""
        its = (ledger_months.c.account == account) & (ledger_months.c.month == month)
        with self._database.read() as connection:
            return connection.execute(select(ledger_months.c.milli_credits).where(its)).scalar() or 0

    def sums(self, account: str) -> list[Sum]:
        """Return the sums of every month and caller by state, the newest month first."""
        groups = (ledger.c.month, ledger.c.caller, ledger.c.state)
        query = (
            select(*groups, func.count(), func.sum(ledger.c.milli_credits))
            .where(ledger.c.account == account)
            .group_by(*groups)
            .order_by(ledger.c.month.desc(), ledger.c.caller, ledger.c.state)
        )
        with self._database.read() as connection:
            return [
                Sum(month, caller, state, calls, int(thousandths))
                for month, caller, state, calls, thousandths in connection.execute(query)
            ]

    def unsettled(self, account: str) -> list[Unsettled]:
        """Return the rows of which nobody knows what they cost, the newest first."""
        columns: list[Any] = [ledger.c[name] for name in Unsettled._fields]
        query = (
            select(*columns)
            .where(ledger.c.account == account, ledger.c.state.in_(("open", "uncertain")))
            .order_by(ledger.c.opened_at.desc())
            .limit(UNCERTAIN_AT_MOST)
        )
        with self._database.read() as connection:
            return [Unsettled(*row) for row in connection.execute(query)]
