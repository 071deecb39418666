"""GET /readyz: what a caller learns of a database that is unavailable."""

from __future__ import annotations

import pytest

from app import create_app
from tests.planners import MEDIA
from tests.support import ACCOUNT_ID, graph_error, settings

NAMES = ("127.0.0.9", "operators_user", "operators_database")
LOCAL = {"environ_overrides": {"REMOTE_ADDR": "127.0.0.1"}}
CALLERS = {
    "remote": {"environ_overrides": {"REMOTE_ADDR": "203.0.113.7"}},
    "forwarded": LOCAL | {"headers": {"X-Forwarded-For": "203.0.113.7"}},
}


@pytest.fixture
def unavailable():
    """A client of a gateway whose database refuses every connection."""
    app = create_app(settings(database_url=f"postgresql://{NAMES[1]}:pass-word@{NAMES[0]}:1/{NAMES[2]}"))
    yield app.test_client()
    app.extensions["services"].close()


def test_a_job_that_is_late_makes_the_gateway_degraded_and_one_that_waits_does_not(client, clock):
    jobs = client.application.extensions["services"].store.jobs

    def state_with_a_job(due_in):
        jobs.put("report", f"due in {due_in}", due_at=clock.timestamp() + due_in)
        return client.get("/readyz").get_json()["status"]

    assert [state_with_a_job(seconds) for seconds in (60, -30, -61)] == ["ok", "ok", "degraded"]


def test_a_breaker_that_lets_a_probe_pass_is_shown_and_makes_the_gateway_degraded(client, clock, wire):
    wire.assert_all_requests_are_fired = False
    wire.get(MEDIA, json=graph_error(2), status=500)
    closed = client.get("/readyz").get_json()
    while not (opened := client.get("/readyz").get_json()["breakers"]):
        client.get("/top-posts?time_range=7d")
        clock.wait(1)
    guard = client.application.extensions["services"].guards["instagram"]

    clock.wait(opened[0]["opens_again_in"])
    guard.acquire(ACCOUNT_ID)
    probed = client.get("/readyz").get_json()

    assert (closed["status"], closed["breakers"]) == ("ok", [])
    assert (probed["status"], [each["state"] for each in probed["breakers"]]) == ("degraded", ["half_open"])


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("path", ["/readyz", "/export"])
def test_a_remote_caller_learns_that_a_database_is_unavailable_and_not_its_names(unavailable, caller, path):
    response = unavailable.get(path, **CALLERS[caller])

    assert "unavailable" in response.get_data(as_text=True)
    assert not [name for name in NAMES if name in response.get_data(as_text=True)]


def test_a_local_caller_and_the_log_have_the_details(unavailable, caplog):
    fault = unavailable.get("/readyz", **LOCAL).get_json()["store"]["gateway"]

    logged = [record.fault for record in caplog.get_records("setup") if record.message == "The database is unavailable"]
    assert NAMES[0] in fault
    assert fault in logged
