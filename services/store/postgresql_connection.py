"""A connection to PostgreSQL on which every wait for the server has an end.

The server's own `statement_timeout` does not help where the server, or a proxy before it, accepts data and never
answers, nor do the timeouts of TCP: the kernel at the other end goes on to acknowledge. So each wait is bounded here.
"""

from __future__ import annotations

import select
import time
from typing import TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout

from services.store.timeouts import ANSWER_TIMEOUT, PING_TIMEOUT

PING_AFTER = 1.0  # seconds without an answer after which a connection is idle
POLL_INTERVAL = 0.1  # seconds

T = TypeVar("T")


class NoAnswerError(psycopg.OperationalError):
    """The server does not answer."""


class BoundedConnection(psycopg.Connection[tuple[object, ...]]):
    """A connection that closes itself, with a `NoAnswerError`, when the server does not answer in time."""

    _answer_timeout: float | None = None
    _answered_at = float("-inf")  # monotonic

    def wait(self, gen: PQGen[T], interval: float = POLL_INTERVAL, timeout: float | None = None) -> T:
        """Wait for the server, as every operation of psycopg does."""
        limit = timeout or self._answer_timeout or ANSWER_TIMEOUT
        try:
            result = super().wait(gen, interval, limit)
        except _WaitTimeout:
            self.pgconn.finish()  # Else the rollback that follows would wait for the same server.
            raise NoAnswerError(f"the server did not answer within {limit:g} s") from None
        self._answered_at = time.monotonic()
        return result

    def is_answered(self) -> bool:
        """Return whether the server answers at once; after an answer of a moment ago it is not asked again.

        That saves a round trip before each statement of a busy connection. If the server stops to answer within that
        moment, the next statement has its end by `ANSWER_TIMEOUT`, as one that is under way then.
        """
        if time.monotonic() - self._answered_at < PING_AFTER and self._is_silent():
            return True
        self._answer_timeout = PING_TIMEOUT
        is_autocommit = self.autocommit
        try:
            self.set_autocommit(True)
            self.execute(";", prepare=False)
            self.set_autocommit(is_autocommit)
        except psycopg.Error:
            return False
        finally:
            self._answer_timeout = None
        return True

    def _is_silent(self) -> bool:
        """Return whether the server has sent nothing since its last answer; its farewell would lie in the socket."""
        if self.closed:
            return False
        socket = select.poll()
        socket.register(self.pgconn.socket, select.POLLIN)
        return not socket.poll(0)
