"""The accounts whose background reads fail for a reason that needs a person, by the kind of read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import delete, func, select

from services.store.account_tables import account_troubles
from services.store.database import Database, Transaction
from services.store.upsert import Upsert

BEGIN = Upsert(account_troubles)


class AccountTroubleTable:
    """The troubles of the gateway database.

    An account is in trouble as long as one kind of its reads is, so that one kind that works and another one that does
    not are one change of state, and not one with each read.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self) -> set[tuple[str, str]]:
        """Return each account and kind of read that is in trouble."""
        with self._database.read() as connection:
            rows = connection.execute(select(account_troubles.c.account, account_troubles.c.kind))
            return {(row.account, row.kind) for row in rows}

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Give a transaction for a change of state and its announcement."""
        with self._database.write() as connection:
            yield connection

    def begin(self, connection: Transaction, account: str, kind: str, *, code: str, now: float) -> bool:
        """Note, within a transaction, that a kind of read fails; return whether the account was well before."""
        was_well = not _number(connection, account)
        BEGIN.run(connection, {"account": account, "kind": kind, "code": code, "began_at": now})
        return was_well

    def end(self, connection: Transaction, account: str, kind: str) -> bool:
        """Note, within a transaction, that a kind of read works; return whether the account is well by that."""
        its = (account_troubles.c.account == account) & (account_troubles.c.kind == kind)
        return bool(connection.execute(delete(account_troubles).where(its)).rowcount) and not _number(
            connection, account
        )

    def forget(self, account: str) -> None:
        """Delete the troubles of an account."""
        with self._database.write() as connection:
            connection.execute(delete(account_troubles).where(account_troubles.c.account == account))


def _number(connection: Transaction, account: str) -> int:
    # One worker at a time runs the jobs of one kind of an account. Two kinds whose state changes at the same moment
    # may, in PostgreSQL, announce the change of the account twice.
    query = select(func.count()).select_from(account_troubles).where(account_troubles.c.account == account)
    return connection.execute(query).scalar_one()
