"""The bulkhead: how many calls reach a provider at once, and in which order waiting ones get a place."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from services import request_context
from services.clients.graph.errors import INSTAGRAM
from services.clients.guard.bulkhead import Bulkhead
from services.clients.guard.guard import Guard
from services.clients.rate_limiter import RateLimiter
from services.errors import BusyError, Charge, DeadlineExceededError, ProviderRateLimitedError
from services.request_context import RequestContext
from tests.movable_clock import MovableClock
from tests.support import utc


def background_work():
    request_context.current.set(RequestContext(started_at=0.0, is_background=True))


class Queue:
    """Calls in threads of their own, which wait in the order they were started; `order` has those that got a place."""

    def __init__(self, bulkhead):
        self.bulkhead = bulkhead
        self.order = []
        self.failures = []
        self.threads = []

    def call(self, account, *, background=False):
        """Start a call that has its place or waits for it when this returns."""
        before = self.waiting() + len(self.order)
        thread = threading.Thread(target=self._run, args=(account, background), daemon=True)
        self.threads.append(thread)
        thread.start()
        until(lambda: self.waiting() + len(self.order) > before)

    def waiting(self):
        lanes = (self.bulkhead._requests, self.bulkhead._background)
        return sum(len(lane) for each in lanes for lane in list(each._by_account.values()))

    def finish(self):
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()

    def _run(self, account, background):
        if background:
            background_work()
        try:
            with self.bulkhead.place(account):
                self.order.append(f"{account} in background" if background else account)
        except BusyError as error:
            self.failures.append(error)


def until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def one():
    """A bulkhead with one place, and a queue before it."""
    bulkhead = Bulkhead(1)
    return bulkhead, Queue(bulkhead)


def test_never_more_calls_are_under_way_than_there_are_places():
    bulkhead, lock, under_way, most = Bulkhead(3), threading.Lock(), 0, 0

    def call(number):
        nonlocal under_way, most
        with bulkhead.place(str(number % 4)):
            with lock:
                under_way += 1
                most = max(most, under_way)
            time.sleep(0.002)
            with lock:
                under_way -= 1

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(call, range(120)))

    assert most == 3


def test_an_account_with_many_waiting_calls_delays_another_one_by_one_call(one):
    bulkhead, queue = one
    with bulkhead.place("first"):
        for _ in range(93):
            queue.call("many")
        queue.call("few")
    queue.finish()

    assert queue.order.index("few") == 1
    assert len(queue.order) == 94


def test_calls_of_one_account_go_in_the_order_they_came():
    bulkhead, order, threads = Bulkhead(1), [], []

    def call(number):
        with bulkhead.place("1"):
            order.append(number)

    with bulkhead.place("1"):
        for number in range(20):
            threads.append(threading.Thread(target=call, args=(number,), daemon=True))
            threads[-1].start()
            until(lambda expected=number + 1: len(bulkhead._requests._by_account.get("1", ())) == expected)
    for thread in threads:
        thread.join(10)

    assert order == list(range(20))


def test_requests_and_background_work_take_turns(one):
    bulkhead, queue = one
    with bulkhead.place("first"):
        for number in range(3):
            queue.call(f"b{number}", background=True)
        for number in range(3):
            queue.call(f"r{number}")
    queue.finish()

    assert [name.endswith("background") for name in queue.order] == [True, False] * 3


@pytest.mark.parametrize(("places", "half"), [(2, 1), (4, 2), (5, 2), (8, 4)])
def test_background_work_never_takes_more_than_half_of_the_places(places, half):
    bulkhead = Bulkhead(places)
    background = Queue(bulkhead)
    release = threading.Event()

    def hold():
        background_work()
        with bulkhead.place("1"):
            background.order.append("held")
            release.wait(10)

    threads = [threading.Thread(target=hold, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: background.waiting() == 8 - half)

    with ExitStack() as requests:
        for account in range(places - half):
            requests.enter_context(bulkhead.place(f"{account}"))
        assert background.order == ["held"] * half
    assert background.order == ["held"] * half
    release.set()
    for thread in threads:
        thread.join(10)
    assert background.order == ["held"] * 8


def test_a_call_that_fails_gives_its_place_back(one):
    bulkhead, _ = one

    with pytest.raises(KeyError), bulkhead.place("1"):
        raise KeyError

    with bulkhead.place("1"):
        pass


@pytest.mark.parametrize("is_handed_over", [False, True])
def test_an_interrupted_waiter_leaves_neither_a_place_nor_a_waiter_behind(one, monkeypatch, is_handed_over):
    bulkhead, queue = one
    holder = ExitStack()
    holder.enter_context(bulkhead.place("first"))

    class Interrupted(threading.Event):
        """An event whose wait ends by a signal, perhaps in the very moment in which the place is handed over."""

        def wait(self, timeout=None):
            if is_handed_over:
                holder.close()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("services.clients.guard.bulkhead.threading.Event", Interrupted)
        with pytest.raises(KeyboardInterrupt), bulkhead.place("1"):
            raise AssertionError("It never had a place.")
    holder.close()

    assert queue.waiting() == 0
    with bulkhead.place("2"):
        queue.call("3")
        assert queue.order == []
    queue.finish()
    assert queue.order == ["3"]


def test_a_waiter_that_is_interrupted_after_the_end_ends_by_its_own_interruption(one, monkeypatch):
    bulkhead, _queue = one

    class Interrupted(threading.Event):
        def wait(self, timeout=None):
            bulkhead.close()
            raise KeyboardInterrupt

    with bulkhead.place("first"), monkeypatch.context() as patch:
        patch.setattr("services.clients.guard.bulkhead.threading.Event", Interrupted)
        with pytest.raises(KeyboardInterrupt), bulkhead.place("1"):
            raise AssertionError("It never had a place.")


def test_closing_wakes_every_waiting_call_and_admits_no_more(one):
    bulkhead, queue = one
    with bulkhead.place("first"):
        for number in range(5):
            queue.call(str(number), background=number == 4)
        bulkhead.close()
        queue.finish()

    assert (queue.order, len(queue.failures)) == ([], 5)
    with pytest.raises(BusyError), bulkhead.place("1"):
        raise AssertionError("It never had a place.")


# Inside the guard


def throttled():
    return ProviderRateLimitedError("Slow down.", provider="instagram", retry_after=60, wait_reported=True)


def test_a_call_that_waited_for_its_place_is_refused_if_a_throttle_began_meanwhile():
    guard = Guard(INSTAGRAM, MovableClock(utc("2026-06-15T18:00:00")), places=1)
    sent, refused = [], []

    def second():
        try:
            with guard.call("1"):
                sent.append("second")
        except ProviderRateLimitedError as error:
            refused.append(error)

    waiting = Queue(guard._bulkhead)
    thread = threading.Thread(target=second, daemon=True)
    with guard._bulkhead.place("1"):
        thread.start()
        until(lambda: waiting.waiting() == 1)
        guard.failed(guard.acquire("1"), throttled())
    thread.join(10)

    assert sent == []
    assert [error.reached for error in refused] == [False]


def test_a_call_that_gets_no_place_takes_no_turn():
    clock = MovableClock(utc("2026-06-15T18:00:00"))
    turns = []

    def take_turn(spacing, most):
        turns.append(most)
        return 0.0

    guard = Guard(INSTAGRAM, clock, places=1, rate_limiter=RateLimiter("modash", 2.0, clock, shared=take_turn))

    with guard.call("1"):
        outer = request_context.current.set(RequestContext(started_at=0.0, seconds=0.01))
        try:
            with pytest.raises(DeadlineExceededError), guard.call("1"):
                raise AssertionError("There was no place.")
        finally:
            request_context.current.reset(outer)

    assert len(turns) == 1


def test_a_call_that_would_be_refused_does_not_wait_for_a_place():
    guard = Guard(INSTAGRAM, MovableClock(utc("2026-06-15T18:00:00")), places=1)
    guard.failed(guard.acquire("1"), throttled())

    with guard.call("2"), pytest.raises(ProviderRateLimitedError), guard.call("1"):
        raise AssertionError("It was refused.")


def test_a_paid_call_for_which_no_place_comes_in_its_time_does_not_wait_any_longer():
    bulkhead = Bulkhead(1)

    with bulkhead.place("first"):
        with (
            pytest.raises(DeadlineExceededError) as raised,
            request_context.starts_within(0.05, monotonic=time.monotonic),
            bulkhead.place("1"),
        ):
            pytest.fail("There is no place.")
        left = request_context.remaining()

    assert (raised.value.charge, raised.value.reached) == (Charge.NONE, False)
    assert "PROVIDER_PARALLEL" in raised.value.hint
    assert left == math.inf
