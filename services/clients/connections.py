"""Connections that note how far a call has come, and bound what is read of its answer in time and size.

Whether a call left this machine decides whether it may be charged.

The class of an exception does not show that. A TLS error, a reset or a timeout means one thing while a connection is
being made and another one while the answer is awaited, and both come as the same class. So the connection itself notes
the stage, at the one place through which every byte of a request passes (`send` of `http.client`).

Every byte of an answer passes through `_BoundedReader`. The timeout of a socket bounds the time between two bytes only,
and `http.client` reads interim answers, header lines and trailers without end.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum, auto
from functools import cache
from http import HTTPStatus
from http.client import HTTPResponse
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection


class Stage(IntEnum):
    """How far a call has come."""

    PREPARING = auto()  # No connection was begun: the address, the proxy or the certificates cannot be used.
    CONNECTING = auto()  # to the provider, or to the proxy before it
    TUNNELLING = auto()  # The proxy was reached, and is asked to connect to the provider.
    SECURING = auto()  # The provider was reached through the proxy; TLS is not established.
    SENT = auto()  # A part of the request, or all of it, has left this machine.


MAX_HOSTS = 16  # of one provider; a provider has three at most
MAX_HEAD = 64 * 1024  # bytes of status, headers and interim answers; of a real answer about 2 KB


@dataclass
class Attempt:
    """One call: how far it has come, the bounds of its answer, and which of them the answer exceeds."""

    stage: Stage
    remaining: Callable[[], float] = lambda: math.inf  # seconds until the answer has to be complete
    grace: float = 0.0  # seconds for the rest of a late answer, from the moment at which it is found to be late
    max_body: int = 16 * 1024 * 1024  # bytes
    head_exceeded: bool = False
    body_exceeded: bool = False
    _found_late_at: float | None = None  # what `remaining` was then

    def time_left(self) -> float:
        """Return the seconds until reading ends, with the grace of an answer that is late."""
        left = self.remaining()
        if left > 0:
            return left
        if self._found_late_at is None:
            self._found_late_at = left
        return self.grace + left - self._found_late_at


current: ContextVar[Attempt | None] = ContextVar("attempt", default=None)
"""The call that this thread is making."""


class NotingAdapter(HTTPAdapter):
    """The adapter of `requests`, whose connections note the stage of the current attempt.

    The proxies and the certificates of a call have to depend on nothing but the host: its pool of connections is
    looked for once.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._pools: dict[tuple[str, ...], Any] = {}  # by scheme and host

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Return the pool for a request."""
        _note(Stage.PREPARING)
        place = tuple((request.url or "").split("/", 3)[:3])
        pool: Any = self._pools.get(place)
        if pool is None:
            pool = super().get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
            # Set for each pool and not for the pool manager, which has other classes of pools for each kind of proxy.
            pool.ConnectionCls = _noting(pool.ConnectionCls)
            if len(self._pools) >= MAX_HOSTS:
                self._pools.clear()
            self._pools[place] = pool
        return pool

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Return what the transport reads of an answer, which has neither cookies nor a text of its own."""
        response = requests.Response()
        response.status_code, response.headers = resp.status, CaseInsensitiveDict(resp.headers)
        response.raw, response.request = resp, req
        return response


class BoundExceededError(OSError):
    """An answer is larger than it may be; the attempt knows which part."""


class _BoundedReader(io.RawIOBase):
    """The bytes of one answer, as long as they keep to the bounds of its attempt."""

    def __init__(self, raw: io.RawIOBase, sock: Any, attempt: Attempt) -> None:
        super().__init__()
        self.is_head = True
        self._raw = raw
        self._sock = sock
        self._attempt = attempt
        self._between_bytes: float | None = sock.gettimeout()
        self._timeout = self._between_bytes  # seconds that the socket has now
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what has come; raise `TimeoutError` at the end of the time, and `BoundExceededError`."""
        left = self._attempt.time_left()
        if left <= 0:
            raise TimeoutError("timed out")
        usual = math.inf if self._between_bytes is None else self._between_bytes
        timeout = None if math.isinf(left) and math.isinf(usual) else min(left, usual)
        if timeout != self._timeout:  # To set it is a system call, for which all other threads may go first.
            self._sock.settimeout(timeout)
            self._timeout = timeout
        size = self._raw.readinto(buffer)
        self._size += size or 0
        if self.is_head:
            # A reader of 8 KB reads beyond the head.
            self._attempt.head_exceeded = self._size > MAX_HEAD + io.DEFAULT_BUFFER_SIZE
        else:
            # The sizes of chunks take room as well, and may be most of a body.
            self._attempt.body_exceeded = self._size > MAX_HEAD + 2 * self._attempt.max_body
        if self._attempt.head_exceeded or self._attempt.body_exceeded:
            raise BoundExceededError
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()
        # A connection keeps its last answer until the next one, and by the attempt all that the call had.
        self._attempt = Attempt(self._attempt.stage)


class _FinalResponse(HTTPResponse):
    """The answer that follows interim ones, such as 103, within the bounds of its attempt.

    Of interim answers `http.client` knows 100 only. It takes any other for the answer itself, and the report after it,
    which was paid for, would be lost.
    """

    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self._bounded: _BoundedReader | None = None
        attempt = current.get()
        if attempt is not None:
            self._bounded = _BoundedReader(self.fp.detach(), sock, attempt)
            self.fp = io.BufferedReader(self._bounded)

    def begin(self) -> None:
        """Read the head."""
        super().begin()
        if self._bounded is not None:
            self._bounded.is_head = False

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        is_interim = HTTPStatus.SWITCHING_PROTOCOLS < status < HTTPStatus.OK
        return version, HTTPStatus.CONTINUE if is_interim else status, reason


class _Noting(HTTPConnection):
    """Notes the stage of the current attempt."""

    response_class = _FinalResponse
    _is_connecting = False

    def connect(self) -> None:
        """Connect, which for TLS and for proxies sends more than the request."""
        _note(Stage.CONNECTING)
        self._is_connecting = True
        try:
            super().connect()
        finally:
            self._is_connecting = False

    def _tunnel(self) -> None:
        _note(Stage.TUNNELLING)
        super()._tunnel()
        _note(Stage.SECURING)

    def send(self, data: Any) -> None:
        """Send a part of a request, or of what makes the connection."""
        if not self._is_connecting:
            if self.sock is None:
                self.connect()
            # Before the bytes go out: of a send that fails, a part may have arrived.
            _note(Stage.SENT)
        super().send(data)


@cache
def _noting(class_: Any) -> Any:
    """Return a class of connections that notes the stage as well."""
    return class_ if issubclass(class_, _Noting) else type(class_.__name__, (_Noting, class_), {})


def _note(stage: Stage) -> None:
    attempt = current.get()
    if attempt is not None:
        attempt.stage = stage
