"""GET /readyz: what a caller learns of a database that is unavailable."""

from __future__ import annotations

import pytest

from app import create_app
from tests.support import settings

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
