"""What each of Modash's answers becomes: the code decides before the status, and nothing is paid twice."""

from __future__ import annotations

import re

import pytest
import requests
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError

from services.store.database import StatementRefusedError
from services.store.ledger import Ledger
from tests.support import MODASH, MODASH_KEY, settings

REPORT = f"{MODASH}/v1/instagram/performance-data"
STATUSES = [200, 202, 400, 403, 404, 409, 425, 429, 500, 503]
BLOCK = {"total": 30, "likes": {"mean": [{"numberOfItems": 30, "value": 12.5}]}}


@pytest.fixture
def client(make_client, clock):
    return make_client(settings(retry_budget=5.0), clock=clock)


def ask(client):
    return client.get("/performance-data?url=nasa")


def refusal(code, message="invented"):
    return {"error": True, "code": code, "message": message}


def outcome(response):
    return response.status_code, response.get_json()["code"]


# Not ready

SHAPES = {
    "code": refusal("retry_later", "Come back later."),
    "status": {"status": "retry_later", "message": "Come back later."},
    "both": {"error": False, "status": "retry_later", "code": "retry_later", "message": "Come back later."},
    "no message": {"status": "retry_later"},
    "another status": refusal("retry_later", "Come back later.") | {"status": "error"},
}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("shape", SHAPES)
def test_retry_later_is_known_in_every_shape_at_every_status(client, wire, shape, status):
    wire.get(REPORT, json=SHAPES[shape], status=status)

    response = ask(client)

    body = response.get_json()
    assert (response.status_code, body["status"], body["retry_after"]) == (202, "retry_later", 300)
    assert response.headers["Retry-After"] == "300"
    assert (response.headers["Cache-Control"], response.headers.get("ETag")) == ("no-store", None)
    assert body["message"]
    assert body["meta"]["cost"] == {"credits": 0, "credits_left": None, "as_of": None}
    assert len(wire.calls) == 1


def test_the_wait_of_retry_later_is_a_setting(make_client, wire):
    wire.get(REPORT, json=SHAPES["code"], status=400)

    assert ask(make_client(settings(report_retry_after=60))).headers["Retry-After"] == "60"


def test_retry_later_is_json_even_where_a_table_was_asked_for(client, wire):
    wire.get(REPORT, json=SHAPES["code"], status=400)

    response = client.get("/performance-data?url=nasa&format=csv")

    assert (response.status_code, response.get_json()["status"]) == (202, "retry_later")


# Refusals


@pytest.mark.parametrize(
    ("code", "http_status", "expected"),
    [
        *[("not_enough_credits", status, (403, "insufficient_credits")) for status in (200, 400, 402, 403, 429)],
        *[("api_token_invalid", status, (401, "modash_key_invalid")) for status in (200, 400, 401, 403)],
        *[("handle_not_found", status, (404, "handle_not_found")) for status in (200, 400, 403, 404)],
        ("account_not_found", 404, (404, "account_not_found")),
        ("account_removed", 410, (404, "account_removed")),
        ("account_removed", 403, (404, "account_removed")),
        ("private_account", 403, (404, "private_account")),
        ("private_account", 400, (404, "private_account")),
        ("media_not_found", 404, (404, "creator_not_found")),
        ("entity_not_found", 404, (404, "creator_not_found")),
        ("bad_request", 400, (400, "bad_request")),
        ("internal_server_error", 500, (503, "provider_unavailable")),
        ("internal_server_error", 400, (503, "provider_unavailable")),
        ("rate_limit_exceeded", 429, (429, "provider_rate_limited")),
        ("a_code_of_tomorrow", 429, (429, "provider_rate_limited")),
        ("feature_not_available", 403, (403, "permission_denied")),
        ("a_code_of_tomorrow", 403, (403, "permission_denied")),
        ("empty_audience", 400, (404, "creator_not_found")),
        ("invalid_body_params", 422, (502, "provider_refused")),
        ("a_code_of_tomorrow", 400, (502, "provider_refused")),
        ("a_code_of_tomorrow", 200, (502, "provider_refused")),
        ("a_code_of_tomorrow", 503, (503, "provider_unavailable")),
    ],
)
def test_every_code_has_its_own_outcome(client, wire, code, http_status, expected):
    wire.get(REPORT, json=refusal(code), status=http_status)

    response = ask(client)

    assert outcome(response) == expected
    assert response.get_json()["provider"] == "modash"
    assert response.get_json()["hint"]
    assert len(wire.calls) == 1


@pytest.mark.parametrize("name", ["code", "status"])
@pytest.mark.parametrize(("code", "expected"), [("handle_not_found", 404), ("not_enough_credits", 403)])
def test_a_known_code_refuses_without_the_word_error_too(client, wire, name, code, expected):
    wire.get(REPORT, json={name: code, "message": "invented"}, status=200)

    response = ask(client)

    assert response.status_code == expected
    (month,) = client.get("/credits").get_json()["months"]
    assert (month["charged"], month["free"], month["uncertain"]) == (0, 1, 0)


@pytest.mark.parametrize(
    ("http_status", "expected"),
    [
        (401, (401, "modash_key_invalid")),
        (403, (403, "permission_denied")),
        (429, (429, "provider_rate_limited")),
    ],
)
@pytest.mark.parametrize("body", ["{}", '{"error": true, "message": "no"}'])
def test_without_a_code_the_status_decides(client, wire, http_status, expected, body):
    wire.get(REPORT, body=body, status=http_status)

    assert outcome(ask(client)) == expected


def test_an_unknown_code_without_a_message_is_passed_on(client, wire):
    wire.get(REPORT, json={"error": True, "code": "of_tomorrow"}, status=400)

    assert ask(client).get_json()["message"] == "Modash refuses the request: of_tomorrow"


@pytest.mark.parametrize("status", [400, 404, 418, 500, 502, 503])
@pytest.mark.parametrize("body", ["<html>no</html>", "", "[]", "null", '{"posts": {"total"'])
def test_nonsense_is_reported_as_such(client, wire, body, status):
    wire.get(REPORT, body=body, status=status)

    response = ask(client)

    assert outcome(response) == (502, "provider_response_invalid")
    assert len(wire.calls) == 1


@pytest.mark.parametrize("body", ["<html>no</html>", "", "[]", "null", '"posts"', '{"posts": {"total"'])
def test_nonsense_that_may_have_been_paid_for_says_so(client, wire, body):
    wire.get(REPORT, body=body)

    response = ask(client)

    assert outcome(response) == (502, "provider_response_invalid")
    assert "charged" in response.get_json()["hint"]


@pytest.mark.parametrize(("given", "seconds"), [(None, 2), ("7", 7), ("0", 1), ("soon", 2), ("-1", 2), ("\u00b2", 2)])
def test_throttling_has_the_wait_that_modash_gives(client, wire, given, seconds):
    wire.get(REPORT, json=refusal("rate_limit_exceeded"), status=429, headers={"Retry-After": given} if given else {})

    response = ask(client)

    assert response.headers["Retry-After"] == str(seconds)


def test_a_key_that_modash_echoes_is_taken_out(client, wire):
    wire.get(REPORT, json=refusal("bad_request", f"url with {MODASH_KEY}"), status=400)

    assert "[redacted]" in ask(client).get_json()["message"]


# Calls


def test_the_key_goes_into_the_header(client, wire):
    wire.get(REPORT, json={"posts": BLOCK, "reels": BLOCK})

    ask(client)

    assert all(call.request.headers["Authorization"] == f"Bearer {MODASH_KEY}" for call in wire.calls)
    assert not any(MODASH_KEY in call.request.url for call in wire.calls)


UNREACHED = requests.ConnectionError(MaxRetryError(None, "/", NewConnectionError(None, "refused")))


def test_a_call_that_reached_no_server_is_tried_again(client, wire):
    wire.get(REPORT, body=UNREACHED)

    assert outcome(ask(client)) == (503, "provider_unavailable")
    assert len(wire.calls) == 3


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (requests.ConnectionError("cut"), (503, "provider_unavailable")),
        (requests.ReadTimeout("late"), (504, "provider_timeout")),
        (ProtocolError("cut"), (502, "provider_response_invalid")),
        (requests.exceptions.SSLError("no"), (503, "provider_unavailable")),
    ],
    ids=["cut", "late", "cut in its midst", "TLS that breaks"],
)
def test_a_call_that_may_have_been_charged_is_never_sent_again(client, wire, clock, failure, expected):
    wire.get(REPORT, body=failure)

    assert outcome(ask(client)) == expected
    assert len(wire.calls) == 1
    assert clock.waits == []


def test_a_call_that_was_never_sent_is_free_also_where_its_row_cannot_be_deleted(client, wire, monkeypatch):
    def refuse(*_):
        raise StatementRefusedError

    monkeypatch.setattr(Ledger, "forget", refuse)
    wire.get(REPORT, body=UNREACHED)

    ask(client)

    (month,) = client.get("/credits").get_json()["months"]
    assert (month["charged"], month["free"], month["uncertain"], month["open"]) == (0, 1, 0, 0)


def test_a_redirect_is_not_followed(client, wire):
    wire.get(REPORT, status=302, headers={"Location": "https://elsewhere.example/"})

    assert outcome(ask(client)) == (502, "provider_response_invalid")
    assert re.fullmatch(rf"{REPORT}\?url=nasa", wire.calls[0].request.url)


@pytest.mark.parametrize(
    ("planned", "code"),
    [
        ({"body": ProtocolError("cut")}, "provider_response_invalid"),
        ({"body": requests.ReadTimeout("late")}, "provider_timeout"),
        ({"body": requests.ConnectionError("cut")}, "provider_unavailable"),
        ({"body": "<html>", "status": 502}, "provider_response_invalid"),
        ({"json": {"code": "unknown"}, "status": 503}, "provider_response_invalid"),
    ],
)
def test_where_the_charge_is_unknown_no_caller_is_advised_to_ask_again(client, wire, planned, code):
    wire.get(REPORT, **planned)

    response = ask(client)

    body = response.get_json()
    assert body["code"] == code
    assert "may have been charged" in body["hint"]
    assert (body["retry_after"], response.headers.get("Retry-After")) == (None, None)
    assert len(wire.calls) == 1


def test_a_head_buys_no_report(client):
    response = client.head("/performance-data?url=nasa")

    assert response.status_code == 405
