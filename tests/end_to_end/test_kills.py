"""Workers killed at any moment under load: no caller waits for long, and nothing that is kept is lost or goes back.

`KILLS=100` kills more of them.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
import time
from contextlib import closing
from itertools import count
from pathlib import Path

import requests

from services.store.cache_leases import LEASE
from tests.stores import query
from tests.support import errors_of, local_session, workers_of

KILLS = int(os.environ.get("KILLS", "12"))
CALLERS = 6
LATENCY = 0.25  # seconds
SLACK = 20.0  # seconds that a busy machine may need to start a worker, and to come to its turn
PATHS = (
    "/top-posts?time_range=30d&limit=4&refresh=true",
    "/top-posts?time_range=30d",
    "/growth-trends?period=8d&refresh=true",
    "/growth-trends?period=7d",
)


class Caller(threading.Thread):
    """Asks again and again, and notes how long each answer, or the lack of one, took."""

    def __init__(self, url, over):
        super().__init__(daemon=True)
        self._url = url
        self._over = over
        self.statuses = []
        self.longest = 0.0
        self.cut = 0

    def run(self):
        session = local_session()
        for number in count():
            if self._over.is_set():
                break
            began = time.monotonic()
            try:
                self.statuses.append(session.get(f"{self._url}{PATHS[number % len(PATHS)]}", timeout=90).status_code)
            except requests.Timeout:
                self.statuses.append(None)
            except requests.RequestException:
                self.cut += 1
                time.sleep(0.02)
            self.longest = max(self.longest, time.monotonic() - began)
        session.close()


class Observer(threading.Thread):
    """Looks at the rows of the memory all the time: none may become older."""

    def __init__(self, store, over):
        super().__init__(daemon=True)
        self._store = store
        self._over = over
        self.newest = {}
        self.gone_back = []
        self.changes = 0

    def run(self):
        while not self._over.wait(0.05):
            rows = query(self._store, "memory", "SELECT account, key, part, fetched_at FROM cache_entries")
            for *cache_key, fetched_at in rows:
                before = self.newest.get(tuple(cache_key), 0.0)
                if fetched_at < before:
                    self.gone_back.append((cache_key, before, fetched_at))
                self.changes += fetched_at > before
                self.newest[tuple(cache_key)] = max(before, fetched_at)


def kill_a_worker(gateway):
    """Kill a worker as soon as there is one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if found := workers_of(gateway.popen.pid):
            os.kill(random.choice(found), signal.SIGKILL)
            return
        time.sleep(0.02)
    raise AssertionError("gunicorn starts no worker any more")


def sound(store):
    """What SQLite finds wrong in the files of a store."""
    for name in ("memory.db", "gateway.db"):
        with closing(sqlite3.connect(Path(store["INSTANCE_PATH"]) / name)) as connection:
            yield from (row[0] for row in connection.execute("PRAGMA integrity_check"))


def newest_list(store):
    return query(store, "memory", "SELECT fetched_at FROM cache_entries WHERE key = 'media'")[0][0]


def wait_until_answered(gateway, path):
    deadline = time.monotonic() + LEASE + SLACK
    while time.monotonic() < deadline:
        try:
            response = gateway.get(path)
        except requests.RequestException:
            continue
        if response.status_code == 200:
            return response
        time.sleep(0.1)
    raise AssertionError(f"{path} is not answered")


def test_workers_killed_under_load_delay_callers_briefly_and_lose_nothing_that_is_kept(
    simulator, store_settings, start, record_property
):
    gateway = start(store_settings | {"SIMULATOR_PORT": simulator.url.rpartition(":")[2]})
    simulator.post("/_simulator/switches", {"latency_ms": int(LATENCY * 1000)})
    over = threading.Event()
    callers = [Caller(gateway.url, over) for _ in range(CALLERS)]
    observer = Observer(store_settings, over)
    for thread in (*callers, observer):
        thread.start()

    began = time.monotonic()
    for _ in range(KILLS):
        time.sleep(random.uniform(0.05, 1.0))
        kill_a_worker(gateway)
    killed_for = time.monotonic() - began
    deadline = time.monotonic() + SLACK
    while observer.changes <= KILLS / 4 and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    over.set()
    for thread in (*callers, observer):
        thread.join(90)

    newest = newest_list(store_settings)
    answered = [wait_until_answered(gateway, each) for each in (*PATHS, "/readyz")]
    statuses = [status for caller in callers for status in caller.statuses]
    longest = max(caller.longest for caller in callers)
    counts = {status: statuses.count(status) for status in set(statuses)}
    record_property("kills", f"{KILLS} kills: longest {longest:.1f} s, {counts}, {observer.changes} values")
    cut = sum(caller.cut for caller in callers)
    print(f"{KILLS} kills: longest {longest:.2f} s, {counts}, cut {cut}, {observer.changes} values")  # noqa: T201  # For `-s`.
    assert set(counts) <= {200, 503}
    assert counts[200] > KILLS / 4
    # Each who takes over a lease may be killed again; after the last one was, its lease ends, and the next one fetches.
    assert longest < killed_for + LEASE + 3 * LATENCY + SLACK
    assert observer.gone_back == []
    assert observer.changes > KILLS / 4
    assert answered[-1].json()["store"] == {"memory": "ok", "gateway": "ok"}
    assert newest_list(store_settings) > newest
    if "INSTANCE_PATH" in store_settings:
        assert set(sound(store_settings)) == {"ok"}
    assert errors_of(gateway, kills=KILLS) == []


def test_what_a_killed_worker_fetched_is_fetched_by_another_within_its_lease(simulator, store_settings, start):
    gateway = start(store_settings | {"SIMULATOR_PORT": simulator.url.rpartition(":")[2]})
    simulator.post("/_simulator/faults", {"provider": "instagram", "kind": "slow", "delay_seconds": 20, "times": 1})
    first = Caller(gateway.url, threading.Event())
    first.start()
    deadline = time.monotonic() + 30
    held = "SELECT holder FROM leases WHERE holder <> ''"
    # The slow call is under way: killed before it, the worker would leave it to the next one, which would wait for it.
    while simulator.get("/_simulator/faults").json()["faults"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert query(store_settings, "memory", held)

    for worker in workers_of(gateway.popen.pid):
        os.kill(worker, signal.SIGKILL)
    killed_at = time.monotonic()
    answered = wait_until_answered(gateway, "/top-posts?time_range=30d")

    assert answered.json()["top_posts"]
    assert time.monotonic() - killed_at < LEASE + SLACK
    first._over.set()
    first.join(90)
