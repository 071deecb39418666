"""After a failure of the database one thread tries it, and the others go on without it."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from sqlalchemy.exc import OperationalError

from services.store import outage
from services.store.database import DatabaseUnavailableError
from services.store.outage import Outage


@pytest.fixture
def threads():
    """Two threads, each of which does what it is given."""
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        yield [
            lambda function, *given, thread=thread: thread.submit(function, *given).result() for thread in (one, other)
        ]


@pytest.fixture
def failed(monkeypatch):
    """A failure whose pause is over at once."""
    monkeypatch.setattr(outage, "DATABASE_RETRY_AFTER", 0.0)
    found = Outage()
    found.begin("gone")
    return found


def test_during_the_pause_no_thread_tries(threads):
    found = Outage()
    found.begin("gone")

    assert [thread(found.fault) for thread in threads] == ["gone", "gone"]


def test_one_thread_tries_as_often_as_it_needs_while_the_others_go_on_without(failed, threads):
    one, other = threads

    assert [one(failed.fault), other(failed.fault), one(failed.fault), other(failed.fault)] == [
        None,
        "gone",
        None,
        "gone",
    ]


def test_another_thread_tries_where_the_first_one_does_not_come_back(failed, threads, monkeypatch):
    monkeypatch.setattr(outage, "PROBE_TIMEOUT", 0.0)
    one, other = threads

    assert [one(failed.fault), other(failed.fault)] == [None, None]


def test_only_what_shows_that_it_works_ends_an_outage_of_all_or_of_writing(store):
    connections = store.databases[1]._connections

    def faults():
        return connections.fault(), connections.write_fault()

    connections.failed("gone")
    found = [faults()]
    connections.failed_to_write("full")  # It was reached.
    found.append(faults())
    for to_write in (False, True):
        connections.worked(to_write=to_write)
        found.append(faults())

    assert found == [("gone", None), (None, "full"), (None, "full"), (None, None)]


def test_where_no_connection_was_free_another_thread_tries_to_read_and_to_write(store, threads, monkeypatch):
    monkeypatch.setattr(outage, "DATABASE_RETRY_AFTER", 0.0)
    connections, (one, other) = store.databases[1]._connections, threads
    connections.failed_to_write("full")
    connections.failed("gone")

    def faults():
        return connections.fault(), connections.write_fault()

    found = [one(faults), other(faults)]
    one(connections.was_full)
    found.append(other(faults))
    connections.worked(to_write=True)

    assert found == [(None, None), ("gone", "full"), (None, None)]


def test_another_thread_tries_at_once_where_the_first_one_could_not(failed, threads):
    one, other = threads
    one(failed.fault)
    other(failed.pass_on)
    still = other(failed.fault)
    one(failed.pass_on)

    assert (still, other(failed.fault)) == ("gone", None)


def test_once_it_has_worked_every_thread_uses_it(failed, threads):
    one, other = threads
    one(failed.fault)
    one(failed.end)

    assert [other(failed.fault), failed.noted] == [None, None]


def broken(code):
    """What SQLAlchemy raises for a failure of the driver."""
    cause = sqlite3.OperationalError("invented")
    cause.sqlite_errorcode = code
    return OperationalError("SELECT 1", None, cause)


def test_a_failure_of_the_caller_alone_shows_that_the_database_works(store, threads, monkeypatch):
    monkeypatch.setattr(outage, "DATABASE_RETRY_AFTER", 0.0)
    (one, other), database = threads, store.databases[0]

    def use(error=None):
        with database.read():
            if error is not None:
                raise error

    with suppress(DatabaseUnavailableError):
        one(use, broken(sqlite3.SQLITE_CANTOPEN))
    with pytest.raises(KeyError):
        one(use, KeyError("of the caller"))

    other(use)


def test_a_write_that_is_refused_does_not_show_that_the_database_can_be_written(store, threads, monkeypatch):
    monkeypatch.setattr(outage, "DATABASE_RETRY_AFTER", 0.0)
    (one, other), database = threads, store.databases[0]

    def write(error):
        with pytest.raises(DatabaseUnavailableError) as raised, database.write():
            raise error
        return str(raised.value)

    full, _ = one(write, broken(sqlite3.SQLITE_FULL)), one(write, broken(sqlite3.SQLITE_CONSTRAINT))

    assert other(write, KeyError) == full


def test_a_probe_finds_out_that_the_database_can_be_written_again(store, monkeypatch):
    monkeypatch.setattr(outage, "DATABASE_RETRY_AFTER", 0.0)
    database = store.databases[0]
    with pytest.raises(DatabaseUnavailableError), database.write():
        raise broken(sqlite3.SQLITE_FULL)

    assert database.probe() is None
