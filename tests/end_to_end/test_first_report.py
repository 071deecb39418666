"""At the shipped rate of two Modash calls a second a first report waits for its own call and for no other."""

from __future__ import annotations

import pytest

from tests.support import start_worker, wait_until

WITHIN = 60  # seconds


@pytest.fixture
def worker(store_settings, simulator):
    """A worker beside the gateway, both with the settings that are shipped."""
    process = start_worker({"SIMULATOR_PORT": simulator.url.rpartition(":")[2], **store_settings})
    yield process
    process.popen.kill()
    process.popen.wait(10)


def paths_called(simulator):
    return [call["path"].partition("?")[0] for call in simulator.get("/_simulator/calls").json()["modash"]["calls"]]


def test_a_first_report_is_answered_before_the_balance_is_read(simulator, store_settings, start, worker):
    gateway = start({"SIMULATOR_PORT": simulator.url.rpartition(":")[2], **store_settings})
    # The provider holds every balance back. An answer that waited for it would come after it, and would not come here.
    fault = {"provider": "modash", "path": "user/info", "kind": "slow", "delay_seconds": 5, "times": 1}
    simulator.post("/_simulator/faults", fault)
    simulator.post("/_simulator/calls/reset")

    first = gateway.get("/performance-data?url=nasa")
    calls_by_then = paths_called(simulator)
    wait_until(lambda: gateway.get("/credits").json()["balance"]["as_of"] is not None, seconds=WITHIN)
    second = gateway.get("/performance-data?url=nasa")
    another = gateway.get("/performance-data?url=esa")

    assert (first.status_code, first.headers["X-Provider-Calls"]) == (200, "1")
    assert first.json()["meta"]["cost"] == {"credits": 0.25, "credits_left": None, "as_of": None}
    assert calls_by_then == ["/v1/instagram/performance-data"]
    balance = gateway.get("/credits").json()["balance"]
    assert second.json()["meta"]["cost"] == {
        "credits": 0,
        "credits_left": balance["credits"],
        "as_of": balance["as_of"],
    }
    assert another.json()["meta"]["cost"] == {
        "credits": 0.25,
        "credits_left": balance["credits"] - 0.25,
        "as_of": balance["as_of"],
    }
    called = paths_called(simulator)
    assert [path.rpartition("/")[2] for path in called] == ["performance-data", "info", "performance-data"]
