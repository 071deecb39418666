"""Refreshes in the background: when a failed one is tried again, who waits for one, and how many there are at once."""

from __future__ import annotations

import threading
import time

import pytest

from services import request_context
from services.cache import background_refresh
from services.cache.policies import REFRESH_WAIT, RETRY_FAILED_AFTER, FixedTTL
from services.cache.single_flight import Flight
from services.errors import ProviderTimeoutError
from services.request_context import RequestContext, Turns

ACCOUNT, KEY = "17841400000000001", "profile"
HOUR = FixedTTL(3600)
TIMEOUT = ProviderTimeoutError("It did not answer.", provider="instagram")

pytestmark = pytest.mark.parametrize("store_settings", ["sqlite"], indirect=True)


class Monotonic:
    """The clock by which a process counts the moments after a failure."""

    def __init__(self):
        self.passed = 0.0

    def __call__(self):
        return 1_000.0 + self.passed


@pytest.fixture
def moments(monkeypatch):
    moments = Monotonic()
    monkeypatch.setattr(background_refresh, "monotonic", moments)
    return moments


@pytest.fixture
def expired(make_cache, clock):
    """A cache with one value that has expired, too long ago to be served without a refresh."""
    cache = make_cache()
    cache.get_or_fetch(ACCOUNT, KEY, HOUR, lambda _: {"number": 0})
    clock.wait(3601)
    return cache


class Fetch:
    """A fetch that is counted, and that fails or waits as the test says."""

    def __init__(self, answer=None):
        self.answer, self.calls = answer or {"number": 1}, 0
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.may_end.set()

    def __call__(self, _cached):
        self.calls += 1
        self.begun.set()
        assert self.may_end.wait(10)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def held():
    """Fetches that wait until the test ends, or ends them."""
    made = []

    def make(answer=None):
        made.append(Fetch(answer))
        made[-1].may_end.clear()
        return made[-1]

    yield make
    for each in made:
        each.may_end.set()


def settle(cache, *, failed=None):
    """Wait until nothing is fetched and, where given, so many failures are remembered: the thread notes them last."""
    assert cache.wait_until_quiet(10)
    deadline = time.monotonic() + 10
    while failed is not None and len(cache._background._failed) != failed:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def get(cache, fetch):
    """Read the value, and return its number and whether that took less than a second."""
    began = time.monotonic()
    number = cache.get_or_fetch(ACCOUNT, KEY, HOUR, fetch).value["number"]
    return number, time.monotonic() - began < 1


def refresh(cache, key, fetch):
    cache.refresh(ACCOUNT, key, HOUR, fetch)


def test_a_refresh_that_failed_is_tried_again_after_its_pause_and_not_before(expired, clock, moments):
    fetch = Fetch(TIMEOUT)
    get(expired, fetch)
    settle(expired, failed=1)
    clock.wait(10)

    moments.passed = RETRY_FAILED_AFTER - 0.1
    get(expired, fetch)
    settle(expired)
    early = fetch.calls
    moments.passed = RETRY_FAILED_AFTER
    get(expired, fetch)
    settle(expired)

    assert (early, fetch.calls) == (1, 2)


def test_a_refresh_is_waited_for_unless_the_last_one_failed(expired, clock, moments, held):
    slow, failing, stuck = held({"number": 1}), Fetch(TIMEOUT), held({"number": 2})
    threading.Timer(0.2, slow.may_end.set).start()

    waited_for = get(expired, slow)
    clock.wait(3601)
    get(expired, failing)
    settle(expired, failed=1)
    clock.wait(10)
    moments.passed = RETRY_FAILED_AFTER
    not_waited_for = get(expired, stuck)
    stuck.may_end.set()
    settle(expired, failed=0)
    clock.wait(3601)
    again = held({"number": 3})
    threading.Timer(0.2, again.may_end.set).start()

    assert waited_for == (1, True)
    assert (not_waited_for, stuck.calls) == ((1, True), 1)
    assert get(expired, again) == (3, True)  # The failure was forgotten with the success.


def test_a_refresh_is_waited_for_since_its_beginning_by_all_together(expired, held, monkeypatch):
    stuck, waits = held({"number": 1}), []
    monkeypatch.setattr(Flight, "wait", lambda _flight, seconds: waits.append(seconds))
    get(expired, stuck)
    monkeypatch.setattr("services.cache.cache.monotonic", lambda: time.monotonic() + REFRESH_WAIT)

    get(expired, stuck)

    stuck.may_end.set()
    assert 0 < waits[0] <= REFRESH_WAIT
    assert waits[1:] == [0]


def test_a_request_that_waits_for_a_refresh_has_given_its_turn_back(expired):
    turns, context, seen = Turns(), RequestContext("1", started_at=0.0), []
    context.take_turn(turns)

    def fetch(_cached):
        seen.append(turns.acquire())
        return {"number": 1}

    token = request_context.current.set(context)
    try:
        get(expired, fetch)
    finally:
        request_context.current.reset(token)

    assert seen == [True]


def test_a_refresh_is_background_work_of_its_own_and_not_of_the_request(expired):
    seen = []

    def fetch(_cached):
        seen.append(request_context.current.get())
        return {"number": 1}

    token = request_context.current.set(RequestContext("1", started_at=0.0))
    try:
        get(expired, fetch)
    finally:
        request_context.current.reset(token)

    assert [(each.is_background, each.id == "1") for each in seen] == [(True, False)]


def test_what_another_process_is_fetching_is_left_to_it(expired, store, caplog):
    store.leases.acquire(ACCOUNT, [KEY], "another process")
    fetch = Fetch()

    answered = get(expired, fetch)
    settle(expired)

    assert (answered, fetch.calls, caplog.text) == ((0, True), 0, "")


def test_a_failure_is_logged_by_its_code(expired, caplog):
    get(expired, Fetch(TIMEOUT))
    settle(expired)

    deadline = time.monotonic() + 10
    while not (lines := [each for each in caplog.records if "refresh failed" in each.getMessage()]):
        assert time.monotonic() < deadline
        time.sleep(0.01)

    assert [each.code for each in lines] == [TIMEOUT.code]


def started(fetch):
    return fetch.begun.wait(0.3)


def test_beyond_the_bound_no_refresh_begins_until_one_has_ended(make_cache, monkeypatch, held):
    monkeypatch.setattr(background_refresh, "MAX_REFRESHES", 2)
    cache = make_cache()
    first, second, third = held(), held(), held()

    refresh(cache, "a", first)
    refresh(cache, "a", first)  # It runs already, so this one takes no place.
    refresh(cache, "b", second)
    refresh(cache, "c", third)

    assert (started(first), started(second), started(third)) == (True, True, False)
    second.may_end.set()
    deadline = time.monotonic() + 10
    while not third.begun.is_set() and time.monotonic() < deadline:
        refresh(cache, "c", third)
        time.sleep(0.01)
    assert third.begun.is_set()
    assert (first.calls, second.calls) == (1, 1)


def test_an_unexpected_error_gives_its_place_back(make_cache, monkeypatch, caplog):
    monkeypatch.setattr(background_refresh, "MAX_REFRESHES", 1)
    cache, next_one = make_cache(), Fetch()

    refresh(cache, "a", Fetch(ValueError("a bug")))
    deadline = time.monotonic() + 10
    while not next_one.begun.is_set() and time.monotonic() < deadline:
        refresh(cache, "b", next_one)
        time.sleep(0.01)
    settle(cache)

    assert next_one.begun.is_set()
    assert "unexpected error" in caplog.text


def test_the_memory_of_failures_is_bounded(make_cache, monkeypatch, moments):
    monkeypatch.setattr(background_refresh, "MAX_FAILED_REFRESHES", 1)
    cache, first = make_cache(), Fetch(TIMEOUT)
    for key, remembered in (("a", 1), ("b", 2), ("c", 1)):
        refresh(cache, key, first if key == "a" else Fetch(TIMEOUT))
        settle(cache, failed=remembered)

    refresh(cache, "a", first)
    settle(cache)

    assert first.calls == 2  # Its failure was forgotten, so it was tried again within the pause.


def test_a_closed_cache_begins_no_refresh_that_was_queued(make_cache, monkeypatch, held):
    monkeypatch.setattr(background_refresh, "REFRESH_THREADS", 1)
    cache = make_cache()
    running, queued = held(), held()
    refresh(cache, "a", running)
    assert started(running)
    refresh(cache, "b", queued)

    began = time.monotonic()
    cache.close()
    waited = time.monotonic() - began
    running.may_end.set()

    assert not started(queued)
    assert waited < 5  # What runs goes on without being waited for.


def test_where_the_system_has_no_thread_left_the_expired_value_is_answered_and_a_later_request_refreshes(
    expired, no_thread, monkeypatch
):
    monkeypatch.setattr(expired._background, "_free", threading.BoundedSemaphore(1))
    fetch = Fetch()

    with no_thread():
        assert get(expired, fetch) == (0, True)

    deadline = time.monotonic() + 10
    while not fetch.begun.is_set() and time.monotonic() < deadline:
        get(expired, fetch)
        time.sleep(0.01)
    settle(expired)
    assert (fetch.calls, get(expired, fetch)[0]) == (1, 1)
