"""gunicorn's worker, but for how it refuses what is no HTTP request, and how it stops."""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from http import HTTPStatus
from types import FrameType
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import ThreadWorker

from front.limits import MAX_URL
from routes.errors import BUG, error_body

log = logging.getLogger(__name__)

LINGER = 1.0  # seconds


class Worker(ThreadWorker):
    """A worker with threads."""

    def set_accept_enabled(self, enabled: bool) -> None:  # gunicorn's own signature.
        """Accept connections or not; for good, when the worker is about to stop.

        Each worker has a listening socket of its own, and closing it resets the connections that wait in its queue. So
        a worker goes on for a moment, until the sockets of those that replace it are there; then it accepts what waits
        and closes its own at once, for new connections to go to the others.
        """
        stops = not enabled and not self.alive
        until = time.monotonic() + LINGER
        while stops and time.monotonic() < until:
            self.wait_for_and_dispatch_events(timeout=LINGER / 10)
        super().set_accept_enabled(enabled)
        if not stops:
            return
        for listener in self.sockets:
            accepted = -1
            while accepted != self.nr_conns:
                accepted = self.nr_conns
                self.accept(listener)
            listener.close()

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at once, whatever is under way.

        Ctrl-C reaches a worker twice, from the terminal and from its master, and gunicorn's handler locks itself out
        when it is interrupted by itself; and leaving in the usual way would wait for every call to a provider.
        """
        os._exit(0)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer, as JSON, a request that never reached the application."""
        status, code, message, hint = _refusal(exc, self.cfg)
        request_id = uuid.uuid4().hex
        extra = {"request_id": request_id, "status": status.value, "cause": type(exc).__name__}
        if status is HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("A request failed by a bug", exc_info=exc, extra=extra)
        else:
            log.warning("refused before it was a request", extra=extra)
        body = json.dumps(error_body(code, message, hint=hint, request_id=request_id)).encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"X-Request-Id: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            write_nonblock(client, head.encode() + body)
        except OSError:
            log.debug("The caller was gone before it was refused", extra=extra)


def _refusal(exc: BaseException, cfg: Any) -> tuple[HTTPStatus, str, str, str | None]:
    """Return status, code and message, and what is accepted instead."""
    if isinstance(exc, LimitRequestLine):
        hint = f"Accepted: at most {MAX_URL} characters."
        return HTTPStatus.REQUEST_URI_TOO_LONG, "uri_too_long", "The URL is too long.", hint
    if isinstance(exc, LimitRequestHeaders):
        hint = f"Accepted: at most {cfg.limit_request_fields} headers of {cfg.limit_request_field_size} bytes each."
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        return status, "headers_too_large", "The headers are too large.", hint
    if isinstance(exc, ParseException):
        hint = "Accepted: HTTP/1.0 or HTTP/1.1, each header as `Name: value` on a line of its own."
        return HTTPStatus.BAD_REQUEST, "bad_request", "This is not an HTTP request.", hint
    return HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", BUG, None
