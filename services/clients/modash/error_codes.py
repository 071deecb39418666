"""What each refusal of Modash comes to, as data: what callers get, and what the gateway does about it.

https://docs.modash.io (error codes). Codes decide; a status only where no known code comes.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.clients.error_mapping import ErrorRule, provider_error
from services.clients.guard.state import GuardedProvider
from services.errors import (
    CreatorNotFoundError,
    CreatorRefusedError,
    InsufficientCreditsError,
    ModashKeyInvalidError,
    PermissionDeniedError,
    ProviderRateLimitedError,
    ProviderRefusedError,
    ProviderUnavailableError,
    RetryStrategy,
)

NOT_FOUND, SERVER_ERROR = 404, 500
RATE_LIMIT_WAIT = 2  # seconds; Modash's usual limit is 2 requests a second
_SPELLING = "Check the spelling; the account must be public."


def _no_creator(cause: str, message: str) -> ErrorRule:
    return ErrorRule(CreatorNotFoundError, message, _SPELLING, RetryStrategy.NOTHING, cause=cause)


_KEY = ErrorRule(
    ModashKeyInvalidError,
    "Modash does not accept the key.",
    "For the operator: set MODASH_API_KEY to the key of marketer.modash.io/developer and restart.",
    RetryStrategy.NOTHING,
)
_PLAN = ErrorRule(
    PermissionDeniedError,
    "Modash forbids this call.",
    "Check the plan and the credits of the key.",
    RetryStrategy.NOTHING,
)
_SLOW_DOWN = ErrorRule(
    ProviderRateLimitedError,
    "Modash asks us to slow down.",
    "Try again when the wait is over.",
    RetryStrategy.NOTHING,
    wait=RATE_LIMIT_WAIT,
    whole_app=True,
)
MODASH_FAULT = ErrorRule(
    ProviderUnavailableError,
    "Modash has a fault on its side.",
    "Try again in a minute; nothing was charged.",
    RetryStrategy.NOTHING,
)
MODASH_REFUSED = ErrorRule(
    ProviderRefusedError, "Modash refuses the request.", "Report this with the request id.", RetryStrategy.NOTHING
)
LOOK_AT_BASE_URL = (
    "No report was made, and nothing was charged. For the operator: look at MODASH_BASE_URL, and at proxies before it."
)
MODASH_NO_ADDRESS = ErrorRule(
    ProviderRefusedError, "Modash has no such address.", LOOK_AT_BASE_URL, RetryStrategy.NOTHING
)

MODASH_RULES: Mapping[str, ErrorRule] = {
    "not_enough_credits": ErrorRule(
        InsufficientCreditsError,
        "The Modash credits are used up.",
        "Buy credits, or wait for the next month.",
        RetryStrategy.NOTHING,
    ),
    "api_token_invalid": _KEY,
    "handle_not_found": _no_creator("handle_not_found", "Modash knows no public account by that handle."),
    "account_not_found": _no_creator("account_not_found", "Modash knows no such account."),
    "account_removed": _no_creator("account_removed", "The account was removed."),
    "private_account": _no_creator("private_account", "The account is private."),
    "bad_request": ErrorRule(
        CreatorRefusedError,
        "Modash does not accept the creator.",
        "Give `url` as a handle or id.",
        RetryStrategy.NOTHING,
    ),
    "invalid_body_params": MODASH_REFUSED,
    "page_limit": MODASH_REFUSED,
    "media_not_found": _no_creator("creator_not_found", "Modash does not find the media."),
    "entity_not_found": _no_creator("creator_not_found", "Modash does not find what was requested."),
    "empty_audience": _no_creator("creator_not_found", "Modash has no data on the creator's audience."),
    "no_result": _no_creator("creator_not_found", "Modash finds nothing."),
    "feature_not_available": _PLAN,
    "rate_limit_exceeded": _SLOW_DOWN,
    "internal_server_error": MODASH_FAULT,
}
"""By the code of the answer."""

MODASH_STATUS_RULES: Mapping[int, ErrorRule] = {401: _KEY, 403: _PLAN, 429: _SLOW_DOWN}
"""By the status, where the code is not known: whatever answers, these refuse the call."""

# The words of the only documented refusal without a code, `{"error": true, "message": "User not found or invalid URL
# parameter"}`. Its status is not documented (400 and 404 are likely), and a status of 404 alone may as well come of a
# wrong base URL ("Cannot GET ..."), which says nothing about the creator. So without a code the words have to decide.
UNKNOWN_CREATOR_WORDS = "user not found"
UNKNOWN_CREATOR = _no_creator("creator_not_found", "Modash does not find the creator.")


def modash_rule(code: str | None, status: int, *, words: str, is_refusal: bool) -> ErrorRule | None:
    """Return the row for a refusal of Modash: its code decides, then its status, then its words.

    `is_refusal` says that the body has the form of Modash's refusals. None where nothing shows that Modash refuses.
    """
    if code is not None and code in MODASH_RULES:
        return MODASH_RULES[code]
    if status in MODASH_STATUS_RULES:
        return MODASH_STATUS_RULES[status]
    if not is_refusal:
        return None
    if status >= SERVER_ERROR:
        return MODASH_FAULT
    if code is None and UNKNOWN_CREATOR_WORDS in words.casefold():
        return UNKNOWN_CREATOR
    # An unknown code is a failure of the request, never of the creator.
    return MODASH_NO_ADDRESS if status == NOT_FOUND else MODASH_REFUSED


MODASH = GuardedProvider(
    "modash",
    throttled=lambda _usage: provider_error(MODASH_RULES["rate_limit_exceeded"], "modash"),
)
"""What the guard in front of Modash has to know; Modash reports no usage."""
