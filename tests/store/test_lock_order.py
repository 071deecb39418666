"""Which rows of PostgreSQL a transaction locks, and in which order: two that wait for each other end in a deadlock."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from services.store.cache_entries import CacheKey, EntryRow
from services.store.media import MediaRow
from services.store.memory_tables import leases
from services.store.store import Store
from tests.stores import new_store, server

ACCOUNT, HOLDER = "17841400000000001", "one"
KEYS = ("b", "a")  # In the order in which they lie in a table.
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def shared():
    """A store on PostgreSQL, another process in a transaction, and an observer."""
    with new_store("postgresql") as settings_:
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
    column = "id" if table == "media" else "key"
    query = f"SELECT mode FROM {table} WHERE {column} = %s FOR UPDATE NOWAIT"
    assert len(other.execute(query, [key]).fetchall()) == 1


def lease(store):
    fences = {}
    for key in KEYS:
        fences |= store.leases.acquire(ACCOUNT, [key], HOLDER)
    return fences


def rows():
    return {CacheKey(key): EntryRow(b"{}", 100.0, 4_000_000_000.0) for key in KEYS}


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
        ("leases", lambda store, fences: store.cache_entries.commit(ACCOUNT, fences, HOLDER, rows(), failures={})),
        ("leases", lambda store, fences: store.cache_entries.keep(ACCOUNT, fences, HOLDER, rows())),
        ("leases", lambda store, _: store.cache_entries.forget(ACCOUNT)),
        ("cache_entries", lambda store, _: store.cache_entries.forget(ACCOUNT)),
        ("cache_entries", lambda store, _: store.deletion.of_account(ACCOUNT)),
        ("media", lambda store, _: store.media.put(media("REELS"))),
        ("media", lambda store, _: store.deletion.of_account(ACCOUNT)),
    ],
    ids=["commit", "keep", "forget leases", "forget values", "delete values", "put media", "delete media"],
)
def test_what_changes_several_rows_locks_them_in_the_order_of_their_keys(shared, table, change):
    store, other, observer = shared
    fences = lease(store)
    for row in media("FEED"):
        store.media.put([row])
    for key, row in rows().items():
        store.cache_entries.put(ACCOUNT, {key: row})
    lock(other, table, "a")

    with ThreadPoolExecutor(1) as executor:
        begun = executor.submit(change, store, fences)
        deadline = time.monotonic() + 10
        while observer.execute(WAITING).fetchone() != (1,):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        lock(other, table, "b")
        other.execute("COMMIT")

        begun.result(10)
