"""The accounts that were added with `make account`, each with its token, encrypted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from services.store.database import Database
from services.store.schema import accounts


@dataclass(frozen=True)
class AccountRow:
    """One account: `username` in lower case and `page_id` may be empty; `added_at` in Unix seconds."""

    id: str
    username: str
    login: str
    page_id: str
    token: bytes = field(repr=False)
    added_at: float


class AccountTable:
    """The accounts of the gateway database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect: Any = postgresql if database.is_postgresql else sqlite

    def rows(self) -> list[AccountRow]:
        """Return all accounts, the oldest first."""
        with self._database.read() as connection:
            found = connection.execute(select(accounts).order_by(accounts.c.added_at, accounts.c.id)).all()
        return [
            AccountRow(row.id, row.username, row.login, row.page_id, bytes(row.token), row.added_at) for row in found
        ]

    def put(self, row: AccountRow) -> None:
        """Add an account, or replace everything of it but the moment at which it was added first."""
        insert = self._dialect.insert(accounts).values(vars(row))
        replaced = {name: insert.excluded[name] for name in ("username", "login", "page_id", "token")}
        with self._database.write() as connection:
            self._give(connection, row.username, row.id)
            connection.execute(insert.on_conflict_do_update(index_elements=[accounts.c.id], set_=replaced))

    def rename(self, account: str, username: str) -> None:
        """Note the username that an account has now; whoever had it before has another one, which is not known."""
        with self._database.write() as connection:
            self._give(connection, username, account)
            connection.execute(update(accounts).where(accounts.c.id == account).values(username=username))

    def remove(self, account: str) -> bool:
        """Delete an account; return whether there was one."""
        with self._database.write() as connection:
            return bool(connection.execute(delete(accounts).where(accounts.c.id == account)).rowcount)

    def _give(self, connection: Any, username: str, account: str) -> None:
        others = (accounts.c.username == username) & (accounts.c.id != account)
        connection.execute(update(accounts).where(others).values(username=""))
