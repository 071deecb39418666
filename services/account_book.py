"""The accounts of the table, as of a moment ago: each process reads them every second or two."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from services.clients.graph import Account
from services.clock import Clock
from services.errors import BusyError, ProviderNotConfiguredError
from services.memory import Memory
from services.store import AccountRow, Store, StoreAway
from services.vault import Vault

READ_EVERY = 2.0  # seconds


class AccountBook:
    """What this process knows of the table; who vanishes from it or changes in it is forgotten."""

    def __init__(self, store: Store, vault: Vault, memory: Memory, clock: Clock) -> None:
        self._store = store
        self._vault = vault
        self._memory = memory
        self._clock = clock
        self._lock = threading.Lock()
        self._rows: Mapping[str, AccountRow] | None = None  # None until the table was read
        self._named: Mapping[str, AccountRow] = {}
        self._read_at = 0.0
        self._opened: dict[bytes, Account] = {}
        memory.pulse.chores.append(self.read)  # A reply that is served ready asks nobody whose it is.

    def rows(self) -> Sequence[AccountRow]:
        """Return the accounts, the oldest first; what was known before where the store is away.

        Raises `BusyError` where it was away from the start, so that nothing is known.
        """
        # One thread reads; whoever comes meanwhile takes what was known, unless that is nothing.
        if self._is_old() and self._lock.acquire(blocking=self._rows is None):
            try:
                if self._is_old():
                    self._read()
            except StoreAway:
                if self._rows is None:
                    raise BusyError(
                        "The list of accounts cannot be read.", hint="Ask again; /readyz tells what is wrong."
                    ) from None
            finally:
                self._lock.release()
        return list((self._rows or {}).values())

    def row(self, reference: str) -> AccountRow | None:
        """Return the account with an id or a username, if it is in the table; raises `BusyError` as `rows` does."""
        self.rows()
        return (self._rows or {}).get(reference) or self._named.get(reference.removeprefix("@").lower())

    def read(self) -> None:
        """Read the table; raises `StoreAway`."""
        with self._lock:
            self._read()

    def opened(self, row: AccountRow) -> Account:
        """Return an account with its token; raise `ProviderNotConfiguredError` where no key opens it."""
        known = self._opened.get(row.token)
        if known is None or known.id != row.id or known.login != row.login:
            known = self._opened[row.token] = Account(row.id, self._vault.open(row.token), row.login)
        return known

    def closed(self) -> int:
        """Return of how many accounts no key opens the token."""
        closed = 0
        for row in self.rows():
            try:
                self.opened(row)
            except ProviderNotConfiguredError:
                closed += 1
        return closed

    def saw_username(self, account: str, username: str) -> None:
        """Note what an account is called now, if that is news."""
        row = (self._rows or {}).get(account)
        if row is None or not username or row.username == username:
            return
        try:
            self._store.accounts.rename(account, username)
        except StoreAway:
            return  # It is seen again with the next profile.

    def _is_old(self) -> bool:
        return self._rows is None or self._clock.monotonic() - self._read_at >= READ_EVERY

    def _read(self) -> None:
        before = self._rows
        now = {row.id: row for row in self._store.accounts.rows()}
        self._rows, self._read_at = now, self._clock.monotonic()
        self._named = {row.username: row for row in now.values() if row.username}
        if before is None:
            return
        opened = self._opened
        self._opened = {row.token: opened[row.token] for row in now.values() if row.token in opened}
        changed = {account for account, row in before.items() if now.get(account) != row}
        # Where one account alone needs no name, replies without a name are its own, until there is a second one.
        for account in changed | (set(before) if len(before) == 1 != len(now) else set()):
            self._memory.forget(account)
        for account in before.keys() - now.keys():
            self._store.memories.forget(account)  # Whoever asked until now may have been answered, and that kept.
