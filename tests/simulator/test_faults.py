"""Faults on the wire: each kind as a caller meets it, and whom it hits."""

import json
import time

import pytest
import requests

from tests.simulator.caller import ACCOUNT, KEY, TOKEN

TOTAL = {"metric_type": "total_value"}


@pytest.mark.parametrize("code", [4, 17, 32, 613, 80002, 341])
def test_throttled(caller, code):
    caller.fault("instagram", "throttled", code=code, minutes=11)

    reply = caller.graph("/me")

    assert (reply.status_code, reply.json()["error"]["code"]) == (400, code)
    [entry] = json.loads(reply.headers["x-business-use-case-usage"])[ACCOUNT]
    app = json.loads(reply.headers["x-app-usage"])
    assert (app if code in (4, 341) else entry)["call_count"] == 100
    assert entry["estimated_time_to_regain_access"] == 11


def test_a_throttle_is_over_within_seconds_unless_it_gives_minutes(caller):
    caller.fault("instagram", "throttled", times=1)
    caller.fault("instagram", "throttled", times=1, retry_after=2)
    caller.fault("instagram", "throttled", times=1, minutes=3)

    usual, seconds, minutes = (caller.graph("/me") for _ in range(3))

    assert [reply.headers.get("Retry-After") for reply in (usual, seconds, minutes)] == ["5", "2", None]
    waits = [json.loads(reply.headers["x-business-use-case-usage"])[ACCOUNT][0] for reply in (usual, seconds, minutes)]
    assert [entry["estimated_time_to_regain_access"] for entry in waits] == [0, 0, 3]
    assert waits[0]["call_count"] < 100


@pytest.mark.parametrize("subcode", [458, 459, 460, 463, 464, 467, 492])
def test_token(caller, subcode):
    caller.fault("instagram", "token", subcode=subcode)

    error = caller.graph("/me").json()["error"]

    assert (error["code"], error["error_subcode"], error["type"]) == (190, subcode, "OAuthException")


@pytest.mark.parametrize("code", [10, 200])
def test_permission(caller, code):
    caller.fault("instagram", "permission", code=code)

    assert caller.graph("/me").json()["error"]["code"] == code


def test_slow(caller):
    caller.fault("instagram", "slow", delay_seconds=0.2, times=1)
    begun = time.monotonic()

    assert caller.graph("/me").status_code == 200
    assert time.monotonic() - begun >= 0.2


def test_slow_goes_together_with_others(caller):
    caller.fault("instagram", "slow", delay_seconds=0.1)
    caller.fault("instagram", "html", status=503)

    reply = caller.graph("/me")

    assert reply.status_code == 503
    assert reply.elapsed.total_seconds() >= 0.1


@pytest.mark.parametrize("code", [1, 2])
def test_server_error(caller, code):
    caller.fault("instagram", "server_error", code=code)

    reply = caller.graph("/me")

    assert (reply.status_code, reply.json()["error"]["code"]) == (500, code)


def test_server_error_of_modash(caller):
    caller.fault("modash", "server_error")

    assert (caller.modash("a").status_code, caller.modash("a").json()["code"]) == (500, "internal_server_error")


def test_any_error(caller):
    caller.fault(
        "instagram", "error", status=418, code=-1, subcode=2207086, message="Fatal", type="X", is_transient=True
    )

    reply = caller.graph("/me")

    expected = {"message": "Fatal", "type": "X", "code": -1, "error_subcode": 2207086, "is_transient": True}
    assert reply.status_code == 418
    assert reply.json()["error"].items() >= expected.items()


def test_any_error_of_modash(caller):
    caller.fault("modash", "error", status=422, code="feature_not_available", message="No.")

    assert caller.modash("a").status_code == 422
    assert caller.modash("a").json() == {"error": True, "code": "feature_not_available", "message": "No."}


def test_reduce_data(caller):
    caller.fault("instagram", "reduce_data")

    reply = caller.media(limit=100)

    assert (reply.status_code, reply.json()["error"]["code"]) == (500, 1)
    assert reply.json()["error"]["message"].startswith("Please reduce the amount of data")


def test_html(caller):
    caller.fault("instagram", "html", status=502)

    reply = caller.graph("/me")

    assert (reply.status_code, reply.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
    assert reply.text.startswith("<!DOCTYPE html>")


def test_empty(caller):
    caller.fault("instagram", "empty")

    assert caller.insights("reach").json() == {"data": []}


def test_not_json(caller):
    caller.fault("instagram", "not_json")

    reply = caller.graph("/me")

    assert reply.status_code == 200
    with pytest.raises(requests.exceptions.JSONDecodeError):
        reply.json()


def test_truncated(caller):
    caller.fault("instagram", "truncated")

    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        caller.media(limit=50)


def test_cut(caller):
    caller.fault("instagram", "cut")

    with pytest.raises(requests.ConnectionError):
        caller.graph("/me")
    assert caller.own("/calls")["instagram"]["calls"][-1]["status"] is None


@pytest.mark.parametrize(("after_work", "spent"), [(False, 0), (True, 250)])
def test_a_cut_may_come_after_the_work_was_charged(caller, after_work, spent):
    caller.fault("modash", "cut", after_work=after_work, times=1)

    with pytest.raises(requests.ConnectionError):
        caller.modash("some.one")
    assert sum(one["milli_credits"] for one in caller.own("/calls")["charges"].values()) == spent


def test_gzip_broken(caller):
    caller.fault("instagram", "gzip_broken")

    with pytest.raises(requests.exceptions.ContentDecodingError):
        caller.graph("/me")


def test_too_large(caller):
    caller.fault("instagram", "too_large")
    address = f"{caller.simulator.url}/graph.facebook.com/me?access_token={TOKEN}"

    with requests.Session() as session, session.get(address, stream=True, timeout=10) as reply:
        assert int(reply.headers["Content-Length"]) == 64 * 1024 * 1024
        assert next(reply.iter_content(1000)) == b" " * 1000


@pytest.mark.parametrize("value", [[], "text", None, 7, {"data": "none"}])
def test_wrong_type(caller, value):
    caller.fault("instagram", "wrong_type", value=value)

    assert caller.graph("/me").json() == value


def test_error_200(caller):
    caller.fault("instagram", "error_200")
    caller.fault("modash", "error_200")

    assert (caller.graph("/me").status_code, "error" in caller.graph("/me").json()) == (200, True)
    assert (caller.modash("a").status_code, caller.modash("a").json()["error"]) == (200, True)


def test_redirect(caller):
    caller.fault("instagram", "redirect")

    reply = caller.graph("/me")

    assert (reply.status_code, reply.headers["Location"]) == (302, "https://elsewhere.invalid/login")


def test_refuse_metric(caller):
    caller.fault("instagram", "refuse_metric", metric="likes")

    refused = caller.insights("reach,likes", **TOTAL).json()["error"]["message"]

    assert refused.startswith("(#100) metric[1] must be one of the following values: reach,")
    assert " likes," not in refused
    assert caller.insights("reach,views", **TOTAL).status_code == 200


def test_drop_metric(caller):
    caller.fault("instagram", "drop_metric", metric="likes", times=1)
    asked = {"since": 1794200000, "until": 1794300000}

    assert list(caller.totals("reach,likes,views", **asked)) == ["reach", "views"]
    assert list(caller.totals("reach,likes,views", **asked)) == ["reach", "likes", "views"]


@pytest.mark.parametrize(
    ("options", "status", "body"),
    [
        ({}, 400, {"error", "code", "message"}),
        ({"shape": "seed"}, 200, {"status", "message"}),
        ({"shape": "mixed", "status": 429}, 429, {"error", "code", "status", "message"}),
    ],
)
def test_retry_later(caller, options, status, body):
    caller.fault("modash", "retry_later", times=2, **options)

    replies = [caller.modash("some.one") for _ in range(3)]

    assert [reply.status_code for reply in replies] == [status, status, 200]
    assert set(replies[0].json()) == body


def test_no_credits(caller):
    caller.fault("modash", "no_credits")

    assert (caller.modash("a").status_code, caller.modash("a").json()["code"]) == (403, "not_enough_credits")


def test_key_invalid(caller):
    caller.fault("modash", "key_invalid", status=403)

    assert (caller.modash("a").status_code, caller.modash("a").json()["code"]) == (403, "api_token_invalid")


def test_rate_limited(caller):
    caller.fault("modash", "rate_limited", retry_after=2, times=1)
    caller.fault("modash", "rate_limited", json=False, times=2)

    first, second = caller.modash("a"), caller.modash("a")

    assert (first.status_code, first.headers["Retry-After"], first.json()["error"]) == (429, "2", True)
    assert (second.status_code, second.headers["Content-Type"]) == (429, "text/plain")


def test_echo_token(caller):
    caller.fault("instagram", "echo_token")
    caller.fault("modash", "echo_token")

    assert caller.graph("/me").json()["error"]["message"].count(TOKEN) == 2
    assert KEY in caller.modash("a").json()["message"]
