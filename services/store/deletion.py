"""Deletes what an account has left, and what is older than it has to be kept: in short transactions, for good."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, select, tuple_

from services.store.account_tables import accounts
from services.store.damaged_rows import WITH_DAMAGED_ROWS, can_be_found
from services.store.database import Database, lock_in_order
from services.store.exported_tables import Section
from services.store.job_tables import jobs
from services.store.memory_tables import cache_versions
from services.store.schema import gateway, memory
from services.store.transfer import dated_before

BATCH = 500  # rows of one transaction
# The number of changes has to stay and to grow, so that other processes drop what they have in memory.
KEPT = frozenset({cache_versions})


class Deletion:
    """Both databases, for what is deleted across their tables."""

    def __init__(self, databases: Sequence[Database]) -> None:
        self._databases = databases

    def of_account(self, account: str) -> dict[str, int]:
        """Delete every row about an account; return how many there were by table.

        By the schema, so that a new table with a column `account` is covered. Deliveries of webhooks have none, and
        may be about several accounts: `WebhookTable.forget`.
        """
        deleted: dict[str, int] = {}
        for database, tables in zip(self._databases, (memory, gateway), strict=True):
            for table, condition in _about(tables.sorted_tables, account):
                while count := self._batch(database, table, condition):
                    deleted[table.name] = deleted.get(table.name, 0) + count
        return deleted

    def expire(self, section: Section, account: str, before: date) -> int:
        """Delete some of the rows of an account that are older than a day; return how many, 0 when none are left."""
        (database,) = (each for each in self._databases if each.name == "gateway")
        old = section.table.c.account == account, dated_before(section, before)
        return self._batch(database, section.table, *old)

    def _batch(self, database: Database, table: Table, *conditions: ColumnElement[bool]) -> int:
        key = [column for column in table.primary_key if column.name != "mode"]
        query = select(*key).where(*conditions).limit(BATCH).execution_options(**{WITH_DAMAGED_ROWS: True})
        with database.read() as connection:
            rows = connection.execute(query).all()
        if not rows:
            return 0
        names = [tuple(row) for row in rows if all(can_be_found(str(value)) for value in row)]
        if not names:
            # All are damaged. No statement finds them by their names, so they go with all else, in one transaction.
            with database.write() as connection:
                return connection.execute(delete(table).where(*conditions)).rowcount
        with database.write() as connection:
            found = tuple_(*key).in_(names)
            lock_in_order(connection, table, found, *conditions)
            connection.execute(delete(table).where(found, *conditions))
        return len(names)


def _about(tables: Sequence[Table], account: str) -> Iterator[tuple[Table, ColumnElement[bool]]]:
    named: Mapping[Table, Any] = {accounts: accounts.c.id, jobs: jobs.c.key}
    for table in tables:
        column = table.c.get("account", named.get(table))
        if column is not None and table not in KEPT:
            yield table, column == account
