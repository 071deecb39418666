"""The ledger goes by the database's clock, whatever the clock of the machine shows."""

from __future__ import annotations

import time

import pytest
import requests
from sqlalchemy import select

from services.background.job_handlers import handlers
from services.background.job_runner import Runner
from services.clock import Clock
from services.store.credit_limits import month_of
from services.store.database_clock import DatabaseClock
from services.store.store import Store
from tests.stores import query
from tests.support import MODASH, settings

REPORT = f"{MODASH}/v1/instagram/performance-data"
BLOCK = {"total": 30, "likes": {"mean": [{"numberOfItems": 30, "value": 12.5}]}}
ON_POSTGRESQL = pytest.mark.parametrize("store_settings", ["postgresql"], indirect=True)


class WrongClock(Clock):
    """The clock of a machine that is hours off; it can be set while the process runs."""

    def __init__(self, hours=0.0):
        self.hours = hours

    def timestamp(self):
        return super().timestamp() + 3600 * self.hours


@pytest.fixture
def gateway(make_client, store_settings):
    """A gateway on a machine whose clock is wrong, over the database of a test."""
    made = []

    def build(hours, **changes):
        changes = {"database_url": store_settings["DATABASE_URL"], "uncertain_charge_hold": 900} | changes
        made.append(make_client(settings(**changes), clock=WrongClock(hours)))
        return made[-1]

    yield build
    for client in made:
        client.application.extensions["services"].close()


def ledger_rows(store_settings):
    return query(store_settings, "gateway", "SELECT state, month, opened_at, settled_at FROM ledger ORDER BY id")


@ON_POSTGRESQL
def test_between_readings_the_newest_one_counts(store, store_settings, monkeypatch):
    machine = Clock()
    monkeypatch.setattr(machine, "monotonic", lambda: 0.0)
    clock = DatabaseClock(store.databases[1], machine)

    with store.databases[1].read() as connection:
        first, second = clock.read(connection), clock.read(connection)

    assert clock.timestamp() == second > first


@ON_POSTGRESQL
def test_the_clock_goes_on_within_a_transaction_which_may_have_waited_for_a_lock(store, store_settings):
    for database in store.databases:
        with database.write() as connection:
            begun = connection.execute(select(database.now())).scalar_one()
            connection.exec_driver_sql("SELECT pg_sleep(0.01)")

            assert connection.execute(select(database.now())).scalar_one() > begun


@ON_POSTGRESQL
@pytest.mark.parametrize("hours", [-1, 1, 24 * 40])
def test_hold_month_and_retry_after_are_right_on_a_machine_whose_clock_is_wrong(gateway, store_settings, wire, hours):
    client, right = gateway(hours), gateway(0)
    wire.get(REPORT, body=requests.ReadTimeout("late"))

    first = client.get("/performance-data?url=nasa")
    held = [each.get("/performance-data?url=nasa") for each in (client, right)]

    ((state, month, opened_at, settled_at),) = ledger_rows(store_settings)
    assert (first.status_code, state, month) == (504, "uncertain", month_of(time.time()))
    assert abs(opened_at - time.time()) < 30
    assert opened_at <= settled_at < opened_at + 30
    assert [each.get_json()["code"] for each in held] == ["report_uncertain"] * 2
    assert all(850 <= int(each.headers["Retry-After"]) <= 901 for each in held)
    assert client.get("/credits").get_json()["month"] == month_of(time.time())


@ON_POSTGRESQL
@pytest.mark.parametrize("hours", [-1, 1])
def test_reports_and_follow_ups_are_right_on_a_machine_whose_clock_is_wrong(gateway, store_settings, wire, hours):
    client, right = gateway(hours), gateway(0)
    wire.get(REPORT, json={"posts": BLOCK, "reels": BLOCK})
    bought = client.get("/performance-data?url=nasa")
    wire.replace("GET", REPORT, json={"status": "retry_later", "message": "Wait."})
    pending = client.get("/performance-data?url=esa")
    kept = right.get("/performance-data?url=nasa")

    jobs = query(store_settings, "gateway", "SELECT key, due_at FROM jobs WHERE kind = 'report'")
    assert bought.status_code == kept.status_code == 200
    assert abs(float(kept.headers.get("Age", 0))) <= 30
    assert abs(float(bought.headers.get("Age", 0))) <= 30
    assert int(pending.headers["Retry-After"]) in range(280, 301)
    assert [(key, 250 < due_at - time.time() <= 301) for key, due_at in jobs] == [("esa", True)]
    services = client.application.extensions["services"]
    runner = Runner(services.store, handlers(services, services.store.clock), services.store.clock)
    assert [job.key for job in runner.claim("we", 10) if job.kind == "report"] == []


@ON_POSTGRESQL
def test_a_refresh_on_a_machine_that_is_ahead_buys_once_and_is_answered_with_it(gateway, store_settings, wire):
    client = gateway(1)
    wire.get(REPORT, json={"posts": BLOCK, "reels": BLOCK})
    client.get("/performance-data?url=nasa")

    refreshed = client.get("/performance-data?url=nasa&refresh=true")

    assert (refreshed.status_code, refreshed.get_json()["meta"]["stale"]) == (200, False)
    assert [state for state, *_ in ledger_rows(store_settings)] == ["charged", "charged"]


def test_a_clock_that_is_set_while_the_process_runs_moves_nothing(store):
    machine = WrongClock()
    clock = DatabaseClock(store.databases[1], machine)
    before = clock.timestamp()

    machine.hours = 5.0
    after = clock.timestamp()

    if store.databases[1].is_postgresql:
        assert 0 <= after - before < 30
        assert clock.on_this_machine(1000.0) == 1000.0 + 5 * 3600
    else:  # A file has users on one machine only, whose clock is the only one.
        assert after - before >= 5 * 3600
        assert clock.on_this_machine(1000.0) == 1000.0


def test_between_two_readings_of_the_database_the_clock_goes_on(store, clock):
    shared = DatabaseClock(store.databases[1], clock)
    before = shared.timestamp()

    clock.wait(5.0)

    assert shared.timestamp() - before == pytest.approx(5.0)


def test_without_its_database_the_clock_is_the_machines():
    store = Store.open("postgresql://nobody@127.0.0.1:1/none", "", mode="live", clock=WrongClock(3.0))

    assert abs(store.clock.timestamp() - time.time() - 3 * 3600) < 5
    store.close()
