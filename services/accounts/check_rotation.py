"""The worker's checks: each account once a day, some at a time, so that /accounts and /status need no call."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from services.accounts.account_states import needs_login
from services.accounts.checkup import Checkup
from services.accounts.resolver import AccountResolver
from services.clock import Clock
from services.store.account_health import AccountHealthTable, HealthRow

EVERY = 60.0  # seconds between two rounds
CHECKED_EVERY = 86_400.0  # seconds
AT_LEAST = 5  # accounts in a round


class CheckRotation:
    """Checks the accounts that were not checked for the longest time."""

    def __init__(
        self,
        accounts: AccountResolver,
        checkup: Checkup,
        table: AccountHealthTable,
        *,
        may_work: Callable[[str], bool],
        clock: Clock,
    ) -> None:
        """Build it; `may_work` says whether background work may call for an account now."""
        self._accounts = accounts
        self._checkup = checkup
        self._table = table
        self._may_work = may_work
        self._clock = clock

    def run(self) -> int:
        """Check the accounts that are due in this round; return how many.

        One whose token is rejected is not checked again until it has another one. Raises `BusyError` and
        `DatabaseUnavailableError`.
        """
        accounts, known = self._accounts.all(), self._table.rows()
        due_before = self._clock.timestamp() - CHECKED_EVERY
        last = {account.id: _last_checked(known.get(account.id)) for account in accounts}
        due = [account for account in accounts if last[account.id] <= due_before and self._may_work(account.id)]
        due.sort(key=lambda account: last[account.id])
        most = max(AT_LEAST, ceil(len(accounts) * EVERY / CHECKED_EVERY))
        for account in due[:most]:
            self._checkup.of(account)
        return len(due[:most])


def _last_checked(row: HealthRow | None) -> float:
    """Return when an account was last checked; never is 0, and infinity stands for one that is not to be checked."""
    if row is None:
        return 0.0
    return float("inf") if needs_login(row) else row.checked_at or 0.0
