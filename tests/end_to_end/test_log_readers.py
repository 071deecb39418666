"""The gateway goes on while nothing reads its log, and after the reader of its log has ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from services.monitoring.metric_families import LOG_LINES_LOST
from tests.support import ROOT, Process, environment, free_port, local_session, new_instance, wait_for

READY = "/top-posts?time_range=7d"
REQUESTS = 300  # of each connection: the lines of one fill a pipe
MOST = 120.0  # seconds until it is answered, or ends, on a loaded machine


class Reader:
    """Reads a log, until it is stopped or ended, and again."""

    def __init__(self, descriptor):
        self._descriptor = descriptor
        self._goes_on = threading.Event()
        self._goes_on.set()
        self._ends = False
        self.data = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while self._goes_on.wait() and not self._ends and (part := os.read(self._descriptor, 4096)):
            self.data += part
        os.close(self._descriptor)

    def stop(self):
        """Read no more than what is being read."""
        self._goes_on.clear()

    def go_on(self):
        """Read to the end."""
        self._goes_on.set()

    def end(self):
        """End with the next part, as a collector of logs that fails."""
        self._ends = True

    def lines(self):
        """Every line, when the processes that write have ended."""
        self._thread.join(MOST)
        return [json.loads(line) for line in self.data.splitlines()]


@pytest.fixture
def gateway(simulator, tmp_path):
    """A gateway whose log is a pipe, and what reads from that."""
    reading, writing = os.pipe()
    port = free_port()
    settings = {"PORT": str(port), "SIMULATOR_PORT": simulator.url.rpartition(":")[2], "INSTANCE_PATH": new_instance()}
    popen = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "app:create_app()"],
        cwd=ROOT,
        env=environment(settings),
        stdout=writing,
        stderr=writing,
    )
    os.close(writing)
    process = Process(popen, f"http://127.0.0.1:{port}", tmp_path / "not written")
    process.reader = Reader(reading)
    try:
        wait_for(f"{process.url}/healthz", process)
        yield process
    finally:
        popen.kill()
        popen.wait()
        process.session.close()


def ask(gateway, number):
    """Ask for a ready reply and one that is made by Flask; return their ids and statuses."""
    asked = {}
    with local_session() as session:
        for each in range(REQUESTS):
            path, name = (READY if each % 10 else "/openapi.json?x=1"), f"{number}-{each}"
            asked[name] = session.get(f"{gateway.url}{path}", headers={"X-Request-Id": name}, timeout=MOST).status_code
    return asked


def test_a_gateway_goes_on_while_nothing_reads_its_log_and_loses_no_line(gateway):
    gateway.get(READY)
    gateway.reader.stop()

    asked = ask(gateway, 1) | ask(gateway, 2)
    metrics = gateway.get("/metrics").text
    gateway.popen.terminate()
    gateway.reader.go_on()
    ended = gateway.popen.wait(MOST)

    assert set(asked.values()) == {200, 400}
    assert f"{LOG_LINES_LOST}_total 0.0" in metrics
    assert ended == 0
    named = {line["request_id"]: line["status"] for line in gateway.reader.lines() if line["message"] == "request"}
    assert {name: named.get(name) for name in asked} == asked


def lines_lost(gateway):
    """How many lines were lost, as far as the worker knows that answers."""
    (line,) = [line for line in gateway.get("/metrics").text.splitlines() if line.startswith(f"{LOG_LINES_LOST}_total")]
    return float(line.split()[1])


def test_a_gateway_goes_on_when_the_reader_of_its_log_has_ended(gateway):
    gateway.get(READY)
    gateway.reader.end()

    asked = ask(gateway, 1)
    deadline = time.monotonic() + MOST
    while (lost := lines_lost(gateway)) <= REQUESTS / 2 and time.monotonic() < deadline:
        time.sleep(0.2)  # Each worker shows its own counts at once, and those of the other one after about a second.
    gateway.popen.terminate()

    assert set(asked.values()) == {200, 400}
    assert lost > REQUESTS / 2
    assert gateway.popen.wait(MOST) == 0
