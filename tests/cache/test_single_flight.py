"""Flights within one process: led once, ended by their own leader alone."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.cache import single_flight
from services.cache.single_flight import EXTENSION_INTERVAL, SingleFlight
from services.errors import DeadlineExceededError, ProviderTimeoutError
from services.store.cache_leases import LEASE, LeaseState
from services.store.database import DatabaseUnavailableError
from tests.support import wait_until


@pytest.fixture
def flights(store):
    flights = SingleFlight(store.cache_entries, store.leases, holder="we")
    yield flights
    flights.close()


def test_a_key_is_led_once_and_by_the_next_caller_after_its_end(flights):
    (first,), joined = flights.join("1", ["a"])
    assert joined == []
    assert flights.join("1", ["a"]) == ([], [first])
    assert flights.join("2", ["a"])[0] != []

    flights.finish([first], {})

    assert first.wait(0)
    (second,), _ = flights.join("1", ["a"])
    assert second is not first


def test_a_key_that_is_being_fetched_delays_no_other_one(flights):
    (first,), _ = flights.join("1", ["b"])

    led, joined = flights.join("1", ["a", "b", "c"])

    assert ([flight.key for flight in led], joined) == (["a", "c"], [first])


def test_the_end_of_an_earlier_flight_ends_no_later_one(flights):
    (first,), _ = flights.join("1", ["a"])
    flights.finish([first], {})
    (second,), _ = flights.join("1", ["a"])

    flights.finish([first], {"a": ProviderTimeoutError("Late.", provider="instagram")})

    assert flights.join("1", ["a"]) == ([], [second])
    assert (first.failure, second.failure, second.wait(0)) == (None, None, False)


@pytest.mark.parametrize(("failure", "is_shared"), [(ProviderTimeoutError, True), (DeadlineExceededError, False)])
def test_a_failure_is_shared_unless_it_is_the_deadline_of_one_caller(flights, failure, is_shared):
    (flight,), _ = flights.join("1", ["a"])
    error = failure("It failed.", provider="instagram")

    flights.finish([flight], {"a": error})

    assert flight.failure is (error if is_shared else None)


def test_without_the_database_no_process_is_waited_for(flights, store, monkeypatch):
    def unavailable(_keys):
        raise DatabaseUnavailableError("memory", "the disk is full")

    led, _ = flights.join("1", ["a"])
    monkeypatch.setattr(store.leases, "states", unavailable)

    assert flights.wait_for_others(led, 5) == ({}, [])


def test_it_is_quiet_once_every_flight_has_ended(flights):
    led, _ = flights.join("1", ["a", "b"])
    assert not flights.wait_until_quiet(0)
    flights.finish(led[:1], {})
    assert not flights.wait_until_quiet(0)

    flights.finish(led, {})

    assert flights.wait_until_quiet(0)


def test_a_lease_goes_on_although_two_extensions_in_a_row_fail():
    assert 3 * EXTENSION_INTERVAL < LEASE


def test_what_waits_for_quiet_is_woken_by_the_end_of_the_last_flight(flights):
    led, _ = flights.join("1", ["a"])

    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(flights.wait_until_quiet, 20)
        while not flights._quiet._waiters:
            time.sleep(0.001)
        flights.finish(led, {})
        assert waiting.result(10)


class SlowLeases:
    """Leases of another process, whose states take their time to be read."""

    def __init__(self):
        self.reading, self.may_end, self.is_over = threading.Event(), threading.Event(), False

    def states(self, _keys):
        self.reading.set()
        assert self.may_end.wait(10)
        self.is_over = True
        return {}


def test_nothing_is_read_of_the_database_after_the_end():
    leases = SlowLeases()
    flights = SingleFlight(None, leases, holder="we")
    led, _ = flights.join("1", ["a"])
    assert flights.wait_for_others(led, 0.0) == ({}, led)
    assert leases.reading.wait(10)

    threading.Timer(0.1, leases.may_end.set).start()
    flights.close()

    assert leases.is_over


def test_where_the_system_has_no_thread_left_the_next_wait_polls(flights, store, no_thread):
    led, _ = flights.join("1", ["a"])
    with no_thread():
        assert flights.wait_for_others(led, 0.01) == ({}, led)

    assert flights.wait_for_others(led, 10) == ({}, [])


class LeasesOfAnother:
    """Leases of another process, of which it goes on holding one."""

    reads = 0

    def states(self, keys):
        self.reads += 1
        return {key: LeaseState(held=key[1] == "a", fence=1, failure=None) for key in keys}


def test_a_key_that_is_still_held_delays_no_other_one():
    flights = SingleFlight(None, LeasesOfAnother(), holder="we")
    led, _ = flights.join("1", ["a", "b"])

    assert flights.wait_for_others(led, 0.5) == ({}, led[:1])
    flights.close()


def test_a_key_that_is_still_held_is_looked_at_once_in_each_interval_and_not_after_the_end(monkeypatch):
    monkeypatch.setattr(single_flight, "POLL_INTERVAL", 60.0)
    leases = LeasesOfAnother()
    flights = SingleFlight(None, leases, holder="we")
    led, _ = flights.join("1", ["a"])

    assert flights.wait_for_others(led, 0.1) == ({}, led)
    wait_until(lambda: leases.reads)
    flights.close()

    assert leases.reads == 1


def test_what_is_waited_for_after_all_waits_have_ended_is_looked_at_again():
    flights = SingleFlight(None, LeasesOfAnother(), holder="we")
    for key in ("b", "c"):
        led, _ = flights.join("1", [key])

        assert flights.wait_for_others(led, 5) == ({}, [])
        wait_until(lambda: "lease poller" not in {thread.name for thread in threading.enumerate()})
    flights.close()


def test_a_process_that_only_waits_for_another_one_extends_no_lease():
    flights = SingleFlight(None, None, holder="we")
    flights.join("1", ["a"])

    flights.extend_leases()


@pytest.mark.parametrize("failure", ["", "no JSON", "null", "{}", '{"class": "SystemExit", "retry_strategy": "NONE"}'])
def test_a_damaged_failure_of_another_process_is_no_failure_of_those_that_wait(failure):
    class Leases:
        def states(self, keys):
            return {key: LeaseState(held=False, fence=1, failure=failure) for key in keys}

    flights = SingleFlight(None, Leases(), holder="we")
    led, _ = flights.join("1", ["a"])

    assert flights.wait_for_others(led, 10) == ({}, [])
    flights.close()
