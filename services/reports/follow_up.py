"""Asks again for reports that were not ready; the worker calls it when that is due."""

from __future__ import annotations

import logging
from collections.abc import Callable

from services.caller import ANONYMOUS, ANONYMOUS_NAME, Caller
from services.errors import CreatorNotFoundError, ProviderError
from services.reports.errors import CreditBudgetReachedError, CreditLimitReachedError
from services.reports.purchase_decision import ReportState
from services.reports.purchase_policy import PurchasePolicy
from services.reports.purchasing import ReportPurchasing
from services.store.database import DatabaseUnavailableError

UNCERTAIN = "charge_uncertain"  # The call for the report never came back.
KEY_GONE = "unauthorized"  # The API key that caused the report has expired or was revoked.

log = logging.getLogger(__name__)


class FollowUp:
    """The further attempts for a report that Modash was still making when a caller asked for it."""

    def __init__(
        self, purchasing: ReportPurchasing, policy: PurchasePolicy, *, named: Callable[[str], Caller | None]
    ) -> None:
        """`named` gives the caller with a key (id) as it is now, or None where the key is not accepted any more."""
        self._purchasing = purchasing
        self._policy = policy
        self._named = named

    def attempt(self, creator: str, *, key: str = ANONYMOUS_NAME) -> float | None:
        """Ask for a report if that is due, for the key (id) that caused it.

        Return when the next attempt is due (Unix seconds), or None for never.

        Never means: the report has come, there is no such creator, the key is not accepted any more, the credits of
        the month or of the key are spent, the last attempt was made, or a call for it never came back. The moment is
        past where an attempt could not be made.
        """
        caller = ANONYMOUS if key == ANONYMOUS_NAME else self._named(key)
        known = self._purchasing.look_up(creator)
        if caller is None:
            log.warning("A report that was not ready is given up, because its key is not accepted any more")
            return self._stop(known.name, KEY_GONE)
        if known.record.pending is not None and known.state in (ReportState.BUY, ReportState.IN_FLIGHT):
            try:
                self._purchasing.buy(known.name, asked=creator, caller=caller)
            except (CreatorNotFoundError, CreditLimitReachedError, CreditBudgetReachedError) as error:
                log.warning("A report that was not ready is given up", extra={"code": error.code})
                return self._stop(known.name, error.code)
            except ProviderError as error:
                log.warning("A report that was not ready could not be asked for", extra={"code": error.code})
            known = self._purchasing.look_up(creator)
        pending = known.record.pending
        if known.state is ReportState.DATABASE_UNAVAILABLE:
            return 0.0
        if pending is None or known.state in (ReportState.KEPT, ReportState.GIVEN_UP):
            return None
        if known.state is ReportState.UNCERTAIN:
            return self._stop(known.name, UNCERTAIN)
        return self._policy.asked_again_at(pending.asked_at, pending.attempts)

    def _stop(self, name: str, code: str) -> float | None:
        try:
            self._purchasing.forget_pending(name, code=code)
        except DatabaseUnavailableError:
            return 0.0
        return None
