"""The upsert that both engines share: insert rows, or update the existing ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import (
    ClauseElement,
    Column,
    ColumnElement,
    Connection,
    CursorResult,
    Double,
    Engine,
    Table,
    and_,
    bindparam,
    literal_column,
    or_,
)
from sqlalchemy.dialects import postgresql, sqlite

from services.clock import AHEAD
from services.store.driver_text import compiled

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
        self._texts: WeakKeyDictionary[Engine, dict[tuple[str, ...], _DriverUpsert]] = WeakKeyDictionary()

    def run(
        self, connection: Connection, rows: Values | Sequence[Values], *, now: float | None = None
    ) -> CursorResult[Any]:
        """Insert or update rows within a transaction.

        An SQL expression among the values has to be the same in every row. `now` is for a statement with `NOW` in it.
        """
        listed = [rows] if isinstance(rows, Mapping) else list(rows)
        given = {} if now is None else {"now": now}
        expressions = {name: value for name, value in listed[0].items() if isinstance(value, ClauseElement)}
        if expressions:
            parameters = [{name: value for name, value in row.items() if name not in expressions} for row in listed]
            statement = self._built(connection.dialect.name, {**self._values, **expressions})
            return connection.execute(statement, [row | given for row in parameters])
        if self._returning:
            return connection.execute(self._statement(connection.dialect.name), [{**row, **given} for row in listed])
        text = self._text(connection, tuple(listed[0]))
        return connection.exec_driver_sql(text.text, [text.parameters(row, given) for row in listed])

    def _text(self, connection: Connection, columns: tuple[str, ...]) -> _DriverUpsert:
        """Return what the driver runs for rows of some columns: one text for each engine, which has one mode."""
        known = self._texts.setdefault(connection.engine, {})
        if (text := known.get(columns)) is None:
            text = known[columns] = _DriverUpsert(connection, self._statement(connection.dialect.name), columns)
        return text

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


class _DriverUpsert:
    """An upsert as the driver takes it, with the conversions that the types of its columns ask for.

    SQLAlchemy makes the parameters of each row from the statement, which takes longer than the row itself.
    """

    def __init__(self, connection: Connection, statement: Any, columns: Collection[str]) -> None:
        made = compiled(connection, statement, columns)
        self.text: str = made.string
        processors = {
            name: process
            for name, bind in made.binds.items()
            if (process := bind.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)) is not None
        }
        self._fixed = {
            name: processors[name](value) if name in processors else value
            for name, value in made.params.items()
            if name not in columns
        }
        self._processors: list[tuple[str, Callable[[Any], Any]]] = [
            (name, process) for name, process in processors.items() if name in columns
        ]
        # By position for SQLite, by name for PostgreSQL.
        self._in_order = None if made.positiontup is None else itemgetter(*made.positiontup)

    def parameters(self, row: Values, given: Values) -> Any:
        """Return the parameters of a row, with those that are the same in all of them."""
        values = {**self._fixed, **row, **given}
        for name, process in self._processors:
            values[name] = process(values[name])
        return values if self._in_order is None else self._in_order(values)


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
