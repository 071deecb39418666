"""Texts of a SQLite file that are no UTF-8: they are read as far as they can be, and take nothing else with them.

SQLite keeps any bytes in a column for texts. Python's driver refuses to decode them, with an error that looks like one
of the whole database. Decoding each text by a function of our own would cost more than the rest of a query, so the
driver decodes until it finds such a text; from then on this process replaces what is no UTF-8.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

MARK = "Could not decode to UTF-8"  # how the driver's message begins; it goes on with the column and the text
COLUMN = re.compile(r"column '(\w{1,64})'")
AS_FAR_AS_READABLE: Callable[[bytes], str] = partial(str, encoding="utf-8", errors="replace")

log = logging.getLogger(__name__)


def is_undecodable(error: object) -> bool:
    """Return whether an error of the driver is about one text, not about the database."""
    return isinstance(error, sqlite3.OperationalError) and str(error).startswith(MARK)


class TextTolerantCursor(sqlite3.Cursor):
    """A cursor that reads a query again where a text could not be decoded."""

    _given: tuple[Any, ...] = ()
    _fetched = 0

    def execute(self, *given: Any) -> TextTolerantCursor:
        """Run a statement, and keep it for a second reading."""
        self._given, self._fetched = given, 0
        super().execute(*given)
        return self

    def fetchone(self) -> Any:
        """Return the next row."""
        try:
            row = super().fetchone()
        except sqlite3.OperationalError as error:
            self._read_again(error)
            row = super().fetchone()
        self._fetched += 1
        return row

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        try:
            return super().fetchall()
        except sqlite3.OperationalError as error:
            self._read_again(error)
            return super().fetchall()

    def _read_again(self, error: sqlite3.OperationalError) -> None:
        """Run a query again up to where it was, with replaced texts; a statement that writes is not run twice."""
        if not is_undecodable(error):
            raise error
        TextTolerantConnection.replaces = True
        self.connection.text_factory = AS_FAR_AS_READABLE
        _log_once(found[1] if (found := COLUMN.search(str(error))) else "")
        if not str(self._given[0]).lstrip().upper().startswith("SELECT"):
            raise error
        super().execute(*self._given)
        for _ in range(self._fetched):
            super().fetchone()


class TextTolerantConnection(sqlite3.Connection):
    """A connection whose cursors read texts that are no UTF-8."""

    replaces = False  # of this process: whether such a text was found

    def cursor(self, _factory: object = None) -> Any:
        """Return a cursor."""
        if TextTolerantConnection.replaces:
            self.text_factory = AS_FAR_AS_READABLE
        return super().cursor(TextTolerantCursor)


@lru_cache(1_000)
def _log_once(column: str) -> None:
    log.error("A damaged text is read as far as it is UTF-8", extra={"column": column})
