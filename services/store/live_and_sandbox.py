"""Modes: sandbox and live may share a database and never share a row.

Every table has a column `mode`. It is set and compared here, for every statement of a pool of connections, so that no
query can forget it. Statements in plain text (the version, a probe) concern no table of the schema and stay as they
are.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Delete, Engine, Insert, Join, Select, SelectBase, Table, Update, event
from sqlalchemy.sql import visitors
from sqlalchemy.sql.selectable import AliasedReturnsRows

from services.store.damaged_rows import WITH_DAMAGED_ROWS, readable
from services.store.schema import gateway, memory

MODES = ("live", "sandbox")
OURS = (memory, gateway)  # and not the database's own catalogue
NESTED = (Join, AliasedReturnsRows, SelectBase)  # what a table may not stand within
WITH_KEY = (Select, Update, Delete)
MOST_KNOWN = 1_000  # kinds of statements of a process

# What was found for a kind of statement, a mode, and whether damaged rows are left out. Its parts are never changed.
_known: dict[tuple[Any, str, bool], tuple[Any, ...]] = {}

# The statements that were scoped, by mode and whether they are for a file: each goes with the one it was made of.
_scoped: dict[tuple[str, bool], WeakKeyDictionary[Any, Any]] = {}


def keep_to_mode(engine: Engine, mode: str) -> None:
    """Have every statement of an engine read and write the rows of one mode only.

    A statement that a module builds once, with bind parameters, is scoped once too, for all engines. SQLAlchemy then
    finds its compiled text without walking through it.
    """
    is_file = engine.dialect.name == "sqlite"
    known = _scoped.setdefault((mode, is_file), WeakKeyDictionary())

    def scope(_connection: Any, statement: Any, multiparams: Any, params: Any, _options: Any) -> tuple[Any, Any, Any]:
        if (found := known.get(statement)) is None:
            found = scoped(statement, mode, is_file=is_file)
            if found is not statement:
                known[statement] = found
        return found, multiparams, params

    event.listen(engine, "before_execute", scope, retval=True)


def scoped(statement: Any, mode: str, *, is_file: bool = False) -> Any:
    """Return a statement that reads and writes the rows of one mode only, and of a file the readable ones only.

    Raises `NotImplementedError` for a table of the schema within a join, a subquery or a union, of which the
    store has none.
    """
    if isinstance(statement, Insert):
        return statement.values(mode=mode) if _tables_of(statement) else statement
    conditions = _conditions(statement, mode, is_file=is_file)
    return statement.where(*conditions) if conditions else statement


def _conditions(statement: Any, mode: str, *, is_file: bool) -> tuple[Any, ...]:
    """Return what keeps a statement to a mode, or nothing where it concerns no table of the schema.

    The walk through a statement costs several times as much as its key, which SQLAlchemy makes of all but its values.
    So there is one walk for each key.
    """
    if not isinstance(statement, WITH_KEY):
        return _found(statement, mode, is_readable_only=False)
    is_readable_only = is_file and not statement.get_execution_options().get(WITH_DAMAGED_ROWS)
    if (shape := statement._generate_cache_key()) is None:
        return _found(statement, mode, is_readable_only=is_readable_only)
    key = shape.key, mode, is_readable_only
    if (known := _known.get(key)) is None:
        if len(_known) >= MOST_KNOWN:
            _known.clear()  # Some statements have as many parts as there are values.
        known = _known[key] = _found(statement, mode, is_readable_only=is_readable_only)
    return known


def _found(statement: Any, mode: str, *, is_readable_only: bool) -> tuple[Any, ...]:
    tables = _tables_of(statement)
    conditions = tuple(table.c.mode == mode for table in tables)
    if not is_readable_only or not isinstance(statement, Select) or len(tables) != 1:
        return conditions
    return (*conditions, *readable(statement, tables[0]))


def _tables_of(statement: Any) -> list[Table]:
    parts = list(visitors.iterate(statement))
    tables = list(dict.fromkeys(each for each in parts if isinstance(each, Table) and each.metadata in OURS))
    if not tables:
        return []
    # Not `get_final_froms`, which compiles the statement.
    is_simple = isinstance(statement, Select) or tables == [getattr(statement, "table", None)]
    if not is_simple or any(isinstance(each, NESTED) for each in parts[1:]):
        raise NotImplementedError("a table within a join, a subquery or a union cannot be kept to a mode")
    return tables
