"""What an error of the driver means: the database is unavailable, or it refused one statement and works on."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import (
    ArgumentError,
    CompileError,
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    StatementError,
)

from services.redaction import one_line
from services.store.sqlite_texts import is_undecodable

# Of sqlite3, by primary result code: an SQL error, too big, a constraint, a mismatch, misuse, out of range.
REFUSED_BY_SQLITE = frozenset({1, 18, 19, 20, 21, 25})
# Of PostgreSQL, by the class of the SQLSTATE: connection, authorization, transaction state (a standby is read-only),
# unknown database, rollback (deadlock), resources (disk full), object state (lock timeout), operator intervention
# (shutdown, statement timeout), system error, configuration file, internal error. Every other class is about the
# statement or its values.
UNAVAILABLE_CLASSES = frozenset({"08", "25", "28", "3D", "40", "53", "55", "57", "58", "F0", "XX"})
# What prevents writing and not reading, with what to do: of sqlite3 a file that is read-only, an error of the disk, a
# full disk; of PostgreSQL a transaction that is read-only, a full disk.
FREE_SPACE = "Free space on its disk."
MAKE_WRITABLE = "Make it writable again: the permissions of its file and folder, a disk that was mounted read-only."
NOT_A_STANDBY = "Connect to the primary server, or end its read-only mode."
NOT_WRITABLE_SQLITE = {8: MAKE_WRITABLE, 10: "Look at its disk.", 13: FREE_SPACE}
NOT_WRITABLE_POSTGRESQL = {"25006": NOT_A_STANDBY, "53100": FREE_SPACE}
OF_ONE_STATEMENT = "XX000"  # an internal error of one statement, such as a value that no memory holds


def is_refusal(error: Exception) -> bool:
    """Return whether an error is about one statement or its values; the connection and the database work on."""
    if isinstance(error, UnicodeError | OverflowError) or is_undecodable(getattr(error, "orig", None)):
        return True  # The driver could not encode a value: a lone surrogate, a number of 400 digits; or decode a text.
    if not isinstance(error, DBAPIError):
        return isinstance(error, StatementError | CompileError | ArgumentError)
    if error.connection_invalidated:
        return False
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        code: int | None = getattr(cause, "sqlite_errorcode", None)
        if code is not None:
            return code & 0xFF in REFUSED_BY_SQLITE
    else:
        state: str | None = getattr(cause, "sqlstate", None)
        if state is not None:
            return state == OF_ONE_STATEMENT or state[:2] not in UNAVAILABLE_CLASSES
    return isinstance(error, DataError | IntegrityError | ProgrammingError | NotSupportedError)  # of the driver alone


def only_writing(error: Exception) -> str | None:
    """Return what to do about a failed write of a database that can still be read, or None for any other failure."""
    cause = getattr(error, "orig", None)
    if isinstance(cause, sqlite3.Error):
        return NOT_WRITABLE_SQLITE.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF)
    return NOT_WRITABLE_POSTGRESQL.get(getattr(cause, "sqlstate", None) or "")


def words(error: Exception) -> str:
    """Return the driver's message, on one line, without the statement and its values."""
    cause = getattr(error, "orig", None) or error
    said = "a text is no UTF-8" if is_undecodable(cause) else one_line(str(cause), 200)
    return f"{type(cause).__name__}: {said}"
