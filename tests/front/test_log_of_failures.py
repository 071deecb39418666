"""The log line of a request that failed: what an operator needs to find its cause and its caller."""

from __future__ import annotations

import logging

import pytest

from tests.planners import MEDIA
from tests.support import ACCOUNT_ID, graph_error

PATH = "/top-posts?time_range=7d"
LOCAL, REMOTE = "127.0.0.1", "198.51.100.4"


def line_of(caplog):
    (record,) = [record for record in caplog.records if record.getMessage() == "request"]
    return record


def test_a_failure_has_its_code_provider_account_and_caller(client, wire, caplog):
    caplog.set_level(logging.INFO)
    wire.get(MEDIA, json=graph_error(190), status=400)

    response = client.get(PATH, environ_overrides={"REMOTE_ADDR": REMOTE})

    line = line_of(caplog)
    assert (line.status, line.code) == (response.status_code, response.get_json()["code"]) == (401, "token_invalid")
    assert (line.provider, line.account, line.caller) == ("instagram", ACCOUNT_ID, REMOTE)
    assert line.request_id == response.headers["X-Request-Id"]


@pytest.mark.parametrize(
    ("path", "code"),
    [("/top-posts", "bad_request"), ("/nowhere", "not_found"), (f"/{'x' * 9000}", "uri_too_long")],
)
def test_a_refusal_has_them_too(client, caplog, path, code):
    caplog.set_level(logging.INFO)

    client.get(path, environ_overrides={"REMOTE_ADDR": REMOTE})

    line = line_of(caplog)
    assert (line.code, line.caller) == (code, REMOTE)
    assert {"provider", "account"}.isdisjoint(vars(line))


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        (LOCAL, "203.0.113.9", "203.0.113.9"),
        (LOCAL, "10.0.0.1, 203.0.113.9", "203.0.113.9"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("127.0.0.2", "203.0.113.9", "203.0.113.9"),
        ("::ffff:127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("::ffff:127.0.0.2", "203.0.113.9", "203.0.113.9"),
        ("::ffff:198.51.100.4", "203.0.113.9", "::ffff:198.51.100.4"),
        (LOCAL, '203.0.113.9", "forged": "', LOCAL),
        (LOCAL, "203.0.113.9, unknown", LOCAL),
        (REMOTE, "203.0.113.9", REMOTE),
        ("", "203.0.113.9", ""),
    ],
)
def test_only_a_proxy_on_this_machine_names_the_caller(client, caplog, peer, forwarded, caller):
    caplog.set_level(logging.INFO)

    client.get("/nowhere", environ_overrides={"REMOTE_ADDR": peer}, headers={"X-Forwarded-For": forwarded})

    assert line_of(caplog).caller == caller


def test_an_answered_request_has_none_of_them(client, caplog):
    caplog.set_level(logging.INFO)

    client.get("/healthz")

    assert not {"code", "caller", "provider"} & vars(line_of(caplog)).keys()
