"""Rows of a SQLite file whose columns hold something else than their types say: they are treated as absent.

SQLite keeps a text in a column for numbers. One such row, written by another program or a damaged disk, would make
every request fail that reads it. So each SELECT asks for readable rows only, and the others are logged. PostgreSQL
keeps the types itself. Only reports and the sums of the ledger are read whatever their rows hold: a report that seemed
absent would be bought again, and a month without a sum would be one in which nothing was spent. For texts that are no
UTF-8 see `services.store.sqlite_texts`.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from types import NoneType
from typing import Any

from sqlalchemy import Column, ColumnElement, Double, Integer, LargeBinary, Select, Table, literal_column
from sqlalchemy.sql import visitors
from sqlalchemy.types import TypeDecorator

NOTE = "note_damaged_row"  # an SQL function of each connection
MOST_NOTED = 1_000  # rows that are logged by one process
WITH_DAMAGED_ROWS = "with_damaged_rows"  # an execution option of a SELECT that sorts out damage itself
SHOWN = 200  # characters by which a value is recognized
LATEST_MOMENT = 1e11  # Unix seconds; the year 5138
UNDECODED = "\ufffd"  # what stands for a part of a text that is no UTF-8
SURROGATE = re.compile("[\ud800-\udfff]")
MOST_ATTEMPTS = 1_000_000  # of whatever is repeated
MOMENTS = ("_at", "_until", "time")  # how the names of columns with moments end

log = logging.getLogger(__name__)


class DamageLog:
    """Logs each damaged row once."""

    def __init__(self) -> None:
        self._noted: set[tuple[str, int]] = set()

    def note(self, table: str, row: int) -> int:
        """Log a row by its number in the file (`rowid`), and return 0: false, as SQL needs it."""
        if (table, row) not in self._noted and len(self._noted) < MOST_NOTED:
            self._noted.add((table, row))
            log.error("A damaged row is treated as absent", extra={"table": table, "rowid": row})
        return 0


def readable(statement: Select[Any], table: Table) -> tuple[ColumnElement[bool], ...]:
    """Return what leaves out rows in which a column that a query selects holds a value of another type."""
    selected = [column for each in statement.selected_columns for column in _columns_in(each)]
    return (_condition(table, tuple(dict.fromkeys(selected))),) if selected else ()


def _columns_in(element: Any) -> Iterable[Column[Any]]:
    return (part for part in visitors.iterate(element) if isinstance(part, Column) and part.table is not None)


def parsed(text: str, column: Column[Any], *, otherwise: Any = None) -> Any:
    """Return the JSON in a column, or what stands for one that cannot be read, which is logged once."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        log_damaged(column.table.name, (column.name, str(text[:SHOWN])))
        return otherwise


@lru_cache(MOST_NOTED)
def log_damaged(table: str, row: tuple[str, ...]) -> None:
    """Log once that a row, by what identifies it, is treated as absent."""
    log.error("A damaged row is treated as absent", extra={"table": table, "row": " ".join(row)})


@lru_cache(MOST_NOTED)
def log_damaged_report(database: str | None, row: int) -> None:
    """Log once that a row of `reports`, by its id in a database (a path or name), is damaged."""
    log.error("A damaged report is shown as far as it can be read", extra={"table": "reports", "rowid": row})


def is_moment(value: object) -> bool:
    """Return whether a value can be a moment (Unix seconds)."""
    return isinstance(value, int | float) and -LATEST_MOMENT <= value <= LATEST_MOMENT


def can_be_found(name: str) -> bool:
    """Return whether a row can be found again by a name that was read from it: one that is no UTF-8 is another one."""
    return UNDECODED not in name


def is_writable(text: str) -> bool:
    """Return whether a text of a JSON value can be written anywhere: one with half a surrogate pair cannot."""
    return SURROGATE.search(text) is None


def next_attempt(attempts: int) -> int:
    """Return the number of the attempt after so many; a damaged number is taken as the nearest that can be."""
    return min(max(attempts, 0), MOST_ATTEMPTS) + 1


ColumnCheck = tuple[frozenset[type], bool]
"""The types that a column may hold, and whether it holds moments: then a null is not sure to be readable."""


def checks_of(statement: Select[Any]) -> list[ColumnCheck | None]:
    """Return what each column that a query selects may hold; None for one that is none of a table."""
    return [_check(each) if isinstance(each, Column) else None for each in statement.selected_columns]


def are_readable(columns: Sequence[Sequence[Any]], checks: Sequence[ColumnCheck | None]) -> bool:
    """Return whether all rows are readable, of which these are the columns; where this is not sure, they are not."""
    return all(map(_is_readable, columns, checks))


def _is_readable(values: Sequence[Any], check: ColumnCheck | None) -> bool:
    if check is None or not values:
        return True
    types, is_moment = check
    if not is_moment and values.count(values[0]) == len(values):  # such as reasons of known values, which are all null
        return type(values[0]) in types
    if not types.issuperset(map(type, values)):
        return False
    return not is_moment or (min(values) >= -LATEST_MOMENT and max(values) <= LATEST_MOMENT)


def _check(column: Column[Any]) -> ColumnCheck:
    type_ = _type_of(column)
    if isinstance(type_, Double):
        is_moment = column.name.endswith(MOMENTS)
        return frozenset({float} if is_moment else {float, NoneType}), is_moment
    of_values = int if isinstance(type_, Integer) else bytes if isinstance(type_, LargeBinary) else str
    return frozenset({of_values, NoneType}), False


@cache
def _condition(table: Table, columns: tuple[Column[Any], ...]) -> ColumnElement[bool]:
    # As text: a tree of dozens of elements would cost more than the query. The function comes last, so that it is
    # called for damaged rows only. A comparison with NULL is neither true nor false, so nulls are no damage.
    damaged = " OR ".join(_damage(column) for column in columns)
    return literal_column(f"(({damaged}) IS NOT 1 OR {NOTE}('{table.name}', {table.name}.rowid))")


def _damage(column: Column[Any]) -> str:
    """Return a condition that is true for a value of another type than that of its column.

    SQLite orders all numbers before all texts, and these before all blobs. A comparison with the least text or blob is
    several times as fast as `typeof`.
    """
    name = f"{column.table.name}.{column.name}"
    type_ = _type_of(column)
    if isinstance(type_, Double) and column.name.endswith(MOMENTS):
        return f"{name} NOT BETWEEN {-LATEST_MOMENT} AND {LATEST_MOMENT}"
    if isinstance(type_, Integer):
        # A fraction, infinity and a number beyond 64 bits are kept as they are, and so is a text or a blob.
        return f"{name} <> CAST({name} AS INTEGER)"
    if isinstance(type_, Double):
        return f"{name} >= ''"
    # A number in a column for texts was stored as a text.
    return f"{name} < x''" if isinstance(type_, LargeBinary) else f"{name} >= x''"


def _type_of(column: Column[Any]) -> Any:
    return column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
