"""Which rows of PostgreSQL a transaction locks, and in which order: two that wait for each other end in a deadlock."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from services.store.cache_entries import CacheKey, EntryRow
from services.store.history import HistoryKey, HistoryValue
from services.store.ledger import Order
from services.store.media import MediaRow
from services.store.memory_tables import leases
from services.store.store import Store
from tests.stores import new_english_store, new_store, server

ACCOUNT, HOLDER = "17841400000000001", "one"
NAMED_BY = {"media": "id", "ledger": "creator", "metric_values": "metric"}
KEYS = ("b", "a")  # In the order in which they lie in a table.
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture(params=[lambda: new_store("postgresql")])
def shared(request):
    """A store on PostgreSQL, another process in a transaction, and an observer."""
    with request.param() as settings_:
        url = settings_["DATABASE_URL"]
        store = Store.open(url, "", mode="live")
        with server(url) as other, server(url) as observer:
            other.execute("BEGIN")
            try:
                yield store, other, observer
            finally:
                other.execute("ROLLBACK")
                store.close()


def lock(other, table, key):
    """Lock a row, which has to be free."""
    column = NAMED_BY.get(table, "key")
    query = f"SELECT mode FROM {table} WHERE {column} = %s FOR UPDATE NOWAIT"
    assert len(other.execute(query, [key]).fetchall()) == 1


def wait_for_a_lock(observer):
    """Wait until a transaction waits for one."""
    deadline = time.monotonic() + 10
    while observer.execute(WAITING).fetchone() != (1,):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def lease(store):
    fences = {}
    for key in KEYS:
        fences |= store.leases.acquire(ACCOUNT, [key], HOLDER)
    return fences


def rows():
    return {CacheKey(key): EntryRow(b"{}", 100.0, 4_000_000_000.0) for key in KEYS}


def values():
    return {HistoryKey(key, (), "2026-11-01", "2026-11-01"): HistoryValue(1, None, 1.0) for key in KEYS}


def media(product_type):
    return [MediaRow(key, ACCOUNT, product_type) for key in KEYS]


def test_an_extension_waits_for_no_lease_that_is_being_ended(shared):
    store, other, _ = shared
    lease(store)
    with store.databases[0].write() as connection:
        connection.execute(update(leases).values(lease_until=time.time() - 1))
    lock(other, "leases", "a")

    store.leases.extend(HOLDER)

    assert store.leases.states([(ACCOUNT, "b")])[ACCOUNT, "b"].held


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("leases", lambda store, _: store.leases.acquire(ACCOUNT, KEYS, "another")),
        ("leases", lambda store, fences: store.cache_entries.commit(ACCOUNT, fences, HOLDER, rows(), failures={})),
        ("leases", lambda store, fences: store.cache_entries.keep(ACCOUNT, fences, HOLDER, rows())),
        ("leases", lambda store, _: store.cache_entries.forget(ACCOUNT)),
        ("cache_entries", lambda store, _: store.cache_entries.put(ACCOUNT, rows())),
        ("cache_entries", lambda store, _: store.cache_entries.forget(ACCOUNT)),
        ("cache_entries", lambda store, _: store.deletion.of_account(ACCOUNT)),
        ("metric_values", lambda store, _: store.history.keep(ACCOUNT, values())),
        ("media", lambda store, _: store.media.put(media("REELS"))),
        ("media", lambda store, _: store.deletion.of_account(ACCOUNT)),
    ],
    ids=[
        "acquire",
        "commit",
        "keep",
        "forget leases",
        "put values",
        "forget values",
        "delete values",
        "keep history",
        "put media",
        "delete media",
    ],
)
def test_what_changes_several_rows_locks_them_in_the_order_of_their_keys(shared, table, change):
    store, other, observer = shared
    fences = lease(store)
    for row in media("FEED"):
        store.media.put([row])
    for key, row in rows().items():
        store.cache_entries.put(ACCOUNT, {key: row})
    for key, value in values().items():
        store.history.keep(ACCOUNT, {key: value})
    lock(other, table, "a")

    with ThreadPoolExecutor(1) as executor:
        begun = executor.submit(change, store, fences)
        wait_for_a_lock(observer)
        lock(other, table, "b")
        other.execute("COMMIT")

        begun.result(10)


@pytest.mark.parametrize("shared", [new_english_store], indirect=True)
def test_the_order_is_that_of_the_bytes_whatever_the_language_of_the_database(shared):
    store, other, observer = shared
    fences = store.leases.acquire(ACCOUNT, ["a", "B"], HOLDER)
    lock(other, "leases", "B")

    with ThreadPoolExecutor(1) as executor:
        begun = executor.submit(store.cache_entries.commit, ACCOUNT, fences, HOLDER, {}, failures={})
        wait_for_a_lock(observer)
        lock(other, "leases", "a")
        other.execute("COMMIT")

        begun.result(10)


def test_what_deletes_values_locks_their_leases_before_them_as_a_commit_does(shared):
    store, other, observer = shared
    lease(store)
    store.cache_entries.put(ACCOUNT, rows())
    lock(other, "leases", "a")

    with ThreadPoolExecutor(1) as executor:
        begun = executor.submit(store.cache_entries.forget, ACCOUNT)
        wait_for_a_lock(observer)
        lock(other, "cache_entries", "a")
        other.execute("COMMIT")

        begun.result(10)


@pytest.mark.parametrize(("locked", "free"), [("a", "b"), ("b", "a")])
def test_calls_that_must_be_over_are_booked_one_by_one(shared, locked, free):
    store, other, observer = shared
    for creator in KEYS:
        order = Order("modash", creator, "anonymous", 1000, 9000, longest_call=0.0, max_retries=3)
        store.ledger.open(order, lambda *_: None)
    lock(other, "ledger", locked)

    with ThreadPoolExecutor(1) as executor:
        begun = executor.submit(store.ledger.expire, "modash", longest_call=0.0)
        wait_for_a_lock(observer)
        lock(other, "ledger", free)
        other.execute("COMMIT")

        begun.result(10)


def test_deliveries_of_one_transaction_are_entered_in_the_order_of_their_digests(shared):
    store, other, observer = shared
    rows = [{"digest": key, "body": b"{}", "signed_by": "facebook", "received_at": 1.0} for key in KEYS]

    def enter(digest):
        values = "VALUES ('live', %s, '', '', 1.0)"
        other.execute(f"INSERT INTO webhook_deliveries (mode, digest, body, signed_by, received_at) {values}", [digest])

    enter("a")
    with ThreadPoolExecutor(1) as executor:
        begun = executor.submit(store.webhooks._insert, rows)
        wait_for_a_lock(observer)
        enter("b")
        other.execute("COMMIT")

        begun.result(10)


def test_a_claim_waits_for_no_job_that_another_worker_claims(shared):
    store, other, _ = shared
    for key in KEYS:
        store.jobs.put("report", key, due_at=1.0)
    lock(other, "jobs", "a")

    assert [job.key for job in store.jobs.claim(HOLDER, 10, now=2.0, kinds=["report"])] == ["b"]
