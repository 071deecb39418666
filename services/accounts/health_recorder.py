"""Notes how the calls for each account end, so that its health is known without a check."""

from __future__ import annotations

import threading
from dataclasses import replace

from services.clients.guard.guard import NO_ACCOUNT, REJECTED
from services.clock import Clock
from services.errors import ProviderError
from services.store.account_health import AccountHealthTable, CallRow

ANSWERED_EVERY = 60.0  # seconds between two notes that an account answers


class HealthRecorder:
    """Notes how the calls of this process end, by account, and writes that to the database now and then."""

    def __init__(self, table: AccountHealthTable, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._lock, self._sharing = threading.Lock(), threading.Lock()
        self._news: dict[str, CallRow] = {}
        self._answered_at: dict[str, float] = {}  # as it was noted last; as many entries as there are accounts

    def ended(self, account: str, error: ProviderError | None) -> None:
        """Note how a call ended: None for answered. Of failures only a rejected token and a block count."""
        now = self._clock.timestamp()
        if account == NO_ACCOUNT:
            return
        if error is None:
            if 0 <= now - self._answered_at.get(account, 0.0) < ANSWERED_EVERY:
                return
            with self._lock:
                self._answered_at[account] = now
                self._news[account] = replace(self._news.get(account, CallRow(account)), answered_at=now)
        elif isinstance(error, REJECTED):
            with self._lock:
                self._answered_at.pop(account, None)  # The next answer is news.
                before = self._news.get(account, CallRow(account))
                self._news[account] = replace(before, rejected_at=now, rejected_as=error.code)

    def share(self) -> None:
        """Write what was noted; raises `DatabaseUnavailableError`."""
        with self._sharing:  # What another thread has taken is written when this returns.
            with self._lock:
                news, self._news = self._news, {}
            if not news:
                return
            try:
                self._table.called(news.values())
            except Exception:
                with self._lock:
                    for account, row in news.items():
                        self._news[account] = _newest(row, self._news.get(account, CallRow(account)))
                raise


def _newest(older: CallRow, newer: CallRow) -> CallRow:
    return CallRow(
        newer.account,
        newer.answered_at or older.answered_at,
        newer.rejected_at or older.rejected_at,
        newer.rejected_as or older.rejected_as,
    )
