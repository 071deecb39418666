"""What Instagram's error codes mean to us: one table, one function that reads it.

https://developers.facebook.com/docs/graph-api/guides/error-handling and what live answers add to it. Codes and
subcodes decide, never texts (they are localised), but for code 10, whose two causes share everything else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import shorten

from services.clients.http import Reply
from services.clients.quota import seconds_to_regain_access
from services.errors import (
    InsufficientViewersError,
    MediaTooOldError,
    ObjectNotFoundError,
    PermissionMissingError,
    ProviderBlockedError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderRefusedError,
    ProviderUnavailableError,
    TokenExpiredError,
    TokenInvalidError,
)
from services.redaction import Redaction

LOG_IN_AGAIN = (
    "Whoever runs the gateway: make a new long-lived token (docs/set-up.md), set ACCESS_LONG_LIVED_TOKEN and restart."
)
TRY_SOON = "Try again in a minute."
UNKNOWN_THROTTLE = 900  # seconds to wait where Meta does not tell; the platform's limit is a rolling hour
POLICY_BLOCK = 86_400  # seconds
TOO_MANY, SERVER_ERROR = 429, 500
MAX_TEXT = 300  # characters of a provider's message that are passed on


@dataclass(frozen=True)
class Outcome:
    """What one code leads to; `wait` is used where no header tells the seconds."""

    error: type[ProviderError]
    message: str
    hint: str
    repeatable: bool = False
    wait: int | None = None


_THROTTLED = "Try again when the wait is over; each call before that makes it longer."
_APP_LIMIT = Outcome(
    ProviderRateLimitedError, "Instagram limits the calls of this app.", _THROTTLED, wait=UNKNOWN_THROTTLE
)
_USER_LIMIT = Outcome(
    ProviderRateLimitedError, "Instagram limits the calls of this user.", _THROTTLED, wait=UNKNOWN_THROTTLE
)
_PAGE_LIMIT = Outcome(
    ProviderRateLimitedError, "Instagram limits the calls for this page.", _THROTTLED, wait=UNKNOWN_THROTTLE
)
_ACCOUNT_LIMIT = Outcome(
    ProviderRateLimitedError, "Instagram limits the calls for this account.", _THROTTLED, wait=UNKNOWN_THROTTLE
)
_DOWN = Outcome(ProviderUnavailableError, "Instagram has a passing fault.", TRY_SOON, repeatable=True)
_PERMISSION = Outcome(
    PermissionMissingError,
    "The token does not allow this read.",
    "Log in again and grant instagram_basic, instagram_manage_insights, pages_read_engagement and pages_show_list; "
    "a token that was cut when it was pasted is refused like this too.",
)
_INVALID = Outcome(TokenInvalidError, "Instagram does not accept the token.", LOG_IN_AGAIN)

OUTCOMES: Mapping[tuple[int, int | None], Outcome] = {
    (-1, 2207086): Outcome(
        ProviderRefusedError, "The media is not shared to Facebook.", "Leave facebook_views out of the metrics."
    ),
    (1, None): _DOWN,
    (2, None): _DOWN,
    (3, None): Outcome(
        PermissionMissingError,
        "The app lacks the capability for this read.",
        "Add the Instagram product to the app, then run `make doctor`.",
    ),
    (4, None): _APP_LIMIT,
    (10, None): _PERMISSION,
    (17, None): _USER_LIMIT,
    (32, None): _PAGE_LIMIT,
    (100, 33): Outcome(
        ObjectNotFoundError,
        "Instagram has no such object, or does not show it to this token.",
        "Check the id, and that the token belongs to a user of the linked page.",
        repeatable=True,
    ),
    (100, 2108006): Outcome(
        MediaTooOldError,
        "The media was posted before the account became a professional one.",
        "It has no insights and never will.",
    ),
    (4, 2108006): Outcome(
        MediaTooOldError,
        "The media was posted before the account became a professional one.",
        "It has no insights and never will.",
    ),
    (102, None): Outcome(TokenExpiredError, "The session of the token is over.", LOG_IN_AGAIN),
    (104, None): Outcome(TokenInvalidError, "Instagram misses or refuses the token's signature.", LOG_IN_AGAIN),
    (110, 2207013): Outcome(
        ObjectNotFoundError,
        "Instagram has no public professional account by that name.",
        "Check the name; private and personal accounts cannot be read.",
    ),
    (190, None): _INVALID,
    (190, 458): Outcome(TokenInvalidError, "The user removed the app.", LOG_IN_AGAIN),
    (190, 459): Outcome(
        TokenInvalidError, "Facebook wants the user to confirm something.", "Log in at facebook.com, then try again."
    ),
    (190, 460): Outcome(TokenInvalidError, "The user changed the password.", LOG_IN_AGAIN),
    (190, 463): Outcome(TokenExpiredError, "The Instagram token has expired.", LOG_IN_AGAIN),
    (190, 464): Outcome(
        TokenInvalidError,
        "The user's Facebook account is not confirmed.",
        "Confirm it at facebook.com, then try again.",
    ),
    (190, 467): Outcome(TokenInvalidError, "The Instagram token is no longer valid.", LOG_IN_AGAIN),
    (190, 492): Outcome(
        TokenInvalidError,
        "The user has no role on the linked page any more.",
        "Give the user a role on the page, then log in again.",
    ),
    (341, None): _APP_LIMIT,
    (368, None): Outcome(
        ProviderBlockedError,
        "Instagram blocks this user for reasons of policy.",
        "Log in at facebook.com and read the notice there.",
        wait=POLICY_BLOCK,
    ),
    (613, None): _APP_LIMIT,
    (803, None): Outcome(ObjectNotFoundError, "Instagram knows nothing by that name.", "Check the id."),
    (80001, None): _PAGE_LIMIT,
    (80002, None): _ACCOUNT_LIMIT,
}
_VIEWERS = Outcome(
    InsufficientViewersError, "Too few people have seen the media yet.", "Try again when more people have seen it."
)
_PERMISSION_CODES = range(200, 300)


def outcome_of(code: int, subcode: int | None, text: str) -> Outcome | None:
    """Return the table's row for a refusal, or None where Meta's code is not in it."""
    if code == 10 and "viewers" in text.lower():  # noqa: PLR2004
        return _VIEWERS
    if code in _PERMISSION_CODES:
        return _PERMISSION
    return OUTCOMES.get((code, subcode)) or OUTCOMES.get((code, None))


def failure(error: Mapping[str, object], reply: Reply, redaction: Redaction) -> ProviderError:
    """Return the failure that an error envelope (its inner object) stands for."""
    code, subcode = _number(error.get("code")), _number(error.get("error_subcode"))
    text = shorten(redaction(str(error.get("message", ""))), MAX_TEXT, placeholder=" ...")
    reference = str(error.get("fbtrace_id", ""))[:MAX_TEXT] or None
    outcome = None if code is None else outcome_of(code, subcode, text)
    if outcome is None and reply.status == TOO_MANY:
        return throttled(reply)
    if outcome is None:
        transient = error.get("is_transient") is True or (code is None and reply.status >= SERVER_ERROR)
        kind = ProviderUnavailableError if transient else ProviderRefusedError
        return kind(
            f"Instagram refuses the request: {text or 'without a reason'}",
            provider="instagram",
            hint=TRY_SOON if transient else "Run `make doctor`; if all is well there, report this with its reference.",
            reference=reference,
            repeatable=transient,
            words=text or None,
        )
    wait = seconds_to_regain_access(reply.headers) or outcome.wait if outcome.wait else None
    return outcome.error(
        outcome.message,
        provider="instagram",
        hint=outcome.hint,
        reference=reference,
        retry_after=wait,
        repeatable=outcome.repeatable,
        words=text or None,
    )


def throttled(reply: Reply) -> ProviderRateLimitedError:
    """Return the failure that status 429 stands for where no code says more."""
    return ProviderRateLimitedError(
        _APP_LIMIT.message,
        provider="instagram",
        hint=_APP_LIMIT.hint,
        retry_after=seconds_to_regain_access(reply.headers) or UNKNOWN_THROTTLE,
    )


def _number(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,9}", value, re.ASCII):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
