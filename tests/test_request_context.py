"""The context of a request: one object for all threads that work for it, and a slot at most while it waits."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

import logs
from services import request_context
from services.errors import BusyError, DeadlineExceededError
from services.executors import Executor
from services.redaction import Redaction
from services.request_context import BACKGROUND_DEADLINE, RATE_LIMIT_PATIENCE, RequestContext, Turns
from services.waiting_slots import WaitingSlots


@pytest.fixture
def in_context():
    """Run a function in a context of its own, with a request or background work."""

    def run(context, function):
        def set_and_run():
            request_context.current.set(context)
            return function()

        return copy_context().run(set_and_run)

    return run


ONE = ("instagram", "1")


def request(slots=None, **more):
    return RequestContext("r-1", started_at=1000.0, waiting_slots=slots, **more)


def test_no_provider_call_is_lost_when_many_threads_count():
    context = request()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(context.count_call, [0.5] * 2000))

    assert (context.provider_calls, context.provider_seconds) == (2000, 1000.0)


def test_a_request_takes_one_slot_however_often_it_waits_and_gives_it_back():
    slots = WaitingSlots(1)
    first, second = request(slots), request(slots)

    first.wait(*ONE)
    first.wait(*ONE)
    with pytest.raises(BusyError):
        second.wait(*ONE)
    first.end()
    second.wait(*ONE)

    assert not slots.acquire(*ONE)


def test_one_account_never_uses_up_the_slots_of_another_one_or_of_another_provider():
    slots = WaitingSlots(3)

    taken = [[slots.acquire("instagram", account) for _ in range(80)].count(True) for account in "ab"]
    third = slots.acquire("instagram", "c")
    reports = [slots.acquire("modash", "modash") for _ in range(80)].count(True)
    slots.release("instagram", "a")

    assert (taken, third, reports) == ([3, 3], False, 3)
    assert slots.acquire("instagram", "c")
    assert not slots.acquire("instagram", "a")
    assert WaitingSlots.total(3) == 9


def test_slots_are_counted_over_many_threads():
    slots = WaitingSlots(5)

    def take_and_give_back(number):
        account = str(number % 7)
        if slots.acquire("instagram", account):
            slots.release("instagram", account)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take_and_give_back, range(2000)))

    assert [slots.acquire("instagram", "1") for _ in range(6)] == [True] * 5 + [False]


def test_background_work_needs_no_slot_and_has_no_bound_of_patience(in_context):
    context = RequestContext(started_at=1000.0, is_background=True)

    context.wait(*ONE)

    assert in_context(context, request_context.is_background)
    assert in_context(context, request_context.patience) is None
    assert in_context(request(), request_context.patience) == RATE_LIMIT_PATIENCE
    assert request_context.patience() is None


def test_a_part_that_goes_on_after_the_end_of_its_request_takes_no_slot():
    slots = WaitingSlots(1)
    context = request(slots)

    context.end()
    context.wait(*ONE)

    assert slots.acquire(*ONE)


def test_accounts_that_wait_no_more_take_no_memory():
    slots = WaitingSlots(1)

    for number in range(100):
        assert slots.acquire("instagram", str(number))
        slots.release("instagram", str(number))

    assert not slots._of_account


@pytest.mark.parametrize(
    ("accounts", "account"), [([], None), ([""], None), (["1"], "1"), (["1", "1"], "1"), (["1", "2"], None)]
)
def test_a_line_names_the_account_of_work_that_is_about_one(accounts, account):
    context = request()

    for each in accounts:
        context.is_about(each)

    assert context.account == account


def test_work_ends_with_its_last_second(in_context):
    now = [0.0]
    context = request(seconds=5.0, monotonic=lambda: now[0])
    background = RequestContext(started_at=0.0, is_background=True, monotonic=lambda: now[0])

    in_context(context, lambda: request_context.require(4.9))
    with pytest.raises(DeadlineExceededError):
        in_context(context, lambda: request_context.require(5.0))
    now[0] = 4.0
    assert in_context(context, request_context.patience) == 1.0
    now[0] = 5.0
    with pytest.raises(DeadlineExceededError):
        in_context(context, request_context.require)

    assert background.remaining() == BACKGROUND_DEADLINE - 5
    assert request().remaining() == math.inf


def test_a_refresh_accepts_nothing_fetched_before_the_request_came():
    context = request()
    before = context.not_before

    context.refresh()

    assert (before, context.not_before) == (None, 1000.0)


def test_every_thread_of_a_request_shares_its_context_and_logs_its_id(in_context):
    executor = Executor(3)
    formatter = logs.JsonFormatter(Redaction(()))

    def work():
        request_context.current.get().count_call(0.1)
        record = logging.makeLogRecord({"msg": "provider call"})
        return json.loads(formatter.format(record)).get("request_id")

    context = request()
    ids = in_context(context, lambda: executor.gather([work] * 5, fatal=lambda _error: True))
    executor.close()

    assert ids == ["r-1"] * 5
    assert context.provider_calls == 5
    assert "request_id" not in json.loads(formatter.format(logging.makeLogRecord({"msg": "x"})))


def test_requests_that_are_refused_together_come_back_one_after_another():
    now = [1000.0]
    slots = WaitingSlots(1, monotonic=lambda: now[0])

    alone = slots.retry_after()
    now[0] += 5
    together = [slots.retry_after() for _ in range(80)]
    now[0] += 5
    later = slots.retry_after()
    now[0] += 60
    at_rest = slots.retry_after()

    assert (alone, together[0], at_rest) == (1, 1, 1)
    assert together == sorted(together)
    assert max(Counter(together).values()) <= 11
    assert max(together) == 9
    assert 4 <= later <= 5


def test_no_refused_request_waits_for_longer_than_ten_seconds():
    slots = WaitingSlots(1, monotonic=lambda: 1000.0)

    assert max(slots.retry_after() for _ in range(1000)) == 10


def test_a_refusal_says_when_it_is_its_turn():
    slots = WaitingSlots(1, monotonic=lambda: 1000.0)
    request(slots).wait(*ONE)

    waits = []
    for _ in range(30):
        with pytest.raises(BusyError) as refused:
            request(slots).wait(*ONE)
        waits.append(refused.value.retry_after)

    assert (waits[0], waits[-1]) == (1, 4)


# Turns


def is_free(turns):
    free = turns.acquire()
    if free:
        turns.release()
    return free


def test_requests_work_one_after_another():
    turns, first, second = Turns(), request(), request()
    first.take_turn(turns)
    second.take_turn(turns)
    while_first_works = is_free(turns)

    first.end()

    assert (while_first_works, is_free(turns)) == (False, True)
    second.end()  # It went on without a turn, and has none to give back.
    assert is_free(turns)


@pytest.mark.parametrize("way", ["wait", "give_way", "end"])
def test_a_turn_is_given_back_before_a_wait_and_at_the_end(in_context, way):
    turns, context = Turns(), request(WaitingSlots(1))
    context.take_turn(turns)

    in_context(
        context, {"wait": lambda: context.wait(*ONE), "end": context.end, "give_way": request_context.give_way}[way]
    )

    assert is_free(turns)
    context.end()
    assert is_free(turns)


def test_a_request_without_a_free_slot_gives_its_turn_back_too():
    turns, context = Turns(), request(WaitingSlots(0))
    context.take_turn(turns)

    with pytest.raises(BusyError):
        context.wait(*ONE)

    assert is_free(turns)


def test_a_turn_that_is_late_is_waited_for_once(monkeypatch):
    monkeypatch.setattr(request_context, "LONGEST_TURN", 0.2)
    turns = Turns()
    turns.acquire()

    started = time.monotonic()
    taken = [turns.acquire() for _ in range(50)]
    waited = time.monotonic() - started

    turns.release()
    assert taken == [False] * 50
    assert 0.2 <= waited < 2
    assert is_free(turns)


def parts_of(turns, made):
    """A stream whose parts note whether another one could have worked while they were made."""
    for number in range(3):
        made.append(is_free(turns))
        yield number


def test_each_part_of_a_stream_is_made_in_a_turn_and_none_is_held_while_it_is_sent():
    turns, made = Turns(), []

    while_sent = [is_free(turns) for _ in turns.each(parts_of(turns, made))]

    assert (made, while_sent) == ([False] * 3, [True] * 3)
    assert is_free(turns)


def test_a_stream_waits_for_the_turn_of_a_request_but_not_for_ever(monkeypatch):
    monkeypatch.setattr(request_context, "PATIENT_TURN", 0.2)
    turns, working = Turns(), request()
    working.take_turn(turns)
    stream = turns.each(parts_of(turns, []))

    started = time.monotonic()
    first = next(stream)
    waited = time.monotonic() - started
    working.end()

    assert (first, [*stream]) == (0, [1, 2])
    assert waited >= 0.2
    assert is_free(turns)


def test_a_stream_that_fails_gives_its_turn_back():
    turns = Turns()

    with pytest.raises(ZeroDivisionError):
        list(turns.each(1 // number for number in (1, 0)))

    assert is_free(turns)


def test_a_turn_is_waited_for_again_once_a_late_one_was_given_back(monkeypatch):
    monkeypatch.setattr(request_context, "LONGEST_TURN", 0.01)
    turns = Turns()
    turns.acquire()
    late = turns.acquire()
    turns.release()
    monkeypatch.setattr(request_context, "LONGEST_TURN", 30)
    turns.acquire()

    threading.Timer(0.05, turns.release).start()

    assert (late, turns.acquire()) == (False, True)
