"""What is known of the token of each account: when it ends, why it is refused, and the refreshed token itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, case, delete, or_, select, update

from services.store.account_tables import account_tokens
from services.store.database import Database, Transaction
from services.store.upsert import Upsert, excluded

KEY = ("account", "fingerprint")
NEVER_ENDS = 0.0  # as Meta writes it; no column can hold infinity


class TokenRow(NamedTuple):
    """One token, by its fingerprint, of one account.

    `given_fingerprint` is that of the token that a person gave, from which this one descends by refreshing. `sealed` is
    the token itself, encrypted, where it is not the given one; `pending` is one that a refresh brought and that has not
    been answered yet. Moments are Unix seconds; an end of `NEVER_ENDS` is none, None is an unknown one.
    """

    account: str
    fingerprint: str
    given_fingerprint: str
    seen_at: float
    written_at: float
    sealed: bytes | None = None
    pending: bytes | None = None
    pending_expires_at: float | None = None
    issued_at: float | None = None
    expires_at: float | None = None
    data_access_expires_at: float | None = None
    refresh_due_at: float | None = None  # no refresh before: the last one was refused
    kind: str | None = None
    scopes: str | None = None  # comma-separated
    missing_scopes: str | None = None
    state: str = "unknown"
    reason: str | None = None
    failure: str | None = None  # JSON of the refusal, for as long as no call is made with the token
    failed_with: str | None = None  # the settings of the calls that were refused, as a fingerprint
    checked_at: float | None = None
    warned_days: int | None = None

    def __repr__(self) -> str:
        return f"TokenRow({self.account}, {self.state})"


class SealedToken(NamedTuple):
    """An encrypted token and where it is: `column` of a row of this table, or None for the table of accounts."""

    account: str
    fingerprint: str
    column: str | None
    sealed: bytes


def _values_to_put() -> Mapping[str, ColumnElement[Any]]:
    """Return what a row takes from another one, but for warnings and a refusal."""
    stored = account_tokens.c
    replaced = set(TokenRow._fields) - {*KEY, "seen_at", "warned_days", "failure", "failed_with"}
    new = {name: excluded(stored[name]) for name in sorted(replaced)}
    is_as_read = stored.failure.is_not_distinct_from(excluded(stored.failure))
    return new | {name: case((is_as_read, new[name]), else_=stored[name]) for name in ("state", "reason")}


PUT = Upsert(account_tokens, replace=_values_to_put())
REPLACE = Upsert(account_tokens, replace=[name for name in TokenRow._fields if name not in KEY])


class AccountTokens:
    """The tokens of the gateway database; a token that is replaced has no row for long."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, account: str, fingerprint: str) -> TokenRow | None:
        """Return what is known of a token."""
        query = _columns().where(_is(account, fingerprint))
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else TokenRow(**row._asdict())

    def end_of(self, fingerprint: str) -> float | None:
        """Return when a token ends (Unix seconds), whichever account it is of; None where that is unknown or never."""
        its = account_tokens.c.fingerprint == fingerprint
        query = select(account_tokens.c.expires_at).where(its, account_tokens.c.expires_at != NEVER_ENDS)
        with self._database.read() as connection:
            end: float | None = connection.execute(query).scalar()
        return end

    def all(self) -> list[TokenRow]:
        """Return every token."""
        return self.written_since(None)

    def written_since(self, moment: float | None) -> list[TokenRow]:
        """Return the tokens whose row was written since a moment, or all of them."""
        query = _columns() if moment is None else _columns().where(account_tokens.c.written_at >= moment)
        with self._database.read() as connection:
            return [TokenRow(**row._asdict()) for row in connection.execute(query).all()]

    def put(self, row: TokenRow) -> None:
        """Write what is known of a token, but for warnings and a refusal: another process may have noted one since.

        State and reason belong to the refusal. So they are written only if that is the one that the row was read with.
        """
        self._database.upsert(PUT, row._asdict())

    def replace(self, row: TokenRow) -> None:
        """Write a new token and delete the others of its account, in one transaction."""
        with self._database.write() as connection:
            REPLACE.run(connection, row._asdict())
            connection.execute(delete(account_tokens).where(_others(row.account, (row.fingerprint,))))

    def keep_only(self, account: str, fingerprint: str) -> None:
        """Delete the tokens of an account that it does not use any more, and those of an account unknown by then."""
        others = _others(account, (fingerprint,))
        with self._database.read() as connection:
            if connection.execute(select(account_tokens.c.account).where(others)).first() is None:
                return
        with self._database.write() as connection:
            connection.execute(delete(account_tokens).where(others))

    def forget(self, account: str, *, but: str | None = None) -> None:
        """Delete the tokens of an account that is no longer here, but those that descend from a given one."""
        gone = and_(account_tokens.c.account == account, account_tokens.c.given_fingerprint != (but or ""))
        with self._database.write() as connection:
            connection.execute(delete(account_tokens).where(gone))

    def note_failure(self, row: TokenRow, on_new: Callable[[Transaction], None] | None = None) -> bool:
        """Write that a token is refused; return whether that is new. What else is known of it stays.

        `on_new` is called in the same transaction if it is new.
        """
        names = ("failure", "failed_with", "state", "reason", "written_at", "checked_at")
        is_new = or_(
            account_tokens.c.failure.is_(None),
            account_tokens.c.failed_with != row.failed_with,
            account_tokens.c.reason != row.reason,
        )
        with self._database.write() as connection:
            note = Upsert(account_tokens, replace=names, only_if=is_new, returning=[account_tokens.c.account])
            is_written = note.run(connection, row._asdict()).first() is not None
            if is_written and on_new is not None:
                on_new(connection)
            return is_written

    def accepted(self, row: TokenRow) -> bool:
        """Note that a token is accepted again; return False where it was refused otherwise than `row` says by then."""
        values = {"failure": None, "failed_with": None, "reason": None}
        mine = _is(row.account, row.fingerprint), account_tokens.c.failure.is_not_distinct_from(row.failure)
        with self._database.write() as connection:
            return bool(connection.execute(update(account_tokens).where(*mine).values(values)).rowcount)

    def write(self) -> AbstractContextManager[Transaction]:
        """Give a transaction, so that a warning and its event are kept together."""
        return self._database.write()

    def note_warning(self, connection: Transaction, row: TokenRow, days: int) -> bool:
        """Note that an end was warned of; return False where another process has warned of it so late before."""
        is_later = or_(account_tokens.c.warned_days.is_(None), account_tokens.c.warned_days > days)
        mine = update(account_tokens).where(_is(row.account, row.fingerprint), is_later)
        return bool(connection.execute(mine.values(warned_days=days)).rowcount)

    def forget_warnings(self, account: str, fingerprint: str) -> None:
        """Note that the end of a token was moved, so that it is warned of again."""
        mine = _is(account, fingerprint) & account_tokens.c.warned_days.is_not(None)
        with self._database.write() as connection:
            connection.execute(update(account_tokens).where(mine).values(warned_days=None))

    def sealed(self) -> list[SealedToken]:
        """Return every encrypted token: refreshed ones, and those that were not answered yet."""
        return [
            SealedToken(row.account, row.fingerprint, column, sealed)
            for row in self.all()
            for column, sealed in (("sealed", row.sealed), ("pending", row.pending))
            if sealed is not None
        ]

    def reseal(self, token: SealedToken, again: bytes) -> bool:
        """Replace an encrypted token by the same one under another key; return False if it changed meanwhile."""
        is_unchanged = account_tokens.c[str(token.column)] == token.sealed
        statement = update(account_tokens).where(_is(token.account, token.fingerprint), is_unchanged)
        with self._database.write() as connection:
            return bool(connection.execute(statement.values({str(token.column): again})).rowcount)


def _is(account: str, fingerprint: str) -> ColumnElement[bool]:
    return and_(account_tokens.c.account == account, account_tokens.c.fingerprint == fingerprint)


def _others(account: str, fingerprints: Collection[str]) -> Any:
    is_of_account = account_tokens.c.account.in_(("", account))
    return is_of_account & account_tokens.c.fingerprint.not_in(fingerprints)


def _columns() -> Any:
    return select(*(account_tokens.c[name] for name in TokenRow._fields))
