"""One database: how it is opened, read and written, and whether it is there."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import ColumnElement, Connection, Double, cast, func, literal, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.store.connections import Connections
from services.store.schema import VERSIONS

log = logging.getLogger(__name__)

LEFT_ALONE_FOR = 2.0  # seconds after a failure in which nobody tries again


class StoreAway(Exception):
    """The database cannot be used at the moment; the text says why, without the address or a password."""


class SchemaError(Exception):
    """The database is not at the version this code needs."""


class Database:
    """The tables of one purpose, in a SQLite file or in PostgreSQL."""

    def __init__(self, name: str, connections: Connections) -> None:
        self.name = name
        self.is_postgresql = connections.is_postgresql
        self._connections = connections
        self._fault: str | None = None
        self._tried_at = 0.0

    @property
    def fault(self) -> str | None:
        """What stood in the way the last time, or None where all is well."""
        return self._fault

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection for reading, each statement on its own; raise `StoreAway` where there is none."""
        with self._guarded(), self._connections.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection with a transaction, committed at the end; raise `StoreAway` where there is none."""
        with self._guarded(), self._connections.connect() as connection, connection.begin():
            if not self.is_postgresql:
                # A transaction that begins as a reader fails at once when it wants to write while another one does.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    def now(self) -> ColumnElement[float]:
        """Return the present moment by the one clock that all users of this database share."""
        if self.is_postgresql:
            return cast(func.extract("epoch", func.clock_timestamp()), Double)
        return literal(time.time(), Double)

    def check_version(self) -> None:
        """Raise `SchemaError` where the schema is not the one this code needs, `StoreAway` where nobody can tell."""
        found = self._version()
        if found != VERSIONS[self.name]:
            raise SchemaError(
                f"The {self.name} database is at version {found or 'none'}, not {VERSIONS[self.name]}. "
                "Run `make migrate`, then start again."
            )

    def probe(self) -> None:
        """Use the database once, so that its fault is known; never raise."""
        try:
            with self.read() as connection:
                connection.execute(text("SELECT 1"))
        except StoreAway:
            return

    def close(self) -> None:
        """Let go of every connection."""
        self._connections.close()

    def _version(self) -> str | None:
        if self._connections.are_to_nothing():
            return None
        with self.read() as connection:
            if not connection.dialect.has_table(connection, f"{self.name}_version"):
                return None
            row = connection.execute(text(f"SELECT version_num FROM {self.name}_version")).first()  # noqa: S608
            return None if row is None else str(row[0])

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn what the driver raises into `StoreAway`; log once when the database goes, and once when it is back."""
        if self._fault is not None and time.monotonic() - self._tried_at < LEFT_ALONE_FOR:
            raise StoreAway(self._fault)
        try:
            yield
        except PoolTimeoutError as error:
            raise StoreAway("every connection is in use") from error
        except SQLAlchemyError as error:
            # Whatever is connected may be so to a file or server that is gone.
            self._connections.close()
            self._tried_at = time.monotonic()
            fault = _words(error)
            if self._fault is None:
                log.error("The store is away", extra={"database": self.name, "fault": fault})
            self._fault = fault
            raise StoreAway(fault) from None
        if self._fault is not None:
            log.warning("The store is back", extra={"database": self.name})
            self._fault = None


def _words(error: SQLAlchemyError) -> str:
    """Return what the driver said, on one line, without the statement and its values."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())[:200]}"
