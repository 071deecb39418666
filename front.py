"""The ring around every request: its id, cross-origin rules, the limits of its size, and one log line."""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from logs import request_id
from routes.errors import HTTP_CODES, error_body
from services.clients import tally
from services.clients.tally import Tally

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

WELL_FORMED_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
MAX_URL = 8000  # characters of path and query; no sensible request comes near
MAX_BODY = 64 * 1024  # bytes; no endpoint takes a body yet
ALLOWED_HEADERS = "Accept, Content-Type, X-Request-Id"
EXPOSED_HEADERS = "Retry-After, X-Insights-Sandbox, X-Provider-Calls, X-Request-Id"
PREFLIGHT_KEPT_FOR = "600"  # seconds

Headers = list[tuple[str, str]]


class Front:
    """WSGI middleware: what holds for every request, whether or not Flask ever sees it."""

    def __init__(self, app: WSGIApplication, *, cors_origins: Sequence[str], sandbox: bool) -> None:
        self._app = app
        self._origins = frozenset(cors_origins)
        self._sandbox = sandbox

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        started = time.perf_counter()
        given = environ.get("HTTP_X_REQUEST_ID", "")
        request = given if WELL_FORMED_ID.fullmatch(given) else uuid.uuid4().hex
        environ["insights.request_id"] = request
        added: Headers = [("X-Request-Id", request), *self._cors(environ)]
        if self._sandbox:
            added.append(("X-Insights-Sandbox", "true"))
        status = "500"
        calls = Tally()

        def start(line: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
            nonlocal status
            status = line[:3]
            counted = ("X-Provider-Calls", str(calls.calls))
            return start_response(line, [*headers, *added, counted], exc_info)

        request_id.set(request)
        tally.current.set(calls)
        body = self._serve(environ, start)
        return _Logged(body, lambda size: _log_line(environ, int(status), size, time.perf_counter() - started, calls))

    def _serve(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        fault = _fault(environ)
        if fault is not None:
            return _refuse(environ, start, *fault)
        preflight = environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        if preflight and self._allows(environ):
            start(
                "204 No Content",
                [
                    ("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS"),
                    ("Access-Control-Allow-Headers", ALLOWED_HEADERS),
                    ("Access-Control-Max-Age", PREFLIGHT_KEPT_FOR),
                ],
            )
            return []
        return self._app(environ, start)

    def _allows(self, environ: WSGIEnvironment) -> bool:
        return bool(self._origins & {environ.get("HTTP_ORIGIN"), "*"}) and "HTTP_ORIGIN" in environ

    def _cors(self, environ: WSGIEnvironment) -> Headers:
        if not self._origins:
            return []
        if not self._allows(environ):
            return [("Vary", "Origin")]
        origin = "*" if "*" in self._origins else environ["HTTP_ORIGIN"]
        return [
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", EXPOSED_HEADERS),
            ("Vary", "Origin"),
        ]


class _Logged:
    """A reply's body that, when the server has sent it, says how large it was."""

    def __init__(self, body: Iterable[bytes], done: Callable[[int], None]) -> None:
        self._body = body
        self._done = done
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        for part in self._body:
            self._size += len(part)
            yield part

    def close(self) -> None:
        try:
            getattr(self._body, "close", lambda: None)()
        finally:
            self._done(self._size)
            request_id.set("")


def _fault(environ: WSGIEnvironment) -> tuple[HTTPStatus, str, str] | None:
    """Return what is wrong with a request before anybody looks at what it asks for, and what is accepted."""
    if len(environ.get("PATH_INFO", "")) + len(environ.get("QUERY_STRING", "")) > MAX_URL:
        return HTTPStatus.REQUEST_URI_TOO_LONG, "The URL is too long.", f"Accepted: at most {MAX_URL} characters."
    if not _is_utf_8(environ.get("QUERY_STRING", "")):
        return HTTPStatus.BAD_REQUEST, "The query is not UTF-8.", "Accepted: UTF-8, percent-encoded."
    if "HTTP_TRANSFER_ENCODING" in environ:
        hint = "Accepted: no body, or one with Content-Length."
        return HTTPStatus.BAD_REQUEST, "The body's length is not told.", hint
    length = environ.get("CONTENT_LENGTH") or "0"
    if not re.fullmatch(r"\d{1,20}", length, re.ASCII):
        return HTTPStatus.BAD_REQUEST, "Content-Length is not a length.", "Accepted: a whole number of bytes."
    if int(length) > MAX_BODY:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.", f"Accepted: at most {MAX_BODY} bytes."
    return None


def _refuse(
    environ: WSGIEnvironment, start: StartResponse, status: HTTPStatus, message: str, hint: str
) -> Iterable[bytes]:
    body = error_body(HTTP_CODES[status], message, hint=hint, request_id=environ["insights.request_id"])
    data = json.dumps(body).encode()
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(data))),
        ("Cache-Control", "no-store"),
    ]
    start(f"{status.value} {status.phrase}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [data]


def _is_utf_8(text: str) -> bool:
    try:
        text.encode("latin-1").decode()
    except UnicodeDecodeError:
        return False
    return True


def _log_line(environ: WSGIEnvironment, status: int, size: int, seconds: float, calls: Tally) -> None:
    # The query is left out: callers put credentials there, however often they are told not to.
    log.info(
        "request",
        extra={
            "request_id": environ["insights.request_id"],
            "method": environ["REQUEST_METHOD"],
            "path": environ.get("PATH_INFO", "")[:200],
            "status": status,
            "bytes": size,
            "milliseconds": round(seconds * 1000, 2),
            "provider_calls": calls.calls,
            "provider_milliseconds": round(calls.seconds * 1000, 2),
        },
    )
