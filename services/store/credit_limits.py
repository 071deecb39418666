"""The credits of a month: counted as spent within the limit and a budget, or refused by the database itself."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, Select, case, func, select, update

from services.store.damaged_rows import WITH_DAMAGED_ROWS
from services.store.report_tables import ledger, ledger_months
from services.store.upsert import Upsert

LIMIT, BUDGET, DAMAGED_MONTH = "limit", "budget", "damaged_month"

BEGIN_MONTH = Upsert(ledger_months)


def most_spent_before(limit: int, price: int) -> int:
    """Return how much may be spent already where a limit or a budget still has room for a report."""
    return limit - price


def reserve(
    connection: Connection, source: str, caller: str, month: str, *, price: int, limit: int, budget: int | None
) -> str | None:
    """Count a report as spent; return what leaves no room for it, and then the transaction must be rolled back.

    Amounts are thousandths of a credit. LIMIT is that of the gateway, BUDGET that of the caller (None is none of its
    own). DAMAGED_MONTH: it is unknown what was spent this month.

    The limit is the condition of the UPDATE, never compared beforehand: two buyers that both read "room for one" would
    both buy. The budget of the caller needs no condition of its own. This transaction holds the row of the month from
    the UPDATE to its end, so the sum has the row of every purchase that passed here before, and no other purchase can
    pass until this one is committed.
    """
    BEGIN_MONTH.run(connection, {"source": source, "month": month, "milli_credits": 0})
    spent = ledger_months.c.milli_credits
    row, is_amount = _is_month(source, month), _is_amount(connection, spent)
    raised = (
        update(ledger_months)
        .where(row, is_amount, spent <= most_spent_before(limit, price))
        .values(milli_credits=spent + price)
    )
    if connection.execute(raised).rowcount == 0:
        is_known = connection.execute(select(ledger_months.c.month).where(row, is_amount)).scalar()
        return LIMIT if is_known else DAMAGED_MONTH
    if budget is None:
        return None
    by_caller = spent_by(connection, caller, source, month, price=price)
    before = int(connection.execute(by_caller).scalar_one()) - price  # The sum has our own row.
    return BUDGET if before > most_spent_before(budget, price) else None


def give_back(connection: Connection, source: str, month: str, milli_credits: int) -> None:
    """Count as not spent what was counted for calls that cost nothing."""
    left = ledger_months.c.milli_credits - milli_credits
    its = _is_month(source, month) & _is_amount(connection, ledger_months.c.milli_credits)
    connection.execute(update(ledger_months).where(its).values(milli_credits=left))


def month_of(moment: float) -> str:
    """Return the calendar month (UTC) of a moment."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m")


def spent_by(connection: Connection, caller: str, source: str, month: str, *, price: int) -> Select[int]:
    """Return the query for the thousandths of a credit that count as spent by a caller in a month.

    A row whose amount cannot be read counts as a report.
    """
    its = (ledger.c.source == source) & (ledger.c.caller == caller) & (ledger.c.month == month)
    amount = case((_is_amount(connection, ledger.c.milli_credits), ledger.c.milli_credits), else_=price)
    query = select(func.coalesce(func.sum(amount), 0)).where(its)
    return query.execution_options(**{WITH_DAMAGED_ROWS: True})


def _is_amount(connection: Connection, column: ColumnElement[int]) -> ColumnElement[bool]:
    """Return the condition that a column holds an amount: SQLite calculates with a text in its place as with 0."""
    return column >= 0 if connection.dialect.name != "sqlite" else (func.typeof(column) == "integer") & (column >= 0)


def _is_month(source: str, month: str) -> ColumnElement[bool]:
    return (ledger_months.c.source == source) & (ledger_months.c.month == month)
