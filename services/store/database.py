"""One database: transactions, upserts of their own, and whether the database is available."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal, NamedTuple, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Double,
    Select,
    String,
    Table,
    cast,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.exc import SQLAlchemyError

from services.clock import Clock
from services.store.connections import Connections, FailedMeanwhileError, NoFreeConnectionError
from services.store.faults import MAKE_WRITABLE, NOT_A_STANDBY, is_refusal, only_writing, words
from services.store.plain_queries import PlainQueries
from services.store.schema_versions import GATEWAY, MEMORY, VERSIONS
from services.store.upsert import Upsert, Values

log = logging.getLogger(__name__)

LOG_AGAIN_AFTER = 60.0  # seconds
MAX_REFUSALS = 100  # remembered
CHUNK = 200  # values
ADVICE_IF_MISSING = {
    GATEWAY: "Its file is missing: restore a backup with `make restore`. `make migrate` creates an empty one.",
    MEMORY: "Its file is missing: `make migrate` creates it again.",
}

# The present moment by the clock of PostgreSQL, also within a transaction (Unix seconds).
SERVER_NOW: ColumnElement[float] = cast(func.extract("epoch", func.clock_timestamp()), Double)

T = TypeVar("T")
Transaction = Connection
"""A connection within a transaction, for a function of a service that is called there and hands it on."""
"""A row by column name; a value may be an SQL expression."""


class DatabaseUnavailableError(Exception):
    """The database cannot be used at the moment; the text says why, without the address or a password."""


class StatementRefusedError(DatabaseUnavailableError):
    """The database refused one statement or one of its values, and works on.

    A service that goes on without the database does so here too. Only a caller that would repeat the statement has to
    know the difference: it would be refused every time.
    """


class DatabaseFault(NamedTuple):
    """What is wrong with a database: in general, and with its details, such as its host."""

    kind: Literal["unavailable", "not writable", "of another release"]
    text: str


class SchemaError(Exception):
    """The database is not at the version this code needs."""


class Database:
    """The tables of one purpose, in a SQLite file or in PostgreSQL."""

    def __init__(self, name: str, connections: Connections) -> None:
        self.name = name
        self.is_postgresql = connections.is_postgresql
        self.clock = Clock()  # by which it is judged whether a kept moment lies ahead
        self._connections = connections
        self._plain_queries = PlainQueries()
        self._fault: str | None = None
        self._write_fault: str | None = None
        self._version_fault: str | None = None  # as it was logged last
        self._full_at = -LOG_AGAIN_AFTER  # when that was logged last, monotonic
        self._refused: dict[str, float] = {}  # when each refusal was logged last, monotonic

    @property
    def fault(self) -> str | None:
        """The fault of the last use, or None if it succeeded."""
        return self._fault

    @contextmanager
    def read(self, *, before_readers: bool = False) -> Iterator[Connection]:
        """Give a connection for reading, without a transaction; raises `DatabaseUnavailableError`.

        With `before_readers` it is one of those kept for writers: for what other requests or processes wait for.
        """
        with self._guarded(), self._connections.connect(to_write=before_readers) as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT") if before_readers else connection

    def plain_rows(self, query: Select[Any], parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Return the rows of a query as tuples of the driver; see `services.store.plain_queries`."""
        with self.read() as connection:
            return self._plain_queries.rows(connection, query, parameters)

    def plain_columns(self, query: Select[Any], parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Return the same by column, which is the fastest for hundreds of rows."""
        with self.read() as connection:
            return self._plain_queries.columns(connection, query, parameters)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection with a transaction, committed at the end; raises `DatabaseUnavailableError`."""
        with (
            self._guarded(to_write=True),
            self._connections.connect(to_write=True) as connection,
            connection.begin(),
        ):
            if not self.is_postgresql:
                # SQLite refuses at once, without waiting, to turn a reading transaction into a writing one while
                # another process writes. Taking the write lock first waits for it instead.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    def upsert(
        self,
        statement: Upsert,
        rows: Values | Sequence[Values],
    ) -> None:
        """Insert rows, or replace columns of existing ones, in a transaction of its own."""
        now = self.clock.timestamp()
        with self.write() as connection:
            statement.run(connection, rows, now=now)

    def now(self) -> ColumnElement[float]:
        """Return the present moment (Unix seconds) by the one clock that all users of this database share.

        Leases are compared across machines, whose own clocks may differ. A SQLite file has users on one machine only.
        """
        if self.is_postgresql:
            return SERVER_NOW
        return literal(time.time(), Double)

    def check_version(self) -> None:
        """Raise `SchemaError` if the schema is not the one this code needs.

        Raises `DatabaseUnavailableError` if the version cannot be read.
        """
        if (fault := version_fault(self.name, self._version())) is not None:
            raise SchemaError(fault)

    def probe(self) -> DatabaseFault | None:
        """Use the database once; return what is wrong with it, also that it can only be read; never raise."""
        version = f"SELECT version_num FROM {self.name}_version"  # noqa: S608
        try:
            with self.read() as connection:
                # A row, not a constant: for that SQLite would not look into the file.
                row = connection.execute(text(version)).first()
                self._look_whether_writable(connection)
        except StatementRefusedError:  # There is no such table.
            row = None
        except DatabaseUnavailableError as error:
            missing = f" {ADVICE_IF_MISSING[self.name]}" if self._connections.file_is_missing() else ""
            return DatabaseFault("unavailable", f"{self._fault or error}{missing}")
        fault = version_fault(self.name, None if row is None else str(row[0]))
        if fault != self._version_fault:
            self._version_fault = fault
            if fault is not None:
                log.error("The schema of the database is not that of this code", extra={"fault": fault})
        if fault is not None:
            return DatabaseFault("of another release", fault)
        if self._write_fault is not None:
            self._write_once()
        return None if (found := self._write_fault) is None else DatabaseFault("not writable", found)

    def close(self) -> None:
        """Close every connection."""
        self._connections.close()

    def _version(self) -> str | None:
        if self._connections.file_is_missing():
            return None
        with self.read() as connection:
            if not connection.dialect.has_table(connection, f"{self.name}_version"):
                return None
            row = connection.execute(text(f"SELECT version_num FROM {self.name}_version")).first()  # noqa: S608
            return None if row is None else str(row[0])

    def _look_whether_writable(self, connection: Connection) -> None:
        """Note that the database can only be read, before a write fails for it."""
        if self.is_postgresql:
            if connection.execute(text("SELECT pg_is_in_recovery()")).scalar():
                self._note_write_fault(f"the server is a standby. {NOT_A_STANDBY}")
        elif self._connections.looks_read_only():
            self._note_write_fault(f"the file is read-only. {MAKE_WRITABLE}")

    def _write_once(self) -> None:
        """Try whether the database can be written again; nothing is changed."""
        with suppress(DatabaseUnavailableError), self.write() as connection:
            connection.execute(text(f"UPDATE {self.name}_version SET version_num = version_num"))  # noqa: S608

    @contextmanager
    def _guarded(self, *, to_write: bool = False) -> Iterator[None]:
        """Raise `DatabaseUnavailableError` for what the driver raises; log when the database fails and when it is back.

        What the database refuses leaves it available: one odd value must not take it from every other statement.
        """
        if (fault := self._connections.fault()) is not None:
            self._note_fault(fault)
            raise DatabaseUnavailableError(fault)
        if to_write and (fault := self._connections.write_fault()) is not None:
            self._note_write_fault(fault)
            raise DatabaseUnavailableError(fault)
        try:
            yield
        except FailedMeanwhileError as error:
            self._note_fault(str(error))
            raise DatabaseUnavailableError(str(error)) from None
        except NoFreeConnectionError as error:
            # The pool is busy, the database is not at fault: the connections in use must stay open.
            self._connections.was_full()
            self._log_full()
            raise DatabaseUnavailableError("every connection is in use") from error
        except (SQLAlchemyError, UnicodeError, OverflowError) as error:
            if is_refusal(error):
                self._note_available(to_write=False)
                self._log_refusal(words(error))
                raise StatementRefusedError(words(error)) from None
            if not isinstance(error, SQLAlchemyError):
                raise
            fault = words(error)
            if to_write and (advice := only_writing(error)) is not None:
                fault = f"{fault}. {advice}"
                self._connections.failed_to_write(fault)
                self._note_available(to_write=False)
                self._note_write_fault(fault)
                raise DatabaseUnavailableError(fault) from None
            self._connections.failed(fault)
            self._note_fault(fault)
            raise DatabaseUnavailableError(fault) from None
        except BaseException:
            # The failure is the caller's own, such as a purchase that may not be made.
            self._connections.worked(to_write=False)
            raise
        self._note_available(to_write=to_write)

    def _note_fault(self, fault: str) -> None:
        if self._fault is None:
            log.error("The database is unavailable", extra={"database": self.name, "fault": fault})
        self._fault = fault

    def _note_write_fault(self, fault: str) -> None:
        if self._write_fault is None:
            log.error("The database cannot be written", extra={"database": self.name, "fault": fault})
        self._write_fault = fault

    def _note_available(self, *, to_write: bool) -> None:
        self._connections.worked(to_write=to_write)
        if self._fault is not None:
            log.warning("The database is available again", extra={"database": self.name})
            self._fault = None
        if to_write and self._write_fault is not None:
            log.warning("The database can be written again", extra={"database": self.name})
            self._write_fault = None

    def _log_full(self) -> None:
        """Log that threads wait for connections in vain, at most once a minute."""
        now = time.monotonic()
        if now - self._full_at >= LOG_AGAIN_AFTER:
            self._full_at = now
            log.warning("Every connection to the database is in use", extra={"database": self.name})

    def _log_refusal(self, fault: str) -> None:
        """Log a refusal, at most once a minute each: a statement of every second may be refused every time."""
        now = time.monotonic()
        if now - self._refused.get(fault, -LOG_AGAIN_AFTER) >= LOG_AGAIN_AFTER:
            if len(self._refused) > MAX_REFUSALS:
                self._refused.clear()
            self._refused[fault] = now
            log.error("The database refused a statement", extra={"database": self.name, "fault": fault})


def is_newer(name: str, found: str | None) -> bool:
    """Return whether a version of a database is of a later release than this code."""
    return found is not None and found.isdigit() and found > VERSIONS[name]


def version_fault(name: str, found: str | None) -> str | None:
    """Return why a version of a database is not the one that this code needs, with what to do, or None if it is."""
    needed = VERSIONS[name]
    if found == needed:
        return None
    if is_newer(name, found):
        return (
            f"The {name} database is at version {found}, which is newer than this code ({needed}). "
            "Start the release that migrated it, or a newer one, or restore a backup of before."
        )
    return f"The {name} database is at version {found or 'none'}, not {needed}. Run `make migrate`, then start again."


def lock_in_order(connection: Connection, table: Table, *conditions: ColumnElement[bool]) -> None:
    """Lock rows before they are changed, in the order of their keys, as an upsert of sorted rows does.

    Other statements lock rows as they meet them: two that meet the same rows would end in a deadlock. A file has one
    lock for all of them.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(locking(select(*_key_of(table)).where(*conditions), table))


def locking(query: Select[Any], table: Table) -> Select[Any]:
    """Return a query of a table of PostgreSQL that locks the rows which it reads, in the order of their keys."""
    # By the bytes, as Python sorts; the database's own order may be that of a language.
    order = [column.collate("C") if isinstance(column.type, String) else column for column in _key_of(table)]
    return query.order_by(*order).with_for_update()


def _key_of(table: Table) -> list[Column[Any]]:
    """Return the primary key without the mode, which is the same for all rows that a process sees."""
    return [column for column in table.primary_key if column.name != "mode"]


def chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """Cut values into lists that fit one statement; SQLite takes 32,766 values in one."""
    all_ = list(values)
    return (all_[start : start + CHUNK] for start in range(0, len(all_), CHUNK))
