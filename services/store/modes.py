"""Modes: sandbox and live may share a database and never share a row.

Every table has a column `mode`. It is set and compared here, for every statement of a pool of connections, so that no
query can forget it. Statements in plain text (the version, a probe) concern no table of the schema and stay as they
are.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, Insert, Join, Select, SelectBase, Table, event
from sqlalchemy.sql import visitors
from sqlalchemy.sql.selectable import AliasedReturnsRows

from services.store.damaged_rows import WITH_DAMAGED_ROWS, readable
from services.store.schema import gateway, memory

MODES = ("live", "sandbox")
OURS = (memory, gateway)  # and not the database's own catalogue
NESTED = (Join, AliasedReturnsRows, SelectBase)  # what a table may not stand within


def keep_to_mode(engine: Engine, mode: str) -> None:
    """Have every statement of an engine read and write the rows of one mode only.

    A statement that a module builds once, with bind parameters, is scoped once too. SQLAlchemy then finds its compiled
    text without walking through it.
    """
    known: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def scope(_connection: Any, statement: Any, multiparams: Any, params: Any, _options: Any) -> tuple[Any, Any, Any]:
        if (found := known.get(statement)) is None:
            found = scoped(statement, mode, is_file=engine.dialect.name == "sqlite")
            if found is not statement:
                known[statement] = found
        return found, multiparams, params

    event.listen(engine, "before_execute", scope, retval=True)


def scoped(statement: Any, mode: str, *, is_file: bool = False) -> Any:
    """Return a statement that reads and writes the rows of one mode only, and of a file the readable ones only.

    Raises `NotImplementedError` for a table of the schema within a join, a subquery or a union, of which the
    store has none.
    """
    parts = list(visitors.iterate(statement))
    tables = dict.fromkeys(each for each in parts if isinstance(each, Table) and each.metadata in OURS)
    if not tables:
        return statement
    # Not `get_final_froms`, which compiles the statement: this runs for each one.
    is_simple = isinstance(statement, Select) or list(tables) == [getattr(statement, "table", None)]
    if not is_simple or any(isinstance(each, NESTED) for each in parts[1:]):
        raise NotImplementedError("a table within a join, a subquery or a union cannot be kept to a mode")
    if isinstance(statement, Insert):
        return statement.values(mode=mode)
    mine = statement.where(*(table.c.mode == mode for table in tables))
    if not is_file or not isinstance(statement, Select) or len(tables) != 1:
        return mine
    return mine if statement.get_execution_options().get(WITH_DAMAGED_ROWS) else readable(mine, next(iter(tables)))
