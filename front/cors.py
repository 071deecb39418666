"""CORS: which other origins may read replies, the answers to their preflight requests, and the one line of `Vary`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from routes.access import WITHOUT_KEY
from services.webhooks.handshake import WEBHOOK_PATH

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ALLOWED_HEADERS = "Accept, Authorization, Cache-Control, Content-Type, If-None-Match, X-API-Key, X-Request-Id"
EXPOSED_HEADERS = (
    "Age, Cache-Status, Content-Disposition, ETag, RateLimit, RateLimit-Policy, Retry-After, X-Insights-Sandbox, "
    "X-Provider-Calls, X-Request-Id"
)
KEY_HEADERS = ("Authorization", "X-API-Key")
PREFLIGHT_MAX_AGE = "600"  # seconds

Headers = list[tuple[str, str]]


class AllowedOrigins:
    """The origins that may read replies, or all of them (`*`)."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origins)
        self._allows_all = "*" in self._origins

    def headers(self, environ: WSGIEnvironment) -> Headers:
        """Return the CORS headers of a reply."""
        if not self._allows(environ):
            return []
        return [
            ("Access-Control-Allow-Origin", "*" if self._allows_all else environ["HTTP_ORIGIN"]),
            ("Access-Control-Expose-Headers", EXPOSED_HEADERS),
        ]

    def with_one_vary(self, environ: WSGIEnvironment, headers: Headers) -> Headers:
        """Return a reply's headers with everything that it was negotiated by in one line of `Vary`.

        Caches differ in how they read several lines; nginx keeps one of them, and would serve CSV for JSON.
        """
        path = environ.get("PATH_INFO")
        # A browser must not answer one key from what it keeps of another one.
        added: tuple[str, ...] = () if path in WITHOUT_KEY else KEY_HEADERS
        if self._origins and path != WEBHOOK_PATH:
            added += ("Origin",)
        by_name = dict(headers)
        is_each_once = len(by_name) == len(headers)
        known = (
            by_name.get("Vary", "") if is_each_once else ",".join([each for name, each in headers if name == "Vary"])
        )
        vary = _with_names(known, added)
        if not vary:
            return headers
        if is_each_once:  # It takes half the time of the other way.
            return list({**by_name, "Vary": vary}.items())
        return [*[header for header in headers if header[0] != "Vary"], ("Vary", vary)]

    def is_preflight(self, environ: WSGIEnvironment) -> bool:
        """Return whether a request is a preflight of an allowed origin, with which browsers send no credentials."""
        if environ["REQUEST_METHOD"] != "OPTIONS" or "HTTP_ACCESS_CONTROL_REQUEST_METHOD" not in environ:
            return False
        return self._allows(environ)

    def preflight(self, environ: WSGIEnvironment) -> Headers | None:
        """Return the headers that answer a preflight request, or None if it is none or its origin is not allowed."""
        if not self.is_preflight(environ):
            return None
        return [
            ("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS"),
            ("Access-Control-Allow-Headers", ALLOWED_HEADERS),
            ("Access-Control-Max-Age", PREFLIGHT_MAX_AGE),
        ]

    def _allows(self, environ: WSGIEnvironment) -> bool:
        origin = environ.get("HTTP_ORIGIN")
        # No browser calls the webhook.
        is_for_browsers = environ.get("PATH_INFO") != WEBHOOK_PATH
        return is_for_browsers and origin is not None and (self._allows_all or origin in self._origins)


@lru_cache(maxsize=64)
def _with_names(vary: str, added: tuple[str, ...]) -> str:
    """Return a value of `Vary` with further names, each once."""
    names = [name.strip() for name in vary.split(",")] if vary else []
    return ", ".join(dict.fromkeys([*names, *added]))
