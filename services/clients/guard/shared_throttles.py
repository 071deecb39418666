"""Throttles are shared by all processes: one that was refused stops the calls of all, also after a restart."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Protocol

from services.clients.guard.probe import Moment
from services.clients.guard.throttle import SharedThrottle, Throttle

LOOK_EVERY = 0.1  # seconds; a look costs less than a thousandth of that, and a provider call many times more
LOOK_WAIT = 0.5  # seconds for another thread's look, which a database that hangs may hold up


class ThrottleNotStorableError(Exception):
    """The store refuses a change, and would refuse it again."""


class ThrottleStore(Protocol):
    """Where throttles are kept, by account; an unavailable one is no failure here."""

    def read(self) -> Mapping[str, SharedThrottle] | None:
        """Return the throttles in force; None if the store is unavailable."""

    def begin(self, account: str, throttle: SharedThrottle) -> bool:
        """Keep a throttle; return False if the store is unavailable. Raises `ThrottleNotStorableError`."""

    def claim_probe(self, account: str) -> bool:
        """Return whether this process may make the probe that is due."""

    def end(self, account: str, *, began_at: float) -> bool:
        """Remove a throttle; return False if the store is unavailable. Raises `ThrottleNotStorableError`."""


class Sharing:
    """Keeps the throttles of one guard equal to those of the store; safe for threads.

    `throttle_of` returns the throttle of an account; it is only called with the guard's `lock`. Reading and writing
    take turns, so that what was read is never older than what this process has written.
    """

    def __init__(
        self,
        store: ThrottleStore,
        throttle_of: Callable[[str], Throttle],
        *,
        lock: threading.Lock,
        now: Callable[[], Moment],
    ) -> None:
        self._store = store
        self._throttle_of = throttle_of
        self._lock = lock
        self._now = now
        self._turn = threading.Lock()
        self._looked_at = -LOOK_EVERY
        self._known: set[str] = set()  # accounts with a throttle in the store
        self._unwritten: set[str] = set()  # accounts whose change the store did not take
        self._refused: set[str] = set()  # accounts whose change the store never takes, so that it holds here alone

    @property
    def has_looked(self) -> bool:
        """Whether the throttles were read before."""
        return self._looked_at > 0

    def look(self) -> None:
        """Take over what other processes have written, unless that was done just now."""
        if self._is_recent() or not self._turn.acquire(timeout=LOOK_WAIT):
            return
        try:
            if not self._is_recent():
                self._write(set(self._unwritten))
                self._read()
                # Also after a failure: an unavailable database is not asked before each call.
                self._looked_at = monotonic()
        finally:
            self._turn.release()

    def publish(self, *accounts: str) -> None:
        """Write the throttles of accounts that have changed."""
        with self._lock:
            changed = {account for account in accounts if self._throttle_of(account).is_changed}
        if changed:
            with self._turn:
                self._write(changed)

    def may_probe(self, account: str) -> bool:
        """Return whether this process may make the probe of an account's throttle, and not another one."""
        return self._store.claim_probe(account)

    def _is_recent(self) -> bool:
        return monotonic() - self._looked_at < LOOK_EVERY

    def _read(self) -> None:
        found = self._store.read()
        if found is None:
            return
        with self._lock:
            now = self._now()
            for account in found.keys() | self._known:
                throttle, row = self._throttle_of(account), found.get(account)
                if account not in self._refused or (row is not None and row.began_at > throttle.since):
                    throttle.adopt(row, now)
                    self._refused.discard(account)
        self._known = set(found)

    def _write(self, accounts: Iterable[str]) -> None:
        for account in accounts:
            with self._lock:
                throttle = self._throttle_of(account)
                shared, began_at, throttle.is_changed = throttle.shared(), throttle.since, False
            self._refused.discard(account)
            try:
                if shared is not None:
                    is_written = self._store.begin(account, shared)
                    self._known.add(account)
                else:
                    is_written = self._store.end(account, began_at=began_at)
            except ThrottleNotStorableError:
                self._refused.add(account)
                is_written = True
            if is_written:
                self._unwritten.discard(account)
            else:
                self._unwritten.add(account)
                with self._lock:
                    throttle.is_changed = True
