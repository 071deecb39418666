"""Accounts in trouble: their background reads fail for a reason that needs a person."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import Final

from services.clock import Clock
from services.errors import ObjectNotFoundError, PermissionDeniedError, ProviderBlockedError, ProviderError
from services.notifications.events import Event
from services.notifications.notifications import Notifications
from services.store.account_troubles import AccountTroubleTable
from services.store.database import DatabaseUnavailableError

# A dead token has an event of its own.
NEEDS_A_PERSON = (PermissionDeniedError, ObjectNotFoundError, ProviderBlockedError)
READ_AGAIN: Final = 60.0  # seconds after which what other workers have noted is read

log = logging.getLogger(__name__)


class AccountTroubles:
    """Announces each account that gets into trouble, and out of it, once."""

    def __init__(self, table: AccountTroubleTable, notifications: Notifications, *, clock: Clock) -> None:
        self._table = table
        self._notifications = notifications
        self._clock = clock
        self._lock = threading.Lock()
        self._known: set[tuple[str, str]] = set()
        self._read_at: float | None = None  # monotonic

    def failed(self, account: str, kind: str, error: ProviderError) -> None:
        """Note that a kind of background read of an account (id) failed."""
        if not isinstance(error, NEEDS_A_PERSON):
            return  # It says nothing about the account: the provider is down, for example.
        with suppress(DatabaseUnavailableError):
            self._begin(account, kind, error)

    def worked(self, account: str, kind: str) -> None:
        """Note that a kind of background read of an account (id) worked."""
        with suppress(DatabaseUnavailableError):
            if (account, kind) in self._troubles():
                self._end(account, kind)

    def removed(self, account: str) -> None:
        """Forget the troubles of an account (id) that was removed, which is neither well nor in trouble."""
        with suppress(DatabaseUnavailableError):
            self._table.forget(account)
        with self._lock:
            self._known = {each for each in self._known if each[0] != account}

    def _begin(self, account: str, kind: str, error: ProviderError) -> None:
        if (account, kind) in self._troubles():
            return
        now = self._clock.timestamp()
        with self._table.write() as connection:
            if self._table.begin(connection, account, kind, code=error.code, now=now):
                data = {"code": error.code, "message": error.message, "next_step": error.hint}
                self._notifications.put(Event.ACCOUNT_TROUBLE, data, account=account, within=connection)
                log.warning("An account needs a person", extra={"account": account, "code": error.code})
        with self._lock:
            self._known.add((account, kind))

    def _end(self, account: str, kind: str) -> None:
        with self._table.write() as connection:
            if self._table.end(connection, account, kind):
                self._notifications.put(Event.ACCOUNT_RECOVERED, {}, account=account, within=connection)
                log.info("An account can be read again", extra={"account": account})
        with self._lock:
            self._known.discard((account, kind))

    def _troubles(self) -> set[tuple[str, str]]:
        """Return what is known, which is read once a minute: jobs that work must not cost a query each."""
        now = self._clock.monotonic()
        with self._lock:
            if self._read_at is None or now - self._read_at >= READ_AGAIN:
                self._known = self._table.known()
                self._read_at = now
            return set(self._known)
