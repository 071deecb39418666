"""Processes exchange what they have counted, so that a limit holds for all of them together."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from services.access.rate_limits import WINDOW, RequestRates, quota_left
from services.caller import ANONYMOUS, Caller, Scope
from services.store import request_counts
from services.store.database import Database, DatabaseUnavailableError
from services.store.request_counts import KEPT_FOR, RequestCountTable
from tests.movable_clock import MovableClock
from tests.stores import query
from tests.support import NoConnections, utc

KEYS = [Caller(f"key{number}", Scope.READ, requests_per_minute=10) for number in range(100)]
COUNT = "SELECT caller, minute, requests FROM request_counts ORDER BY caller, minute"


@pytest.fixture
def clock():
    return MovableClock(utc("2026-06-15T18:00:10"))


@pytest.fixture
def processes(store, clock):
    """Two processes over one store."""
    return [RequestRates(store.request_counts, clock, default=0, on_use=lambda: None) for _ in range(2)]


def send(process, caller, requests, address="192.0.2.1"):
    """Return how many of so many requests a process accepts."""
    return sum(process.count(caller, address).is_allowed for _ in range(requests))


def share(processes):
    for process in processes:
        process.share()


def test_after_an_exchange_no_process_accepts_more_than_what_is_left_for_all(processes):
    one, other = processes
    before = [send(one, KEYS[0], 6), send(other, KEYS[0], 3)]

    share(processes)
    share(processes)
    after = [send(one, KEYS[0], 5), send(other, KEYS[0], 5)]

    assert before == [6, 3]
    assert after == [1, 1]  # Within an exchange each accepts what the other does not know yet.
    share(processes)
    share(processes)
    assert [send(each, KEYS[0], 5) for each in processes] == [0, 0]


@pytest.mark.parametrize(("left", "reset"), [(20.0, 20), (20.1, 21), (0.1, 1)])
def test_what_is_left_is_for_the_rest_of_the_window_to_its_whole_end(left, reset):
    assert quota_left(10, previous=0, current=3, left=left) == (7, reset)


def test_a_request_that_was_refused_has_nothing_left_even_if_there_is_room_by_now(processes):
    rates = processes[0]
    rates._limiter = SimpleNamespace(hit=lambda _: False)

    status = rates.count(KEYS[0], "192.0.2.1")

    assert (status.is_allowed, status.remaining, status.reset) == (False, 0, 1)


def test_a_process_knows_a_key_of_which_it_has_seen_no_request(processes):
    one, other = processes
    send(one, KEYS[0], 10)
    send(other, KEYS[1], 1)

    share(processes)

    assert send(other, KEYS[0], 1) == 0


def test_each_of_100_keys_has_its_own_limit_and_headers_add_up(processes):
    one, other = processes
    for number, caller in enumerate(KEYS):
        assert send(one, caller, number % 8) == number % 8
    other.count(KEYS[0], "")
    share(processes)
    share(processes)

    left = {caller.name: other.count(caller, "").remaining for caller in KEYS[1:]}

    assert set(left.values()) == set(range(2, 10))
    assert left["key7"] == 2


def test_the_counts_of_the_last_minute_are_learned_too_and_lose_weight(processes, clock):
    one, other = processes
    send(one, KEYS[0], 10)
    send(other, KEYS[1], 1)
    share(processes)
    clock.wait(50)  # The next minute has begun.

    refused = other.count(KEYS[0], "")
    clock.wait(refused.reset)

    assert (refused.is_allowed, refused.remaining) == (False, 0)
    assert send(other, KEYS[0], 1) == 1
    clock.wait(2 * WINDOW)
    assert send(other, KEYS[0], 20) == 10


def test_an_idle_process_learns_the_counts_of_the_last_minute_too(processes, clock):
    one, other = processes
    send(other, KEYS[1], 1)
    share(processes)
    send(one, KEYS[0], 10)
    one.share()
    clock.wait(50)  # The next minute has begun, and the other process has limited no request in it.

    other.share()

    assert not other.count(KEYS[0], "").is_allowed


def test_a_count_that_was_committed_late_is_learned_by_the_next_exchange(store, store_settings):
    counted = {("key", 29_000_000): 3}
    _, moment = store.request_counts.exchange(counted, changed_since=0.0, minute=29_000_000)
    query(store_settings, "memory", "UPDATE request_counts SET changed_at = :then", then=moment - 1)

    found, _ = store.request_counts.exchange({}, changed_since=moment, minute=29_000_000)

    assert found == [("key", 29_000_000, 3)]


def test_an_exchange_reads_only_what_has_changed_since_the_one_before(processes, store, store_settings):
    one, other = processes
    send(one, KEYS[0], 3)
    send(other, KEYS[0], 1)
    share(processes)
    row = "UPDATE request_counts SET requests = 10, changed_at = changed_at - :seconds"
    query(store_settings, "memory", row, seconds=request_counts.OVERLAP + 1)

    other.share()

    assert other.count(KEYS[0], "").remaining == 5  # As it read it before: of other rows there may be thousands.


def test_rows_of_the_past_are_deleted(processes, clock, store, store_settings, monkeypatch):
    send(processes[0], KEYS[0], 1)
    share(processes)
    before = query(store_settings, "memory", COUNT)
    now = query(store_settings, "memory", "SELECT max(changed_at) FROM request_counts")[0][0]
    query(store_settings, "memory", "UPDATE request_counts SET changed_at = :then", then=now - KEPT_FOR - 1)
    clock.wait(KEPT_FOR)

    send(processes[1], KEYS[1], 1)
    share(processes)

    assert [row[0] for row in before] == ["LIMITER/key/key0/10/1/minute"]
    assert [row[0] for row in query(store_settings, "memory", COUNT)] == ["LIMITER/key/key1/10/1/minute"]


@pytest.mark.parametrize(("seconds", "left"), [(KEPT_FOR + 1, 0), (KEPT_FOR - 10, 1)])
def test_rows_of_the_past_are_deleted_while_no_request_comes(processes, store, store_settings, seconds, left):
    send(processes[0], KEYS[0], 1)
    share(processes)
    now = query(store_settings, "memory", "SELECT max(changed_at) FROM request_counts")[0][0]
    query(store_settings, "memory", "UPDATE request_counts SET changed_at = :then", then=now - seconds)

    store.sweep_without_worker()

    assert len(query(store_settings, "memory", COUNT)) == left


def test_the_rows_are_bounded_and_those_that_changed_last_stay(processes, store_settings, monkeypatch):
    monkeypatch.setattr(request_counts, "MOST_ROWS", 3)
    for key in KEYS[:5]:
        send(processes[0], key, 1)
        share(processes)

    found = [row[0] for row in query(store_settings, "memory", COUNT)]
    assert found == [f"LIMITER/key/key{number}/10/1/minute" for number in (2, 3, 4)]


def test_what_was_counted_is_added_once_whatever_fails(processes, store, store_settings, monkeypatch):
    one, other = processes
    send(one, KEYS[0], 4)
    table = "request_counts"
    query(store_settings, "memory", f"ALTER TABLE {table} RENAME TO {table}_away")
    with pytest.raises(DatabaseUnavailableError):
        one.share()
    send(one, KEYS[0], 2)
    query(store_settings, "memory", f"ALTER TABLE {table}_away RENAME TO {table}")

    send(other, KEYS[0], 1)
    share(processes)
    share(processes)

    assert [row[2] for row in query(store_settings, "memory", COUNT)] == [7]
    assert [send(each, KEYS[0], 9) for each in processes] == [3, 3]


def test_what_could_not_be_shared_in_its_minute_is_shared_in_the_next_one(processes, store_settings, clock):
    one, other = processes
    send(one, KEYS[0], 10)
    clock.wait(61)
    query(store_settings, "memory", "ALTER TABLE request_counts RENAME TO request_counts_away")
    with pytest.raises(DatabaseUnavailableError):
        one.share()
    query(store_settings, "memory", "ALTER TABLE request_counts_away RENAME TO request_counts")

    before = send(other, KEYS[0], 1)
    share(processes)

    assert before == 1
    assert send(other, KEYS[0], 9) <= 1  # Of the last minute almost all count still.


@pytest.mark.parametrize("store_settings", ["sqlite"], indirect=True)  # PostgreSQL keeps the types of its columns.
def test_a_damaged_count_is_left_out_and_mended_by_the_next_request(processes, store_settings):
    one, other = processes
    send(one, KEYS[0], 4)
    one.share()
    query(store_settings, "memory", "UPDATE request_counts SET requests = 'words'")

    other.count(KEYS[0], "")
    share(processes)

    assert [row[2] for row in query(store_settings, "memory", COUNT)] == [1]
    assert one.count(KEYS[0], "").remaining == 5


def test_without_the_database_each_process_limits_alone(clock):
    away = RequestCountTable(Database("memory", NoConnections()))
    processes = [RequestRates(away, clock, default=0, on_use=lambda: None) for _ in range(2)]

    accepted = [send(each, KEYS[0], 15) for each in processes]
    for each in processes:
        with pytest.raises(DatabaseUnavailableError):
            each.share()

    assert accepted == [10, 10]
    assert [send(each, KEYS[0], 15) for each in processes] == [0, 0]


def test_a_process_without_limited_requests_leaves_the_database_alone(clock):
    table = RequestCountTable(Database("memory", NoConnections()))
    rates = RequestRates(table, clock, default=0, on_use=lambda: pytest.fail("the exchange was started"))

    rates.share()

    assert rates.count(ANONYMOUS, "192.0.2.1") is None
    assert rates.count(Caller("unlimited", Scope.READ), "192.0.2.1") is None
    rates.share()


def test_the_default_is_for_keys_without_a_limit_and_for_each_address(store, clock):
    rates = RequestRates(store.request_counts, clock, default=3, on_use=lambda: None)

    assert send(rates, Caller("plain", Scope.READ), 5) == 3
    assert send(rates, KEYS[0], 15) == 10
    assert [send(rates, ANONYMOUS, 5, address) for address in ("192.0.2.1", "192.0.2.2")] == [3, 3]
