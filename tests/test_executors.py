"""Calls side by side: results in order, the first fatal failure at once, and no deadlock however they are nested."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from contextvars import ContextVar
from functools import partial

import pytest

from services.errors import BusyError, ProviderTimeoutError
from services.executors import Executor, SideCalls, _Batch

value = ContextVar("value", default="none")


@pytest.fixture
def make_executor():
    made = []

    def make(threads):
        made.append(Executor(threads))
        return made[-1]

    yield make
    for executor in made:
        executor.close()


def failure():
    return ProviderTimeoutError("Too late.", provider="instagram")


def raising(error):
    def call():
        raise error

    return call


def never(_error):
    return False


def always(_error):
    return True


def within(seconds, function, *arguments, **options):
    """What a function returns in a thread of its own, which must end in time."""
    result = []
    thread = threading.Thread(target=lambda: result.append(function(*arguments, **options)), daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "It never ended."
    return result[0]


def test_results_and_failures_come_in_the_order_of_the_calls(make_executor):
    error = failure()
    calls = [lambda: time.sleep(0.02) or "slow", raising(error), lambda: "fast"]

    assert make_executor(4).gather(calls, fatal=never) == ["slow", error, "fast"]


@pytest.mark.parametrize("calls", [0, 1])
def test_few_calls_need_no_thread(make_executor, calls):
    executor = make_executor(1)

    names = executor.gather([lambda: threading.current_thread().name] * calls, fatal=never)

    assert names == [threading.current_thread().name] * calls


def test_calls_run_side_by_side(make_executor):
    barrier = threading.Barrier(4, timeout=10)

    assert sorted(make_executor(4).gather([barrier.wait] * 4, fatal=always)) == [0, 1, 2, 3]


def test_the_first_fatal_failure_is_raised_at_once_and_what_has_not_begun_never_begins(make_executor):
    executor, release, begun = make_executor(2), threading.Event(), []

    def slow():
        begun.append("slow")
        release.wait(10)

    other = executor.start(slow)
    while not begun:
        time.sleep(0.001)
    calls = [raising(failure()), *(lambda: begun.append("late") for _ in range(50))]

    with pytest.raises(ProviderTimeoutError):
        executor.gather([lambda: time.sleep(0.01), *calls], fatal=always)
    count = len(begun)
    release.set()
    other.result()
    time.sleep(0.05)

    assert count <= 3  # The slow one, and those that the other two threads had begun.
    assert len(begun) == count


def test_a_fatal_failure_does_not_wait_for_calls_under_way(make_executor):
    executor, release = make_executor(4), threading.Event()

    started = time.monotonic()
    with pytest.raises(ProviderTimeoutError):
        executor.gather([lambda: release.wait(10), raising(failure())], fatal=always)

    assert time.monotonic() - started < 5
    release.set()


def test_any_other_exception_is_raised(make_executor):
    with pytest.raises(KeyError):
        make_executor(2).gather([raising(KeyError("bug")), lambda: 1], fatal=never)
    with pytest.raises(KeyError):
        make_executor(2).start(raising(KeyError("bug"))).result()


def test_every_call_runs_in_the_context_of_its_caller(make_executor):
    executor = make_executor(3)
    value.set("mine")

    assert executor.gather([value.get] * 5, fatal=never) == ["mine"] * 5
    assert executor.start(value.get).result() == "mine"
    value.set("none")


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_nested_use_ends_however_few_threads_there_are(make_executor, threads):
    executor = make_executor(threads)

    def leaf():
        time.sleep(0.001)
        return 1

    def part(depth):
        if depth == 0:
            return leaf()
        started = [executor.start(lambda: part(depth - 1)) for _ in range(2)]
        inner = executor.gather([lambda: part(depth - 1)] * 3, fatal=never)
        return sum(inner) + sum(future.result() for future in started)

    def requests():
        found = []
        callers = [threading.Thread(target=lambda: found.append(part(3)), daemon=True) for _ in range(6)]
        for thread in callers:
            thread.start()
        for thread in callers:
            thread.join(30)
        return found

    assert within(60, requests) == [125] * 6


def test_a_caller_whose_calls_get_no_thread_runs_them_itself(make_executor):
    executor, release = make_executor(1), threading.Event()
    blocked = executor.start(lambda: release.wait(10))
    time.sleep(0.05)

    results = within(5, executor.gather, [threading.get_ident] * 4, fatal=never)
    started = within(5, executor.start(lambda: "run here").result)

    assert len(set(results)) == 1
    assert started == "run here"
    release.set()
    assert blocked.result()


def test_a_batch_that_waits_is_helped_when_the_last_thread_becomes_busy(make_executor, monkeypatch):
    """The thread that is free when the batch comes is taken by a call that never ends, not by one of the batch."""
    executor, release, entered, runs, results = make_executor(1), threading.Event(), threading.Event(), [], []

    def hold():
        entered.set()
        return release.wait(10)

    # The pool runs nothing by itself, so that its thread becomes busy after the batch has begun to wait.
    monkeypatch.setattr(executor._pool, "submit", runs.append)
    held = executor.start(hold)
    batch = threading.Thread(target=lambda: results.extend(executor.gather([lambda: 1] * 3, fatal=never)), daemon=True)
    batch.start()
    latest = time.monotonic() + 10
    while not (len(runs) == 4 and executor._queue[-1].changed._waiters) and time.monotonic() < latest:
        time.sleep(0.001)
    busy = threading.Thread(target=runs[0], daemon=True)
    busy.start()
    entered.wait(10)
    batch.join(5)

    assert results == [1, 1, 1]
    release.set()
    busy.join(10)
    assert held.result()


def test_a_batch_of_many_calls_does_not_hold_up_the_next_one(make_executor):
    executor, order, first = make_executor(1), [], threading.Event()

    def call(name):
        order.append(name)
        first.set()
        time.sleep(0.005)

    threads = []
    for name, count in (("many", 40), ("few", 2)):
        calls = [lambda name=name: call(name)] * count
        threads.append(threading.Thread(target=executor.gather, args=(calls,), kwargs={"fatal": never}, daemon=True))
        threads[-1].start()
        first.wait(10)
    for thread in threads:
        thread.join(10)

    assert len(order) == 42
    assert max(index for index, name in enumerate(order) if name == "few") < 20


def test_closing_wakes_those_who_wait_for_what_has_not_begun(make_executor):
    executor, release, entered, failures = make_executor(1), threading.Event(), threading.Event(), []
    blocked = executor.start(lambda: entered.set() or release.wait(10))
    entered.wait(10)
    late = executor.start(dict)

    executor.close()

    for wait in (late.result, lambda: executor.gather([dict, dict], fatal=never), lambda: executor.start(dict)):
        with pytest.raises(BusyError) as raised:
            wait()
        failures.append(raised.value.code)
    assert failures == ["busy"] * 3
    release.set()
    assert blocked.result() is True


def test_with_a_receiver_a_fatal_failure_loses_no_answer_of_calls_under_way(make_executor):
    executor, release, received = make_executor(2), threading.Event(), {}
    calls = [lambda: release.wait(10) and "under way", lambda: release.set() or raising(failure())(), *[dict] * 20]

    results = executor.gather(calls, fatal=always, on_result=received.__setitem__)

    assert results[0] == received[0] == "under way"
    assert {type(result) for result in results[1:]} == {ProviderTimeoutError}
    assert list(received) == [0]
    assert executor.gather([dict, list], fatal=always) == [{}, []]


def test_what_a_receiver_raises_is_raised(make_executor):
    with pytest.raises(ZeroDivisionError):
        make_executor(2).gather([dict, dict], fatal=never, on_result=lambda _index, _result: 1 / 0)


class NoThreads:
    """A pool that begins nothing by itself."""

    def submit(self, _work):
        pass

    def shutdown(self, **_options):
        pass


def test_batches_take_turns_at_the_threads(make_executor):
    executor, order = make_executor(1), []
    executor._pool = NoThreads()
    for name in ("a", "b"):
        executor._enqueue(_Batch([partial(order.append, name)] * 3, bool, executor._lock))

    for _ in range(6):
        executor._work()

    assert order == ["a", "b", "a", "b", "a", "b"]


def test_a_thread_that_waits_for_several_calls_goes_on_when_the_executor_is_closed(make_executor):
    executor, raised = make_executor(1), []
    executor._pool = NoThreads()

    def wait():
        try:
            executor.gather([list, list], fatal=bool)
        except BusyError as error:
            raised.append(error)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    executor.close()
    waiting.join(10)

    assert len(raised) == 1


# Beside a block


def test_calls_beside_a_block_are_over_at_its_end_and_the_first_failure_of_them_is_raised(make_executor):
    executor, may_go, done = make_executor(2), threading.Event(), []

    def slow():
        may_go.wait(10)
        done.append(value.get())

    def block():
        with SideCalls(executor) as beside:
            beside.begin(raising(failure()))
            beside.begin(raising(ValueError("later")))
            beside.begin(slow)
            assert done == []
            may_go.set()

    value.set("mine")
    with pytest.raises(ProviderTimeoutError):
        block()

    assert done == ["mine"]


def test_a_call_beside_a_block_that_fails_is_over_as_well(make_executor):
    done = []

    def block():
        with SideCalls(make_executor(1)) as beside:
            beside.begin(partial(done.append, 1))
            raise ValueError("of the block")

    with pytest.raises(ValueError, match="of the block"):
        block()

    assert done == [1]


@pytest.mark.parametrize("reason", ["closed", "no thread"])
def test_where_no_other_thread_can_be_had_a_call_beside_a_block_is_run_at_once(make_executor, no_thread, reason):
    executor, done = make_executor(1), []
    if reason == "closed":
        executor.close()
    with SideCalls(executor) as beside, no_thread() if reason == "no thread" else nullcontext():
        beside.begin(partial(done.append, 1))
        assert done == [1]

    assert done == [1]
