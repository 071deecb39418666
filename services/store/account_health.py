"""What is known of whether each account can be read: its last answer, rejection and check."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from services.clock import Clock
from services.store.account_tables import account_health
from services.store.database import Database, chunks
from services.store.upsert import Upsert, is_newer


@dataclass(frozen=True)
class CheckRow:
    """The result of a check (Unix seconds); `failed_as` is the code of its failure, None where nothing failed."""

    account: str
    checked_at: float
    failed_as: str | None = None
    failure: str | None = None
    next_step: str | None = None


@dataclass(frozen=True)
class CallRow:
    """How calls for an account ended: when one was last answered, and when its token was last rejected, and how."""

    account: str
    answered_at: float | None = None
    rejected_at: float | None = None
    rejected_as: str | None = None


@dataclass(frozen=True)
class HealthRow(CallRow):
    """All that is known of an account; times are Unix seconds, None where that never happened."""

    checked_at: float | None = None
    failed_as: str | None = None
    failure: str | None = None
    next_step: str | None = None


MOMENTS = ("answered_at", "rejected_at", "checked_at")
_COLUMNS = account_health.c
CHECKED = Upsert(
    account_health,
    replace=("checked_at", "failed_as", "failure", "next_step"),
    only_if=is_newer(_COLUMNS.checked_at),
)
ANSWERED = Upsert(
    account_health,
    replace=("answered_at",),
    only_if=is_newer(_COLUMNS.answered_at, or_equal=False),
)
REJECTED = Upsert(
    account_health,
    replace=("rejected_at", "rejected_as"),
    only_if=is_newer(_COLUMNS.rejected_at, or_equal=False),
)


class AccountHealthTable:
    """The health of accounts in the gateway database; what is older never replaces what is newer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rows(self) -> dict[str, HealthRow]:
        """Return what is known of every account, by its id."""
        with self._database.read() as connection:
            rows = connection.execute(select(account_health)).all()
        return {row.account: _health(row, self._database.clock) for row in rows}

    def of(self, accounts: Collection[str]) -> dict[str, HealthRow]:
        """Return what is known of some accounts, by their ids."""
        rows: list[Row[Any]] = []
        with self._database.read() as connection:
            for some in chunks(accounts):
                query = select(account_health).where(account_health.c.account.in_(some))
                rows += connection.execute(query)
        return {row.account: _health(row, self._database.clock) for row in rows}

    def checked(self, row: CheckRow) -> None:
        """Keep the result of a check."""
        self._database.upsert(CHECKED, vars(row))

    def called(self, rows: Collection[CallRow]) -> None:
        """Keep how calls ended."""
        # One transaction for each statement, and its rows sorted, so that concurrent ones lock them in the same order.
        for some in chunks(sorted((row for row in rows if row.answered_at), key=_account)):
            self._database.upsert(ANSWERED, [{"account": row.account, "answered_at": row.answered_at} for row in some])
        for some in chunks(sorted((row for row in rows if row.rejected_at), key=_account)):
            self._database.upsert(
                REJECTED,
                [
                    {"account": row.account, "rejected_at": row.rejected_at, "rejected_as": row.rejected_as}
                    for row in some
                ],
            )


def _account(row: CallRow) -> str:
    return row.account


def _health(row: Row[Any], clock: Clock) -> HealthRow:
    """Read a row; of what lies ahead only the moment is unknown."""
    known = {name: value for name, value in row._mapping.items() if name != "mode"}
    return HealthRow(**known | {name: clock.past(known[name]) for name in MOMENTS})
