"""A database that accepts connections and never answers: nothing waits for it for longer than a few seconds."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.accounts.token_encryption import TokenEncryption, new_key
from services.store import connections, outage, postgresql_connection
from services.store.accounts import AccountRow
from services.store.database import DatabaseUnavailableError
from services.store.store import Store
from tests.store.black_hole import BlackHole
from tests.stores import new_store, server
from tests.support import MODASH, settings

REPORT = f"{MODASH}/v1/instagram/performance-data"
BLOCK = {"total": 30, "likes": {"mean": [{"numberOfItems": 30, "value": 12.5}]}}
CONNECT = 3.5  # seconds: libpq's least timeout of two, and a busy machine


@pytest.fixture
def hole():
    """PostgreSQL behind a proxy."""
    with new_store("postgresql") as store:
        hole = BlackHole(store["DATABASE_URL"])
        yield hole
        hole.close()


@pytest.fixture
def store(hole):
    store = Store.open(hole.url, "", mode="live")
    yield store
    store.close()


@pytest.fixture
def hurried(monkeypatch):
    """Bounds for a test that would otherwise take many seconds."""
    monkeypatch.setattr(postgresql_connection, "ANSWER_TIMEOUT", 0.6)
    monkeypatch.setattr(postgresql_connection, "PING_TIMEOUT", 0.3)
    monkeypatch.setattr(outage, "DATABASE_RETRY_AFTER", 0.2)


def fails(call):
    """Call, expect that the database is unavailable, and return the seconds that this took."""
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailableError):
        call()
    return time.monotonic() - began


def count(store):
    return store.jobs.counts(now=0.0)


def test_the_bounds_add_up_to_a_few_seconds():
    assert postgresql_connection.PING_TIMEOUT + connections.CONNECT_TIMEOUT <= 3
    assert connections.STATEMENT_TIMEOUT < postgresql_connection.ANSWER_TIMEOUT <= connections.BUSY_TIMEOUT <= 5


def test_a_server_that_never_answers_is_given_up_and_spared_the_next_calls(hole, store):
    hole.freeze()

    first = fails(lambda: count(store))
    accepted = hole.accepted
    next_ones = [fails(lambda: store.leases.states([("1", "profile")])) for _ in range(50)]

    assert first < CONNECT
    assert max(next_ones) < 1
    assert hole.accepted == accepted
    assert set(store.faults()) == {"memory", "gateway"}


def test_a_server_that_stops_to_answer_in_mid_session_is_taken_up_again(hole, store, hurried):
    count(store)
    hole.freeze()

    idle = fails(lambda: count(store))
    hole.thaw()
    time.sleep(0.3)

    assert idle < CONNECT + 0.3
    assert count(store).waiting == 0
    assert store.faults() == {}


def test_a_connection_that_has_just_answered_is_not_asked_for_a_sign_of_life(hole, store, monkeypatch):
    def passed_for_a_read():
        before = hole.passed
        store.follower_counts.days("a", since="2026-11-01", until="2026-11-02")
        return hole.passed - before

    passed_for_a_read()
    monkeypatch.setattr(postgresql_connection, "PING_AFTER", 600.0)
    busy = passed_for_a_read()
    monkeypatch.setattr(postgresql_connection, "PING_AFTER", 0.0)
    idle = passed_for_a_read()

    assert (busy, idle) == (2, 4)


def test_a_connection_that_the_server_ends_right_after_an_answer_is_replaced(hole, store, monkeypatch):
    monkeypatch.setattr(postgresql_connection, "PING_AFTER", 600.0)
    count(store)

    with server() as connection:
        name = hole.url.rpartition("/")[2]
        ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
        connection.execute(ended, [name])
    deadline = time.monotonic() + 30
    while hole.ended < hole.accepted and time.monotonic() < deadline:
        time.sleep(0.01)

    assert hole.ended == hole.accepted
    assert count(store).waiting == 0
    assert store.faults() == {}


def test_a_server_that_stops_to_answer_in_a_transaction_is_given_up(hole, store, hurried):
    def hang():
        with store.databases[1].write() as connection:
            connection.exec_driver_sql("SELECT 1")
            hole.freeze()
            connection.exec_driver_sql("SELECT 1")

    assert fails(hang) < CONNECT


def test_a_statement_after_a_sign_of_life_has_the_time_of_a_statement(store, monkeypatch):
    count(store)
    monkeypatch.setattr(postgresql_connection, "PING_AFTER", 0.0)
    monkeypatch.setattr(postgresql_connection, "ANSWER_TIMEOUT", 30.0)

    with store.databases[1].read() as connection:
        connection.exec_driver_sql(f"SELECT pg_sleep({postgresql_connection.PING_TIMEOUT + 0.1})")

    assert store.faults() == {}


def test_the_server_gives_a_statement_up_before_its_connection_is_given_up(hole, monkeypatch):
    monkeypatch.setattr(connections, "STATEMENT_TIMEOUT", 0.1)
    store = Store.open(hole.url, "", mode="live")

    with pytest.raises(DatabaseUnavailableError, match="statement timeout"), store.databases[1].read() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(3)")
    store.close()


def test_threads_that_wait_for_a_connection_fail_with_those_that_have_one(hole, store, hurried):
    count(store)
    hole.freeze()

    with ThreadPoolExecutor(24) as threads:
        taken = list(threads.map(lambda _: fails(lambda: count(store)), range(24)))

    assert max(taken) < CONNECT + 1.5


def test_one_thread_at_a_time_tries_a_server_that_is_down(hole, store, hurried):
    hole.freeze()
    fails(lambda: count(store))
    accepted = hole.accepted
    time.sleep(0.25)

    with ThreadPoolExecutor(16) as threads:
        taken = sorted(threads.map(lambda _: fails(lambda: count(store)), range(16)))

    assert hole.accepted == accepted + 1
    assert taken[-2] < 1.5


def test_a_request_with_a_known_account_does_not_wait_for_the_account_table(make_client, clock, wire, hole):
    key = new_key()
    client = make_client(
        settings(database_url=hole.url, access_long_lived_token="", instagram_account_id="", token_key=key), clock=clock
    )
    services = client.application.extensions["services"]
    sealed = TokenEncryption([key], learn=lambda _: None).seal("EAAtokenOFanADDEDaccount")
    services.store.accounts.put(AccountRow("17841400000000011", "bakery", "facebook", "", sealed, 1.0))
    clock.wait(10)
    assert services.accounts.find("bakery").id == "17841400000000011"
    hole.freeze()
    clock.wait(10)

    began = time.monotonic()
    found = [services.accounts.find("bakery").id for _ in range(5)]

    assert found == ["17841400000000011"] * 5
    assert time.monotonic() - began < CONNECT
    services.close()


def test_what_is_kept_in_the_process_is_answered_without_the_database(make_client, clock, wire, hole):
    client = make_client(settings(database_url=hole.url), clock=clock)
    wire.get(REPORT, json={"posts": BLOCK, "reels": BLOCK})
    client.get("/performance-data?url=nasa")
    client.application.extensions["services"].wait_until_quiet(5)
    client.get("/performance-data?url=nasa")
    hole.freeze()

    began = time.monotonic()
    warm = [client.get("/performance-data?url=nasa") for _ in range(20)]
    warm_took = time.monotonic() - began
    other_spelling = client.get("/performance-data?url=@nasa")
    unknown = client.get("/performance-data?url=esa")
    took = time.monotonic() - began

    assert {reply.status_code for reply in warm} == {200}
    assert warm_took < 1.5
    assert other_spelling.status_code == 200
    assert (unknown.status_code, unknown.get_json()["code"]) == (503, "ledger_unavailable")
    assert took < 10
    client.application.extensions["services"].close()


def test_a_connection_in_use_is_closed_when_its_pool_was(hole, store):
    with store.databases[1].read() as connection:
        driver = connection.connection.dbapi_connection
        store.close()

    assert driver.closed
