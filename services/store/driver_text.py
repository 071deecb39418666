"""The text of a statement as the driver takes it, for what runs so often that SQLAlchemy need not look at it again."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection


def compiled(connection: Connection, statement: Any, columns: Collection[str] | None = None) -> Any:
    """Return a statement, kept to the mode as any other one, with its text and its parameters.

    `columns` are those of the rows that are inserted.
    """
    for scope in connection.dispatch.before_execute:
        statement, _, _ = scope(connection, statement, (), {}, {})
    return statement.compile(dialect=connection.dialect, column_keys=columns)
