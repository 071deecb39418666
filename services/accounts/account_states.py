"""The health of an account: whether it can be read, why not, and the next step; from what is known, without a call.

Three sources, each with its own time, and the newest counts: how the calls for the account ended (noted in
`services/accounts/health_recorder.py`), the last check (`AccountChecks`), and what the provider limits at the moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from typing_extensions import TypedDict

from services.accounts.checks import (
    DATA_ACCESS_EXPIRED,
    INSIGHTS_NOT_ANSWERED,
)
from services.accounts.current_tokens import TOKEN_REFUSED
from services.accounts.diagnosis import (
    ADS_PERMISSION_MISSING,
    APP_NOT_ACCEPTED,
    INSIGHTS_PERMISSION_MISSING,
    OF_TOKENS,
    PAGE_ROLE_MISSING,
    SCOPES_MISSING,
    SCOPES_OF_OTHER_LOGIN,
)
from services.clients.graph.error_codes import INSTAGRAM_RULES
from services.days import our_time
from services.errors import (
    PASSING,
    PermissionDeniedError,
    ProviderBlockedError,
    ProviderError,
    ProviderNotConfiguredError,
)
from services.store.account_health import HealthRow

BLOCKED = INSTAGRAM_RULES[368, None]
NEEDS_LOGIN = frozenset({*(error.code for error in TOKEN_REFUSED), DATA_ACCESS_EXPIRED, PAGE_ROLE_MISSING})
NEEDS_PERMISSION = frozenset(
    {
        *(PermissionDeniedError.code, SCOPES_MISSING, INSIGHTS_NOT_ANSWERED, SCOPES_OF_OTHER_LOGIN),
        *(INSIGHTS_PERMISSION_MISSING, ADS_PERMISSION_MISSING),
    }
)
ABOUT_THE_APP = frozenset({APP_NOT_ACCEPTED})
SAYS_NOTHING = ABOUT_THE_APP | {each.code for each in PASSING}
NOT_DECRYPTED = "token_not_decrypted"  # the reason of an account whose token no key of TOKEN_KEY opens
NOT_CHECKED = "not_checked"
DATABASE_UNAVAILABLE = (
    "database_unavailable",
    "The database is unavailable.",
    "Try again; /readyz says what is wrong.",
)


class HealthState(StrEnum):
    """What a caller has to expect of an account; from the worst to the best."""

    NEEDS_LOGIN = "needs_login"
    NOT_READABLE = "not_readable"
    PERMISSIONS_MISSING = "permissions_missing"
    EXPIRING = "expiring"
    THROTTLED = "throttled"
    UNKNOWN = "unknown"
    OK = "ok"


class Health(TypedDict):
    """Whether an account can be read. `reason` is a code, `message` says the same in words; both null while it is ok.

    `checked_at` is the time of the last check, `answered_at` (to a minute) that of the last call that was answered.
    """

    state: Literal["ok", "expiring", "throttled", "needs_login", "permissions_missing", "not_readable", "unknown"]
    reason: str | None
    message: str | None
    next_step: str | None
    checked_at: str | None
    answered_at: str | None


@dataclass(frozen=True)
class TokenNews:
    """What is known of a token beside the calls that it was sent with: a warning, or that it is of no use any more."""

    state: HealthState
    reason: str
    message: str
    next_step: str


def health_of(
    account: str,
    known: HealthRow | None,
    *,
    renewal: str,
    token: TokenNews | None = None,
    throttled_until: float | None = None,
    failure: ProviderError | None = None,
    is_known: bool = True,
) -> Health:
    """Return the health of an account.

    `failure` says why its token cannot be had at all, `throttled_until` (Unix seconds) until when no call is made.
    `is_known` is False where the database is unavailable.
    """
    known = known or HealthRow(account)
    if not is_known and failure is None:
        finding: Finding = (HealthState.UNKNOWN, *DATABASE_UNAVAILABLE)
    else:
        found = _findings(
            account, known, renewal=renewal, token=token, throttled_until=throttled_until, failure=failure
        )
        finding = next(found)
    state, reason, message, next_step = finding
    return {
        "state": state.value,
        "reason": reason,
        "message": message,
        "next_step": next_step,
        "checked_at": None if known.checked_at is None else our_time(known.checked_at),
        "answered_at": None if known.answered_at is None else our_time(known.answered_at),
    }


Finding = tuple[HealthState, str | None, str | None, str | None]


def _findings(
    account: str,
    known: HealthRow,
    *,
    renewal: str,
    token: TokenNews | None,
    throttled_until: float | None,
    failure: ProviderError | None,
) -> Iterator[Finding]:
    """Yield what there is to say of an account, the most important first."""
    if failure is not None:
        reason = NOT_DECRYPTED if isinstance(failure, ProviderNotConfiguredError) else failure.code
        yield HealthState.NOT_READABLE, reason, failure.message, failure.hint
    if token is not None and token.state is HealthState.NEEDS_LOGIN:
        yield token.state, token.reason, token.message, token.next_step
    answered, checked = known.answered_at or 0.0, known.checked_at or 0.0
    if (rejected := known.rejected_at or 0.0) > max(answered, checked):
        if known.rejected_as == ProviderBlockedError.code:
            yield HealthState.NOT_READABLE, known.rejected_as, BLOCKED.message, BLOCKED.hint
        message = f"Instagram has rejected the token since {our_time(rejected)}."
        yield HealthState.NEEDS_LOGIN, known.rejected_as, message, renewal
    # Only a check reads insights, so an answered call says nothing of a missing permission.
    state = None if known.failed_as is None else state_of(known.failed_as)
    if state is HealthState.PERMISSIONS_MISSING or (state is not None and checked > answered):
        yield state, known.failed_as, known.failure, known.next_step
    if token is not None:
        yield token.state, token.reason, token.message, token.next_step
    if throttled_until is not None:
        until = our_time(throttled_until)
        message = f"Instagram limits the calls of this account until {until}."
        yield HealthState.THROTTLED, "provider_rate_limited", message, f"Wait until {until}."
    if not answered and not checked:
        next_step = f'For the operator: `make account ARGS="check {account}"`.'
        yield HealthState.UNKNOWN, NOT_CHECKED, "The account was not read yet.", next_step
    yield HealthState.OK, None, None, None


def needs_login(known: HealthRow) -> bool:
    """Return whether an account cannot be read until its token is replaced, by its last call or check."""
    found = _findings(known.account, known, renewal="", token=None, throttled_until=None, failure=None)
    return next(found)[0] is HealthState.NEEDS_LOGIN


def state_of(code: str) -> HealthState | None:
    """Return the state of an account of which a check failed with a code; None where it says nothing of the account."""
    if code in NEEDS_LOGIN or code.startswith(OF_TOKENS):
        return HealthState.NEEDS_LOGIN
    if code in NEEDS_PERMISSION:
        return HealthState.PERMISSIONS_MISSING
    return None if code in SAYS_NOTHING else HealthState.NOT_READABLE
