"""What each refusal of the providers comes to, as data: what callers are told, and what the gateway does about it.

Instagram: https://developers.facebook.com/docs/graph-api/guides/error-handling and what live answers add to it. Codes
and subcodes decide, never texts (they are localised), but for code 10, whose two causes share everything else.
Modash: https://docs.modash.io (error codes). Codes decide; a status only where no known code comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.errors import (
    CreatorNotFoundError,
    CreatorRefusedError,
    InsufficientCreditsError,
    InsufficientViewersError,
    MediaTooOldError,
    ModashKeyInvalidError,
    ObjectNotFoundError,
    PermissionMissingError,
    ProviderBlockedError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderRefusedError,
    ProviderUnavailableError,
    Remedy,
    TokenExpiredError,
    TokenInvalidError,
)


@dataclass(frozen=True)
class Outcome:
    """One row: `wait` is told as retry_after (seconds) where no header of the provider tells another."""

    error: type[ProviderError]
    message: str
    hint: str
    remedy: Remedy = Remedy.STOP
    wait: int | None = None
    cause: str | None = None  # the code callers get, where the class has several
    whole_app: bool = False  # whether every account has to wait


LOG_IN_AGAIN = (
    "Whoever runs the gateway: make a new long-lived token (docs/set-up.md), then set "
    "ACCESS_LONG_LIVED_TOKEN and restart, or add the account again with `make account`."
)
TRY_SOON = "Try again in a minute."
UNKNOWN_THROTTLE = 900  # seconds to wait where Meta does not tell; the platform's limit is a rolling hour
POLICY_BLOCK = 86_400  # seconds
RATE_LIMIT_WAIT = 2  # seconds; Modash's usual limit is 2 requests a second


def _throttled(of: str) -> Outcome:
    return Outcome(
        ProviderRateLimitedError,
        f"Instagram limits the calls of this {of}.",
        "Try again when the wait is over; each call before that makes it longer.",
        wait=UNKNOWN_THROTTLE,
        whole_app=of == "app",
    )


def _token(message: str, hint: str = LOG_IN_AGAIN) -> Outcome:
    return Outcome(TokenInvalidError, message, hint)


PERMISSION = Outcome(
    PermissionMissingError,
    "The token does not allow this read.",
    "Log in again and grant every permission that docs/set-up.md names; "
    "a token that was cut when it was pasted is refused like this too.",
)
_TOO_OLD = Outcome(
    MediaTooOldError,
    "The media was posted before the account became a professional one.",
    "It has no insights and never will.",
    Remedy.NOTHING,
)
_DOWN = Outcome(ProviderUnavailableError, "Instagram has a passing fault.", TRY_SOON, Remedy.TRY_AGAIN)

INSTAGRAM: Mapping[tuple[int, int | None], Outcome] = {
    (-1, 2207086): Outcome(
        ProviderRefusedError,
        "The media is not shared to Facebook.",
        "Leave facebook_views out of the metrics.",
        Remedy.SPLIT,
    ),
    (1, None): Outcome(ProviderUnavailableError, _DOWN.message, TRY_SOON, Remedy.SHRINK),
    (2, None): _DOWN,
    (3, None): Outcome(
        PermissionMissingError,
        "The app lacks the capability for this read.",
        "Add the Instagram product to the app, then run `make doctor`.",
    ),
    (4, None): _throttled("app"),
    (4, 2108006): _TOO_OLD,
    (10, None): PERMISSION,
    (17, None): _throttled("user"),
    (32, None): _throttled("page"),
    (100, None): Outcome(
        ProviderRefusedError,
        "Instagram refuses the request.",
        "Run `make doctor`; if all is well there, report this with its reference.",
        Remedy.SPLIT,
    ),
    (100, 33): Outcome(
        ObjectNotFoundError,
        "Instagram has no such object, or does not show it to this token.",
        "Check the id, and that the token belongs to a user of the linked page.",
        Remedy.TRY_AGAIN,
    ),
    (100, 2108006): _TOO_OLD,
    (102, None): Outcome(TokenExpiredError, "The session of the token is over.", LOG_IN_AGAIN),
    (104, None): _token("Instagram misses the token, or refuses its signature."),
    (110, 2207013): Outcome(
        ObjectNotFoundError,
        "Instagram has no public professional account by that name.",
        "Check the name; private and personal accounts cannot be read.",
    ),
    (190, None): _token("Instagram does not accept the token."),
    (190, 458): _token("The user removed the app."),
    (190, 459): _token("Facebook wants the user to confirm something.", "Log in at facebook.com, then try again."),
    (190, 460): _token("The user changed the password."),
    (190, 463): Outcome(TokenExpiredError, "The Instagram token has expired.", LOG_IN_AGAIN),
    (190, 464): _token("The user's Facebook account is not confirmed.", "Confirm it at facebook.com, then try again."),
    (190, 467): _token("The Instagram token is no longer valid."),
    (190, 492): _token(
        "The user has no role on the linked page any more.", "Give the user a role on the page, then log in again."
    ),
    (341, None): _throttled("app"),
    (368, None): Outcome(
        ProviderBlockedError,
        "Instagram blocks this user for reasons of policy.",
        "Log in at facebook.com and read the notice there.",
        wait=POLICY_BLOCK,
    ),
    (506, None): Outcome(
        ProviderRefusedError, "Instagram takes the request for a repeated post.", "Report this with its reference."
    ),
    (613, None): _throttled("app"),
    (803, None): Outcome(ObjectNotFoundError, "Instagram knows nothing by that name.", "Check the id."),
    (2500, None): Outcome(
        ProviderRefusedError,
        "Instagram does not understand the request.",
        "Check GRAPH_API_VERSION; if it is right, report this with its reference.",
    ),
    (9005, 1452042): Outcome(
        ProviderRefusedError, "The media is no video.", "Leave the copyright check out.", Remedy.NOTHING
    ),
    (36104, None): Outcome(
        ProviderRefusedError, "Instagram tells the views of other accounts only.", "Ask for the insights instead."
    ),
    (80001, None): _throttled("page"),
    (80002, None): _throttled("account"),
}
"""By code and subcode; None stands for every other subcode."""

VIEWERS = Outcome(
    InsufficientViewersError,
    "Too few people have seen the media yet.",
    "Try again when more people have seen it.",
    Remedy.NOTHING,
)
"""Code 10 with the words "not enough viewers"."""

PERMISSION_CODES = range(200, 300)
"""Every code of this range is a missing permission."""


def instagram_outcome(code: int | None, subcode: int | None, text: str) -> Outcome | None:
    """Return the row for a refusal of Instagram, or None where its code is unknown."""
    if code is None:
        return None
    if code == 10 and "viewers" in text.lower():  # noqa: PLR2004
        return VIEWERS
    if code in PERMISSION_CODES:
        return PERMISSION
    return INSTAGRAM.get((code, subcode)) or INSTAGRAM.get((code, None))


_SPELLING = "Check the spelling; the account must be public."


def _no_creator(cause: str, message: str) -> Outcome:
    return Outcome(CreatorNotFoundError, message, _SPELLING, Remedy.NOTHING, cause=cause)


_KEY = Outcome(
    ModashKeyInvalidError,
    "Modash does not accept the key.",
    "Whoever runs the gateway: set MODASH_API_KEY to the key of marketer.modash.io/developer and restart.",
    Remedy.NOTHING,
)
_PLAN = Outcome(
    PermissionMissingError, "Modash forbids this call.", "Check the plan and the credits of the key.", Remedy.NOTHING
)
_SLOW_DOWN = Outcome(
    ProviderRateLimitedError,
    "Modash asks us to slow down.",
    "Try again when the wait is over.",
    Remedy.NOTHING,
    wait=RATE_LIMIT_WAIT,
    whole_app=True,
)
_FAULT = Outcome(
    ProviderUnavailableError,
    "Modash has a fault on its side.",
    "Try again in a minute; nothing was charged.",
    Remedy.NOTHING,
)
UNCERTAIN = "The call may have been charged: look at the balance (`make doctor`) before you ask again."
MODASH_FAULT = Outcome(ProviderUnavailableError, _FAULT.message, UNCERTAIN, Remedy.NOTHING)
MODASH_REFUSED = Outcome(
    ProviderRefusedError, "Modash refuses the request.", "Report this with the request id.", Remedy.NOTHING
)

MODASH: Mapping[str, Outcome] = {
    "not_enough_credits": Outcome(
        InsufficientCreditsError,
        "The Modash credits are used up.",
        "Buy credits, or wait for the next month.",
        Remedy.NOTHING,
    ),
    "api_token_invalid": _KEY,
    "handle_not_found": _no_creator("handle_not_found", "Modash knows no public account by that handle."),
    "account_not_found": _no_creator("account_not_found", "Modash knows no such account."),
    "account_removed": _no_creator("account_removed", "The account was removed."),
    "private_account": _no_creator("private_account", "The account is private."),
    "bad_request": Outcome(
        CreatorRefusedError, "Modash does not accept the creator.", "Give `url` as a handle or id.", Remedy.NOTHING
    ),
    "invalid_body_params": MODASH_REFUSED,
    "page_limit": MODASH_REFUSED,
    "media_not_found": _no_creator("creator_not_found", "Modash does not find the media."),
    "entity_not_found": _no_creator("creator_not_found", "Modash does not find what was asked for."),
    "empty_audience": _no_creator("creator_not_found", "Modash has nothing about the creator's audience."),
    "no_result": _no_creator("creator_not_found", "Modash finds nothing."),
    "feature_not_available": _PLAN,
    "rate_limit_exceeded": _SLOW_DOWN,
    "internal_server_error": _FAULT,
}
"""By the code of the answer."""

MODASH_STATUS: Mapping[int, Outcome] = {
    401: _KEY,
    403: _PLAN,
    404: _no_creator("creator_not_found", "Modash does not find the creator."),
    429: _SLOW_DOWN,
}
"""By the status, where the code is not known."""


def modash_outcome(code: str | None, status: int) -> Outcome:
    """Return the row for a refusal of Modash: its code decides, then its status."""
    if code is not None and code in MODASH:
        return MODASH[code]
    if status in MODASH_STATUS:
        return MODASH_STATUS[status]
    return MODASH_FAULT if status >= 500 else MODASH_REFUSED  # noqa: PLR2004
