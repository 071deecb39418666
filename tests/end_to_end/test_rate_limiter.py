"""How fast Modash is called, as it counts itself, by several processes at once."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from statistics import median

import pytest

from tests.support import ROOT, environment

PROCESSES, CALLS = 4, 4
A_SECOND = 1.0
MOST_IN_A_SECOND = 2
TURN = 0.6  # seconds from one call to the next
ROUNDING = 0.001  # seconds; the moments of calls are rounded
ROOM = 0.1  # seconds
TRIES = 3


def calls(simulator):
    return simulator.get("/_simulator/calls").json()["modash"]["calls"]


def statuses(simulator):
    return {call["status"] for call in calls(simulator)}


def most_in_a_second(moments):
    """The largest number of calls that any second saw."""
    return max(sum(first <= moment < first + A_SECOND for moment in moments) for first in moments)


class Stalls(threading.Thread):
    """How long this machine lets a thread wait that only wants to go on: what a call may be late by."""

    def __init__(self):
        super().__init__(daemon=True)
        self.longest = 0.0
        self._over = threading.Event()

    def run(self):
        before = time.monotonic()
        while not self._over.wait(0.01):
            now = time.monotonic()
            self.longest = max(self.longest, now - before - 0.01)
            before = now

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self.join()


def measured(simulator, measure):
    """Measure, check the pace of the calls that Modash counts, and return the last result.

    No call comes before its turn, however busy the machine is, so the first so many calls never take less time than
    their turns. Modash counts arrivals: of three calls the first may come 0.2 s late, not more. A machine may delay it
    for longer, and what delays a process is seen by no other one for certain. So it is measured again after three calls
    within a second. If they came within one each time, and the machine was steady, they were sent so.
    """
    steady = []
    for _ in range(TRIES):
        simulator.post("/_simulator/calls/reset")
        begun = time.time()
        with Stalls() as stalls:
            result = measure()
        moments = sorted(call["at"] for call in calls(simulator))
        assert all(at >= begun + TURN * number - ROUNDING for number, at in enumerate(moments)), (begun, moments)
        if most_in_a_second(moments) <= MOST_IN_A_SECOND:
            return result
        steady.append(stalls.longest < ROOM)
    assert not any(steady), moments
    return result


def test_many_processes_keep_to_one_pace(simulator, store_settings):
    chosen = {"SIMULATOR_PORT": simulator.url.rpartition(":")[2], **store_settings}
    command = [sys.executable, "-m", "tests.end_to_end.rate_limited_caller", str(CALLS)]

    def measure():
        callers = [subprocess.Popen(command, cwd=ROOT, env=environment(chosen)) for _ in range(PROCESSES)]
        return [caller.wait(120) for caller in callers]

    codes = measured(simulator, measure)

    moments = [call["at"] for call in calls(simulator)]
    assert codes == [0] * PROCESSES
    assert len(moments) == PROCESSES * CALLS
    assert statuses(simulator) == {200}
    assert max(moments) - min(moments) < PROCESSES * CALLS * 0.9


@pytest.fixture
def gateway(simulator, start, store_settings):
    return start({"SIMULATOR_PORT": simulator.url.rpartition(":")[2], **store_settings})


def test_a_crowd_is_served_in_turns_or_refused_with_a_wait(simulator, gateway):
    # A call that the machine delays would be refused, and the refusal would end the crowd.
    simulator.post("/_simulator/switches", {"modash_rate_limit": 0})
    gateway.get("/performance-data?url=nasa")
    crowds = count()

    def measure():
        crowd_is_gone, warm, names = threading.Event(), [], f"crowd{next(crowds)}x"

        def ask_for_what_is_ready():
            while not crowd_is_gone.wait(0.1):
                response = gateway.get("/performance-data?url=nasa")
                warm.append((response.status_code, response.elapsed.total_seconds()))

        watcher = threading.Thread(target=ask_for_what_is_ready)
        watcher.start()
        with ThreadPoolExecutor(16) as crowd:
            answers = list(crowd.map(lambda number: gateway.get(f"/performance-data?url={names}{number}"), range(16)))
        crowd_is_gone.set()
        watcher.join()
        return answers, warm

    answers, warm = measured(simulator, measure)

    served = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(served) + len(refused) == 16
    assert served
    assert refused
    assert all(answer.json()["code"] == "provider_rate_limited" for answer in refused)
    assert all(1 <= int(answer.headers["Retry-After"]) <= 10 for answer in refused)
    reports = [call for call in calls(simulator) if "/performance-data" in call["path"]]
    assert len(reports) == len(served)
    assert {status for status, _ in warm} == {200}
    assert median(seconds for _, seconds in warm) < 0.4  # A turn comes after half a second or more.
