"""Every refusal of the sheets, ordered by its name, in the dialect of the host that is called."""

import json

import pytest

from simulator.graph.error_table import ROWS as GRAPH_ROWS
from simulator.modash.ordered_answers import ROWS as MODASH_ROWS
from tests.simulator.caller import ACCOUNT, error

CODES = {
    *(-1, 1, 2, 3, 4, 10, 17, 32, 100, 102, 104, 110, 190, 200, 299, 341, 368, 506, 613, 803, 2500, 9005, 36104),
    *(80001, 80002),
}
SUBCODES = {33, 458, 459, 460, 463, 464, 467, 492, 1349210, 1452042, 2108006, 2207013, 2207086}
COMMON = ("100/33", "100/2108006", "190", "190/463", "80002", "4", "10-viewers", "10-permission", "1", "1-reduce")
MODASH_CODES = {
    *("api_token_invalid", "bad_request", "handle_not_found", "account_not_found", "account_removed"),
    *("private_account", "media_not_found", "entity_not_found", "empty_audience", "retry_later", "not_enough_credits"),
    *("internal_server_error", "invalid_body_params", "feature_not_available", "no_result", "page_limit"),
    "rate_limit_exceeded",
}


@pytest.fixture
def rows(caller):
    return caller.own("/faults/rows")


def test_every_code_of_the_sheets_has_a_row(rows):
    shown = [row["graph.facebook.com"] for row in rows["instagram"].values()]

    assert {one["code"] for one in shown} == CODES
    assert {one["error_subcode"] for one in shown if "error_subcode" in one} == SUBCODES
    bodies = [json.loads(row["body"]) for row in rows["modash"].values() if row["body"].startswith("{")]
    assert {body["code"] for body in bodies if "code" in body} >= MODASH_CODES


@pytest.mark.parametrize("row", GRAPH_ROWS)
def test_a_row_is_refused_on_both_hosts(caller, rows, row):
    caller.fault("instagram", "refusal", row=row, metrics="views", times=2)

    for host, reply in {
        "graph.facebook.com": caller.graph(f"/{ACCOUNT}"),
        "graph.instagram.com": caller.instagram(f"/{ACCOUNT}"),
    }.items():
        shown = rows["instagram"][row]
        text = shown[host]["message"].replace("{id}", ACCOUNT).replace("{metrics}", "views")
        assert reply.status_code == shown["status"]
        assert error(reply) == {**shown[host], "message": text, "fbtrace_id": error(reply)["fbtrace_id"]}
    assert "{" not in error(caller.instagram("/x"))["message"]


def test_dialects_differ_in_type_and_text_only(rows):
    for row in rows["instagram"].values():
        theirs, ours = row["graph.facebook.com"], row["graph.instagram.com"]
        assert ours["type"] == "IGApiException" != theirs["type"]
        assert not ours["message"].startswith("(#")
        assert theirs["message"].endswith(ours["message"])
        assert {**ours, "type": "", "message": ""} == {**theirs, "type": "", "message": ""}


def test_the_common_rows_are_translated(caller, rows):
    for locale in ("ja", "pt", "fr"):
        caller.switch(locale=locale)
        shown = caller.own("/faults/rows")["instagram"]

        for row in COMMON:
            english, other = (one[row]["graph.instagram.com"] for one in (rows["instagram"], shown))
            assert other["message"] != english["message"]
            assert shown[row]["graph.facebook.com"] == rows["instagram"][row]["graph.facebook.com"]


def test_media_before_conversion_names_the_cause(caller):
    caller.fault("instagram", "refusal", row="100/2108006")

    assert (
        error(caller.graph("/me")).items()
        >= {
            "message": "Invalid parameter",
            "error_subcode": 2108006,
            "error_data": {"blame_field_specs": [[""]]},
            "error_user_title": "Media posted before business account conversion",
        }.items()
    )


def test_a_refusal_names_the_metrics_that_were_ordered(caller):
    caller.fault("instagram", "refusal", row="100-media-metric", times=1)
    caller.fault("instagram", "refusal", row="100-media-metric", metrics="reach", times=1)

    assert error(caller.instagram("/me"))["message"] == (
        "The Media Insights API does not support the profile_visits, follows metric for this media product type."
    )
    assert "the reach metric" in error(caller.graph("/me"))["message"]


@pytest.mark.parametrize("row", ["4", "80002"])
def test_a_worded_limit_demands_a_short_wait_unless_it_gives_minutes(caller, row):
    caller.fault("instagram", "refusal", row=row, times=1)
    caller.fault("instagram", "refusal", row=row, retry_after=1, times=1)

    assert [caller.graph("/me").headers["Retry-After"] for _ in range(2)] == ["5", "1"]


@pytest.mark.parametrize("row", ["4", "17", "32", "341", "613", "80001", "80002"])
def test_a_limit_shows_in_the_headers(caller, row):
    caller.fault("instagram", "refusal", row=row, minutes=23, status=429)

    reply = caller.instagram("/me")

    [entry] = json.loads(reply.headers["x-business-use-case-usage"])[ACCOUNT]
    app = json.loads(reply.headers["x-app-usage"])
    assert (reply.status_code, error(reply)["code"]) == (429, int(row))
    assert entry["estimated_time_to_regain_access"] == 23
    assert 100 in (entry["call_count"], app["call_count"])


@pytest.mark.parametrize("row", MODASH_ROWS)
def test_a_row_of_modash_is_answered(caller, rows, row):
    caller.fault("modash", "refusal", row=row, times=1)

    reply = caller.modash("some.one")

    shown = rows["modash"][row]
    assert (reply.status_code, reply.text) == (shown["status"], shown["body"])
    assert reply.headers.items() >= shown["headers"].items()
    assert caller.own("/calls")["charges"] == {}
    assert caller.modash("some.one").status_code == 200


def test_a_row_takes_another_status(caller):
    caller.fault("modash", "refusal", row="private_account", status=403)

    assert caller.modash("a").status_code == 403
    assert caller.modash("a").json()["code"] == "private_account"


def test_an_unknown_row_is_refused_with_those_there_are(caller):
    reply = caller.order("/faults", provider="modash", kind="refusal", row="100/33")

    assert reply.status_code == 400
    assert reply.json()["error"].startswith("row must be one of api_token_invalid, ")
    assert caller.order("/faults", provider="instagram", kind="refusal").json()["error"] == "refusal needs row"


def test_any_error_takes_headers_and_a_body_of_its_own(caller):
    headers = {"Retry-After": "7", "X-App-Usage": '{"call_count":99}', "content-type": "text/plain"}
    for provider in ("instagram", "modash"):
        caller.fault(provider, "error", status=429, headers=headers, body='{"error": ', times=1)

    for reply in (caller.graph("/me"), caller.modash("a")):
        assert (reply.status_code, reply.text) == (429, '{"error": ')
        assert reply.headers.items() >= headers.items()
        assert reply.headers["Content-Type"] == "text/plain"


def test_headers_of_an_error_replace_the_usual_ones(caller):
    caller.fault("instagram", "error", code=4, headers={"X-App-Usage": "nonsense"})
    caller.fault("modash", "error", code="slow_down", status=429, headers={"Retry-After": "soon"})

    assert caller.graph("/me").headers["x-app-usage"] == "nonsense"
    assert caller.modash("a").headers["Retry-After"] == "soon"
    assert caller.modash("a").json()["code"] == "slow_down"


def test_an_error_with_a_type_is_the_same_on_both_hosts(caller):
    caller.fault("instagram", "error", code=7, message="(#7) No", type="X", times=2)
    caller.fault("instagram", "error", code=7, message="(#7) No", times=2)

    shown = [(error(reply)["type"], error(reply)["message"]) for reply in pairs(caller, 2)]

    assert shown == [("X", "(#7) No"), ("X", "(#7) No"), ("OAuthException", "(#7) No"), ("IGApiException", "No")]


def pairs(caller, times):
    return [ask("/me") for _ in range(times) for ask in (caller.graph, caller.instagram)]


@pytest.mark.parametrize("headers", [{"A": "b\r\nC: d"}, {"A B": "c"}, {"": "x"}, {"A": 1}, ["A"]])
def test_headers_that_would_break_the_wire_are_refused(caller, headers):
    reply = caller.order("/faults", provider="modash", kind="error", headers=headers)

    assert (reply.status_code, reply.json()["error"]) == (400, "headers is not valid for error")
