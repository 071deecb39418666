"""The wire: threads, keep-alive, and every way in which an answer can go wrong on its way."""

import contextlib
import json
import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from simulator.messages import Reply, Request

Answer = Callable[[Request], Reply]

LONGEST_BODY = 1_000_000  # bytes of a request


class Handler(BaseHTTPRequestHandler):
    """Reads a request, has it answered, and writes the answer in one piece."""

    server: "Server"
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = -1
        if "Transfer-Encoding" in self.headers or not 0 <= length <= LONGEST_BODY:
            self.send_error(HTTPStatus.LENGTH_REQUIRED, "A body needs a Content-Length of at most 1000000.")
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._send(self.server.answer(Request.parse(self.command, self.path, headers, self.rfile.read(length))))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer  # noqa: N815 - http.server's names

    def _send(self, reply: Reply) -> None:
        if reply.cut:
            self.close_connection = True
            return
        if reply.declared_length is not None:
            self.close_connection = True
        with contextlib.suppress(ConnectionError):  # A caller that hangs up in the middle is no fault of ours.
            self.wfile.write(self._head(reply) + (b"" if self.command == "HEAD" else reply.body))
            for _ in range(reply.repeat - 1 if self.command != "HEAD" else 0):
                self.wfile.write(reply.body)

    def _head(self, reply: Reply) -> bytes:
        length = reply.declared_length
        usual = {
            "Content-Type": reply.content_type,
            "Content-Length": len(reply.body) * reply.repeat if length is None else length,
        }
        if reply.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            usual = {}  # Such an answer ends with its head.
        given = {name.lower() for name in reply.headers}
        headers = {name: value for name, value in usual.items() if name.lower() not in given} | dict(reply.headers)
        if self.close_connection:
            headers["Connection"] = "close"
        lines = [f"HTTP/1.1 {reply.status} {self.responses.get(reply.status, ('Unknown',))[0]}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse in JSON what http.server itself cannot read: an unknown method, a malformed first line."""
        self.close_connection = True
        self.command = getattr(self, "command", None) or "GET"
        reason = message or explain or HTTPStatus(code).phrase
        self._send(Reply(code, json.dumps({"error": reason}).encode()))

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet: the calls are counted elsewhere."""


class Server(ThreadingHTTPServer):
    """A threading server that answers with one function and forgets its connections when it is closed."""

    request_queue_size = 512
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, answer: Answer) -> None:
        self.answer = answer
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__((host, port), Handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def server_bind(self) -> None:
        """Bind without asking DNS for this machine's name, which may take seconds."""
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember a connection and hand it to a thread."""
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that has ended."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore callers that hang up; report any other exception as usual."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        """Stop listening and end the connections that callers keep alive."""
        super().server_close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
