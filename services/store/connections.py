"""Connections to a SQLite file or to PostgreSQL: opened on first use, and never to a file that was replaced.

Readers and writers have a pool each. In one pool a thousand readers would keep a lease from being extended and a
fetched value from being committed until both have timed out, and other processes would then fetch the same again.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DisconnectionError

from services.store.damaged_rows import NOTE, DamageLog
from services.store.live_and_sandbox import MODES, keep_to_mode
from services.store.outage import Outage
from services.store.sqlite_texts import TextTolerantConnection
from services.store.timeouts import BUSY_TIMEOUT, CONNECT_TIMEOUT, STATEMENT_TIMEOUT

# Connections of a process, at most; PostgreSQL usually allows a hundred in total.
READERS, WRITERS = 5, 3
# Readers need no transactions. What a connection keeps costs less than to set it for each statement.
WITHOUT_TRANSACTIONS: Mapping[str, Any] = {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True}
PAGE_CACHE_KIB = 512  # of each connection to a file; SQLite's default is four times that
# The same of each that reads the lasting database: a year of one or two metrics lies in 2 MB of pages.
HISTORY_CACHE_KIB = 2048


class NoFreeConnectionError(Exception):
    """Every connection was in use for `BUSY_TIMEOUT`; the database is not at fault."""


class FailedMeanwhileError(Exception):
    """The database failed while a thread waited for a connection; the text is the fault."""


class Connections:
    """The two pools of one address; their statements see the rows of one mode only."""

    def __init__(self, url: str | URL, *, mode: str, durable: bool) -> None:
        self._url = make_url(url)
        if mode not in MODES:
            raise ValueError(f"unknown mode: {mode}")
        self._mode = mode
        self._durable = durable
        self.is_postgresql = self._url.get_backend_name() == "postgresql"
        self._lock = threading.Lock()
        self._engines: dict[int, Engine] = {}  # by the size of their pools
        # The connections that may still be taken, by pool. The pools themselves never make a thread wait: one that
        # waits there would not notice that the database has failed.
        self._free = {READERS: READERS, WRITERS: WRITERS}
        self._changed = {size: threading.Condition(self._lock) for size in self._free}
        self._faults = 0
        self._outage, self._write_outage = Outage(), Outage()
        self._damage = DamageLog()

    @contextmanager
    def connect(self, *, to_write: bool) -> Iterator[Connection]:
        """Give a connection of the readers' or the writers' pool.

        Raises `NoFreeConnectionError` and `FailedMeanwhileError` where a thread waits for one in vain.
        """
        size = WRITERS if to_write else READERS
        engine = self._check_out(size)
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            with self._lock:
                self._free[size] += 1
                self._changed[size].notify()

    def _check_out(self, size: int) -> Engine:
        """Wait for a free connection of a pool, and return the engine that gives it."""
        with self._lock:
            faults = self._faults
            is_over = self._changed[size].wait_for(lambda: self._free[size] or self._faults != faults, BUSY_TIMEOUT)
            if self._faults != faults:
                raise FailedMeanwhileError(self._outage.noted or "The database failed a moment ago.")
            if not is_over:
                raise NoFreeConnectionError
            self._free[size] -= 1
            engine = self._engines.get(size)
            if engine is None:
                engine = self._engines[size] = self._open_server(size) if self.is_postgresql else self._open_file(size)
                keep_to_mode(engine, self._mode)
            return engine

    def fault(self) -> str | None:
        """Return the fault for which the database is not tried now, or None."""
        return self._outage.fault()

    def write_fault(self) -> str | None:
        """Return the fault for which nothing is written now, or None."""
        return self._write_outage.fault()

    def failed(self, fault: str) -> None:
        """Close every connection and try the database again only after a while."""
        self._outage.begin(fault)
        with self._lock:
            # Before connections are closed, which takes a while: a waiting thread would get the one that has failed.
            self._faults += 1
            for changed in self._changed.values():
                changed.notify_all()
        # Existing connections may lead to a file or server that has been replaced.
        self.close()

    def failed_to_write(self, fault: str) -> None:
        """Try to write again only after a while; readers go on."""
        if self.is_postgresql:
            self.close()  # A session that began read-only stays so after the server has become writable.
        self._outage.end()
        self._write_outage.begin(fault)

    def worked(self, *, to_write: bool) -> None:
        """Note that the database is available; only a transaction shows that it can be written."""
        self._outage.end()
        if to_write:
            self._write_outage.end()

    def was_full(self) -> None:
        """Let another thread try the database, if this one was to and found no free connection."""
        self._outage.pass_on()
        self._write_outage.pass_on()

    def looks_read_only(self) -> bool:
        """Return whether the database is a file that this process may not write, as far as the system says."""
        file = Path(str(self._url.database))
        return not self.is_postgresql and file.exists() and not os.access(file, os.W_OK)

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            engines, self._engines = self._engines, {}
        for engine in engines.values():
            engine.dispose()

    def file_is_missing(self) -> bool:
        """Return whether the database is a file that does not exist."""
        return not self.is_postgresql and not Path(str(self._url.database)).exists()

    def _open_server(self, size: int) -> Engine:
        # psycopg and what it brings along take 11 MB of each process, which one with SQLite has no use for.
        from services.store.postgresql_connection import BoundedConnection, NoAnswerError  # noqa: PLC0415

        engine = create_engine(
            self._url,
            pool_size=size,
            max_overflow=0,
            pool_use_lifo=True,  # The connection that was used last is the least likely to need a sign of life.
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT,
                # Those of the address, such as its schema (`search_path`), stay: migrations go by them too.
                "options": " ".join(
                    [*self._options_of_address(), f"-c statement_timeout={STATEMENT_TIMEOUT * 1000:.0f}"]
                ),
            },
            **_options_of(size),
        )

        def connect(_dialect: Any, record: Any, arguments: Any, options: Any) -> Any:
            if (fault := self.fault()) is not None:
                raise NoAnswerError(fault)  # It failed while this thread waited for a connection.
            record.info["is_new"] = True
            return BoundedConnection.connect(*arguments, **options)

        def check(connection: Any, record: Any, _proxy: Any) -> None:
            if record.info.pop("is_new", False):
                return
            if (fault := self.fault()) is not None or not connection.is_answered():
                raise DisconnectionError(fault or "The connection is dead.")

        def give_back(connection: Any, record: Any) -> None:
            if connection is not None and engine is not self._engines.get(size):
                record.invalidate()  # The pool was closed while a thread used this connection.

        event.listen(engine, "checkin", give_back)
        event.listen(engine, "do_connect", connect)
        event.listen(engine, "checkout", check)
        return engine

    def _options_of_address(self) -> Sequence[str]:
        given = self._url.query.get("options", ())
        return [given] if isinstance(given, str) else given

    def _open_file(self, size: int) -> Engine:
        file = Path(str(self._url.database))
        synchronous = "FULL" if self._durable else "NORMAL"  # FULL: committed rows survive a power cut
        cache_kib = HISTORY_CACHE_KIB if self._durable and size == READERS else PAGE_CACHE_KIB
        engine = create_engine(
            # `rw` without `c`: a missing file is a fault; SQLite must not create one without tables.
            URL.create("sqlite", database=file.absolute().as_uri(), query={"mode": "rw", "uri": "true"}),
            pool_size=size,
            max_overflow=0,
            pool_use_lifo=True,  # The pages that the last request has read are in the cache of its connection.
            connect_args={
                "timeout": BUSY_TIMEOUT,
                "check_same_thread": False,
                "isolation_level": None,
                "factory": TextTolerantConnection,
            },
            **_options_of(size),
        )

        def prepare(connection: Any, record: Any) -> None:
            cursor = connection.cursor()
            # Readers run beside one writer. A process that is killed leaves no half-written transaction.
            with suppress(sqlite3.OperationalError):  # Where it cannot be written, it can be read all the same.
                cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute(f"PRAGMA synchronous={synchronous}")
            cursor.execute(f"PRAGMA cache_size=-{cache_kib}")
            cursor.close()
            connection.create_function(NOTE, 2, self._damage.note)
            record.info["inode"] = _inode(file)

        def check(_connection: Any, record: Any, _proxy: Any) -> None:
            # The file was replaced; this connection still points to the unlinked inode.
            if record.info["inode"] != _inode(file):
                raise DisconnectionError("The database file was replaced.")

        event.listen(engine, "connect", prepare)
        event.listen(engine, "checkout", check)
        return engine


def _options_of(size: int) -> Mapping[str, Any]:
    """Return the options of a pool's engine: only writers have transactions."""
    return WITHOUT_TRANSACTIONS if size == READERS else {}


def _inode(file: Path) -> int | None:
    try:
        return file.stat().st_ino
    except OSError:
        return None
