"""A connection to PostgreSQL on which every wait for the server has an end.

The server's own `statement_timeout` does not help where the server, or a proxy before it, accepts data and never
answers, nor do the timeouts of TCP: the kernel at the other end goes on to acknowledge. So each wait is bounded here.
"""

from __future__ import annotations

from typing import TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout

CONNECT_TIMEOUT = 2  # seconds for each address of the server, the least that libpq knows
ANSWER_TIMEOUT = 5.0  # seconds for one statement; more than PostgreSQL's own limit for it
PING_TIMEOUT = 1.0  # seconds for the sign of life that an idle connection gives before it is used again
POLL_INTERVAL = 0.1  # seconds

T = TypeVar("T")


class NoAnswerError(psycopg.OperationalError):
    """The server does not answer."""


class BoundedConnection(psycopg.Connection[tuple[object, ...]]):
    """A connection that closes itself, with a `NoAnswerError`, when the server does not answer in time."""

    _answer_timeout: float | None = None

    def wait(self, gen: PQGen[T], interval: float = POLL_INTERVAL, timeout: float | None = None) -> T:
        """Wait for the server, as every operation of psycopg does."""
        limit = timeout or self._answer_timeout or ANSWER_TIMEOUT
        try:
            return super().wait(gen, interval, limit)
        except _WaitTimeout:
            self.pgconn.finish()  # Else the rollback that follows would wait for the same server.
            raise NoAnswerError(f"the server did not answer within {limit:g} s") from None

    def is_answered(self) -> bool:
        """Return whether the server answers at once."""
        self._answer_timeout = PING_TIMEOUT
        try:
            self.autocommit = True
            self.execute(";", prepare=False)
            self.autocommit = False
        except psycopg.Error:
            return False
        finally:
            self._answer_timeout = None
        return True
