"""Connections that note how far a call has come: whether it left this machine decides whether it may be charged.

The class of an exception does not show that. A TLS error, a reset or a timeout means one thing while a connection is
being made and another one while the answer is awaited, and both come as the same class. So the connection itself notes
the stage, at the one place through which every byte of a request passes (`send` of `http.client`).
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum, auto
from functools import cache
from http import HTTPStatus
from http.client import HTTPResponse
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection


class Stage(IntEnum):
    """How far a call has come."""

    PREPARING = auto()  # No connection was begun: the address, the proxy or the certificates cannot be used.
    CONNECTING = auto()  # to the provider, or to the proxy before it
    TUNNELLING = auto()  # The proxy was reached, and is asked to connect to the provider.
    SECURING = auto()  # The provider was reached through the proxy; TLS is not established.
    SENT = auto()  # A part of the request, or all of it, has left this machine.


@dataclass
class Attempt:
    """One call."""

    stage: Stage


current: ContextVar[Attempt | None] = ContextVar("attempt", default=None)
"""The call that this thread is making."""


class NotingAdapter(HTTPAdapter):
    """The adapter of `requests`, whose connections note the stage of the current attempt."""

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Return the pool for a request."""
        _note(Stage.PREPARING)
        pool: Any = super().get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
        # Set for each pool and not for the pool manager, which has other classes of pools for each kind of proxy.
        pool.ConnectionCls = _noting(pool.ConnectionCls)
        return pool


class _FinalResponse(HTTPResponse):
    """The answer that follows interim ones, such as 103; of those, `http.client` knows 100 only.

    It takes any other for the answer itself, and the report after it, which was paid for, would be lost.
    """

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
