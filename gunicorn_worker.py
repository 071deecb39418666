"""gunicorn's threaded worker, with refusals as JSON and a stop that loses no request."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import uuid
from http import HTTPStatus
from types import FrameType
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import ThreadWorker

from front.request_limits import MAX_URL
from routes.errors import UNEXPECTED_ERROR, error_body

log = logging.getLogger(__name__)

LINGER = 1.0  # seconds
SWITCH_INTERVAL = 1e-6  # seconds; of a worker that stops


class GunicornWorker(ThreadWorker):
    """A worker with threads."""

    def run(self) -> None:
        """Serve until the worker is to stop, and then end what runs beside the requests.

        The heartbeat starts at once: a result that a process before this one could not book must not wait for a caller.
        """
        services = self.wsgi.extensions.get("services")
        if services is None:  # An application of a benchmark.
            super().run()
            return
        services.heartbeat.start()
        try:
            super().run()
        finally:
            services.close()

    def set_accept_enabled(self, enabled: bool) -> None:  # gunicorn's own signature.
        """Start or stop to accept connections; when the worker is about to stop, close its sockets.

        With `reuse_port` each worker has a listening socket of its own, and closing it resets the connections in its
        queue. So a worker that stops keeps accepting for a moment, until the sockets of its successors are open. Then
        it accepts the whole queue and closes its socket at once: the kernel sends new connections to the successors.
        """
        stops = not enabled and not self.alive
        until = time.monotonic() + LINGER
        while stops and time.monotonic() < until:
            self.wait_for_and_dispatch_events(timeout=LINGER / 10)
        super().set_accept_enabled(enabled)
        if not stops:
            return
        # A connection that comes between the last `accept` and `close` is reset. Both release the interpreter's lock,
        # which a busy thread of a request would then keep for 5 ms.
        sys.setswitchinterval(SWITCH_INTERVAL)
        for listener in self.sockets:
            accepted = -1
            while accepted != self.nr_conns:
                accepted = self.nr_conns
                self.accept(listener)
            listener.close()

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Exit at once, without waiting for requests under way.

        Ctrl-C reaches a worker twice, from the terminal and from its master. gunicorn's handler deadlocks when a second
        signal interrupts it, and an ordinary exit would wait for every call to a provider.
        """
        os._exit(0)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer, as JSON, a request that never reached the application."""
        status, code, message, hint = _refusal(exc, self.cfg)
        request_id = uuid.uuid4().hex
        extra = {"request_id": request_id, "status": status.value, "cause": type(exc).__name__}
        if status is HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("Unexpected error while a request was read", exc_info=exc, extra=extra)
        else:
            log.warning("A malformed request was refused", extra=extra)
        body = json.dumps(error_body(code, message, hint=hint, request_id=request_id)).encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"X-Request-Id: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            write_nonblock(client, head.encode() + body)
        except OSError:
            log.debug("The caller disconnected before the refusal was sent", extra=extra)


def _refusal(exc: BaseException, cfg: Any) -> tuple[HTTPStatus, str, str, str | None]:
    """Return status, code, message and hint (what is accepted instead)."""
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
    return HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", UNEXPECTED_ERROR, None
