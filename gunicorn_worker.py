"""gunicorn's threaded worker, with refusals as JSON and a stop that loses no request."""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import os
import resource
import signal
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import ThreadWorker

from front.request_ids import new_request_id
from front.request_limits import MAX_URL
from gunicorn_cores import keep_to
from gunicorn_ready_replies import ReadyReplies, ends_connection
from routes.errors import HTTP_CODES, SECURITY_HEADERS, UNEXPECTED_ERROR, error_body

log = logging.getLogger(__name__)

# Seconds for the head of a request, and then for its body; nginx waits before it passes a request on.
HEAD_WITHIN, BODY_WITHIN = 15.0, 45.0
LOOK_EVERY = 0.5  # seconds
LINGER = 1.0  # seconds
START_AGAIN_AFTER = 10.0  # seconds
MOST_LOOKED_AT = 16_384  # bytes of a request that may be answered without a thread
TO_STOP = (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT)
HANDSHAKE = 0.02  # seconds that a handshake under way needs at most to be complete

# Options of glibc's `mallopt`: the most arenas, and the size from which on a block is mapped and later unmapped.
MALLOC_OPTIONS = ((-8, 2), (-3, 128 * 1024))
TRIM_AFTER = 4 * 1024 * 1024  # bytes by which a worker has grown
TRIM_EVERY = 5.0  # seconds at least; it takes up to 10 ms, in which other threads go on
SO_ATTACH_FILTER = 26  # of Linux; Python has no name for it
# A classic BPF program over a TCP segment: drop it if of SYN and ACK it has only SYN. Code, jt, jf and k of each step.
DROP_NEW_CONNECTIONS = (
    (0x30, 0, 0, 13),  # A = the byte with the flags
    (0x54, 0, 0, 0x12),  # A &= SYN | ACK
    (0x15, 0, 1, 0x02),  # if A == SYN ...
    (0x06, 0, 0, 0),  # ... return 0: drop
    (0x06, 0, 0, 0xFFFFFFFF),  # return all of it
)


class GunicornLogger(Logger):
    """gunicorn's log in the form of all other lines: by the handler of the root logger, see `logs.set_up`."""

    def setup(self, cfg: Any) -> None:
        """Give the records on, instead of writing them."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


@dataclass(frozen=True)
class UnreadRequest:
    """A request that is being read: until when it has to be complete (monotonic seconds), and its body."""

    deadline: float
    body: Any = None  # gunicorn's reader, which knows how many bytes are missing; None while the head is read

    def is_late(self, now: float) -> bool:
        """Return whether a part of the request has not come in time."""
        return now > self.deadline and (self.body is None or getattr(self.body, "length", 1) > 0)


class RequestThreads(ThreadPoolExecutor):
    """The threads of a worker; where the system has none left, a request waits for one of those that are there.

    The pool has queued the request by then. Its `submit` would raise all the same, on the thread that watches the
    connections, and end the worker with every request that is under way.
    """

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError:
            if not self._threads:
                raise


class GunicornWorker(ThreadWorker):
    """A worker with threads.

    A caller that sends its request slowly occupies a thread, so the worker ends what has not come in time. It watches
    the time and nothing else: more slow callers than threads still hold up the others until then.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._unread: dict[Any, UnreadRequest] = {}  # by connection
        self._look_at = 0.0  # monotonic seconds
        self._free_memory = FreeMemory()
        self._ready_replies: ReadyReplies | None = None
        self.core: int | None = None  # `gunicorn.conf.py` gives it one.
        self.signals_since_fork: SimpleQueue[Any] = SimpleQueue()  # `gunicorn.conf.py` puts the inherited one here.

    def init_signals(self) -> None:
        """Set the handlers, and follow what came before them.

        Until then the worker has its master's handlers, which only note a signal for a loop that no worker runs. One
        that was to stop would start, and its master wait for it until the graceful timeout.
        """
        super().init_signals()
        with suppress(Empty):
            while True:
                number = self.signals_since_fork.get_nowait()
                if number in TO_STOP:
                    os.kill(os.getpid(), number)

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Return the threads that serve requests."""
        return RequestThreads(max_workers=self.cfg.threads)

    def handle(self, conn: Any) -> Any:
        """Serve one request of a connection, on a thread of the pool."""
        self._unread[conn] = UnreadRequest(time.monotonic() + HEAD_WITHIN)
        try:
            return super().handle(conn)
        finally:
            self._unread.pop(conn, None)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer a request whose head was read."""
        if getattr(req.body.reader, "length", 1):
            self._unread[conn] = UnreadRequest(time.monotonic() + BODY_WITHIN, req.body.reader)
        else:
            self._unread.pop(conn, None)
        if ends_connection(req):
            req.force_close()
        return super().handle_request(req, conn)

    def _keepalive_after(self, conn: Any, keepalive: Any) -> bool:
        """Return whether a connection stays open after a reply; the rest of the request's body is read off it first.

        Where that rest is malformed, the connection is closed. gunicorn would refuse it with a second reply, which a
        proxy takes for that to the next request.
        """
        try:
            return bool(super()._keepalive_after(conn, keepalive))
        except ParseException:
            return False

    def on_client_socket_readable(self, conn: Any, client: socket.socket) -> None:
        """Answer the next request of a kept-alive connection: on this thread if its reply is ready, else on another."""
        if not self._answer_here(conn, client):
            super().on_client_socket_readable(conn, client)

    def _answer_here(self, conn: Any, client: socket.socket) -> bool:
        """Send a ready reply; return whether there was one.

        If not, what was received is given to the parser of the connection, which reads it before the socket.
        """
        if self._ready_replies is None or not self.alive or len(self.keepalived_conns) > self.max_keepalived:
            return False  # A worker that stops, or keeps too many, closes each connection with the next reply.
        try:
            received = client.recv(MOST_LOOKED_AT)
            reply = self._ready_replies.reply_to(received, conn)
            if reply is None:
                conn.parser.unreader.unread(received)
                return False
            sent = _send_at_once(client, reply)
        except OSError:
            return False  # The thread meets it too, and ends the connection.
        self.keepalived_conns.remove(conn)
        if sent == len(reply):
            conn.set_timeout()
            self.keepalived_conns.append(conn)  # gunicorn keeps them in the order in which they time out.
        else:
            self.poller.unregister(client)
            rest = self.tpool.submit(_send_rest, client, reply[sent:])
            rest.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))
        return True

    def notify(self) -> None:
        """Say that the worker is alive, once a second at least; that is also how often slow requests are looked for."""
        super().notify()
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY
        for conn, unread in self._unread.copy().items():
            if unread.is_late(now) and self._unread.get(conn) is unread:
                self._unread.pop(conn, None)
                _end_unread(conn.sock)
        self._free_memory.look(now)

    def load_wsgi(self) -> None:
        """Build the application.

        If that fails for one of the first workers, gunicorn ends. A later worker replaces one that was killed, while
        the others may go on to serve (the schema was changed meanwhile, for example). Its failure must not end them,
        so it is tried again.
        """
        try:
            super().load_wsgi()
        except Exception as error:
            if self.age <= self.cfg.workers:
                raise
            for listener in self.sockets:
                listener.close()
            self.log.error("A worker cannot start, and is tried again in %g s: %s", START_AGAIN_AFTER, error)
            time.sleep(START_AGAIN_AFTER)
            raise SystemExit(1) from None

    def run(self) -> None:
        """Serve until the worker is to stop, and then end what runs beside the requests.

        The heartbeat starts at once: a result that a process before this one could not book must not wait for a caller.
        """
        return_large_blocks()
        exempt_code_from_collection()
        services = self.wsgi.extensions.get("services")
        if services is None:  # An application of a benchmark.
            super().run()
            return
        if self.core is not None:
            keep_to(self.core)
        if not self.cfg.is_ssl and self.cfg.proxy_protocol == "off":
            self._ready_replies = ReadyReplies(self.cfg, self.wsgi.extensions["front"])
        services.heartbeat.start()
        try:
            super().run()
        finally:
            services.close()

    def set_accept_enabled(self, enabled: bool) -> None:  # gunicorn's own signature.
        """Start or stop to accept connections; when the worker is about to stop, close its sockets.

        With `reuse_port` each worker has a listening socket of its own, and closing it resets the connections in its
        queue and the handshakes under way. So a worker that stops keeps accepting for a moment, until the sockets of
        its successors are open. Then it ignores new connections, whose callers' kernels try again after a second and
        meet a successor; it accepts those that it has, and closes its socket.
        """
        stops = not enabled and not self.alive
        if stops:
            self._accept_for(LINGER)
            for listener in self.sockets:
                ignore_new_connections(listener)
            self._accept_for(HANDSHAKE)
        super().set_accept_enabled(enabled)
        if not stops:
            return
        for listener in self.sockets:
            accepted = -1
            while accepted != self.nr_conns:
                accepted = self.nr_conns
                self.accept(listener)
            listener.close()

    def _accept_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.wait_for_and_dispatch_events(timeout=seconds / 10)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Exit at once, without waiting for requests under way.

        Ctrl-C reaches a worker twice, from the terminal and from its master. gunicorn's handler deadlocks when a second
        signal interrupts it, and an ordinary exit would wait for every call to a provider.
        """
        os._exit(0)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer, as JSON, a request that never reached the application."""
        status, code, message, hint = _refusal(exc, self.cfg)
        request_id = new_request_id()
        extra = {
            "request_id": request_id,
            "status": status.value,
            "code": code,
            "cause": type(exc).__name__,
            "caller": addr[0] if isinstance(addr, tuple) else str(addr),
        }
        if status is HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("Unexpected error while a request was read", exc_info=exc, extra=extra)
        else:
            log.warning("A malformed request was refused", extra=extra)
        try:
            write_nonblock(client, _reply(status, code, message, hint=hint, request_id=request_id))
        except OSError:
            log.debug("The caller disconnected before the refusal was sent", extra=extra)


def _send_at_once(client: socket.socket, reply: bytes) -> int:
    """Send what the system takes without waiting, and return the number of its bytes."""
    try:
        return client.send(reply, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return 0


def _send_rest(client: socket.socket, rest: bytes) -> bool:
    """Send the rest of a reply to a slow reader; return that its connection stays open."""
    client.setblocking(True)
    client.sendall(rest)
    return True


def return_large_blocks() -> None:
    """Have the C library (glibc) give memory back to the system; another one does so anyway, or has no such options.

    Once a large block was freed, glibc keeps blocks of up to that size, and each thread may get an arena of its own:
    after one delivery of 16 MB and some hundred large heads a worker kept 80 MB that nothing used.
    """
    with suppress(AttributeError, OSError):
        set_option = ctypes.CDLL(None).mallopt
        for option, value in MALLOC_OPTIONS:
            set_option(option, value)


def exempt_code_from_collection() -> None:
    """Have Python's garbage collector pass over what the process has by now, which stays until its end.

    Code and settings are 110,000 objects. A whole collection looks at each, and all threads wait for it: 70 ms, after
    every few thousand requests.
    """
    gc.collect()
    gc.freeze()


class FreeMemory:
    """Gives free memory between used blocks back to the system, with glibc, whenever the process has grown.

    By itself glibc gives back only what is free at the end of its heap. Replies, their texts and the pages of SQLite
    have many sizes and lifetimes, so after some minutes of odd requests 25 MB of a worker were such gaps.
    """

    def __init__(self) -> None:
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._kept = 0  # bytes that stayed after the last time
        self._trimmed_at = -TRIM_EVERY  # monotonic seconds

    def look(self, now: float) -> None:
        """Give memory back if the process has grown since the last time."""
        if self._trim is None or now - self._trimmed_at < TRIM_EVERY:
            return
        if resident_bytes() - self._kept < TRIM_AFTER:
            return
        self._trim(0)
        self._kept, self._trimmed_at = resident_bytes(), now


def resident_bytes() -> int:
    """Return the resident memory of this process; 0 where the system does not say it in the way of Linux."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def ignore_new_connections(listener: socket.socket) -> None:
    """Have the kernel drop the first segment of each new connection to a socket.

    A system without such filters goes on: there a connection may be reset in the microseconds before a socket closes.
    """
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in DROP_NEW_CONNECTIONS)
    instructions = ctypes.create_string_buffer(program, len(program))
    with suppress(OSError):
        listener.setsockopt(
            socket.SOL_SOCKET,
            SO_ATTACH_FILTER,
            struct.pack("HL", len(DROP_NEW_CONNECTIONS), ctypes.addressof(instructions)),
        )


def _end_unread(client: socket.socket) -> None:
    """Refuse a request that has not come in time, and wake the thread that reads it."""
    request_id = new_request_id()
    status = HTTPStatus.REQUEST_TIMEOUT
    hint = f"Accepted: a head within {HEAD_WITHIN:.0f} seconds, and a body within {BODY_WITHIN:.0f} more."
    code, message = HTTP_CODES[status], "The request did not come in time."
    extra = {"request_id": request_id, "status": status.value, "code": code, "caller": _peer_of(client)}
    log.warning("A request that had not come in time was ended", extra=extra)
    with suppress(OSError):
        # Another thread is blocked in a read of this socket, so its mode may not change.
        client.send(_reply(status, code, message, hint=hint, request_id=request_id), socket.MSG_DONTWAIT)
    with suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)


def _peer_of(client: socket.socket) -> str:
    try:
        peer = client.getpeername()
    except OSError:  # It is gone.
        return ""
    return str(peer[0] if isinstance(peer, tuple) else peer)


def _reply(status: HTTPStatus, code: str, message: str, *, hint: str | None, request_id: str) -> bytes:
    """Return an error as the bytes of a whole reply."""
    body = json.dumps(error_body(code, message, hint=hint, request_id=request_id)).encode()
    headers = (
        ("Connection", "close"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Request-Id", request_id),
        *SECURITY_HEADERS,
    )
    lines = (f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers), "", "")
    return "\r\n".join(lines).encode() + body


def _refusal(exc: BaseException, cfg: Any) -> tuple[HTTPStatus, str, str, str | None]:
    """Return status, code, message and hint (what is accepted instead)."""
    if isinstance(exc, LimitRequestLine):
        hint = f"Accepted: at most {MAX_URL} characters."
        status = HTTPStatus.REQUEST_URI_TOO_LONG
        return status, HTTP_CODES[status], "The URL is too long.", hint
    if isinstance(exc, LimitRequestHeaders):
        hint = f"Accepted: at most {cfg.limit_request_fields} headers of {cfg.limit_request_field_size} bytes each."
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        return status, HTTP_CODES[status], "The headers are too large.", hint
    if isinstance(exc, ParseException):
        hint = "Accepted: HTTP/1.0 or HTTP/1.1, each header as `Name: value` on a line of its own."
        status = HTTPStatus.BAD_REQUEST
        return status, HTTP_CODES[status], "This is not an HTTP request.", hint
    return HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", UNEXPECTED_ERROR, None
