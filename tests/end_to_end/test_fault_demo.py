"""The documented demonstration of faults works as printed, and the sandbox recovers from it by itself."""

from __future__ import annotations

import re
import shlex
import time

import pytest

from tests.support import ROOT, live_settings, start_simulator

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DEMO = [
    line
    for document in DOCUMENTS
    for line in document.read_text(encoding="utf-8").splitlines()
    if re.match(r"curl .*/_simulator/faults -d ", line)
]
POSTS, GROWTH, REPORT = "/top-posts?time_range=7d", "/growth-trends?period=7d", "/performance-data?url="
# A throttle demands 5 seconds, a refused token leaves its account alone for at most 15.
RECOVERS_WITHIN = 20  # seconds


@pytest.fixture
def sandbox(start):
    """A simulator of this test alone, and a gateway that reads it at the shipped limits."""
    simulator = start_simulator("--accounts", "3")
    known = simulator.get("/_simulator/accounts").json()
    settings = live_settings(simulator.url, known["accounts"][0], known["app"], known["modash"]["key"])
    yield simulator, start(settings)
    simulator.stop()


def order(simulator, line):
    body = shlex.split(line)[shlex.split(line).index("-d") + 1]
    reply = simulator.session.post(f"{simulator.url}/_simulator/faults", data=body, timeout=10)
    assert reply.status_code == 200, reply.text
    return reply.json()


def status_within(gateway, path, seconds):
    deadline = time.monotonic() + seconds
    while (status := gateway.get(path).status_code) != 200 and time.monotonic() < deadline:
        time.sleep(0.25)
    return status


def test_the_documents_show_a_demonstration():
    assert len(DEMO) >= 3


@pytest.mark.parametrize("end", [("delete", "/_simulator/faults"), ("post", "/_simulator/reset")])
def test_the_sandbox_recovers_from_the_printed_faults_within_seconds(sandbox, end):
    simulator, gateway = sandbox
    failures = []
    for number, line in enumerate(DEMO):
        fault = order(simulator, line)
        path = f"{REPORT}creator{number}" if fault["provider"] == "modash" else POSTS
        failures.append(gateway.get(path).status_code)

    method, path = end
    assert simulator.session.request(method, f"{simulator.url}{path}", timeout=10).status_code == 200

    assert all(status >= 400 for status in failures)
    assert [status_within(gateway, path, RECOVERS_WITHIN) for path in (POSTS, GROWTH, f"{REPORT}nasa")] == [200] * 3


def test_a_throttle_ends_after_the_seconds_it_gave(sandbox):
    simulator, gateway = sandbox
    order(simulator, DEMO[0])

    refused = gateway.get(POSTS)
    wait = refused.json()["retry_after"]
    simulator.session.delete(f"{simulator.url}/_simulator/faults", timeout=10)
    early = gateway.get(POSTS)
    time.sleep(wait)

    assert (refused.status_code, early.status_code) == (429, 429)
    assert 1 <= wait <= 5
    assert gateway.get(POSTS).status_code == 200
