"""One database: how it is opened, read and written, and whether it is there."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Double, Engine, cast, create_engine, event, func, literal, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from services.store.schema import VERSIONS

log = logging.getLogger(__name__)

BUSY_TIMEOUT = 5.0  # seconds that a writer waits for another one's transaction
CONNECT_TIMEOUT = 2  # seconds
LEFT_ALONE_FOR = 2.0  # seconds after a failure in which nobody tries again
POOLED, OVERFLOW = 4, 28
PAGE_CACHE_KIB = 1024  # for each connection to a file; the default is twice that


class StoreAway(Exception):
    """The database cannot be used at the moment; the text says why, without the address or a password."""


class SchemaError(Exception):
    """The database is not at the version this code needs."""


class Database:
    """A SQLite file or PostgreSQL, opened on first use, so never before a fork."""

    def __init__(self, name: str, url: str | URL) -> None:
        self.name = name
        self.url = make_url(url)
        self.is_postgresql = self.url.get_backend_name() == "postgresql"
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._fault: str | None = None
        self._tried_at = 0.0

    @property
    def fault(self) -> str | None:
        """What stood in the way the last time, or None where all is well."""
        return self._fault

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection for reading, each statement on its own; raise `StoreAway` where there is none."""
        with self._guarded(), self._connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection with a transaction, committed at the end; raise `StoreAway` where there is none."""
        with self._guarded(), self._connect() as connection, connection.begin():
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
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
            self._engine = None

    def _version(self) -> str | None:
        if not self.is_postgresql and not Path(str(self.url.database)).exists():
            return None
        with self.read() as connection:
            if not connection.dialect.has_table(connection, f"{self.name}_version"):
                return None
            row = connection.execute(text(f"SELECT version_num FROM {self.name}_version")).first()  # noqa: S608
            return None if row is None else str(row[0])

    def _connect(self) -> Connection:
        with self._lock:
            if self._engine is None:
                self._engine = self._open()
            engine = self._engine
        return engine.connect()

    def _open(self) -> Engine:
        if self.is_postgresql:
            waits = {"connect_timeout": CONNECT_TIMEOUT, "options": f"-c statement_timeout={BUSY_TIMEOUT * 1000:.0f}"}
            return create_engine(
                self.url, pool_size=POOLED, max_overflow=OVERFLOW, pool_pre_ping=True, connect_args=waits
            )
        engine = create_engine(
            self.url,
            pool_size=POOLED,
            max_overflow=OVERFLOW,
            connect_args={"timeout": BUSY_TIMEOUT, "check_same_thread": False, "isolation_level": None},
        )
        event.listen(engine, "connect", _prepare)
        return engine

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn what the driver raises into `StoreAway`; log once when the database goes, and once when it is back."""
        if self._fault is not None and time.monotonic() - self._tried_at < LEFT_ALONE_FOR:
            raise StoreAway(self._fault)
        try:
            yield
        except SQLAlchemyError as error:
            self._tried_at = time.monotonic()
            fault = _words(error)
            if self._fault is None:
                log.error("The store is away", extra={"database": self.name, "fault": fault})
            self._fault = fault
            raise StoreAway(fault) from None
        if self._fault is not None:
            log.warning("The store is back", extra={"database": self.name})
            self._fault = None


def _prepare(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    # Readers and one writer side by side. A process that is killed leaves nothing half written.
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute(f"PRAGMA cache_size=-{PAGE_CACHE_KIB}")
    cursor.close()


def _words(error: SQLAlchemyError) -> str:
    """Return what the driver said, on one line, without the statement and its values."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())[:200]}"
