"""WSGI middleware around Flask: request id, cached responses, CORS, request limits, one log line a request."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from werkzeug.http import parse_etags, unquote_etag

from front.authentication import Authentication
from front.cors import AllowedOrigins, Headers
from front.host_and_origin_check import HostAndOriginCheck
from front.rate_limit_replies import RateLimits
from front.request_ids import request_id
from front.request_limits import Refusal, has_body, refusal_of
from front.request_log import log_answered, log_forwarded
from front.response_cache import CachedResponse, ResponseCache, freshness_headers
from routes.access import REFRESH, asks_for_refresh, may_refresh
from routes.errors import HTTP_CODES, SECURITY_HEADERS, error_body, redacted
from services import request_context
from services.answers import Provenance
from services.cache.cache import Cache
from services.caller import ANONYMOUS, UNIDENTIFIED, Caller
from services.clock import Clock
from services.monitoring.measurements import UNMATCHED, Measurements
from services.monitoring.metric_families import RESPONSE_CACHE_BYTES
from services.redaction import Redaction
from services.request_context import RequestContext, Turns
from services.waiting_slots import WaitingSlots

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

BODY_HEADERS = frozenset({"Content-Length", "Content-Type"})
NO_CALLS = ("X-Provider-Calls", "0")
NOT_REFRESHED = "; detail=refresh-not-permitted"  # of a caller that may not refresh, in Cache-Status
NOT_STORED = ("Cache-Control", "no-store")
# Bytes of a body that is answered without a thread: what a slow reader has not taken yet is a copy for each connection.
MOST_READY = 64 * 1024


class Front:
    """Serves every request: from the response cache without Flask, else by forwarding it to Flask."""

    def __init__(
        self,
        app: WSGIApplication,
        *,
        authentication: Authentication,
        rates: RateLimits,
        cache: Cache,
        waiting_slots: WaitingSlots,
        measurements: Measurements,
        clock: Clock,
        host: str,
        allowed_hosts: Sequence[str],
        cors_origins: Sequence[str],
        sandbox: bool,
        response_cache_bytes: int,
        request_deadline: float,
        redaction: Redaction,
    ) -> None:
        self._app = app
        self._authentication = authentication
        self._rates = rates
        self._cache = cache
        self._waiting_slots = waiting_slots
        self._turns = Turns()
        self._measurements = measurements
        self._clock = clock
        self._request_deadline = request_deadline
        self._redaction = redaction
        self._checks = HostAndOriginCheck(hosts=allowed_hosts, bound=host, origins=cors_origins)
        self._origins = AllowedOrigins(cors_origins)
        self._fixed_headers: Headers = [*SECURITY_HEADERS, *([("X-Insights-Sandbox", "true")] if sandbox else [])]
        self._responses = ResponseCache(response_cache_bytes)
        cache.on_change(self._responses.invalidate)
        measurements.register_gauges(lambda: {RESPONSE_CACHE_BYTES: self._responses.bytes_used})

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request: by a ready reply, or by the application, whose reply is kept if the services allow it."""
        started = time.perf_counter()
        request = request_id(environ.get("HTTP_X_REQUEST_ID"), self._redaction.reply)
        headers = self._headers(environ, request)
        now = self._clock.timestamp()
        caller, refusal = self._admitted(environ, headers, now)
        if refusal is None and environ["REQUEST_METHOD"] == "GET" and not has_body(environ):
            if asks_for_refresh(environ):
                environ[REFRESH] = may_refresh(caller, environ)
            cached = None if environ.get(REFRESH) else self._responses.get(environ, now, scope=caller.cache_scope)
            if cached is not None:
                return self._answer(
                    environ, start_response, cached, headers, request, now=now, started=started, caller=caller
                )
        refusal = refusal or refusal_of(environ)
        environ["insights.request_id"] = request
        # What changes from here on may not be in the reply, so the reply is then not cached.
        tick = self._cache.tick
        reply = _Reply()
        context = RequestContext(
            request,
            started_at=now,
            waiting_slots=self._waiting_slots,
            caller=caller,
            seconds=self._request_deadline,
            monotonic=self._clock.monotonic,
        )
        request_context.current.set(context)
        try:
            if environ["REQUEST_METHOD"] == "GET":
                context.take_turn(self._turns)
            if refusal is not None:
                parts = _refuse(environ, reply.start, refusal, self._redaction)
            elif (preflight := self._origins.preflight(environ)) is not None:
                reply.start("204 No Content", preflight)
                parts = []
            else:
                parts = self._app(environ, reply.start)
            return self._finish(
                environ, start_response, reply, parts, headers, context=context, tick=tick, started=started
            )
        finally:
            context.end()
            request_context.current.set(None)

    def may_be_ready(self, target: str) -> bool:
        """Return whether a GET of a target, as it stands in a request line, may have a ready reply without a key."""
        return self._responses.has_target(target, scope=ANONYMOUS.cache_scope)

    def ready_reply(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes] | None:
        """Answer a GET without a body from the response cache, without ever waiting; None: call this object instead.

        It is for the thread of the server that all connections share. Nothing is counted or logged where it is None.
        """
        started = time.perf_counter()
        now = self._clock.timestamp()
        if self._checks.refusal_of(environ) is not None or asks_for_refresh(environ):
            return None
        caller = self._authentication.known_caller_of(environ, now)
        cached = None if caller is None else self._responses.get(environ, now, scope=caller.cache_scope)
        if caller is None or cached is None or len(cached.body) > MOST_READY:
            return None
        request = request_id(environ.get("HTTP_X_REQUEST_ID"), self._redaction.reply)
        headers = self._headers(environ, request)
        if self._rates.check(environ, caller, headers) is not None:
            return None
        return self._answer(environ, start_response, cached, headers, request, now=now, started=started, caller=caller)

    @property
    def cached_bytes(self) -> int:
        """The bytes of all replies in the response cache, with what leads to them."""
        return self._responses.bytes_used

    def _headers(self, environ: WSGIEnvironment, request: str) -> Headers:
        """Return the headers that each reply has."""
        return [("X-Request-Id", request), *self._fixed_headers, *self._origins.headers(environ)]

    def _answer(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        cached: CachedResponse,
        headers: Headers,
        request: str,
        *,
        now: float,
        started: float,
        caller: Caller,
    ) -> Iterable[bytes]:
        """Answer with a reply of the response cache and the headers of each reply, or 304 where the caller has it."""
        headers = [*cached.headers(now), *headers, NO_CALLS]
        if REFRESH in environ:
            headers = [
                (name, f"{value}{NOT_REFRESHED}" if name == "Cache-Status" else value) for name, value in headers
            ]
        status, body = _conditional(environ, cached.etag, cached.body, headers)
        start_response(status, headers)
        log_answered(environ, request, status, len(body), started, caller=caller, redaction=self._redaction)
        self._measurements.request("GET", cached.route, status[:3], "hit", started)
        return [body] if body else []

    def _admitted(self, environ: WSGIEnvironment, headers: Headers, now: float) -> tuple[Caller, Refusal | None]:
        """Return whose request it is, and why it is refused; add to the headers how much of a limit is left."""
        refusal = self._checks.refusal_of(environ)
        if refusal is not None or self._origins.is_preflight(environ):
            return UNIDENTIFIED, refusal
        found = self._authentication.caller_of(environ, now)
        if isinstance(found, Refusal):
            return UNIDENTIFIED, self._rates.refusal_of_failure(environ, found)
        return found, self._rates.check(environ, found, headers)

    def _finish(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        reply: _Reply,
        parts: Iterable[bytes],
        added_headers: Headers,
        *,
        context: RequestContext,
        tick: int,
        started: float,
    ) -> Iterable[bytes]:
        """Send a reply on, and cache it if the services allow it and nothing has changed since `tick`."""
        is_streamed = environ.get("insights.streamed", False)
        body = b"" if is_streamed else _join(parts)
        reply.headers = self._origins.with_one_vary(environ, reply.headers)
        if is_streamed:
            reply.headers += [*added_headers, ("X-Provider-Calls", str(context.provider_calls))]
            start_response(reply.status, reply.headers)
            return self._stream(environ, parts, reply.status, context=context, started=started)
        status, headers, cache_result = reply.status, reply.headers, "none"
        provenance: Provenance | None = environ.get("insights.provenance")
        if provenance is not None:
            cache_result = "miss" if context.provider_calls else "hit"
            now = self._clock.timestamp()
            response = CachedResponse.of(provenance, headers, body, now=now)
            is_current = all(self._cache.last_change(account) <= tick for account in provenance.accounts)
            response.route = _route(environ)
            if environ["REQUEST_METHOD"] == "GET" and is_current:
                self._responses.put(environ, response, scope=context.caller.cache_scope)
            did = "fwd=request" if context.not_before is not None else "fwd=miss" if context.provider_calls else "hit"
            did += NOT_REFRESHED if environ.get(REFRESH) is False else ""
            headers = [*headers, *freshness_headers(provenance.freshness, now, did)]
            status, body = _conditional(environ, response.etag, body, headers)
        elif not any(name == "Cache-Control" for name, _ in headers):
            headers = [*headers, NOT_STORED]
        start_response(
            status,
            [*headers, *added_headers, ("X-Provider-Calls", str(context.provider_calls))],
            reply.exception_info,
        )
        if provenance is not None and environ["REQUEST_METHOD"] == "GET":
            log_answered(
                environ,
                context.id,
                status,
                len(body),
                started,
                caller=context.caller,
                redaction=self._redaction,
                account=context.account,
                cache_result=cache_result,
                calls=context.provider_calls,
                seconds=context.provider_seconds,
            )
        else:
            log_forwarded(environ, status, len(body), started, context=context, cache_result=cache_result)
        self._measurements.request(environ["REQUEST_METHOD"], _route(environ), status[:3], cache_result, started)
        return [body] if body else []

    def _stream(
        self,
        environ: WSGIEnvironment,
        parts: Iterable[bytes],
        status: str,
        *,
        context: RequestContext,
        started: float,
    ) -> Iterator[bytes]:
        """Pass a reply on part by part. A failure on the way breaks the connection, so that the caller notices it."""
        size = 0
        try:
            for part in self._turns.each(iter(parts)):
                size += len(part)
                yield part
        finally:
            getattr(parts, "close", lambda: None)()
            log_forwarded(environ, status, size, started, context=context, cache_result="none")
            self._measurements.request(environ["REQUEST_METHOD"], _route(environ), status[:3], "none", started)


class _Reply:
    """Status and headers as the application gave them, held back until its whole body is known."""

    def __init__(self) -> None:
        self.status = "500 INTERNAL SERVER ERROR"
        self.headers: Headers = []
        self.exception_info: Any = None

    def start(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
        """Take status and headers, as WSGI's `start_response`."""
        self.status, self.headers, self.exception_info = status, headers, exc_info
        return _no_write


def _route(environ: WSGIEnvironment) -> str:
    """Return the pattern of the path as Flask found it: a path itself may be any text, and each would be a series."""
    route: str = environ.get("insights.route", UNMATCHED)
    return route


def _no_write(_data: bytes) -> object:
    raise NotImplementedError("The write callable of WSGI is not supported; the application returns its body.")


def _join(parts: Iterable[bytes]) -> bytes:
    """Return a whole body, and close its iterable."""
    try:
        return b"".join(parts)
    finally:
        getattr(parts, "close", lambda: None)()


def _conditional(environ: WSGIEnvironment, etag: str, body: bytes, headers: Headers) -> tuple[str, bytes]:
    """Return status and body for a caller that may have the body already; a 304 loses the headers of the body."""
    known = environ.get("HTTP_IF_NONE_MATCH")
    if known is not None and (known == etag or _has_weak_match(known, etag)):
        headers[:] = [header for header in headers if header[0] not in BODY_HEADERS]
        return "304 NOT MODIFIED", b""
    return "200 OK", b"" if environ["REQUEST_METHOD"] == "HEAD" else body


def _has_weak_match(known: str, etag: str) -> bool:
    # A proxy that compresses a body marks its tag as weak; the numbers are the same.
    return parse_etags(known.strip()).contains_weak(unquote_etag(etag)[0])


def _refuse(
    environ: WSGIEnvironment,
    start: Callable[[str, Headers], object],
    refusal: Refusal,
    redaction: Redaction,
) -> Iterable[bytes]:
    status = refusal.status
    code, request_id = refusal.code or HTTP_CODES[status], environ["insights.request_id"]
    body = error_body(code, refusal.message, hint=refusal.hint, request_id=request_id, retry_after=refusal.retry_after)
    environ["insights.failure"] = body = redacted(body, redaction.reply)
    data = json.dumps(body).encode()
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(data))),
        ("Cache-Control", "no-store"),
        *refusal.headers,
    ]
    start(f"{status.value} {status.phrase}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [data]
