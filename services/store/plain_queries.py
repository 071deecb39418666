"""Queries whose rows need no conversion: the driver runs them, by a text that is made once.

What SQLAlchemy does for a statement beyond its text (the key of its cache, a context, an object for each row) takes a
quarter of the time of a year of values, and more than a short query itself. So this is for queries with bind parameters
whose columns are numbers, texts and moments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Select
from sqlalchemy.exc import DBAPIError

from services.store.damaged_rows import WITH_DAMAGED_ROWS, ColumnCheck, are_readable, checks_of
from services.store.driver_text import compiled

# In binary form a number of PostgreSQL is read in a third of the time; psycopg's usual form is text.
POSTGRESQL_CURSOR: Mapping[str, Any] = {"binary": True}


@dataclass(frozen=True, slots=True)
class DriverQuery:
    """A query as the driver takes it, with the parameters that are the same every time."""

    text: str
    fixed: Mapping[str, Any]
    positions: Sequence[str] | None  # the names of the parameters, where the driver takes them by position
    checks: Sequence[ColumnCheck | None]  # of each column

    def rows(self, connection: Connection, given: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Return the rows as tuples of the driver; raises `DBAPIError` for what the driver raises."""
        values = {**self.fixed, **given}
        parameters: Any = values if self.positions is None else [values[name] for name in self.positions]
        dialect, lent = connection.dialect, connection.connection
        cursor: Any = lent.cursor(**(POSTGRESQL_CURSOR if dialect.name == "postgresql" else {}))
        try:
            for note in connection.dispatch.before_cursor_execute:  # What counts statements counts this one too.
                note(connection, cursor, self.text, parameters, None, False)
            rows: list[tuple[Any, ...]] = cursor.execute(self.text, parameters).fetchall()
        except dialect.loaded_dbapi.Error as error:
            is_lost = dialect.is_disconnect(error, lent.dbapi_connection, cursor)
            if is_lost:
                connection.invalidate(error)
            base = dialect.loaded_dbapi.Error
            raise DBAPIError.instance(None, None, error, base, connection_invalidated=is_lost) from error
        finally:
            cursor.close()
        return rows


class PlainQueries:
    """The plain queries of a database, each for as long as its statement exists."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Select[Any], DriverQuery] = WeakKeyDictionary()
        self._unguarded: WeakKeyDictionary[Select[Any], DriverQuery] = WeakKeyDictionary()

    def rows(self, connection: Connection, query: Select[Any], given: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Return the rows of a query, of a file without the damaged ones."""
        if (known := self._known.get(query)) is None:
            known = self._known[query] = _driver_query(connection, query)
        return known.rows(connection, given)

    def columns(self, connection: Connection, query: Select[Any], given: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Return the same by column.

        A file is read without a condition against damaged rows, which takes a fifth of the time of a query, and again
        with it where a column holds something else than its type says.
        """
        if (known := self._unguarded.get(query)) is None:
            unguarded = query.execution_options(**{WITH_DAMAGED_ROWS: True})
            known = self._unguarded[query] = _driver_query(connection, unguarded)
        columns = _columns(known, known.rows(connection, given))
        if connection.dialect.name == "postgresql" or are_readable(columns, known.checks):
            return columns
        return _columns(known, self.rows(connection, query, given))


def _columns(query: DriverQuery, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return list(zip(*rows, strict=True)) or [()] * len(query.checks)


def _driver_query(connection: Connection, query: Select[Any]) -> DriverQuery:
    made = compiled(connection, query)
    fixed = {name: value for name, value in made.params.items() if value is not None}
    return DriverQuery(made.string, fixed, made.positiontup, checks_of(query))
