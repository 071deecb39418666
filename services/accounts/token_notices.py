"""What is announced of tokens, in the log and by the outgoing webhook: an end that is near, and a refusal."""

from __future__ import annotations

import logging
from contextlib import nullcontext, suppress

from services.accounts.current_tokens import TokenRefusal
from services.accounts.expiry_warning_days import WARN_DAYS
from services.accounts.token_states import TokenStates, end_of
from services.cache.policies import DAY
from services.clock import Clock
from services.days import our_time
from services.notifications.events import Event
from services.notifications.notifications import Notifications
from services.store.account_tokens import AccountTokens, TokenRow
from services.store.database import DatabaseUnavailableError, Transaction

log = logging.getLogger(__name__)


class TokenNotices:
    """Announces each thing once over all processes."""

    def __init__(self, table: AccountTokens, notifications: Notifications, clock: Clock) -> None:
        self._table = table
        self._notifications = notifications
        self._clock = clock

    def refused(self, refusal: TokenRefusal, within: Transaction | None) -> None:
        """Announce a token that Instagram does not accept any more, in the transaction that notes it.

        Without one it is announced if that can be done: the database is unavailable. `CurrentTokens` logs it.
        """
        data = {"code": refusal.error.code, "reason": refusal.error.reason, "next_step": refusal.error.hint}
        with suppress(DatabaseUnavailableError) if within is None else nullcontext():
            self._notifications.put(Event.TOKEN_DEAD, data, account=refusal.account, within=within)

    def warn(self, row: TokenRow, states: TokenStates) -> None:
        """Warn of the end of a token, once for each of `WARN_DAYS`; raises `DatabaseUnavailableError`."""
        end, _ = end_of(row)
        now = self._clock.timestamp()
        near = [days for days in (*WARN_DAYS, 0) if end is not None and end - now <= days * DAY]
        if not near:
            if row.warned_days is not None:
                self._table.forget_warnings(row.account, row.fingerprint)
            return
        if row.failure is not None or (row.warned_days is not None and row.warned_days <= min(near)):
            return
        state = states.judged(row)
        data = {
            "days_left": max(0, state.days_left or 0),
            "expires_at": None if end is None else our_time(end),
            "reason": state.reason,
            "next_step": state.next_step,
        }
        with self._table.write() as connection:
            if not self._table.note_warning(connection, row, min(near)):
                return
            self._notifications.put(Event.TOKEN_EXPIRING, data, account=row.account, within=connection)
        message = "The token of an account ends soon" if min(near) else "The token of an account has ended"
        log.warning(message, extra={"account": row.account, **data})
