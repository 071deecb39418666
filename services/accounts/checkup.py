"""The check of one account as a whole, the result of which is kept for /accounts and /status."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from services.accounts.account_states import state_of
from services.accounts.checks import AccountChecks, Check
from services.clients.graph.models import Account
from services.clock import Clock
from services.store.account_health import AccountHealthTable, CheckRow
from services.store.database import DatabaseUnavailableError


class Checkup:
    """Checks accounts and keeps the results."""

    def __init__(self, checks: AccountChecks, table: AccountHealthTable, clock: Clock) -> None:
        self.checks = checks
        self._table = table
        self._clock = clock

    def of(self, account: Account, page_id: str = "") -> list[Check]:
        """Run all checks of an account and keep the result; without the database it is only returned."""
        checks = list(self.checks.of(account, page_id or account.page_id))
        row = result_of(account.id, checks, now=self._clock.timestamp())
        if row is not None:
            with suppress(DatabaseUnavailableError):
                self._table.checked(row)
        return checks


def result_of(account: str, checks: Sequence[Check], *, now: float) -> CheckRow | None:
    """Return the result of some checks: the first failure; None where failures say nothing of the account itself."""
    failed = [check for check in checks if check.ok is False]
    if not failed:
        return CheckRow(account, now)
    about = next((check for check in failed if check.code is not None and state_of(check.code) is not None), None)
    return None if about is None else CheckRow(account, now, about.code, about.message, about.next_step)
