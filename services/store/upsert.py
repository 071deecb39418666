"""The upsert that both engines share: insert rows, or update the existing ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ClauseElement,
    Column,
    ColumnElement,
    Connection,
    CursorResult,
    Double,
    Table,
    and_,
    bindparam,
    literal_column,
    or_,
)
from sqlalchemy.dialects import postgresql, sqlite

from services.clock import AHEAD

Values = Mapping[str, Any]
NOW = bindparam("now", type_=Double)  # the present moment (Unix seconds), in statements that are built once


class Upsert:
    """An upsert to run with any rows of its table.

    To build the statement and to find its compiled text costs several times as much as to run it, so one that runs for
    every request, look or delivery is built once, as a constant of its module. Its parts are then fixed: what differs
    from one run to the next has to come with the rows (`excluded`).
    """

    def __init__(
        self,
        table: Table,
        *,
        replace: Collection[str] | Values = (),
        only_if: ColumnElement[bool] | None = None,
        returning: Sequence[ColumnElement[Any]] = (),
        values: Mapping[str, ColumnElement[Any]] | None = None,
    ) -> None:
        """Describe what happens to a row that exists already, by its primary key.

        `replace` names the columns that take the new row's values, or maps columns to expressions over the existing row
        (`table.c.x`) and the new one (`excluded(table.c.x)`); without it an existing row stays as it is. `only_if` is a
        condition on the update. `returning` gives columns of the rows that were inserted or updated, and of no others.
        `values` are SQL expressions that are part of each new row.
        """
        self._table = table
        self._replace = replace
        self._only_if = only_if
        self._returning = returning
        self._values = values or {}
        self._statements: dict[str, Any] = {}  # by the name of the engine

    def run(
        self, connection: Connection, rows: Values | Sequence[Values], *, now: float | None = None
    ) -> CursorResult[Any]:
        """Insert or update rows within a transaction.

        An SQL expression among the values has to be the same in every row. `now` is for a statement with `NOW` in it.
        """
        listed = [rows] if isinstance(rows, Mapping) else list(rows)
        if now is not None:
            listed = [{**row, "now": now} for row in listed]
        expressions = {name: value for name, value in listed[0].items() if isinstance(value, ClauseElement)}
        if expressions:
            parameters = [{name: value for name, value in row.items() if name not in expressions} for row in listed]
            statement = self._built(connection.dialect.name, {**self._values, **expressions})
            return connection.execute(statement, parameters)
        return connection.execute(self._statement(connection.dialect.name), listed)

    def _statement(self, engine: str) -> Any:
        if (statement := self._statements.get(engine)) is None:
            statement = self._statements[engine] = self._built(engine, self._values)
        return statement

    def _built(self, engine: str, expressions: Values) -> Any:
        insert = (postgresql if engine == "postgresql" else sqlite).insert(self._table)
        if expressions:
            insert = insert.values(expressions)
        if replace := self._replace:
            updates = replace if isinstance(replace, Mapping) else {name: insert.excluded[name] for name in replace}
            key = list(self._table.primary_key)
            insert = insert.on_conflict_do_update(index_elements=key, set_=updates, where=self._only_if)
        else:
            insert = insert.on_conflict_do_nothing()  # Without a key, so that it also covers partial unique indexes.
        return insert.returning(*self._returning) if self._returning else insert


def excluded(column: Column[Any]) -> ColumnElement[Any]:
    """Return the value of a column in the row that was not inserted because of a conflict (SQL calls it `excluded`)."""
    return literal_column(f"excluded.{column.name}", column.type)


def is_newer(column: Column[Any], *, or_equal: bool = True) -> ColumnElement[bool]:
    """Return whether the new row has a later moment than the one in the table, or (`or_equal`) the same.

    A moment in the table that lies ahead (`services.clock.is_ahead`) does not count, unless the new one does too.
    """
    new = excluded(column)
    is_later = new >= column if or_equal else new > column
    return or_(column.is_(None), is_later, and_(lies_ahead(column), ~lies_ahead(new)))


def lies_ahead(moment: ColumnElement[float]) -> ColumnElement[bool]:
    """Return whether a moment lies ahead of `NOW`, as `services.clock.is_ahead`."""
    return moment > NOW + AHEAD


def is_due(due_at: ColumnElement[float], now: float, latest: float | ColumnElement[float]) -> ColumnElement[bool]:
    """Return whether something is due: by its due time, or because that is further ahead than any can be.

    `latest` are the seconds until a due time at most. What is due later was put off before a clock was set back.
    """
    return or_(due_at <= now, due_at > now + AHEAD + latest)
