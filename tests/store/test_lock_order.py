"""Which rows of PostgreSQL a transaction locks, and in which order: two that wait for each other end in a deadlock."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import update

from services.store.account_health import CallRow
from services.store.api_keys import ApiKeyRow
from services.store.cache_entries import CacheKey, EntryRow
from services.store.exported_tables import SECTIONS
from services.store.history import HistoryKey, HistoryValue
from services.store.ledger import Order
from services.store.media import MediaRow
from services.store.memory_tables import leases
from services.store.posts import PartRow, PostRow
from services.store.quota_usage import UsageRow
from services.store.store import Store
from tests.stores import new_english_store, new_store, server

ACCOUNT, HOLDER = "17841400000000001", "one"
NAMED_BY = {
    "media": "id",
    "ledger": "creator",
    "metric_values": "metric",
    "posts": "id",
    "post_readings": "post",
    "account_health": "account",
    "quota_usage": "account",
    "api_keys": "id",
    "request_counts": "caller",
}
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


def require_order(shared, first, second, change):
    """Require that a change waits for one row, a table with a key, before it locks a second one."""
    _, other, observer = shared
    lock(other, *first)

    with ThreadPoolExecutor(1) as executor:
        begun = executor.submit(change)
        wait_for_a_lock(observer)
        lock(other, *second)
        other.execute("COMMIT")

        begun.result(10)


def lease(store):
    fences = {}
    for key in KEYS:
        fences |= store.leases.acquire(ACCOUNT, [key], HOLDER)
    return fences


def rows(keys=KEYS):
    return {CacheKey(key): EntryRow(b"{}", 100.0, 4_000_000_000.0) for key in keys}


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
        ("leases", lambda store, _: store.cache_entries.sweep(0.0)),
        ("cache_entries", lambda store, _: store.cache_entries.forget(ACCOUNT)),
        ("cache_entries", lambda store, _: store.cache_entries.sweep(5_000_000_000.0)),
        ("cache_entries", lambda store, _: store.deletion.of_account(ACCOUNT)),
        ("media", lambda store, _: store.media.put(media("REELS"))),
        ("media", lambda store, _: store.deletion.of_account(ACCOUNT)),
    ],
    ids=[
        "acquire",
        "commit",
        "keep",
        "forget leases",
        "sweep leases",
        "forget values",
        "sweep values",
        "delete values",
        "put media",
        "delete media",
    ],
)
def test_what_changes_several_rows_locks_them_in_the_order_of_their_keys(shared, table, change):
    store, *_ = shared
    fences = lease(store)
    with store.databases[0].write() as connection:
        connection.execute(update(leases).values(lease_until=1.0))  # So they may be swept, too.
    for row in media("FEED"):
        store.media.put([row])
    for key, row in rows().items():
        store.cache_entries.put(ACCOUNT, {key: row})
    require_order(shared, (table, "a"), (table, "b"), partial(change, store, fences))


def history(keys):
    return {HistoryKey(key, (), "2026-11-01", "2026-11-01"): HistoryValue(1, None, 1.0) for key in keys}


def usages(keys):
    return [UsageRow(key, 50.0, {}, None, float(len(keys))) for key in keys]


def lines(keys):
    value = dict.fromkeys(("buckets", "reason", "api_version")) | {"value": 1.0, "read_at": 1.0, "final": 1}
    days = {"breakdown": "", "first_day": "2026-11-01", "last_day": "2026-11-01", "source": "import"}
    return [{"account": ACCOUNT, "metric": key} | days | value for key in keys]


def counts(keys):
    return [PartRow(key, 60, None, 1.0, {"likes": 1}, {}, "instagram", None) for key in keys]


def use(store, keys):
    """Note the use of API keys, each of which is added when it is used alone."""
    for key in keys if len(keys) == 1 else ():
        store.api_keys.add(ApiKeyRow(id=key, label="", digest=key, scope="read", accounts=None, created_at=1.0))
    store.api_keys.note_use(dict.fromkeys(keys, float(len(keys))))


@pytest.mark.parametrize(
    ("table", "write"),
    [
        ("api_keys", use),
        ("cache_entries", lambda store, keys: store.cache_entries.put(ACCOUNT, rows(keys))),
        ("metric_values", lambda store, keys: store.history.keep(ACCOUNT, history(keys))),
        ("metric_values", lambda store, keys: store.transfer.keep(SECTIONS[0], lines(keys))),
        ("posts", lambda store, keys: store.posts.keep(ACCOUNT, [PostRow(key, 1.0) for key in keys])),
        ("post_readings", lambda store, keys: store.posts.keep(ACCOUNT, [], counts=counts(keys))),
        ("account_health", lambda store, keys: store.account_health.called([CallRow(key, 1.0) for key in keys])),
        (
            "account_health",
            lambda store, keys: store.account_health.called([CallRow(key, None, 1.0, "blocked") for key in keys]),
        ),
        ("quota_usage", lambda store, keys: store.quota_usage.write("instagram", usages(keys))),
        (
            "request_counts",
            lambda store, keys: store.request_counts.exchange(
                {(key, 1): 1 for key in keys}, changed_since=0.0, minute=1
            ),
        ),
    ],
    ids=["API keys", "values", "history", "import", "posts", "counts", "answers", "rejections", "usages", "requests"],
)
def test_rows_that_are_written_together_are_locked_in_the_order_of_their_keys(shared, table, write):
    store, *_ = shared
    for key in KEYS:
        write(store, [key])
    require_order(shared, (table, "a"), (table, "b"), partial(write, store, KEYS))


@pytest.mark.parametrize("shared", [new_english_store], indirect=True)
def test_the_order_is_that_of_the_bytes_whatever_the_language_of_the_database(shared):
    store, *_ = shared
    fences = store.leases.acquire(ACCOUNT, ["a", "B"], HOLDER)
    commit = partial(store.cache_entries.commit, ACCOUNT, fences, HOLDER, {}, failures={})
    require_order(shared, ("leases", "B"), ("leases", "a"), commit)


def test_what_deletes_values_locks_their_leases_before_them_as_a_commit_does(shared):
    store, *_ = shared
    lease(store)
    store.cache_entries.put(ACCOUNT, rows())
    require_order(shared, ("leases", "a"), ("cache_entries", "a"), partial(store.cache_entries.forget, ACCOUNT))


@pytest.mark.parametrize(("locked", "free"), [("a", "b"), ("b", "a")])
def test_calls_that_must_be_over_are_booked_one_by_one(shared, locked, free):
    store, *_ = shared
    for creator in KEYS:
        order = Order("modash", creator, "anonymous", 1000, 9000, longest_call=0.0, max_retries=3)
        store.ledger.open(order, lambda *_: None)
    expire = partial(store.ledger.expire, "modash", longest_call=0.0)
    require_order(shared, ("ledger", locked), ("ledger", free), expire)


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
