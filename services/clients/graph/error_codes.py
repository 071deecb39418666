"""What each refusal of Instagram becomes, as data: what callers get, and what the gateway does about it.

https://developers.facebook.com/docs/graph-api/guides/error-handling and what live answers add to it. Codes and
subcodes decide, never texts (they are localised), but for codes 10, 200 and 2500, whose causes share everything else.

Only a code that Meta gives for a part of a request (`SPLIT`) can refuse a metric. A code about the app, the token or
the caller, and one that is not listed, is a failure of the whole request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from services.clients.error_mapping import TRY_SOON, ErrorRule
from services.clients.guard.throttle import ASSUMED_THROTTLE
from services.errors import (
    InsufficientViewersError,
    MediaTooOldError,
    ObjectNotFoundError,
    PermissionDeniedError,
    ProviderBlockedError,
    ProviderRateLimitedError,
    ProviderRefusedError,
    ProviderUnavailableError,
    RetryStrategy,
    TokenExpiredError,
    TokenInvalidError,
)

LOG_IN_AGAIN = (
    "For the operator: make a new long-lived token (docs/set-up.md). For the account of .env set "
    "ACCESS_LONG_LIVED_TOKEN to it and restart; for an added account run `make connect`."
)
"""Where it is not known whose token it is; else `CurrentTokens` puts the step that fits in its place."""
NOT_ACCEPTED, SESSION_INVALID, REVOKED = "not_accepted", "session_invalid", "revoked"
CHECKPOINT, UNCONFIRMED, ROLE_MISSING = "checkpoint", "unconfirmed_user", "role_missing"
REPAIRABLE = frozenset({CHECKPOINT, UNCONFIRMED})
"""Why a token is refused that its user can make good at facebook.com: the same token is accepted again after that."""
WITH_OWN_STEP = REPAIRABLE | {ROLE_MISSING}
"""Why a token is refused whose row says what to do; after every other reason it has to be replaced."""

POLICY_BLOCK = 86_400  # seconds


def _throttled(of: str, *, whole_app: bool = False) -> ErrorRule:
    return ErrorRule(
        ProviderRateLimitedError,
        f"Instagram limits the calls of this {of}.",
        "Try again when the wait is over; every call during the wait extends it.",
        wait=ASSUMED_THROTTLE,
        whole_app=whole_app,
    )


def _refused_app(message: str, hint: str) -> ErrorRule:
    return ErrorRule(ProviderRefusedError, message, hint)


def _token(message: str, hint: str = LOG_IN_AGAIN, *, reason: str) -> ErrorRule:
    return ErrorRule(TokenInvalidError, message, hint, reason=reason)


def _expired(message: str, *, reason: str) -> ErrorRule:
    return ErrorRule(TokenExpiredError, message, LOG_IN_AGAIN, reason=reason)


PERMISSION = ErrorRule(
    PermissionDeniedError,
    "The token does not allow this read.",
    "Log in again and grant every permission that docs/set-up.md names; "
    "a token that was cut when it was pasted is refused like this too.",
)
_TOO_OLD = ErrorRule(
    MediaTooOldError,
    "The media was posted before the account became a professional one.",
    "It has no insights and never will.",
    RetryStrategy.NOTHING,
)
_DOWN = ErrorRule(ProviderUnavailableError, "Instagram has a temporary fault.", TRY_SOON, RetryStrategy.TRY_AGAIN)

INSTAGRAM_RULES: Mapping[tuple[int, int | None], ErrorRule] = {
    (-1, 2207073): ErrorRule(
        ProviderRefusedError,
        "Instagram does not give this metric for this type of media.",
        "Leave the metric out.",
        RetryStrategy.SPLIT,
        reason="not_for_product_type",
    ),
    (-1, 2207086): ErrorRule(
        ProviderRefusedError,
        "The media is not shared to Facebook.",
        "Leave facebook_views and crossposted_views out of the metrics.",
        RetryStrategy.SPLIT,
        reason="not_shared_to_facebook",
    ),
    (1, None): ErrorRule(ProviderUnavailableError, _DOWN.message, TRY_SOON, RetryStrategy.SHRINK),
    (2, None): _DOWN,
    (3, None): ErrorRule(
        PermissionDeniedError,
        "The app lacks the capability for this read.",
        "Add the Instagram product to the app, then run `make doctor`.",
    ),
    (4, None): _throttled("app", whole_app=True),
    (4, 2108006): _TOO_OLD,
    (5, None): _refused_app(
        "Instagram does not accept calls from this address.", "Check the app's list of server addresses at Meta."
    ),
    (10, None): PERMISSION,
    (12, None): _refused_app("Instagram does not offer this call any more.", "Check GRAPH_API_VERSION."),
    (17, None): _throttled("user"),
    (24, None): _refused_app(
        "Instagram does not let this app make the call.", "Check the app's products and its access level at Meta."
    ),
    (32, None): _throttled("page"),
    (100, None): ErrorRule(
        ProviderRefusedError,
        "Instagram refuses the request.",
        "Run `make doctor`; if all is well there, report this with its reference.",
        RetryStrategy.SPLIT,
    ),
    (100, 33): ErrorRule(
        ObjectNotFoundError,
        "Instagram has no such object, or does not show it to this token.",
        "Check the id, and that the token belongs to a user of the linked page. Of another account's post, also of a "
        "collaboration, Instagram gives insights to its owner only. A story that is over, and was never seen here, is "
        "refused like an id that does not exist.",
        RetryStrategy.TRY_AGAIN,
    ),
    (100, 2108006): _TOO_OLD,
    (101, None): _refused_app("Instagram does not know the app.", "Check APP_ID and that the app is live at Meta."),
    (102, None): _expired("The session of the token is over.", reason="session_over"),
    (104, None): _token("The call has no token, or its signature is wrong.", reason=NOT_ACCEPTED),
    (110, 2207013): ErrorRule(
        ObjectNotFoundError,
        "Instagram has no public professional account by that name.",
        "Check the name; private and personal accounts cannot be read.",
    ),
    (190, None): _token("Instagram does not accept the token.", reason=NOT_ACCEPTED),
    (190, 450): _expired("The session of the token is over.", reason="session_over"),
    (190, 452): _token("The session of the token is not valid.", reason=SESSION_INVALID),
    (190, 458): _token("The user removed the app.", reason="app_removed"),
    (190, 459): _token(
        "Facebook asks the user to confirm something.", "Log in at facebook.com, then try again.", reason=CHECKPOINT
    ),
    (190, 460): _token("The user changed the password.", reason="password_changed"),
    (190, 463): _expired("The Instagram token has expired.", reason="expired"),
    (190, 464): _token(
        "The user's Facebook account is not confirmed.",
        "Confirm it at facebook.com, then try again.",
        reason=UNCONFIRMED,
    ),
    (190, 467): _token("The Instagram token is no longer valid.", reason=REVOKED),
    (190, 492): _token(
        "The user has no role on the linked page any more.",
        "Give the user a role on the page, then log in again.",
        reason=ROLE_MISSING,
    ),
    (341, None): _throttled("app", whole_app=True),
    (368, None): ErrorRule(
        ProviderBlockedError,
        "Instagram blocks this user for reasons of policy.",
        "Log in at facebook.com and read the notice there.",
        wait=POLICY_BLOCK,
    ),
    (450, None): _expired("The session of the token is over.", reason="session_over"),
    (452, None): _token("The session of the token is not valid.", reason=SESSION_INVALID),
    (506, None): ErrorRule(
        ProviderRefusedError,
        "Instagram treats the request as a duplicate post.",
        "Report this with its reference.",
    ),
    (613, None): _throttled("app", whole_app=True),
    (803, None): ErrorRule(ObjectNotFoundError, "Instagram has no object with that id.", "Check the id."),
    (2500, None): ErrorRule(
        ProviderRefusedError,
        "Instagram does not understand the request.",
        "Check GRAPH_API_VERSION; if it is right, report this with its reference.",
    ),
    (2635, None): _refused_app(
        "Instagram does not serve this version of its API.", "Set GRAPH_API_VERSION to a newer one."
    ),
    (9005, 1452042): ErrorRule(
        ProviderRefusedError, "The media is not a video.", "Leave the copyright check out.", RetryStrategy.NOTHING
    ),
    (36104, None): ErrorRule(
        ProviderRefusedError, "Instagram gives the views of other accounts only.", "Request the insights instead."
    ),
    (80001, None): _throttled("page"),
    (80002, None): _throttled("account"),
}
"""By code and subcode; None is every other subcode."""

VIEWERS = ErrorRule(
    InsufficientViewersError,
    "Too few people have seen the media yet.",
    "Instagram gives numbers once 5 people have seen it; a story is asked for again after 10 minutes.",
    RetryStrategy.NOTHING,
)
"""Code 10 with the words "not enough viewers"."""

PERMISSION_OR_VIEWERS = "permission_or_viewers"
_UNCLEAR = replace(PERMISSION, reason=PERMISSION_OR_VIEWERS)
"""Code 10 in other words, which may be localised, so that they do not show which of the two it is."""

NO_TOKEN = _token("The call has no access token, or one that is not accepted.", reason=NOT_ACCEPTED)
"""Codes 2500 and 200 with words about a missing token."""

UNKNOWN = ErrorRule(
    ProviderRefusedError,
    "Instagram refuses the request.",
    "Run `make doctor`; if all is well there, report this with its reference.",
)
"""Every code that is not listed: nothing shows that it is about a metric."""

NO_TOKEN_WORDS = ((2500, "active access token"), (200, "provide valid app id"))
PERMISSION_CODES = range(200, 300)
"""Every code of this range is a missing permission."""

THROTTLE_CODES = range(80_000, 80_015)
"""Every code of this range is a limit of one business use case."""


def instagram_rule(code: int | None, subcode: int | None, text: str) -> ErrorRule | None:
    """Return the row for a refusal of Instagram, or None where its code is unknown."""
    if code is None:
        return None
    if code == 10 and "viewers" in text.lower():  # noqa: PLR2004
        return VIEWERS
    if code == 10 and "permission" not in text.lower():  # noqa: PLR2004
        return _UNCLEAR
    if any(code == each and words in text.lower() for each, words in NO_TOKEN_WORDS):
        return NO_TOKEN
    if code in PERMISSION_CODES:
        return PERMISSION
    usual = INSTAGRAM_RULES[80_002, None] if code in THROTTLE_CODES else None
    return INSTAGRAM_RULES.get((code, subcode)) or INSTAGRAM_RULES.get((code, None), usual)
