"""Who calls: the API key of a request, before anything is read for it."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from front.request_limits import Refusal
from routes.access import HOW_TO_SEND, KEY_REQUIRED, WITHOUT_KEY
from routes.errors import UNAUTHORIZED_CODE
from services.access.keys import AccessKeys
from services.caller import ANONYMOUS, Caller
from services.errors import BusyError
from services.redaction import KEY_PREFIX

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

REALM = 'Bearer realm="insights-gateway"'
SCHEME = "bearer"

KEY_MISSING = Refusal(
    HTTPStatus.UNAUTHORIZED,
    KEY_REQUIRED,
    HOW_TO_SEND,
    UNAUTHORIZED_CODE,
    (("WWW-Authenticate", REALM),),
)
# One answer for a key that never was, has expired or was revoked.
KEY_WRONG = Refusal(
    HTTPStatus.UNAUTHORIZED,
    "The API key is not valid.",
    "Check that it was copied whole, begins with igw_, and is one of this gateway and mode. It may have expired, or "
    "been revoked. The operator sees that with `make key ARGS=list`.",
    UNAUTHORIZED_CODE,
    (("WWW-Authenticate", f'{REALM}, error="invalid_token"'),),
)
TWO_KEYS = Refusal(
    HTTPStatus.BAD_REQUEST,
    "The request has two different API keys.",
    "Accepted: one key, in `Authorization: Bearer KEY` or in `X-API-Key: KEY`.",
)

FindCaller = Callable[[str, float], Caller | None]
"""Returns who sends a key at a moment."""


class Authentication:
    """Finds the caller of each request by its API key."""

    def __init__(self, keys: AccessKeys, *, allow_anonymous: bool) -> None:
        """`allow_anonymous`: a request without a key is answered too."""
        self._keys = keys
        self._without_key: Caller | Refusal = ANONYMOUS if allow_anonymous else KEY_MISSING

    def caller_of(self, environ: WSGIEnvironment, now: float) -> Caller | Refusal:
        """Return who calls at a moment (Unix seconds), or why the request is refused."""
        return self._caller_of(environ, now, self._keys.caller_of)

    def known_caller_of(self, environ: WSGIEnvironment, now: float) -> Caller | None:
        """Return who calls at a moment (Unix seconds), if the request is accepted and nothing has to be read for it."""
        found = self._caller_of(environ, now, self._keys.known_caller_of)
        return found if isinstance(found, Caller) else None

    def _caller_of(self, environ: WSGIEnvironment, now: float, find: FindCaller) -> Caller | Refusal:
        """Return who calls, or why the request is refused.

        `Authorization` of another scheme, such as the password that a proxy asked for, is none of ours, unless an API
        key is in it: one that is given and wrong is refused, also where none is needed.
        """
        authorization = environ.get("HTTP_AUTHORIZATION")
        key: str | None = environ.get("HTTP_X_API_KEY")
        if authorization is None and key is None:
            return ANONYMOUS if environ.get("PATH_INFO") in WITHOUT_KEY else self._without_key
        if environ.get("PATH_INFO") in WITHOUT_KEY:
            return ANONYMOUS
        given = None if authorization is None else _key_in(authorization)
        if given is not None:
            if key is not None and key.strip() != given:
                return TWO_KEYS
            key = given
        if key is None:
            return self._without_key
        try:
            return find(key.strip(), now) or KEY_WRONG
        except BusyError as error:
            headers = (("Retry-After", str(error.retry_after)),)
            hint = error.hint or ""
            return Refusal(HTTPStatus(error.status), error.message, hint, error.code, headers, error.retry_after)


def _key_in(authorization: str) -> str | None:
    """Return what is given as an API key, also in a form that is not accepted; None where there is none."""
    if authorization[:6].lower() == SCHEME:
        return authorization[6:].strip()
    return authorization.strip() if KEY_PREFIX in authorization.lower() else None
