"""The heartbeat: two threads, one of them for leases, that the first use starts, and never before a fork."""

from __future__ import annotations

import logging
import threading
import time
from queue import SimpleQueue
from types import SimpleNamespace

import pytest

from services.access.rate_limits import RequestRates
from services.background.heartbeat import Heartbeat
from services.cache.cache import Cache
from services.store.database import DatabaseUnavailableError
from tests.support import wait_until
from worker import STOP, Worker


@pytest.fixture
def heartbeat(monkeypatch):
    monkeypatch.setattr("services.background.heartbeat.BEAT", 0.01)
    heartbeat = Heartbeat()
    yield heartbeat
    heartbeat.stop(timeout=10)


def threads():
    return [thread for thread in threading.enumerate() if "heartbeat" in thread.name]


def test_tasks_run_again_and_again_in_the_order_of_their_registration(heartbeat):
    runs = []
    heartbeat.register("first", lambda: runs.append("first"), interval=0.0)
    heartbeat.register("second", lambda: runs.append("second"), interval=0.0)

    heartbeat.start()
    heartbeat.start()
    wait_until(lambda: len(runs) >= 6)

    assert runs[:6] == ["first", "second"] * 3


def test_a_task_keeps_its_interval_and_its_delay(heartbeat):
    runs = []
    heartbeat.register("once an hour", lambda: runs.append("hourly"), interval=3600)
    heartbeat.register("later", lambda: runs.append("later"), interval=0.0, delay=3600)
    heartbeat.register("always", lambda: runs.append("always"), interval=0.0)

    heartbeat.start()
    wait_until(lambda: runs.count("always") >= 5)

    assert runs.count("hourly") == 1
    assert "later" not in runs


@pytest.mark.parametrize(("error", "logged"), [(RuntimeError("unexpected"), True), (DatabaseUnavailableError(), False)])
def test_a_failing_task_does_not_stop_the_others(heartbeat, caplog, error, logged):
    runs = []

    def fail():
        raise error

    heartbeat.register("failing", fail, interval=0.0)
    heartbeat.register("extend leases", lambda: runs.append(1), interval=0.0)

    heartbeat.start()
    wait_until(lambda: len(runs) >= 2)

    lines = [record.task for record in caplog.records if record.levelno == logging.ERROR]
    assert (set(lines) == {"failing"}) is logged


def test_no_task_runs_after_a_stop_that_waits(heartbeat):
    runs = []
    heartbeat.register("alive", lambda: runs.append(1), interval=0.0)
    heartbeat.start()
    wait_until(lambda: runs)

    heartbeat.stop(timeout=10)
    stopped_after = len(runs)
    time.sleep(0.1)

    assert len(runs) == stopped_after
    assert not any(thread.is_alive() for thread in threads())


def test_a_stop_waits_for_the_task_that_runs_and_lets_none_follow(heartbeat):
    began, ended, followed = threading.Event(), threading.Event(), []

    def slow():
        began.set()
        time.sleep(0.1)
        ended.set()

    heartbeat.register("slow", slow, interval=0.0)
    heartbeat.register("next", lambda: followed.append(1), interval=0.0)
    heartbeat.start()
    began.wait(30)

    heartbeat.stop(timeout=10)

    assert (ended.is_set(), followed) == (True, [])


def test_a_stop_waits_no_longer_than_it_may_for_all_threads_together(heartbeat, monkeypatch):
    now, waits, ended = [0.0], [], threading.Event()
    began = [threading.Event(), threading.Event()]
    for is_lease, event in enumerate(began):
        heartbeat.register(
            "hangs", lambda event=event: (event.set(), ended.wait(60)), interval=0.0, extends_leases=is_lease
        )
    heartbeat.start()
    assert all(event.wait(30) for event in began)

    def join(_, timeout):
        waits.append(timeout)
        now[0] += timeout - 2

    with monkeypatch.context() as patched:
        patched.setattr("services.background.heartbeat.time", SimpleNamespace(monotonic=lambda: now[0]))
        patched.setattr(threading.Thread, "join", join)
        heartbeat.stop(timeout=10)
    ended.set()

    assert waits == [10, 2]


def test_runs_that_a_suspended_process_has_missed_are_not_made_up_for(heartbeat, monkeypatch):
    now, runs, beats = [0.0], [], []
    monkeypatch.setattr("services.background.heartbeat.time", SimpleNamespace(monotonic=lambda: now[0]))
    heartbeat.register("each minute", lambda: runs.append(1), interval=60)
    heartbeat.register("always", lambda: beats.append(1), interval=0.0)
    heartbeat.start()
    wait_until(lambda: beats)

    now[0], before = 3600.0, len(beats)
    wait_until(lambda: len(beats) >= before + 5)

    assert len(runs) == 2


def test_two_first_users_start_the_threads_once(heartbeat):
    before = set(threads())
    users = [threading.Thread(target=heartbeat.start) for _ in range(2)]
    with heartbeat._lock:
        for user in users:
            user.start()
        time.sleep(0.05)
    for user in users:
        user.join()

    assert len(set(threads()) - before) == 2


def test_where_the_system_has_no_thread_left_the_next_user_starts_the_threads(heartbeat, no_thread, caplog):
    before = set(threads())
    with no_thread():
        refused = [heartbeat.start() for _ in range(3)]

    started = [heartbeat.start() for _ in range(2)]

    assert (refused, started) == ([False] * 3, [True] * 2)
    assert len(set(threads()) - before) == 2
    assert [record.levelname for record in caplog.records if "no thread left" in record.message] == ["ERROR"]


@pytest.mark.parametrize("limit", [0, 1000])
def test_a_first_request_for_which_the_system_has_no_thread_is_answered_and_a_later_one_starts_them(
    make_world, no_thread, limit
):
    world = make_world(requests_per_minute=limit)
    before = set(threads())
    world.restart()

    with no_thread():
        first = world.get("/top-posts?time_range=7d")
    world.get("/top-posts?time_range=8d")

    assert first.status_code == 200
    assert sorted(thread.name for thread in set(threads()) - before) == ["heartbeat", "lease heartbeat"]


def test_an_application_starts_its_heartbeat_with_the_first_use_of_its_cache(world):
    before = set(threads())
    world.restart()
    assert set(threads()) == before

    world.get("/healthz")
    assert set(threads()) == before
    world.get("/top-posts?time_range=7d")

    assert sorted(thread.name for thread in set(threads()) - before) == ["heartbeat", "lease heartbeat"]


@pytest.fixture
def hanging_task(monkeypatch):
    """A task of every process that begins and does not end before the test does."""
    begun, ended = threading.Event(), threading.Event()

    def hang(_):
        begun.set()
        ended.wait(60)

    monkeypatch.setattr(RequestRates, "share", hang)
    yield begun
    ended.set()


def test_a_task_that_hangs_does_not_hold_up_the_leases_of_what_is_fetched(world, monkeypatch, hanging_task):
    extended = []
    monkeypatch.setattr("services.wiring.periodic_tasks.EXTENSION_INTERVAL", 0.0)
    monkeypatch.setattr("services.background.heartbeat.BEAT", 0.01)
    monkeypatch.setattr(Cache, "extend_leases", lambda _: extended.append(hanging_task.is_set()))
    world.restart()

    world.get("/top-posts?time_range=7d")

    wait_until(lambda: extended.count(True) >= 3)


def test_a_task_that_hangs_does_not_hold_up_the_leases_of_jobs(heartbeat, monkeypatch):
    monkeypatch.setattr("services.store.jobs.HEARTBEAT_INTERVAL", 0.0)
    ended, extended = threading.Event(), threading.Event()

    class Runner:
        """What a worker needs of the runner, without jobs."""

        def heartbeat(self, _holder, _held, **_):
            if heartbeat_began.is_set():
                extended.set()

        def put_recurring(self):
            """Put nothing."""

        def claim(self, *_):
            return []

        def release(self, *_):
            """Release nothing."""

    heartbeat_began = threading.Event()
    heartbeat.register("hangs", lambda: (heartbeat_began.set(), ended.wait(60)), interval=0.0)
    signals = SimpleQueue()
    thread = threading.Thread(target=Worker(Runner(), heartbeat, signals).run)
    thread.start()
    try:
        assert extended.wait(30)
    finally:
        ended.set()
        signals.put(STOP)
        thread.join(30)
