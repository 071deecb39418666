"""Which pages of other origins may call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ALLOWED_HEADERS = "Accept, Content-Type, If-None-Match, X-Request-Id"
EXPOSED_HEADERS = "Age, Cache-Status, ETag, Retry-After, X-Insights-Sandbox, X-Provider-Calls, X-Request-Id"
PREFLIGHT_KEPT_FOR = "600"  # seconds

Headers = list[tuple[str, str]]


class Origins:
    """The origins that are let in, or all of them (`*`)."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origins)

    def headers(self, environ: WSGIEnvironment) -> Headers:
        """Return what a reply has to say about them."""
        if not self._origins:
            return []
        if not self._allow(environ):
            return [("Vary", "Origin")]
        origin = "*" if "*" in self._origins else environ["HTTP_ORIGIN"]
        return [
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", EXPOSED_HEADERS),
            ("Vary", "Origin"),
        ]

    def preflight(self, environ: WSGIEnvironment) -> Headers | None:
        """Return the answer to a browser that asks whether it may call, or None where none asks that may."""
        asks = environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        if not asks or not self._allow(environ):
            return None
        return [
            ("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS"),
            ("Access-Control-Allow-Headers", ALLOWED_HEADERS),
            ("Access-Control-Max-Age", PREFLIGHT_KEPT_FOR),
        ]

    def _allow(self, environ: WSGIEnvironment) -> bool:
        return bool(self._origins & {environ.get("HTTP_ORIGIN"), "*"}) and "HTTP_ORIGIN" in environ
