"""The counts of requests: bounded, exchanged between processes, with the decisions of the library's own storage."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from services.access.rate_limits import WINDOW, quota_left
from services.access.request_counts import RequestCounts
from services.store.request_counts import RequestCount

MINUTE = 29_000_000  # the number of a window
START = MINUTE * WINDOW


class Moment:
    """A moment that a test moves, also for the library."""

    def __init__(self, at=float(START)):
        self.at = at

    def __call__(self):
        return self.at


@pytest.fixture(scope="module")
def library():
    """The storage of the library, whose thread is gone while nothing is counted."""
    return MemoryStorage()


@given(limit=st.integers(1, 8), pauses=st.lists(st.sampled_from([0, 0, 0.5, 7.1, 20.3, 31.7, 60.2, 130]), max_size=40))
def test_the_decisions_are_those_of_the_memory_storage_of_the_library(library, limit, pauses):
    moment = Moment(START + 0.37)  # So that no weighted count is a whole number, which the two would round differently.
    item = RateLimitItemPerMinute(limit)
    ours, theirs = (SlidingWindowCounterRateLimiter(each) for each in (RequestCounts(moment), library))
    library.reset()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(time, "time", moment)
        for pause in pauses:
            moment.at += pause

            assert ours.hit(item, "key") == theirs.hit(item, "key")
            assert ours.get_window_stats(item, "key").remaining == theirs.get_window_stats(item, "key").remaining


@given(
    limit=st.integers(1, 50),
    previous=st.integers(0, 120),
    current=st.integers(0, 120),
    passed=st.floats(0, 59.999),
)
def test_the_next_request_is_accepted_after_the_reset_and_none_a_second_before(limit, previous, current, passed):
    moment = Moment(START + passed)
    counts = RequestCounts(moment)
    learned = [RequestCount("key", MINUTE - 1, previous), RequestCount("key", MINUTE, current)]
    counts.learn(learned, window=MINUTE)

    remaining, reset = quota_left(limit, previous=previous, current=current, left=WINDOW - moment.at % WINDOW)

    for _ in range(remaining):
        assert counts.acquire_sliding_window_entry("key", limit, WINDOW)
    assert remaining or not counts.acquire_sliding_window_entry("key", limit, WINDOW)
    if not remaining:
        began = moment.at
        moment.at = began + reset - 1.001
        assert moment.at < began or not counts.acquire_sliding_window_entry("key", limit, WINDOW)
        moment.at = began + reset
        assert counts.acquire_sliding_window_entry("key", limit, WINDOW)


def test_never_twice_the_limit_passes_around_the_turn_of_a_minute():
    moment = Moment(START + 59.0)
    counts = RequestCounts(moment)
    before = sum(counts.acquire_sliding_window_entry("key", 60, WINDOW) for _ in range(100))

    moment.at += 1.5
    after = sum(counts.acquire_sliding_window_entry("key", 60, WINDOW) for _ in range(100))

    assert (before, after) == (60, 1)


@pytest.mark.parametrize("jump", [-86_400, -61, 61, 86_400])
def test_a_clock_that_is_changed_locks_no_key_out(jump):
    moment = Moment()
    counts = RequestCounts(moment)
    while counts.acquire_sliding_window_entry("key", 3, WINDOW):
        pass

    moment.at += jump
    if jump == 61:
        moment.at += 60

    assert counts.acquire_sliding_window_entry("key", 3, WINDOW)


def test_the_number_of_keys_is_bounded_and_a_dropped_one_is_learned_again():
    counts = RequestCounts(Moment(), most=100)
    counts.incr("first", WINDOW, 5)
    taken = counts.drain(1000)

    for number in range(1000):
        counts.incr(f"address{number}", WINDOW)
    dropped = counts.get("first")
    counts.learn([RequestCount(*key, count) for key, count in taken.items()], window=MINUTE)

    assert (dropped, counts.get("first")) == (0, 5)
    assert counts.reset() == 100


def test_what_waits_to_be_shared_is_bounded_too():
    counts = RequestCounts(Moment(), most=100)

    for number in range(1000):
        counts.incr(f"address{number}", WINDOW)

    assert [len(counts.drain(most)) for most in (30, 1000, 1000)] == [30, 70, 0]


@pytest.mark.parametrize(("window", "known"), [(MINUTE - 2, (0, 0)), (MINUTE - 1, (7, 0)), (MINUTE, (0, 7))])
def test_only_the_current_window_and_the_one_before_are_learned(window, known):
    counts = RequestCounts(Moment())
    counts.incr("other", WINDOW)

    counts.learn([RequestCount("key", window, 7)], window=MINUTE)

    previous, _, current, _ = counts.get_sliding_window("key", WINDOW)
    assert (previous, current) == known


def test_what_could_not_be_shared_is_kept_until_it_no_longer_counts():
    moment = Moment()
    counts = RequestCounts(moment)
    counts.incr("key", WINDOW)
    counts.give_back(counts.drain(10), since=MINUTE)
    counts.incr("key", WINDOW)

    assert counts.drain(10) == {("key", MINUTE): 2}
    counts.give_back({("key", MINUTE): 2}, since=MINUTE + 1)
    assert counts.drain(10) == {}


@pytest.mark.parametrize("windows_later", [0, 1])
def test_a_sum_that_is_learned_does_not_lose_what_was_counted_meanwhile(windows_later):
    moment = Moment()
    counts = RequestCounts(moment)
    counts.incr("key", WINDOW, 3)
    counts.drain(10)
    counts.incr("key", WINDOW, 2)
    moment.at += windows_later * WINDOW

    known = []
    for total in (10, 1):
        counts.learn([RequestCount("key", MINUTE, total)], window=MINUTE + windows_later)
        previous, _, current, _ = counts.get_sliding_window("key", WINDOW)
        known.append((current, previous)[windows_later])

    assert known == [12, 12]
