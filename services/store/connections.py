"""Connections to a SQLite file or to PostgreSQL: opened on first use, and never to a file that is gone."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DisconnectionError

BUSY_TIMEOUT = 5.0  # seconds that a writer waits for another one's transaction
CONNECT_TIMEOUT = 2  # seconds
POOLED = 8  # connections of a process, at most; PostgreSQL usually has a hundred for all
PAGE_CACHE_KIB = 1024  # for each connection to a file; the default is twice that


class Connections:
    """The pool of one address."""

    def __init__(self, url: str | URL, *, durable: bool) -> None:
        self._url = make_url(url)
        self._synchronous = "FULL" if durable else "NORMAL"  # whether what was written outlives a power cut
        self.is_postgresql = self._url.get_backend_name() == "postgresql"
        self._lock = threading.Lock()
        self._engine: Engine | None = None

    def connect(self) -> Connection:
        """Return a connection, which has to be closed."""
        with self._lock:
            if self._engine is None:
                self._engine = self._open_server() if self.is_postgresql else self._open_file()
            engine = self._engine
        return engine.connect()

    def close(self) -> None:
        """Let go of every connection."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
            self._engine = None

    def are_to_nothing(self) -> bool:
        """Return whether there is no file."""
        return not self.is_postgresql and not Path(str(self._url.database)).exists()

    def _open_server(self) -> Engine:
        return create_engine(
            self._url,
            pool_size=POOLED,
            max_overflow=0,
            pool_timeout=BUSY_TIMEOUT,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT,
                "options": f"-c statement_timeout={BUSY_TIMEOUT * 1000:.0f}",
            },
        )

    def _open_file(self) -> Engine:
        file, synchronous = Path(str(self._url.database)), self._synchronous
        engine = create_engine(
            # An absent file is a fault, not something to be made anew without its tables.
            URL.create("sqlite", database=f"file:{file}", query={"mode": "rw", "uri": "true"}),
            pool_size=POOLED,
            max_overflow=0,
            pool_timeout=BUSY_TIMEOUT,
            connect_args={"timeout": BUSY_TIMEOUT, "check_same_thread": False, "isolation_level": None},
        )

        def prepare(connection: Any, record: Any) -> None:
            cursor = connection.cursor()
            # Readers and one writer side by side. A process that is killed leaves nothing half written.
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute(f"PRAGMA synchronous={synchronous}")
            cursor.execute(f"PRAGMA cache_size=-{PAGE_CACHE_KIB}")
            cursor.close()
            record.info["inode"] = _inode(file)

        def check(_connection: Any, record: Any, _proxy: Any) -> None:
            # Else what is written goes into a file that nobody will ever find again.
            if record.info["inode"] != _inode(file):
                raise DisconnectionError("The file is another one now.")

        event.listen(engine, "connect", prepare)
        event.listen(engine, "checkout", check)
        return engine


def _inode(file: Path) -> int | None:
    try:
        return file.stat().st_ino
    except OSError:
        return None
