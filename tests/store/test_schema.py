"""The schema: migrations work up and down and match the code, and the gateway refuses to start on another version."""

from __future__ import annotations

import json
import subprocess
import sys
from io import StringIO

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from cryptography.fernet import Fernet
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import OperationalError

from commands import MigrationError, export, upgrade
from commands import migrate as migrate_command
from commands.migrate import migrate, migrate_or_explain
from commands.upgrade import alembic_config
from config import Config
from services.accounts.token_encryption import new_key
from services.store.database import SchemaError
from services.store.schema import gateway, memory
from services.store.schema_versions import GATEWAY, MEMORY, VERSIONS
from services.store.store import Store, addresses
from tests.stores import ENGINES, new_store, query
from tests.support import ROOT, TOKEN, environment, free_port

TABLES = {MEMORY: memory, GATEWAY: gateway}
DATABASES = pytest.mark.parametrize("database", TABLES)


@pytest.fixture(params=ENGINES)
def empty_settings(request):
    """The settings of a store without a table."""
    with new_store(request.param, migrated=False) as settings:
        yield settings


def config_of(store, **more):
    return Config(
        database_url=store.get("DATABASE_URL", ""),
        instance_path=store.get("INSTANCE_PATH", Config.instance_path),
        **more,
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
def test_the_migrations_create_the_schema_of_the_code(store_settings, database):
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


def test_alembic_would_generate_no_further_migration(store_settings):
    for database in TABLES:
        run_alembic(store_settings, database, lambda settings, _: command.check(settings), None)


def test_the_migrations_work_down_and_up_again(store_settings):
    whole = tables_of(store_settings, MEMORY) | tables_of(store_settings, GATEWAY)
    for database in TABLES:
        run_alembic(store_settings, database, command.downgrade, "base")
    left = tables_of(store_settings, MEMORY) | tables_of(store_settings, GATEWAY)

    migrate(config_of(store_settings))

    again = tables_of(store_settings, MEMORY) | tables_of(store_settings, GATEWAY)
    assert left == {"memory_version", "gateway_version"}
    assert again == whole == left | set(memory.tables) | set(gateway.tables)


def test_migrating_again_changes_nothing(store_settings):
    query(store_settings, MEMORY, "INSERT INTO cache_versions (mode, account, counter) VALUES ('live', '1', 7)")

    migrate(config_of(store_settings))

    assert query(store_settings, MEMORY, "SELECT account, counter FROM cache_versions") == [("1", 7)]


# One row in every table of version 0004, in the words of that version.
ROWS_OF_0004 = (
    "INSERT INTO reports (account, creator, body, fetched_at, milli_credits, credits_left) "
    "VALUES ('modash', 'nasa', '{\"posts\": {}}', 10, 250, 99.75), ('sandbox', 'nasa', '{}', 20, 250, NULL)",
    "INSERT INTO ledger (account, creator, caller, month, state, milli_credits, opened_at, settled_at, code) VALUES "
    "('modash', 'nasa', 'anonymous', '2026-11', 'charged', 250, 10, 11, 'report'), "
    "('modash', 'esa', 'anonymous', '2026-11', 'open', 250, 12, NULL, NULL)",
    "INSERT INTO ledger_months (account, month, milli_credits) "
    "VALUES ('modash', '2026-11', 500), ('sandbox', '2026-11', 250)",
    "INSERT INTO pendings (account, creator, asked_at, attempts, message) "
    "VALUES ('modash', 'jaxa', 13, 2, 'Wait.'), ('sandbox', 'isro', 13, 2, 'Wait.'), ('sandbox', 'jaxa', 13, 2, '')",
    "INSERT INTO creators (account, id, handle) VALUES ('modash', '528817151', 'nasa')",
    "INSERT INTO balances (account, credits, read_at) VALUES ('modash', 99.75, 11)",
    "INSERT INTO accounts (id, username, login, page_id, token, added_at) "
    "VALUES ('17841400000000001', 'someone', 'facebook', '555', :sealed, 14), "
    "('17841400000000000', 'corner.bakery', 'facebook', '', :sealed, 15), "
    "('17841400001123456', 'amber.cafe1', 'facebook', '', :simulated, 16)",
    "INSERT INTO jobs (kind, key, payload, due_at, attempts, holder, lease_until) "
    "VALUES ('report', 'jaxa', '{}', 913, 2, '', 0), ('report', 'isro', '{}', 914, 2, '', 0), "
    "('balance', 'modash', '{}', 915, 0, '', 0), ('balance', 'sandbox', '{}', 916, 0, '', 0), "
    "('sweep', '', '{}', 917, 0, '', 0)",
    "INSERT INTO readings (account, metric, breakdown, first_day, last_day, value, buckets, read_at) "
    "VALUES ('17841400000000001', 'reach', '', '2026-11-01', '2026-11-01', 7, NULL, 15), "
    "('17841400000000000', 'reach', '', '2026-11-01', '2026-11-01', 8, NULL, 15), "
    "('17841400001123456', 'reach', '', '2026-11-01', '2026-11-01', 9, NULL, 15)",
    "INSERT INTO workers (holder, host, pid, started_at, seen_at) VALUES ('w', 'here', 1, 16, 17)",
)


def test_every_row_of_the_schema_0004_survives_the_upgrade_in_its_mode(empty_settings):
    key = new_key()
    simulated = Fernet(key).encrypt(b"EAASIM00001123456789")
    run_alembic(empty_settings, GATEWAY, command.upgrade, "0004")
    for statement in ROWS_OF_0004:
        tokens = {"sealed": b"gAAA", "simulated": simulated} if ":sealed" in statement else {}
        query(empty_settings, GATEWAY, statement, **tokens)

    config = config_of(empty_settings)
    migrate(config_of(empty_settings, token_key=key))

    def rows(table, columns):
        return query(empty_settings, GATEWAY, f"SELECT mode, {columns} FROM {table} ORDER BY {columns}")

    store = Store.open(config.database_url, config.instance_path, mode="live")
    sandbox = Store.open(config.database_url, config.instance_path, mode="sandbox")
    nasa, esa = store.ledger.record("modash", "nasa"), store.ledger.record("modash", "esa")
    assert (nasa.report.body, nasa.report.fetched_at, nasa.report.credits_left) == ({"posts": {}}, 10, 99.75)
    assert [(call.state, call.milli_credits, call.opened_at) for call in esa.unsettled] == [("open", 250, 12)]
    assert store.ledger.record("modash", "jaxa").pending == (13, 2, "Wait.")
    assert store.spending.of_month("modash", "2026-11") == 500
    assert [(each.state, each.calls) for each in store.spending.sums("modash")] == [("charged", 1), ("open", 1)]
    assert store.reports.handle_of("modash", "528817151") == "nasa"
    assert store.reports.balance("modash") == (99.75, 11)
    assert store.ledger.record("sandbox", "nasa").report is None
    assert sandbox.ledger.record("sandbox", "nasa").report.fetched_at == 20
    assert sandbox.spending.of_month("sandbox", "2026-11") == 250
    assert rows("jobs", "kind, key, due_at, attempts") == [
        ("live", "balance", "modash", 915, 0),
        ("sandbox", "balance", "sandbox", 916, 0),
        ("sandbox", "report", "isro", 914, 2),
        ("live", "report", "jaxa", 913, 2),
        ("live", "sweep", "", 917, 0),
    ]
    assert [(row.id, row.username, row.page_id) for row in store.accounts.rows()] == [
        ("17841400000000001", "someone", "555")
    ]
    assert {row.token for row in sandbox.accounts.rows()} == {b"gAAA", simulated}
    assert rows("metric_values", "value") == [("live", 7), ("sandbox", 8), ("sandbox", 9)]
    store.close()
    sandbox.close()


@pytest.mark.parametrize("empty_settings", ["sqlite"], indirect=True)
def test_a_migration_that_fails_half_way_leaves_the_database_as_it_was(empty_settings):
    run_alembic(empty_settings, GATEWAY, command.upgrade, "0005")
    query(empty_settings, GATEWAY, "INSERT INTO balances (source, credits, read_at) VALUES ('modash', 99.75, 11)")
    query(empty_settings, GATEWAY, "CREATE TABLE jobs_new (x)")

    with pytest.raises(OperationalError, match="jobs_new"):
        migrate(config_of(empty_settings))

    assert query(empty_settings, GATEWAY, "SELECT * FROM balances") == [("modash", 99.75, 11)]
    assert query(empty_settings, GATEWAY, "SELECT version_num FROM gateway_version") == [("0005",)]
    query(empty_settings, GATEWAY, "DROP TABLE jobs_new")
    migrate(config_of(empty_settings))
    assert query(empty_settings, GATEWAY, "SELECT mode, credits FROM balances") == [("live", 99.75)]


def test_the_command_says_what_it_did(empty_settings, run_command):
    config = config_of(empty_settings)
    created = run_command(migrate_command, config)
    again, quiet = run_command(migrate_command, config), run_command(migrate_command, config, "--quiet")
    run_alembic(empty_settings, GATEWAY, command.downgrade, "0012")
    upgraded = run_command(migrate_command, config, "--quiet")

    assert created[:2] == (
        0,
        f"The memory database was created, at version {VERSIONS[MEMORY]}.\n"
        f"The gateway database was created, at version {VERSIONS[GATEWAY]}.\n",
    )
    assert again[1].splitlines()[1] == (
        f"The gateway database is at version {VERSIONS[GATEWAY]}, the one that this code needs."
    )
    assert quiet[:2] == (0, "")
    assert upgraded[:2] == (0, f"The gateway database was brought from version 0012 to {VERSIONS[GATEWAY]}.\n")


def test_a_current_store_is_recognised_without_alembic(store_settings):
    """Importing it is a quarter of what each command takes."""
    program = "import sys; from commands.migrate import main; print(main([]), 'alembic' in sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment(store_settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout

    assert shown.splitlines()[-1] == "0 False", shown


def test_concurrent_migrations_do_not_disturb_each_other(empty_settings):
    commands = [
        subprocess.Popen(
            [sys.executable, "-m", "commands.migrate"],
            cwd=ROOT,
            env=environment(empty_settings),
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]

    shown = [process.communicate(timeout=60)[1].decode() for process in commands]

    assert [process.returncode for process in commands] == [0, 0, 0], shown
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


def test_values_of_the_schema_0010_are_final_and_of_the_provider_of_their_mode(empty_settings):
    run_alembic(empty_settings, GATEWAY, command.upgrade, "0010")
    columns = "mode, account, metric, breakdown, first_day, last_day, value, read_at"
    for mode in ("live", "sandbox"):
        row = f"('{mode}', '1', 'reach', '', '2026-11-01', '2026-11-01', 7, 15)"
        query(empty_settings, GATEWAY, f"INSERT INTO metric_values ({columns}) VALUES {row}")

    migrate(config_of(empty_settings))

    read = "SELECT mode, value, reason, final, source, api_version FROM metric_values ORDER BY mode"
    assert query(empty_settings, GATEWAY, read) == [
        ("live", 7, None, 1, "instagram", None),
        ("sandbox", 7, None, 1, "sandbox", None),
    ]


def test_numbers_of_stories_without_a_metric_that_the_schema_0019_has_are_in_no_export(empty_settings, run_command):
    run_alembic(empty_settings, GATEWAY, command.upgrade, "0019")
    columns = "mode, account, story, metric, bucket, source, value, read_at"
    for metric in ("", "reach"):
        row = f"('live', '1', '2', '{metric}', '', 'webhook', 7, 1.7e9)"
        query(empty_settings, GATEWAY, f"INSERT INTO story_numbers ({columns}) VALUES {row}")

    account = {"access_long_lived_token": TOKEN, "instagram_account_id": "1"}
    config = config_of(empty_settings, providers="live", **account)
    _, exported, _ = run_command(export, config)

    assert [json.loads(line)["metric"] for line in exported.splitlines()] == ["reach"]


@DATABASES
def test_a_newer_database_names_what_to_do_at_the_start_and_in_commands(store_settings, database):
    query(store_settings, database, f"UPDATE {database}_version SET version_num = '9999'")
    config = config_of(store_settings)
    newer = f"The {database} database is at version 9999, which is newer than this code ({VERSIONS[database]}). "

    store = Store.open(config.database_url, config.instance_path, mode="live")
    with pytest.raises(SchemaError) as at_the_start:
        store.check_versions()
    store.close()
    with pytest.raises(MigrationError) as in_commands:
        migrate_or_explain(config)

    assert str(at_the_start.value) == str(in_commands.value)
    assert str(at_the_start.value).startswith(newer + "Start the release that migrated it")


@DATABASES
def test_a_version_that_no_release_has_is_not_migrated(store_settings, database):
    query(store_settings, database, f"UPDATE {database}_version SET version_num = '0000'")

    with pytest.raises(MigrationError, match="at version 0000, which this code does not know"):
        migrate_or_explain(config_of(store_settings))


CHANGES = {
    "newer": ("UPDATE gateway_version SET version_num = '9999'", "newer than this code"),
    "older": ("UPDATE gateway_version SET version_num = '0001'", "Run `make migrate`"),
    "missing": ("DROP TABLE gateway_version", "at version none"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_schema_that_changes_at_run_time_is_a_fault_that_is_logged_once(make_client, name, caplog):
    statement, said = CHANGES[name]
    client = make_client()
    assert client.get("/readyz").json["store"][GATEWAY] == "ok"
    folder = client.application.extensions["config"].instance_path
    query({"INSTANCE_PATH": folder}, GATEWAY, statement)

    ready = [client.get("/readyz").json for _ in range(2)]

    assert {each["status"] for each in ready} == {"degraded"}
    assert all(said in each["store"][GATEWAY] for each in ready)
    logged = [record for record in caplog.records if "schema of the database" in record.getMessage()]
    assert [said in record.fault for record in logged] == [True]


def test_a_gateway_uses_the_schema_of_its_address_as_a_migration_does():
    with new_store("postgresql", migrated=False) as store:
        query(store, GATEWAY, "CREATE SCHEMA insights")
        store["DATABASE_URL"] += "?options=-csearch_path%3Dinsights"
        migrate(config_of(store))

        found = Store.open(store["DATABASE_URL"], "", mode="live")
        found.check_versions()
        faults = found.faults()
        found.jobs.put("report", "nasa", due_at=1.0)
        with found.databases[1].read() as connection:
            timeout = connection.exec_driver_sql("SHOW statement_timeout").scalar()
        found.close()

        assert (faults, timeout) == ({}, "4s")
        assert query(store, GATEWAY, "SELECT key FROM insights.jobs") == [("nasa",)]


@pytest.mark.parametrize("name", ["of a#b", "of a?mode=memory", "100%", "a%41b", "fr\u00fch"])
def test_a_store_may_be_in_a_folder_of_any_name(tmp_path, name):
    config = Config(instance_path=str(tmp_path / name))
    migrate(config)

    store = Store.open("", config.instance_path, mode="live")
    store.check_versions()
    store.jobs.put("report", "nasa", due_at=1.0)

    assert store.faults() == {}
    store.close()
    assert query({"INSTANCE_PATH": config.instance_path}, GATEWAY, "SELECT key FROM jobs") == [("nasa",)]


def test_the_code_may_be_in_a_folder_of_any_name(tmp_path, monkeypatch):
    folder = tmp_path / "feature%2Fname"  # as Jenkins names them
    folder.mkdir()
    (folder / "migrations").symlink_to(upgrade.MIGRATIONS)
    monkeypatch.setattr(upgrade, "MIGRATIONS", folder / "migrations")

    done = migrate(Config(instance_path=str(tmp_path / "instance")))

    assert {each.name: each.after for each in done} == VERSIONS
