"""The accounts of the table, as of a moment ago: each process reads them every one or two seconds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from services.accounts.current_tokens import CurrentTokens
from services.accounts.token_encryption import TokenEncryption
from services.cache.cache import Cache
from services.clients.graph.logins import LOGINS
from services.clients.graph.models import Account
from services.clock import Clock
from services.errors import BusyError, ProviderNotConfiguredError
from services.executors import start_if_possible
from services.store.accounts import AccountRow
from services.store.damaged_rows import log_damaged
from services.store.database import DatabaseUnavailableError
from services.store.store import Store

READ_EVERY = 2.0  # seconds
READ_WAIT = 0.5  # seconds that a request waits for newer rows when it has some

log = logging.getLogger(__name__)


class AccountRegistry:
    """What this process knows of the table; cached values of an account that is removed or changed are dropped."""

    def __init__(
        self, store: Store, token_encryption: TokenEncryption, cache: Cache, clock: Clock, *, tokens: CurrentTokens
    ) -> None:
        self._store = store
        self._encryption = token_encryption
        self._tokens = tokens
        self._cache = cache
        self._clock = clock
        self._lock = threading.Lock()
        self._rows: Mapping[str, AccountRow] | None = None  # None until the table was read
        self._named: Mapping[str, AccountRow] = {}
        self._read_at = 0.0
        self._opened: dict[bytes, Account] = {}
        self._reported: frozenset[str] = frozenset()  # accounts whose token could not be opened

    def rows(self) -> Sequence[AccountRow]:
        """Return the accounts, the oldest first; the last known ones while the database is unavailable.

        Raises `BusyError` where it was unavailable from the start, so that nothing is known.
        """
        if self._is_old() and self._rows is None:
            try:
                with self._lock:
                    if self._is_old():
                        self._read()
            except DatabaseUnavailableError:
                raise BusyError(
                    "The list of accounts cannot be read.", hint="Try again; /readyz says what is wrong."
                ) from None
        elif self._is_old() and self._lock.acquire(blocking=False):
            # One thread reads; the requests take what is known meanwhile. A database that hangs must not hold up a
            # request that can be answered without it.
            reader = start_if_possible(self._read_and_release, name="account table")
            if reader is None:
                self._lock.release()  # The next request tries again.
            else:
                reader.join(READ_WAIT)
        return list((self._rows or {}).values())

    def row(self, reference: str) -> AccountRow | None:
        """Return the account with an id or a username, if it is in the table; raises `BusyError` as `rows` does."""
        self.rows()
        return (self._rows or {}).get(reference) or self._named.get(reference.removeprefix("@").lower())

    def is_added(self, account: str) -> bool:
        """Return whether an account is in the table at this moment; raises `DatabaseUnavailableError`."""
        return self._store.accounts.has(account)

    def read(self) -> None:
        """Read the table; raises `DatabaseUnavailableError`.

        A periodic task, because a cached response is served without a look at the accounts.
        """
        with self._lock:
            self._read()

    def opened(self, row: AccountRow) -> Account:
        """Return an account with its token, refreshed or as given.

        Raises `ProviderNotConfiguredError` where no key opens it.
        """
        known = self._opened.get(row.token)
        if known is None or (known.id, known.login, known.page_id) != (row.id, row.login, row.page_id):
            token = self._encryption.open(row.token)
            known = self._opened[row.token] = Account(row.id, token, row.login, row.page_id)
        return self._tokens.of(known)

    def closed(self) -> int:
        """Return of how many accounts no key opens the token."""
        return len(self._closed()[0])

    def report_closed(self) -> None:
        """Log it once if there are accounts whose token no key opens, and again if there are others; a periodic task.

        Their jobs log nothing, because one cause concerns all of them.
        """
        try:
            number = len(self.rows())
            closed, error = self._closed()
        except BusyError:
            return
        if error is not None and not closed <= self._reported:
            extra = {"accounts": len(closed), "of": number, "reason": error.message, "next_step": error.hint}
            log.error("Tokens of accounts cannot be decrypted: these accounts cannot be read", extra=extra)
        self._reported = closed

    def _closed(self) -> tuple[frozenset[str], ProviderNotConfiguredError | None]:
        """Return the accounts whose token no key opens, and why."""
        closed, why = set(), None
        for row in self.rows():
            try:
                self.opened(row)
            except ProviderNotConfiguredError as error:
                closed.add(row.id)
                why = error
        return frozenset(closed), why

    def username(self, account: str) -> str | None:
        """Return the username of an account as the table was last read, or None; this never reads the table."""
        row = (self._rows or {}).get(account)
        return row.username or None if row is not None else None

    def saw_username(self, account: str, username: str) -> None:
        """Note the present username of an account, if it has changed."""
        row = (self._rows or {}).get(account)
        if row is None or not username or row.username == username:
            return
        try:
            self._store.accounts.rename(account, username)
        except DatabaseUnavailableError:
            return  # The next profile brings it again.

    def _is_same(self, before: AccountRow, now: AccountRow | None) -> bool:
        """Return whether an account is as it was; a token that was only encrypted with a new key is the same one."""
        if now is None or before.token == now.token:
            return now == before
        try:
            return replace(now, token=before.token) == before and self.opened(now) == self.opened(before)
        except ProviderNotConfiguredError:
            return False

    def _is_old(self) -> bool:
        return self._rows is None or self._clock.monotonic() - self._read_at >= READ_EVERY

    def _read_and_release(self) -> None:
        try:
            with suppress(DatabaseUnavailableError):
                self._read()
        finally:
            self._lock.release()

    def _read(self) -> None:
        before = self._rows
        now = {row.id: row for row in self._store.accounts.rows() if _is_readable(row)}
        self._rows, self._read_at = now, self._clock.monotonic()
        self._named = {row.username: row for row in now.values() if row.username}
        if before is None:
            return
        opened = self._opened
        self._opened = {row.token: opened[row.token] for row in now.values() if row.token in opened}
        changed = {account for account, row in before.items() if not self._is_same(row, now.get(account))}
        # A single account answers requests without a name. With a second one, cached replies to these would be wrong.
        for account in changed | (set(before) if len(before) == 1 != len(now) else set()):
            self._cache.forget(account)
        for account in before.keys() - now.keys():
            self._store.cache_entries.forget(account)  # A request that began before may have cached values.


def _is_readable(row: AccountRow) -> bool:
    """Return whether an account can be read at all; a damaged row must not stop the others."""
    if row.login in LOGINS:
        return True
    log_damaged("accounts", (row.id, row.login))
    return False
