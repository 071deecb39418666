"""The database goes away during a paid call and the process ends: the next process books what was paid for."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.end_to_end.test_database_unavailable import lock_out, replace_with_folders
from tests.end_to_end.test_kills import workers_of
from tests.stores import query
from tests.support import new_instance, start_gateway, start_worker, wait_until

WITHIN = 30.0  # seconds
BOOKED = "SELECT state, code, milli_credits FROM ledger"


@pytest.fixture
def started():
    """Start processes; those that a test has not ended are ended after it."""
    processes = []
    yield processes
    for process in processes:
        if process.popen.poll() is None:
            process.stop()
        else:
            process.session.close()


def stop_gracefully(gateway):
    gateway.popen.send_signal(signal.SIGTERM)


def stop_like_a_terminal(gateway):
    for pid in (*workers_of(gateway.popen.pid), gateway.popen.pid):
        os.kill(pid, signal.SIGINT)


def kill(gateway):
    for pid in (gateway.popen.pid, *workers_of(gateway.popen.pid)):
        os.kill(pid, signal.SIGKILL)


def next_gateway(settings, started):
    started.append(start_gateway(settings))


def next_worker(settings, started):
    started.append(start_worker(settings))


@pytest.mark.parametrize(
    ("store_settings", "course"),
    [
        ("postgresql", (lock_out, stop_gracefully, next_gateway)),
        ("sqlite", (replace_with_folders, stop_like_a_terminal, next_worker)),
        ("sqlite", (replace_with_folders, kill, next_gateway)),
    ],
    indirect=["store_settings"],
    ids=["SIGTERM", "SIGINT", "SIGKILL"],
)
def test_a_paid_report_outlives_the_database_and_then_the_process(simulator, store_settings, started, course):
    take_away, end, begin = course
    port = simulator.url.rpartition(":")[2]
    settings = {"INSTANCE_PATH": new_instance(), "SIMULATOR_PORT": port} | store_settings
    simulator.post("/_simulator/switches", {"latency_ms": 800})
    simulator.post("/_simulator/calls/reset")
    gateway = start_gateway(settings)
    started.append(gateway)

    with ThreadPoolExecutor() as executor:
        asked = executor.submit(gateway.get, "/performance-data?url=nasa")
        wait_until(lambda: query(store_settings, "gateway", BOOKED))
        back = take_away(store_settings)
        reply = asked.result()
    end(gateway)
    gateway.popen.wait(WITHIN)
    back()
    unbooked = query(store_settings, "gateway", BOOKED)
    begin(settings, started)
    wait_until(lambda: query(store_settings, "gateway", BOOKED) != unbooked)

    assert reply.status_code == 200
    assert unbooked == [("open", None, 250)]
    assert query(store_settings, "gateway", BOOKED) == [("charged", "report", 250)]
    assert query(store_settings, "gateway", "SELECT creator, milli_credits FROM reports") == [("nasa", 250)]
    charges = simulator.get("/_simulator/calls").json()["charges"]
    assert {creator: charged["milli_credits"] for creator, charged in charges.items()} == {"nasa": 250}
