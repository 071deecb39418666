"""The one log line of each request."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING

import logs
from front.caller_address import caller_of
from routes.errors import ErrorBody
from services.caller import Caller
from services.redaction import Redaction, cut
from services.request_context import RequestContext

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_LOGGED_PATH = 200  # characters

log = logging.getLogger("front.middleware")  # Log viewers filter by this name.


def log_answered(
    environ: WSGIEnvironment,
    request: str,
    status: str,
    size: int,
    started: float,
    *,
    caller: Caller,
    redaction: Redaction,
    account: str | None = None,
    cache_result: str = "hit",
    calls: int = 0,
    seconds: float = 0.0,
) -> None:
    """Log a GET that was answered from what is cached or was fetched for it."""
    # Written by hand, because the log line is the most expensive part of a hit. Only a path that was answered is here,
    # and a request id has no character that JSON would escape. An id that the caller chose may be a secret.
    logged = redaction(request) if "HTTP_X_REQUEST_ID" in environ else request
    about = "" if account is None else f'"account": {json.dumps(account)}, '
    logs.write_ready(
        log,
        f'{{"time": "{logs.stamp(time.time())}", "level": "info", "logger": "{log.name}", "message": "request", '
        f'"request_id": "{logged}", "key": "{caller.name}", {about}"method": "GET", "path": "{environ["PATH_INFO"]}", '
        f'"status": {status[:3]}, "bytes": {size}, '
        f'"milliseconds": {(time.perf_counter() - started) * 1000:.2f}, "cache": "{cache_result}", '
        f'"provider_calls": {calls}, "provider_milliseconds": {round(seconds * 1000, 2)}}}',
    )


def log_forwarded(
    environ: WSGIEnvironment, status: str, size: int, started: float, *, context: RequestContext, cache_result: str
) -> None:
    """Log any other request."""
    failure: ErrorBody | None = environ.get("insights.failure")
    # The query is left out: callers put credentials there although the documents forbid it.
    # A field that is added here for every reply belongs in `log_answered` too.
    log.info(
        "request",
        extra={
            "request_id": context.id,
            "key": context.caller.name or None,
            "method": environ["REQUEST_METHOD"],
            "path": cut(environ.get("PATH_INFO", ""), MAX_LOGGED_PATH),
            "status": int(status[:3]),
            "bytes": size,
            "milliseconds": round((time.perf_counter() - started) * 1000, 2),
            "cache": cache_result,
            "provider_calls": context.provider_calls,
            "provider_milliseconds": round(context.provider_seconds * 1000, 2),
            **({} if context.account is None else {"account": context.account}),
            **({} if failure is None else _of_failure(environ, failure)),
        },
    )


def _of_failure(environ: WSGIEnvironment, failure: ErrorBody) -> dict[str, object]:
    """Return what the log line of a refused or failed request says beyond that of an answered one."""
    provider = failure["provider"]
    return {
        "code": failure["code"],
        **({} if provider is None else {"provider": provider}),
        "caller": caller_of(environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", "")),
    }
