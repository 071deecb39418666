"""What is deleted of an account, and of a history that is older than it has to be kept."""

from __future__ import annotations

import itertools
import threading
from datetime import date

import pytest
from sqlalchemy import Double, Integer, LargeBinary, insert, select, update

from config import Config, ConfigError
from services.background import job_handlers
from services.background.job_handlers import handlers
from services.background.job_schedule import RECURRING
from services.history.retention import Retention
from services.store.deletion import KEPT
from services.store.exported_tables import DAYS, MEDIA, SECTIONS
from services.store.history_tables import post_readings
from services.store.job_tables import webhook_deliveries
from services.store.posts import PartRow
from services.store.schema import gateway, memory
from services.store.sqlite_texts import TextTolerantConnection
from services.store.store import Store
from services.store.types import Number
from services.store.webhooks import DeliveryContent
from tests.history.transfer.history_rows import all_rows, fill
from tests.movable_clock import MovableClock
from tests.stores import new_store, query
from tests.support import ACCOUNT_ID, settings, utc

FORGOTTEN, OTHER = "17841400000000001", "17841400000000002"
# Every table that has no column `account`, and what it is about; a new one has to be thought about.
WITHOUT_ACCOUNT = {
    "accounts": "its id is the account",
    "jobs": "its key may be the account",
    "webhook_deliveries": "a body may name several accounts",
    "rate_limits": "a provider",
    "counters": "all processes",
    "request_counts": "a caller",
    "process_gauges": "a process",
    "workers": "a process",
    "reports": "a public creator",
    "ledger": "a public creator",
    "ledger_months": "money",
    "settlements_set_apart": "a public creator",
    "pending_reports": "a public creator",
    "creators": "a public creator",
    "balances": "money",
    "api_keys": "a caller",
    "change_counters": "a table",
}


def row_about(table, account):
    """A row with the account wherever its table has a place for it."""

    def value(column):
        if column.name == "account" or (table.name, column.name) in {("accounts", "id"), ("jobs", "key")}:
            return account
        if isinstance(column.type, LargeBinary):
            return f'{{"id": "{account}"}}'.encode()
        if isinstance(column.type, Integer | Double | Number):
            return int(account[-1])
        return f"{column.name}-{account[-1]}"[: getattr(column.type, "length", None) or 64]

    return {column.name: value(column) for column in table.c if column.name != "mode"}


def fill_every_table(store):
    for database, tables in zip(store.databases, (memory, gateway), strict=True):
        with database.write() as connection:
            for table in tables.sorted_tables:
                for account in (FORGOTTEN, OTHER):
                    connection.execute(insert(table), row_about(table, account))


def tables_that_name(store, account):
    found = set()
    for database, tables in zip(store.databases, (memory, gateway), strict=True):
        with database.read() as connection:
            for table in tables.sorted_tables:
                rows = connection.execute(select(table)).all()
                if account in repr(rows):
                    found.add(table.name)
    return found


def test_every_table_is_about_accounts_or_known_to_be_not():
    tables = [*memory.sorted_tables, *gateway.sorted_tables]

    assert {table.name for table in tables if "account" not in table.c} == set(WITHOUT_ACCOUNT)


def test_no_row_about_an_account_stays_and_every_other_does(store):
    fill_every_table(store)
    before = tables_that_name(store, OTHER)
    assert before == tables_that_name(store, FORGOTTEN)

    deleted = store.deletion.of_account(FORGOTTEN)
    assert store.webhooks.forget(FORGOTTEN) == 1

    assert tables_that_name(store, FORGOTTEN) == {table.name for table in KEPT}
    assert tables_that_name(store, OTHER) == before
    assert set(deleted) == before - {"cache_versions", "webhook_deliveries"}
    assert store.deletion.of_account(FORGOTTEN) == {}


def test_a_delivery_that_has_the_id_as_a_number_is_forgotten_too(store):
    bodies = [
        f'{{"entry": [{{"id": {account}{end}'
        for account in (FORGOTTEN, OTHER, f"{FORGOTTEN}0")
        for end in (', "changes": []}]}', " }]}")
    ]
    for body in bodies:
        store.webhooks.keep(body.encode(), signed_by="facebook", received_at=1.0)
    read = [DeliveryContent(delivery, [], None) for delivery in store.webhooks.unread(9)]
    store.webhooks.enter(read, applicable=(), now=2.0)

    assert store.webhooks.forget(FORGOTTEN) == 2

    with store.databases[1].read() as connection:
        left = {bytes(body).decode() for body in connection.execute(select(webhook_deliveries.c.body)).scalars()}
    assert left == set(bodies[2:])


@pytest.fixture
def with_damaged_names(monkeypatch):
    """A store in files, and what changes its rows as a damaged disk does."""
    monkeypatch.setattr(TextTolerantConnection, "replaces", False)
    with new_store("sqlite") as store_settings:
        store = Store.open("", store_settings["INSTANCE_PATH"], mode="live")
        yield store, lambda database, sql: query(store_settings, database, sql)
        store.close()


def patiently(work):
    """What a piece of work returns, unless it never ends."""
    done = []
    thread = threading.Thread(target=lambda: done.append(work()), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    return done[0]


@pytest.mark.parametrize("damage", ["CAST({column} || x'ff' AS TEXT)", "CAST({column} || x'80' AS TEXT)", "x'00ff'"])
def test_rows_whose_names_are_damaged_are_deleted_with_the_others(with_damaged_names, damage):
    store, change = with_damaged_names
    fill_every_table(store)
    tables = [("memory", each) for each in memory.sorted_tables] + [("gateway", each) for each in gateway.sorted_tables]
    about_accounts = [(database, table) for database, table in tables if "account" in table.c]
    for database, table in about_accounts:
        for column in {each.name for each in table.primary_key} - {"mode", "account"}:
            value = damage.format(column=column)
            change(database, f"UPDATE {table.name} SET {column} = {value} WHERE account = '{FORGOTTEN}'")

    deleted = patiently(lambda: store.deletion.of_account(FORGOTTEN))

    assert deleted["metric_values"] == deleted["cache_entries"] == deleted["post_readings"] == 1
    assert {
        table.name
        for database, table in about_accounts
        if change(database, f"SELECT 1 FROM {table.name} WHERE account = '{FORGOTTEN}'")
    } == {table.name for table in KEPT}


def test_rows_whose_names_are_damaged_keep_no_others_from_being_deleted(with_damaged_names):
    store, change = with_damaged_names
    fill(store, accounts=[FORGOTTEN, OTHER])
    change("gateway", f"UPDATE metric_values SET metric = CAST(metric || x'ff' AS TEXT) WHERE account = '{OTHER}'")

    assert patiently(lambda: run(store, MovableClock(utc("2026-12-24T18:00")), days=30, media=30)) is True

    assert {kind: rows for kind, rows in all_rows(store).items() if rows} == {}


def test_an_account_whose_name_is_damaged_hides_no_other_one(with_damaged_names):
    store, change = with_damaged_names
    fill(store, accounts=["1", "2", "3"])
    change("gateway", "UPDATE metric_values SET account = CAST(account || x'ff' AS TEXT) WHERE account = '2'")
    change("gateway", "UPDATE follower_counts SET account = CAST(account || x'80' AS TEXT) WHERE account = '2'")

    assert patiently(store.transfer.accounts) == ["1", "2", "3"]


def test_a_delivery_whose_digest_is_damaged_keeps_no_other_from_being_forgotten(with_damaged_names):
    store, change = with_damaged_names
    for number in range(30):
        body = f'{{"number": {number}, "id": "{FORGOTTEN}"}}'
        store.webhooks.keep(body.encode(), signed_by="facebook", received_at=1.0)
    read = [DeliveryContent(delivery, [], None) for delivery in store.webhooks.unread(99)]
    store.webhooks.enter(read, applicable=(), now=2.0)
    damaged = "WHERE digest IN (SELECT digest FROM webhook_deliveries ORDER BY digest LIMIT 15)"
    change("gateway", f"UPDATE webhook_deliveries SET digest = CAST(digest || x'ff' AS TEXT) {damaged}")

    assert patiently(lambda: store.webhooks.forget(FORGOTTEN)) == 15


@pytest.fixture
def retained(store):
    """A store with rows of twelve days and with media, all of November 2025; it keeps days and media apart."""
    fill(store)
    return store


def run(store, clock, seconds=60.0, **days):
    kept = {DAYS: days.get("days", 0), MEDIA: days.get("media", 0)}
    return Retention(store.transfer, store.deletion, days=kept, clock=clock).run(seconds=seconds)


def test_only_what_is_older_than_the_settings_say_is_deleted(retained):
    clock = MovableClock(utc("2025-11-09T05:00"))  # The Pacific day is still the eighth.
    before = all_rows(retained)

    assert run(retained, clock) is True
    assert all_rows(retained) == before

    assert run(retained, clock, days=3) is True

    after = all_rows(retained)
    assert {row["last_day"] for row in after["account"]} == {f"2025-11-{day:02}" for day in range(5, 13)}
    assert min(row["day"] for row in after["followers"]) == "2025-11-05"
    media = [section.kind for section in SECTIONS if section.subject == MEDIA]
    assert [after[kind] for kind in media] == [before[kind] for kind in media]

    clock.set(utc("2026-03-08T18:00"))
    assert run(retained, clock, media=91) is True
    assert [all_rows(retained)[kind] for kind in media] == [[] for _ in media]


def test_what_is_read_again_while_it_is_deleted_stays(store, monkeypatch):
    origin = {"reasons": {}, "source": "instagram", "api_version": None}
    store.posts.keep(OTHER, [], insights=[PartRow("1", 60, None, 1_763_000_000.0, {"reach": 7}, **origin)])
    (readings,) = (section for section in SECTIONS if section.kind == "post_number")

    def read_again(connection, *_):
        connection.execute(update(post_readings).values(insights_read_at=1_764_000_000.0))

    monkeypatch.setattr("services.store.deletion.lock_in_order", read_again)
    store.deletion.expire(readings, OTHER, date(2025, 11, 20))

    assert len(store.posts.readings(OTHER, ["1"])["1"]) == 1


def test_a_round_goes_on_where_its_time_was_over(retained, monkeypatch):
    clock = MovableClock(utc("2025-12-24T18:00"))
    monkeypatch.setattr("services.store.deletion.BATCH", 5)
    kept = {DAYS: 1, MEDIA: 0}
    retention = Retention(retained.transfer, retained.deletion, days=kept, clock=clock)
    rounds = 0

    seconds = itertools.count()
    monkeypatch.setattr(clock, "monotonic", lambda: float(next(seconds)))
    while not retention.run(seconds=2.0):
        rounds += 1

    assert rounds > 3
    assert all_rows(retained)["account"] == []


def test_a_round_over_all_accounts_ends_however_little_time_each_run_has(make_client, clock, monkeypatch):
    monkeypatch.setattr(job_handlers, "RETENTION_RUN", 0.0)
    services = make_client(settings(history_keep_days=730), clock=clock).application.extensions["services"]
    fill(services.store, accounts=[FORGOTTEN, OTHER, "17841400000000003"])
    retain = handlers(services, clock)["retention"]

    assert [retain("", {}, 1).seconds for _ in range(4)] == [5.0, 5.0, 86_400.0, 5.0]


def test_the_worker_deletes_once_a_day_what_the_settings_say(make_client, clock):
    config = settings(history_keep_days=730)
    services = make_client(config, clock=clock).application.extensions["services"]
    fill(services.store, accounts=[ACCOUNT_ID])
    clock.set(utc("2027-11-04T18:00"))

    ended = handlers(services, clock)["retention"]("", {}, 1)

    assert ended.seconds == 86_400
    assert min(row["last_day"] for row in all_rows(services.store)["account"]) == "2025-11-04"
    assert "retention" in RECURRING


@pytest.mark.parametrize(("name", "least"), [("HISTORY_KEEP_DAYS", 730), ("MEDIA_KEEP_DAYS", 91)])
def test_what_would_be_read_again_is_not_deleted(name, least):
    assert getattr(Config.from_env({name: str(least)}), name.lower()) == least
    with pytest.raises(ConfigError, match=f"{name} is {least - 1}; accepted: 0"):
        Config.from_env({name: str(least - 1)})
