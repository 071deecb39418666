"""The schema: migrations lead up and down, match what the code describes, and an old one stops the start."""

from __future__ import annotations

import subprocess
import sys
from io import StringIO

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

from commands.migrate import alembic_config, migrate
from config import Config
from services.store import addresses
from services.store.schema import GATEWAY, MEMORY, VERSIONS, gateway, memory
from tests.stores import ENGINES, new_store, query
from tests.support import ROOT, environment, free_port

TABLES = {MEMORY: memory, GATEWAY: gateway}
DATABASES = pytest.mark.parametrize("database", TABLES)


@pytest.fixture(params=ENGINES)
def empty_settings(request):
    """The settings of a store without a table."""
    with new_store(request.param, migrated=False) as settings:
        yield settings


def config_of(store):
    return Config(
        database_url=store.get("DATABASE_URL", ""), instance_path=store.get("INSTANCE_PATH", Config.instance_path)
    )


def connect(store, database):
    return create_engine(addresses(store.get("DATABASE_URL", ""), store.get("INSTANCE_PATH", ""))[database])


def run_alembic(store, database, action, revision):
    engine = connect(store, database)
    try:
        with engine.connect() as connection:
            settings = alembic_config(database)
            settings.stdout = StringIO()
            settings.attributes["connection"] = connection
            action(settings, revision)
            connection.commit()
    finally:
        engine.dispose()


def tables_of(store, database):
    engine = connect(store, database)
    names = set(inspect(engine).get_table_names())
    engine.dispose()
    return names


def start_gunicorn(store):
    return subprocess.run(
        [sys.executable, "-m", "gunicorn", "app:create_app()"],
        cwd=ROOT,
        env=environment(store | {"PORT": str(free_port())}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@DATABASES
def test_the_code_needs_the_newest_version_of_each_database(database):
    heads = ScriptDirectory.from_config(alembic_config(database)).get_heads()

    assert heads == [VERSIONS[database]]


@DATABASES
def test_the_migrations_make_what_the_schema_describes(store_settings, database):
    described = list(TABLES.values()) if "DATABASE_URL" in store_settings else TABLES[database]
    engine = connect(store_settings, database)

    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "compare_server_default": True,
                "include_object": lambda _object, name, type_, _reflected, _other: (
                    type_ != "table" or not name.endswith("_version")
                ),
            },
        )
        differences = compare_metadata(context, described)

    engine.dispose()
    assert differences == []


def test_alembic_itself_would_generate_nothing(store_settings):
    for database in TABLES:
        run_alembic(store_settings, database, lambda settings, _: command.check(settings), None)


def test_the_migrations_lead_down_and_up_again(store_settings):
    whole = tables_of(store_settings, MEMORY) | tables_of(store_settings, GATEWAY)
    for database in TABLES:
        run_alembic(store_settings, database, command.downgrade, "base")
    left = tables_of(store_settings, MEMORY) | tables_of(store_settings, GATEWAY)

    migrate(config_of(store_settings))

    again = tables_of(store_settings, MEMORY) | tables_of(store_settings, GATEWAY)
    assert left == {"memory_version", "gateway_version"}
    assert again == whole == left | set(memory.tables) | set(gateway.tables)


def test_to_migrate_again_changes_nothing(store_settings):
    query(store_settings, MEMORY, "INSERT INTO changes (account, counter) VALUES ('1', 7)")

    migrate(config_of(store_settings))

    assert query(store_settings, MEMORY, "SELECT account, counter FROM changes") == [("1", 7)]


def test_two_who_migrate_at_once_do_not_disturb_each_other(empty_settings):
    commands = [
        subprocess.Popen(
            [sys.executable, "-m", "commands.migrate"],
            cwd=ROOT,
            env=environment(empty_settings),
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]

    told = [process.communicate(timeout=60)[1].decode() for process in commands]

    assert [process.returncode for process in commands] == [0, 0, 0], told
    assert tables_of(empty_settings, MEMORY) >= set(memory.tables)


def test_the_gateway_does_not_start_without_a_schema(empty_settings):
    ended = start_gunicorn(empty_settings)

    assert (ended.returncode, ended.stderr) == (
        1,
        f"The memory database is at version none, not {VERSIONS[MEMORY]}. Run `make migrate`, then start again.\n",
    )


@DATABASES
def test_the_gateway_does_not_start_on_another_version(store_settings, database):
    query(store_settings, database, f"UPDATE {database}_version SET version_num = '0000'")

    ended = start_gunicorn(store_settings)

    expected = f"The {database} database is at version 0000, not {VERSIONS[database]}. Run `make migrate`"
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[0].startswith(expected)
    assert "Traceback" not in ended.stderr
