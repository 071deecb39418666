"""The accounts that were added with `make account`, each with its encrypted token."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, select, update

from services.store.account_tables import account_health, accounts
from services.store.database import Database
from services.store.upsert import Upsert


@dataclass(frozen=True)
class AccountRow:
    """One account: `username` in lower case and `page_id` may be empty; `added_at` in Unix seconds."""

    id: str
    username: str
    login: str
    page_id: str
    token: bytes = field(repr=False)
    added_at: float


PUT = Upsert(accounts, replace=("username", "login", "page_id", "token"))


class AccountTable:
    """The accounts of the gateway database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rows(self) -> list[AccountRow]:
        """Return all accounts, the oldest first."""
        with self._database.read() as connection:
            found = connection.execute(select(accounts).order_by(accounts.c.added_at, accounts.c.id)).all()
        return [
            AccountRow(row.id, row.username, row.login, row.page_id, bytes(row.token), row.added_at) for row in found
        ]

    def has(self, account: str) -> bool:
        """Return whether an account is there."""
        with self._database.read() as connection:
            return connection.execute(select(accounts.c.id).where(accounts.c.id == account)).first() is not None

    def put(self, row: AccountRow) -> None:
        """Add an account, or replace everything but the time at which it was first added.

        What was known of its health was known by another token.
        """
        with self._database.write() as connection:
            self._release_username(connection, row.username, row.id)
            connection.execute(delete(account_health).where(account_health.c.account == row.id))
            PUT.run(connection, vars(row))

    def reseal(self, account: str, sealed: bytes, again: bytes) -> bool:
        """Replace an encrypted token by the same one under another key; return False if it changed meanwhile."""
        mine = (accounts.c.id == account) & (accounts.c.token == sealed)
        with self._database.write() as connection:
            return bool(connection.execute(update(accounts).where(mine).values(token=again)).rowcount)

    def rename(self, account: str, username: str) -> None:
        """Set the username of an account; another account that had it has an unknown username from now on."""
        with self._database.write() as connection:
            self._release_username(connection, username, account)
            connection.execute(update(accounts).where(accounts.c.id == account).values(username=username))

    def remove(self, account: str) -> bool:
        """Delete an account, and what is known of its health; return whether it existed."""
        with self._database.write() as connection:
            connection.execute(delete(account_health).where(account_health.c.account == account))
            return bool(connection.execute(delete(accounts).where(accounts.c.id == account)).rowcount)

    def _release_username(self, connection: Connection, username: str, account: str) -> None:
        others = (accounts.c.username == username) & (accounts.c.id != account)
        connection.execute(update(accounts).where(others).values(username=""))
