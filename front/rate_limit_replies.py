"""The limits of requests a minute: the headers that name them, and the reply beyond them."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

from front.caller_address import caller_of, network_of
from front.cors import Headers
from front.request_limits import Refusal
from routes.access import WITHOUT_LIMIT
from routes.errors import RATE_LIMITED_CODE
from services.access.rate_limits import FAILURE, KEY, WINDOW, RateStatus, RequestRates
from services.caller import Caller

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class RateLimits:
    """Counts each request before it is answered, also from the ready replies."""

    def __init__(self, rates: RequestRates) -> None:
        self._rates = rates

    def check(self, environ: WSGIEnvironment, caller: Caller, headers: Headers) -> Refusal | None:
        """Count a request, and add the headers that say what is left of its limit; return the refusal beyond it."""
        if environ.get("PATH_INFO") in WITHOUT_LIMIT:
            return None
        status = self._rates.count(caller, _address_of(environ) if caller.is_anonymous else "")
        if status is None:
            return None
        headers += headers_of(status)
        return None if status.is_allowed else _refusal(status)

    def refusal_of_failure(self, environ: WSGIEnvironment, refusal: Refusal) -> Refusal:
        """Count a failed authentication; return its refusal, or another one for an address with too many of them.

        A valid key is accepted all the same: else one caller with a wrong key would lock out all those behind the same
        address, and no number of attempts finds 256 random bits.
        """
        if refusal.status != HTTPStatus.UNAUTHORIZED:
            return refusal
        status = self._rates.count_failure(_address_of(environ))
        return refusal if status.is_allowed else _refusal(status)


def headers_of(status: RateStatus) -> Headers:
    """Return the fields of draft-ietf-httpapi-ratelimit-headers (its versions 8 to 11) for a limit."""
    return [
        ("RateLimit-Policy", _policy(status.policy, status.limit)),
        ("RateLimit", f'"{status.policy}";r={status.remaining};t={status.reset}'),
    ]


@lru_cache(maxsize=256)
def _policy(name: str, limit: int) -> str:
    return f'"{name}";q={limit};w={WINDOW}'


def _refusal(status: RateStatus) -> Refusal:
    if status.policy == FAILURE:
        message = f"More than {status.limit} requests in a minute had no valid API key."
        hint = "Check the key, then try again after `retry_after` seconds. Requests with a valid key are answered."
    else:
        of = "This API key" if status.policy == KEY else "This address"
        message = f"{of} may send {status.limit} requests a minute, and has sent them."
        hint = "Try again after `retry_after` seconds; the header RateLimit says what is left."
    return Refusal(
        HTTPStatus.TOO_MANY_REQUESTS,
        message,
        hint,
        RATE_LIMITED_CODE,
        (("Retry-After", str(status.reset)),),
        status.reset,
    )


def _address_of(environ: WSGIEnvironment) -> str:
    return network_of(caller_of(environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", "")))
