"""The ring around every request: its id, ready replies, cross-origin rules, the limits of its size, one log line."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import logs
from front.cors import Headers, Origins
from front.limits import fault_of
from front.warm import STALE_LIVES, Ready, WarmReplies, freshness_headers
from logs import request_id
from routes.errors import HTTP_CODES, error_body
from services.answers import Provenance
from services.clients import tally
from services.clients.tally import Tally
from services.clock import Clock
from services.memory import Memory, asking
from services.memory.asking import Asking, Places

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

WELL_FORMED_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
OF_A_BODY = frozenset({"Content-Length", "Content-Type"})
NO_CALLS = ("X-Provider-Calls", "0")


class Front:
    """WSGI middleware: what holds for every request, whether or not Flask ever sees it."""

    def __init__(
        self,
        app: WSGIApplication,
        *,
        memory: Memory,
        places: Places,
        clock: Clock,
        cors_origins: Sequence[str],
        sandbox: bool,
        warm_bytes: int,
        redact: Callable[[str], str],
    ) -> None:
        self._app = app
        self._memory = memory
        self._places = places
        self._clock = clock
        self._redact = redact
        self._origins = Origins(cors_origins)
        self._fixed: Headers = [("X-Insights-Sandbox", "true")] if sandbox else []
        self._warm = WarmReplies(warm_bytes)
        memory.on_change(self._warm.forget)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        started = time.perf_counter()
        given = environ.get("HTTP_X_REQUEST_ID", "")
        request = given if WELL_FORMED_ID.fullmatch(given) else uuid4().hex
        added = [("X-Request-Id", request), *self._fixed, *self._origins.headers(environ)]
        if environ["REQUEST_METHOD"] == "GET" and not environ.get("CONTENT_LENGTH"):
            ready = self._warm.find(environ, self._clock.now().timestamp())
            if ready is not None:
                return self._at_once(ready, environ, start_response, added, started)
        environ["insights.request_id"] = request
        return self._through(environ, start_response, added, started)

    def _at_once(
        self,
        ready: Ready,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        added: Headers,
        started: float,
    ) -> Iterable[bytes]:
        headers = [*ready.headers(self._clock.now().timestamp()), *added, NO_CALLS]
        status, body = _conditional(environ, ready.etag, ready.body, headers)
        start_response(status, headers)
        request = added[0][1]
        if request == environ.get("HTTP_X_REQUEST_ID"):
            request = self._redact(request)  # A caller may send anything as its id.
        # The path is one of ours, and the id has no character that JSON would escape.
        logs.write_ready(
            log,
            f'{{"time": "{logs.stamp(time.time())}", "level": "info", "logger": "{log.name}", "message": "request", '
            f'"request_id": "{request}", "method": "{environ["REQUEST_METHOD"]}", "path": "{environ["PATH_INFO"]}", '
            f'"status": {status[:3]}, "bytes": {len(body)}, '
            f'"milliseconds": {(time.perf_counter() - started) * 1000:.2f}, "cache": "hit", '
            f'"provider_calls": 0, "provider_milliseconds": 0.0}}',
        )
        return [body] if body else []

    def _through(
        self, environ: WSGIEnvironment, start_response: StartResponse, added: Headers, started: float
    ) -> Iterable[bytes]:
        """Serve a request that is not ready, and keep what comes of it."""
        request = environ["insights.request_id"]
        tick = self._memory.tick
        calls, waits = Tally(), Asking(self._places, self._clock)
        answered: list[Any] = ["500 INTERNAL SERVER ERROR", [], None]

        def start(line: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
            answered[:] = [line, headers, exc_info]
            return _unused

        request_id.set(request)
        tally.current.set(calls)
        asking.current.set(waits)
        try:
            body = _whole(self._serve(environ, start))
        finally:
            waits.end()
        status, headers, exc_info = answered
        provenance: Provenance | None = environ.get("insights.provenance")
        cache = "none"
        if provenance is not None:
            cache = "miss" if calls.calls else "hit"
            ready = self._ready(provenance, headers, body)
            whole = environ["REQUEST_METHOD"] == "GET"
            if whole and self._memory.last_change(provenance.account) <= tick:
                self._warm.keep(environ, ready)
            now = self._clock.now().timestamp()
            did = "fwd=request" if waits.not_before is not None else "fwd=miss" if calls.calls else "hit"
            headers = [*ready.fixed, *freshness_headers(provenance, now, did)]
            status, body = _conditional(environ, ready.etag, body, headers)
        start_response(status, [*headers, *added, ("X-Provider-Calls", str(calls.calls))], exc_info)
        _log_line(
            environ,
            request,
            status=int(status[:3]),
            size=len(body),
            seconds=time.perf_counter() - started,
            calls=calls,
            cache=cache,
        )
        request_id.set("")
        return [body] if body else []

    def _ready(self, provenance: Provenance, headers: Headers, body: bytes) -> Ready:
        now = self._clock.now().timestamp()
        lives_until = now + STALE_LIVES if provenance.stale else provenance.expires_at
        etag = next(value for name, value in headers if name == "ETag")
        return Ready(provenance, etag, body, headers, lives_until)

    def _serve(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        fault = fault_of(environ)
        if fault is not None:
            return _refuse(environ, start, *fault)
        preflight = self._origins.preflight(environ)
        if preflight is not None:
            start("204 No Content", preflight)
            return []
        return self._app(environ, start)


def _whole(parts: Iterable[bytes]) -> bytes:
    """Return a whole body; what made it is closed."""
    try:
        return b"".join(parts)
    finally:
        getattr(parts, "close", lambda: None)()


def _conditional(environ: WSGIEnvironment, etag: str, body: bytes, headers: Headers) -> tuple[str, bytes]:
    """Return status and body of a reply that the caller may have already; of headers, those of a body are taken out."""
    known = environ.get("HTTP_IF_NONE_MATCH")
    if known is not None and (known.strip() == "*" or etag in _tags(known)):
        headers[:] = [header for header in headers if header[0] not in OF_A_BODY]
        return "304 NOT MODIFIED", b""
    return "200 OK", b"" if environ["REQUEST_METHOD"] == "HEAD" else body


def _tags(header: str) -> set[str]:
    # A proxy that compressed the body marks the tag as weak; it is still the same numbers.
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}


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


def _unused(_data: bytes) -> object:
    raise NotImplementedError("Nothing here writes in the way that WSGI keeps for old programs.")


def _log_line(
    environ: WSGIEnvironment, request: str, *, status: int, size: int, seconds: float, calls: Tally, cache: str
) -> None:
    # The query is left out: callers put credentials there, however often they are told not to.
    log.info(
        "request",
        extra={
            "request_id": request,
            "method": environ["REQUEST_METHOD"],
            "path": environ.get("PATH_INFO", "")[:200],
            "status": status,
            "bytes": size,
            "milliseconds": round(seconds * 1000, 2),
            "cache": cache,
            "provider_calls": calls.calls,
            "provider_milliseconds": round(calls.seconds * 1000, 2),
        },
    )
