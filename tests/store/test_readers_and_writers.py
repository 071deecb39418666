"""Many readers at once: they share queries, and never keep a lease or a value from being written."""

from __future__ import annotations

import gc
import sqlite3
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress

import pytest
from sqlalchemy import delete, select
from sqlalchemy.exc import OperationalError

from services.store import connections
from services.store.cache_entries import ADDED, CacheKey, EntryRow
from services.store.database import DatabaseUnavailableError
from services.store.job_tables import jobs
from services.store.shared_reads import SharedReads

WITHIN = 30.0  # seconds
ACCOUNT, HOLDER = "17841400000000001", "me"
ROW = EntryRow(b"{}", 1.0, 9e9)


@pytest.fixture
def all_readers_busy(store, monkeypatch):
    """Every connection for readers is in use, and waiting for one ends soon."""
    monkeypatch.setattr(connections, "BUSY_TIMEOUT", 0.05)
    with ExitStack() as held:
        for _ in range(connections.READERS):
            held.enter_context(store.databases[0].read())
        with pytest.raises(DatabaseUnavailableError):
            store.cache_entries.read(ACCOUNT, ["profile"])
        yield


@pytest.mark.usefixtures("all_readers_busy")
def test_a_lease_is_taken_extended_watched_and_ended_while_every_reader_is_busy(store):
    fences = store.leases.acquire(ACCOUNT, ["profile"], HOLDER)

    store.leases.extend(HOLDER)
    assert store.leases.states([(ACCOUNT, "profile")])[ACCOUNT, "profile"].held
    assert store.cache_entries.read_under_lease(ACCOUNT, ["profile"]) == {}
    store.cache_entries.commit(ACCOUNT, fences, HOLDER, {CacheKey("profile"): ROW}, failures={})

    assert store.cache_entries.read_under_lease(ACCOUNT, ["profile"]) == {CacheKey("profile"): ROW}
    assert store.cache_entries.versions() == {ACCOUNT + ADDED: 1}


@pytest.fixture
def next_reader(store):
    """Let every connection for readers be in use, and another thread wait for one; return how it goes on."""
    database = store.databases[0]
    waiters = database._connections._changed[connections.READERS]._waiters

    def read():
        with database.read():
            return time.monotonic()

    with ExitStack() as held, ThreadPoolExecutor(1) as executor:
        for _ in range(connections.READERS - 1):
            held.enter_context(database.read())

        def go_on(last):
            with last:
                waiting = executor.submit(read)
                end = time.monotonic() + WITHIN
                while not waiters and time.monotonic() < end:
                    time.sleep(0.001)
                at = time.monotonic()
            return waiting, at

        yield go_on


def test_a_thread_that_waits_for_a_connection_gets_the_next_free_one_at_once(store, next_reader):
    waiting, free_at = next_reader(store.databases[0].read())

    assert waiting.result() - free_at < connections.BUSY_TIMEOUT - 1


def test_a_thread_that_waits_for_a_connection_learns_at_once_that_the_database_has_failed(store, next_reader):
    @contextmanager
    def failing():
        with suppress(DatabaseUnavailableError), store.databases[0].read():
            yield
            raise OperationalError("SELECT 1", None, sqlite3.OperationalError("the disk has gone"))

    waiting, failed_at = next_reader(failing())

    with pytest.raises(DatabaseUnavailableError, match="the disk has gone"):
        waiting.result()
    assert time.monotonic() - failed_at < connections.BUSY_TIMEOUT - 1


class Query:
    """A query that ends when it is let; it returns how many of its kind had begun."""

    def __init__(self):
        self.begun = 0
        self.failure = None
        self.running = threading.Event()
        self.let = threading.Event()

    def __call__(self):
        self.begun += 1
        number = self.begun
        self.running.set()
        assert self.let.wait(WITHIN)
        if self.failure is not None:
            raise self.failure
        return number


def read_on_thread(reads, query, results, key="key"):
    def read():
        try:
            results.append(reads.read(key, query))
        except DatabaseUnavailableError as error:
            results.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def while_one_runs(reads, query, results, others):
    """Start `others` reads while a first one runs, then let all end."""
    threads = [read_on_thread(reads, query, results)]
    assert query.running.wait(WITHIN)
    threads += [read_on_thread(reads, query, results) for _ in range(others)]
    return threads


def let_end(query, threads):
    query.let.set()
    for thread in threads:
        thread.join(WITHIN)
        assert not thread.is_alive()


def test_those_that_come_while_a_query_runs_share_the_next_one():
    reads, query, results = SharedReads(), Query(), []
    threads = while_one_runs(reads, query, results, others=50)
    deadline = time.monotonic() + WITHIN
    while not reads._next:
        assert time.monotonic() < deadline, "no thread waits for the next query"
        threads[-1].join(0.01)

    let_end(query, threads)

    assert len(results) == 51
    # The first query began before the others came, so none of them may have its result.
    assert results.count(1) == 1
    assert 2 <= query.begun < 51
    assert reads.read("key", lambda: "alone") == "alone"


def test_a_result_is_not_held_after_its_query():
    class Result:
        pass

    reads = SharedReads()
    result = weakref.ref(reads.read("key", Result))
    gc.collect()

    assert result() is None


def test_another_key_does_not_wait():
    reads, query, results = SharedReads(), Query(), []
    threads = while_one_runs(reads, query, results, others=1)

    assert reads.read("other key", lambda: "at once") == "at once"

    let_end(query, threads)


def test_a_failure_reaches_all_that_share_the_query_and_none_later():
    reads, query, results = SharedReads(), Query(), []
    query.failure = DatabaseUnavailableError("away")
    threads = while_one_runs(reads, query, results, others=5)

    let_end(query, threads)

    assert results == [query.failure] * 6
    assert reads.read("key", lambda: "back") == "back"


def test_a_transaction_that_reads_first_can_write_although_another_writer_has_come(store):
    gateway = store.databases[1]
    with ThreadPoolExecutor(1) as executor:
        with gateway.write() as connection:
            found = connection.execute(select(jobs)).all()
            come = executor.submit(store.jobs.put, "report", "nasa", due_at=1.0)
            wait([come], timeout=0.2)  # In a file it waits for this transaction, in PostgreSQL it need not.
            connection.execute(delete(jobs).where(jobs.c.key == "esa"))
        come.result(WITHIN)

    assert found == []
    assert store.jobs.keys("report") == {"nasa"}
