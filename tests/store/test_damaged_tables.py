"""A damaged column of any table makes no request fail: its rows are treated as absent, and logged.

`DAMAGE=all` damages each column of each table by itself, with every kind of damage; otherwise the first columns of all
tables are damaged together, then the second ones, and so on.
"""

from __future__ import annotations

import os
import shutil
from itertools import chain, zip_longest
from pathlib import Path

import pytest
from sqlalchemy import Double, Integer, LargeBinary, String
from sqlalchemy.exc import IntegrityError
from sqlalchemy.types import TypeDecorator

from services.store.schema import gateway, memory
from services.store.sqlite_texts import TextTolerantConnection
from tests.stores import new_store, query
from tests.support import new_instance

TABLES = {"gateway": gateway, "memory": memory}
PATHS = (
    "/top-posts?time_range=7d",
    "/top-posts?time_range=30d&by=reach",
    "/account-insights?period=day&metrics=views,reach&since=2026-11-10&until=2026-11-20",
    "/account-insights?period=day&metrics=views&since=2026-11-10&until=2026-11-10&breakdown=follow_type",
    "/growth-trends?period=30d&metrics=reach",
    "/audience",
    "/stories",
    "/history?metrics=reach,views,followers",
    "/history?metrics=reach&interval=month",
    "/posting-times",
    "/formats",
    "/capabilities",
    "/compare?accounts={account}",
    "/export?metrics=reach",
    "/performance-data?url=nasa",
    "/performance-data?url=esa&dry_run=true",
    "/performance-data/history?url=nasa",
    "/credits",
    "/quota",
    "/status",
    "/readyz",
    "/api/instagram/insights/{media}",
    "/history/posts/{media}",
    "/stories/{story}",
)
FAILED = {"The database is unavailable", "The database refused a statement"}
NOTED = {"A damaged row is treated as absent", "A damaged report is shown as far as it can be read"}
NO_UTF_8 = "CAST(x'7bff' AS TEXT)"
MALFORMED = ["{", "null", "[]", "7", '"words"', "colour", "", '{"a": {"b": [NaN]}}', "[[[[1]]]]"]


def damages(column, *, thorough):
    """The SQL of what a column may hold instead: another type, an odd value, a text that is not what it should be."""
    type_ = column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
    if isinstance(type_, Integer | Double):
        yield from ["'words'"] if not thorough else ["'words'", "x'00ff'", "1e300", "-1e300", "-1", "9e18", "''"]
    elif isinstance(type_, LargeBinary):
        yield from ["'words'"] if not thorough else ["'words'", "x'00ff'", "7"]
    else:
        yield from ["'{'"] if not thorough else ["x'00ff'", NO_UTF_8, *(f"'{text}'" for text in MALFORMED)]
    if thorough and column.nullable:
        yield "NULL"


def each_alone():
    for database, metadata in TABLES.items():
        for table in metadata.sorted_tables:
            for column in table.c:
                for damage in damages(column, thorough=True):
                    yield [(database, table.name, column.name, damage)]


def all_tables_together():
    columns = [
        [
            (database, table.name, column.name, damage)
            for column in table.c
            if not column.primary_key
            for damage in damages(column, thorough=False)
        ]
        for database, metadata in TABLES.items()
        for table in metadata.sorted_tables
    ]
    for together in zip_longest(*columns):
        yield [each for each in together if each is not None]


def texts_that_are_no_utf_8():
    """All texts of all tables, then each table's names, by which its rows are found."""
    columns = [
        (database, table.name, column)
        for database, metadata in TABLES.items()
        for table in metadata.sorted_tables
        for column in table.c
        if column.name != "mode" and isinstance(column.type, String)
    ]
    yield [(*where, column.name, NO_UTF_8) for *where, column in columns if not column.primary_key]
    yield [(*where, column.name, NO_UTF_8) for *where, column in columns if column.primary_key]


@pytest.fixture
def kept(make_world, tmp_path):
    """A world whose store has rows in most tables, and a copy of its files."""
    with new_store("sqlite") as store:
        world = make_world(**store, TOKEN_KEY="")
        media = world.get(PATHS[0]).json["top_posts"][0]["id"]
        story = world.get("/stories").json["stories"][0]["id"]
        world.names = {"account": world.account["id"], "media": media, "story": story}
        for _ in range(2):
            assert {ask(world, path).status_code for path in PATHS} == {200}
        world.settle()
        world.services.store.jobs.put("report", "nasa", due_at=1.0)
        world.services.close()
        folder = Path(store["INSTANCE_PATH"])
        shutil.copytree(folder, tmp_path / "whole")
        yield world, tmp_path / "whole"


def ask(world, path):
    return world.get(path.format(**world.names))


def damage(store, choices):
    changed = 0
    for database, table, column, value in choices:
        try:
            query(store, database, f"UPDATE OR IGNORE {table} SET {column} = {value}")
            changed += query(store, database, f"SELECT count(*) FROM {table}")[0][0]
        except IntegrityError:
            continue  # A constraint of the database refuses it.
    return changed


def test_no_damaged_column_makes_a_request_fail(kept, caplog, monkeypatch):
    world, whole = kept
    failed, noted = [], set()
    rounds = each_alone() if os.environ.get("DAMAGE") == "all" else all_tables_together()
    for choices in chain(texts_that_are_no_utf_8(), rounds):
        folder = new_instance()
        shutil.copytree(whole, folder, dirs_exist_ok=True)
        if damage({"INSTANCE_PATH": folder}, choices) == 0:
            continue
        monkeypatch.setattr(TextTolerantConnection, "replaces", False)
        noted |= {record.table for record in caplog.records if record.getMessage() in NOTED}
        caplog.clear()
        has_no_sum = any(each[1:3] == ("ledger_months", "milli_credits") for each in choices)  # Nothing is bought then.
        world.restart(INSTANCE_PATH=folder)
        for path in PATHS:
            reply = ask(world, path)
            if reply.status_code >= 500 and not (has_no_sum and reply.json["code"] == "ledger_unavailable"):
                failed.append((reply.status_code, path, choices))
        world.settle()
        failed += [
            (record.getMessage(), str(record.exc_info and record.exc_info[1]), choices)
            for record in caplog.records
            if record.exc_info or record.getMessage() in FAILED
        ]
        world.services.close()

    assert failed == []
    assert noted >= {"reports", "posts", "post_readings", "stories", "cache_entries", "metric_values"}
