"""The upsert of the store, on both engines."""

from __future__ import annotations

import pytest
from sqlalchemy import literal, select

from services.store.memory_tables import cache_versions, quota_usage
from services.store.upsert import Upsert, excluded

INSERT = Upsert(quota_usage)
REPLACE_PERCENT = Upsert(quota_usage, replace=("percent",))


@pytest.fixture
def database(store):
    """The memory database of a new store."""
    return store.databases[0]


def usage(account, percent, read_at=1.0):
    return {"provider": "instagram", "account": account, "percent": percent, "kinds": "{}", "read_at": read_at}


def percents(database):
    with database.read() as connection:
        rows = connection.execute(select(quota_usage).order_by(quota_usage.c.account))
        return [(row.account, row.percent) for row in rows]


def test_new_rows_are_inserted_and_named_columns_of_existing_ones_are_replaced(database):
    database.upsert(REPLACE_PERCENT, usage("a", 1.0))

    database.upsert(REPLACE_PERCENT, [usage("a", 2.0, read_at=9.0), usage("b", 3.0)])

    assert percents(database) == [("a", 2.0), ("b", 3.0)]
    with database.read() as connection:
        assert set(connection.execute(select(quota_usage.c.read_at)).scalars()) == {1.0}


def test_without_columns_to_replace_an_existing_row_stays_as_it_is(database):
    database.upsert(INSERT, usage("a", 1.0))

    database.upsert(INSERT, [usage("a", 2.0), usage("b", 2.0)])

    assert percents(database) == [("a", 1.0), ("b", 2.0)]


def test_an_existing_row_is_updated_only_under_the_condition(database):
    newer = quota_usage.c.read_at < excluded(quota_usage.c.read_at)
    replace_by_newer = Upsert(quota_usage, replace=("percent", "read_at"), only_if=newer)
    database.upsert(INSERT, [usage("a", 1.0, read_at=5.0), usage("b", 1.0, read_at=5.0)])

    database.upsert(replace_by_newer, [usage("a", 2.0, read_at=4.0), usage("b", 2.0, read_at=6.0)])

    assert percents(database) == [("a", 1.0), ("b", 2.0)]


def test_expressions_see_the_existing_row_and_the_returned_columns_are_of_changed_rows_only(database):
    counter = cache_versions.c.counter
    rows = [{"account": account, "counter": 1} for account in ("a", "b")]

    def count(only_if=None):
        with database.write() as connection:
            add = Upsert(
                cache_versions,
                replace={"counter": counter + 1},
                only_if=only_if,
                returning=(cache_versions.c.account, counter),
            )
            return sorted(tuple(row) for row in add.run(connection, rows))

    assert count() == [("a", 1), ("b", 1)]
    assert count() == [("a", 2), ("b", 2)]
    assert count(only_if=cache_versions.c.account == "b") == [("b", 3)]


def test_an_expression_of_the_database_is_inserted_into_every_row(database):
    rows = [usage(account, 1.0) | {"read_at": database.now()} for account in ("a", "b")]

    database.upsert(Upsert(quota_usage, replace=("read_at",)), rows)

    with database.read() as connection:
        assert min(connection.execute(select(quota_usage.c.read_at)).scalars()) > 1_700_000_000


def test_an_expression_among_the_values_of_a_row_leaves_those_of_the_statement(database):
    one = {name: value for name, value in usage("a", 1.0).items() if name != "percent"}

    database.upsert(Upsert(quota_usage, values={"percent": literal(7.0)}), one | {"read_at": database.now()})

    assert percents(database) == [("a", 7.0)]


def test_a_statement_that_is_built_once_takes_other_columns_and_expressions_in_the_next_run(database):
    database.upsert(REPLACE_PERCENT, usage("a", 1.0))
    database.upsert(REPLACE_PERCENT, usage("b", 1.0) | {"read_at": database.now()})
    database.upsert(REPLACE_PERCENT, usage("c", 1.0) | {"blocked_until": 7.0})
    database.upsert(REPLACE_PERCENT, usage("d", 1.0))

    with database.read() as connection:
        rows = connection.execute(select(quota_usage).order_by(quota_usage.c.account)).all()
    assert [(row.account, row.blocked_until) for row in rows] == [("a", None), ("b", None), ("c", 7.0), ("d", None)]
    assert [row.read_at > 1_700_000_000 for row in rows] == [False, True, False, False]
