"""The deadline of a request as a whole: what counts against it, and what happens when it is over."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from datetime import UTC, datetime

import pytest

from config import Config
from services import request_context
from services.clients.graph.errors import INSTAGRAM
from services.clients.guard.bulkhead import Bulkhead
from services.clients.guard.guard import Guard
from services.clients.http import Transport
from services.clients.rate_limiter import RateLimiter
from services.clients.retries import Retries
from services.clock import Clock
from services.errors import DeadlineExceededError, ProviderTimeoutError
from services.executors import Executor
from services.request_context import BACKGROUND_DEADLINE, RATE_LIMIT_PATIENCE, RequestContext, patience
from tests.clients.wire_peers import answer, read_head
from tests.support import ROOT, UNLIMITED_MODASH_RATE, environment, live_settings, new_instance

POSTS, REPORT = "/top-posts?time_range=7d", "/performance-data?url=nasa"
DEADLINE = 2.0  # seconds
SOON = DEADLINE + 3.0  # on a busy machine
SLOW = 8  # seconds


@pytest.fixture
def ask(simulator, make_client):
    """A gateway with a short deadline and long timeouts, on the clock of this machine."""
    simulator.post("/_simulator/clock", {"now": datetime.now(UTC).isoformat()})
    simulator.post("/_simulator/calls/reset")
    listed = simulator.get("/_simulator/accounts").json()
    live = live_settings(simulator.url, listed["accounts"][0], listed["app"], listed["modash"]["key"])
    more = {
        "REQUEST_DEADLINE": str(DEADLINE),
        "MODASH_RATE": str(UNLIMITED_MODASH_RATE),
        "INSTANCE_PATH": new_instance(),
    }
    client = make_client(Config.from_env(live | more))
    client.get("/quota")

    def ask(path):
        began = time.monotonic()
        response = client.application.test_client().get(path)
        return response, time.monotonic() - began

    yield ask
    simulator.session.delete(f"{simulator.url}/_simulator/faults", timeout=60)
    client.application.extensions["services"].wait_until_quiet(10)


def fault(simulator, provider, delay, **more):
    simulator.post("/_simulator/faults", {"provider": provider, "kind": "slow", "delay_seconds": delay} | more)


def calls(simulator, provider, part=""):
    made = simulator.get("/_simulator/calls").json()[provider]["calls"]
    return [call["path"] for call in made if part in call["path"]]


def within(seconds, function, **more):
    """Run a function for a request that has so many seconds left."""

    def run():
        request_context.current.set(RequestContext(started_at=0.0, seconds=seconds, **more))
        return function()

    return copy_context().run(run)


# Through the front door


def test_a_slow_provider_holds_no_request_beyond_its_deadline_and_is_not_blamed(ask, simulator):
    fault(simulator, "instagram", SLOW, times=6)

    slow = [ask(POSTS) for _ in range(1)]
    with ThreadPoolExecutor(5) as pool:
        slow += pool.map(ask, [POSTS] * 5)
    simulator.session.delete(f"{simulator.url}/_simulator/faults", timeout=60)
    healed, _ = ask(POSTS)

    for response, seconds in slow:
        body = response.get_json()
        assert (response.status_code, body["code"]) == (504, "deadline_exceeded")
        assert body["provider"] in {None, "instagram"}
        assert int(response.headers["Retry-After"]) > 0
        assert seconds < SOON
    # Five faults in a row would have opened the circuit breaker.
    assert healed.status_code == 200


def test_the_deadline_of_a_test_of_insights_says_nothing_of_the_token(ask, simulator):
    fault(simulator, "instagram", SLOW, times=6)

    response, _ = ask("/api/instagram/insights/test?media_id=18000001157010845")

    body = response.get_json()
    assert (response.status_code, body["works"], body["reason"]) == (200, None, "deadline_exceeded")


def test_a_request_that_waits_for_another_one_does_not_get_its_deadline(ask, simulator):
    fault(simulator, "instagram", SLOW, times=1)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, POSTS)
        time.sleep(DEADLINE / 2)
        second, seconds = pool.submit(ask, POSTS).result()

    assert first.result()[0].status_code == 504
    assert second.status_code == 200
    assert seconds < SOON


def test_a_report_that_comes_after_the_deadline_is_paid_once_and_kept(ask, simulator):
    fault(simulator, "modash", DEADLINE + 0.5, times=1)

    late, seconds = ask(REPORT)
    deadline = time.monotonic() + 10
    while (found := ask(REPORT)[0]).status_code != 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    booked = ask("/credits")[0].get_json()

    assert (late.status_code, late.get_json()["code"]) == (504, "deadline_exceeded")
    assert seconds < SOON
    assert found.status_code == 200
    assert len(calls(simulator, "modash", "performance-data")) == 1
    assert [(each["charged"], each["uncertain"], each["open"]) for each in booked["months"]] == [(1, 0, 0)]


# Each wait


def test_a_wait_for_a_place_ends_with_the_deadline_and_the_place_goes_to_the_next_one():
    bulkhead = Bulkhead(1)

    def wait():
        with bulkhead.place("1"):
            raise AssertionError("There was no place.")

    with bulkhead.place("1"), pytest.raises(DeadlineExceededError):
        within(0.05, wait)

    with bulkhead.place("2"):
        pass


def test_a_turn_under_the_rate_limit_is_waited_for_no_longer_than_the_deadline():
    assert within(0.5, patience) <= 0.5
    assert within(60.0, patience) == RATE_LIMIT_PATIENCE


def test_no_further_try_begins_beyond_the_deadline(clock):
    backoff = within(0.2, Retries(budget=10.0, clock=clock).begin, monotonic=clock.monotonic)

    assert backoff.wait() is False or sum(clock.waits) < 0.2


@pytest.fixture
def transport():
    return Transport("modash", connect_timeout=1.0, read_timeout=5.0, connections=1, clock=Clock())


def test_no_call_begins_after_the_deadline(transport, wire):
    with pytest.raises(DeadlineExceededError):
        within(0.0, lambda: transport.get("https://api.modash.io/x", params={}, auth=None))

    assert len(wire.calls) == 0


def test_a_charged_call_begins_only_with_enough_time_left(transport, wire):
    with pytest.raises(DeadlineExceededError) as raised:
        within(0.4, lambda: transport.get("https://api.modash.io/x", params={}, auth=None, is_paid=True))

    assert len(wire.calls) == 0
    assert not raised.value.reached


@pytest.fixture
def provider():
    """Start a provider on a socket that has one caller, and does with its connection what a function does."""
    listener = socket.create_server(("127.0.0.1", 0))

    def start(serve):
        def run():
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                read_head(connection)
                serve(connection)

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    with listener:
        yield start


def test_a_paid_call_that_has_begun_is_waited_for_beyond_the_deadline(provider, clock):
    transport = Transport("modash", connect_timeout=5.0, read_timeout=30.0, connections=1, clock=clock)

    def serve(connection):
        time.sleep(0.7)
        connection.sendall(answer(b"{}"))

    url = provider(serve)

    reply = within(0.6, lambda: transport.get(url, params={}, auth=None, is_paid=True), monotonic=clock.monotonic)

    assert reply.json() == {}


def test_a_timeout_that_comes_a_moment_before_the_deadline_is_the_deadline(provider, clock):
    transport = Transport("instagram", connect_timeout=5.0, read_timeout=30.0, connections=1, clock=clock)

    def serve(connection):
        clock.wait(0.095)
        connection.recv(1)  # until the caller has gone

    url = provider(serve)

    with pytest.raises(DeadlineExceededError):
        within(0.1, lambda: transport.get(url, params={}, auth=None), monotonic=clock.monotonic)


def test_a_request_that_is_out_of_time_takes_no_turn(clock):
    turns = []
    rate_limiter = RateLimiter("modash", 2.0, clock, shared=lambda _spacing, most: turns.append(most) or 0.0)
    guard = Guard(INSTAGRAM, clock, places=1, rate_limiter=rate_limiter)

    def call():
        with guard.call("1"):
            raise AssertionError("It is admitted.")

    with pytest.raises(DeadlineExceededError):
        within(0.0, call)

    assert turns == []


def test_a_call_that_is_cut_by_the_deadline_is_no_fault_of_its_provider(clock):
    guard = Guard(INSTAGRAM, clock, places=32)

    for _ in range(6):
        with pytest.raises(DeadlineExceededError), guard.call("1"):
            raise request_context.deadline_exceeded()

    assert [each.state for each in guard.breakers()] == ["closed"]


def test_a_deadline_during_a_probe_leaves_the_breaker_open(clock):
    guard = Guard(INSTAGRAM, clock, places=32)
    for _ in range(5):
        guard.failed(guard.acquire("1"), ProviderTimeoutError("late", provider="instagram"))
    clock.wait(1.0)

    with pytest.raises(DeadlineExceededError), guard.call("1"):
        raise request_context.deadline_exceeded()

    assert [each.state for each in guard.breakers()] == ["half_open"]


def test_a_started_call_is_left_to_itself_when_the_time_is_over():
    executor = Executor(1)
    done = []
    try:
        started = executor.start(lambda: time.sleep(0.1) or done.append(1))
        with pytest.raises(DeadlineExceededError):
            started.result(within=0.02)
        assert executor.start(lambda: 7).result(within=5.0) == 7
    finally:
        executor.close()

    assert done == [1]


def test_a_call_that_has_not_begun_in_time_never_begins():
    executor = Executor(1)
    done = []
    try:
        executor.start(lambda: time.sleep(0.1))
        with pytest.raises(DeadlineExceededError):
            executor.start(lambda: done.append(1)).result(within=0.02)
        executor.start(lambda: None).result(within=5.0)
    finally:
        executor.close()

    assert done == []


def test_background_work_has_a_deadline_of_its_own():
    background = RequestContext(started_at=0.0, is_background=True)

    assert BACKGROUND_DEADLINE - 1 < background.remaining() <= BACKGROUND_DEADLINE


def test_the_deadline_comes_before_those_of_nginx_and_gunicorn():
    nginx = re.search(r"proxy_read_timeout (\d+)s", (ROOT / "docs" / "operations.md").read_text())
    gunicorn = re.search(r"timeout = max\((\d+), ", (ROOT / "gunicorn.conf.py").read_text())

    assert Config.request_deadline < int(nginx[1])
    assert Config.request_deadline < int(gunicorn[1])


# What gunicorn does with its settings when it starts, reloads and forks a worker.
READ_SETTINGS = """
import json, runpy, socket
from types import SimpleNamespace

read = runpy.run_path("gunicorn.conf.py")
with socket.socket() as taken:
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    taken.bind(("127.0.0.1", 0))
    server = SimpleNamespace(SIG_QUEUE=[], cfg=SimpleNamespace(address=[taken.getsockname()]))
    starts = []
    for server.master_pid in (0, 1):
        try:
            read["on_starting"](server)
        except SystemExit:
            starts.append(False)
        else:
            starts.append(True)
server.LISTENERS, worker = [SimpleNamespace(close=str)], SimpleNamespace()
read["on_reload"](server)
read["post_fork"](server, worker)
shown = {name: read[name] for name in ("graceful_timeout", "timeout", "threads")}
has_signals = worker.signals_since_fork is server.SIG_QUEUE
print(json.dumps(shown | {"starts": starts, "listeners": server.LISTENERS, "has_signals": has_signals}))
"""


@pytest.mark.parametrize(
    ("given", "stop_within", "answer_within", "threads"),
    [
        ({}, 74, 120, 80),
        ({"READ_TIMEOUT": "40", "REQUEST_DEADLINE": "110"}, 149, 140, 80),
        ({"READ_TIMEOUT": "0.1", "MAX_WAITING_REQUESTS": "4"}, 30, 120, 20),
    ],
)
def test_a_worker_has_time_for_the_longest_call_and_request_and_threads_for_more_than_may_wait(
    given, stop_within, answer_within, threads
):
    """A worker gets the signals of before its handlers, and a master shares the port of the one that it replaces."""
    shown = subprocess.run(
        [sys.executable, "-c", READ_SETTINGS],
        cwd=ROOT,
        env=environment({"PROVIDERS": "sandbox", "INSTANCE_PATH": new_instance()} | given),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout.splitlines()[-1]) == {
        "graceful_timeout": stop_within,
        "timeout": answer_within,
        "threads": threads,
        "starts": [False, True],
        "listeners": [],
        "has_signals": True,
    }
    of_services = re.findall(r"TimeoutStopSec=(\d+)", (ROOT / "docs" / "operations.md").read_text())
    assert len(of_services) == 2  # the gateway and the worker, which makes calls that may be charged as well
    assert all(int(seconds) > 74 + 10 for seconds in of_services)
