"""What each of Instagram's refusals becomes, and which of them are worth a second try."""

from __future__ import annotations

import json
import re

import pytest
import responses

from services.clients.graph.error_codes import INSTAGRAM_RULES, POLICY_BLOCK
from services.clients.guard.throttle import ASSUMED_THROTTLE
from tests.movable_clock import MovableClock
from tests.support import GRAPH, graph_error, settings, utc

MEDIA = re.compile(rf"{GRAPH}/.*/media")
USAGE = "X-Business-Use-Case-Usage"
THROTTLED = {4, 17, 32, 341, 613, *range(80_000, 80_015)}
REPEATED = [(1, None), (2, None), (100, 33)]

# Written out once more, so that a change of the table is a change of this contract too.
CONTRACT = {
    (-1, 2207073): (502, "provider_refused"),
    (-1, 2207086): (502, "provider_refused"),
    (5, None): (502, "provider_refused"),
    (12, None): (502, "provider_refused"),
    (24, None): (502, "provider_refused"),
    (101, None): (502, "provider_refused"),
    (2635, None): (502, "provider_refused"),
    (190, 450): (401, "token_expired"),
    (190, 452): (401, "token_invalid"),
    (450, None): (401, "token_expired"),
    (452, None): (401, "token_invalid"),
    **{(code, None): (429, "provider_rate_limited") for code in range(80_000, 80_015)},
    (1, None): (503, "provider_unavailable"),
    (2, None): (503, "provider_unavailable"),
    (3, None): (403, "permission_denied"),
    (4, None): (429, "provider_rate_limited"),
    (4, 1349210): (429, "provider_rate_limited"),
    (10, None): (403, "permission_denied"),
    (17, None): (429, "provider_rate_limited"),
    (32, None): (429, "provider_rate_limited"),
    (100, 33): (404, "object_not_found"),
    (100, 2108006): (422, "media_too_old"),
    (4, 2108006): (422, "media_too_old"),
    (100, None): (502, "provider_refused"),
    (102, None): (401, "token_expired"),
    (104, None): (401, "token_invalid"),
    (110, 2207013): (404, "object_not_found"),
    (190, None): (401, "token_invalid"),
    (190, 458): (401, "token_invalid"),
    (190, 459): (401, "token_invalid"),
    (190, 460): (401, "token_invalid"),
    (190, 463): (401, "token_expired"),
    (190, 464): (401, "token_invalid"),
    (190, 467): (401, "token_invalid"),
    (190, 492): (401, "token_invalid"),
    (190, 999): (401, "token_invalid"),
    (200, None): (403, "permission_denied"),
    (210, None): (403, "permission_denied"),
    (299, None): (403, "permission_denied"),
    (341, None): (429, "provider_rate_limited"),
    (368, None): (503, "provider_blocked"),
    (613, None): (429, "provider_rate_limited"),
    (803, None): (404, "object_not_found"),
    (506, None): (502, "provider_refused"),
    (2500, None): (502, "provider_refused"),
    (36104, None): (502, "provider_refused"),
    (9005, 1452042): (502, "provider_refused"),
}


@pytest.fixture
def client(make_client, clock):
    return make_client(settings(retry_budget=5.0), clock=clock)


def top_posts(client):
    return client.get("/top-posts?time_range=7d")


# The table


def test_every_row_of_the_table_is_in_the_contract():
    assert set(INSTAGRAM_RULES) <= set(CONTRACT)


@pytest.mark.parametrize("http_status", [400, 401, 403, 404, 200])
@pytest.mark.parametrize(("code", "subcode"), [(300, None), (-1, 2207999), (79_999, None), (80_015, None)])
def test_an_unknown_code_is_an_unknown_refusal(client, wire, code, subcode, http_status):
    wire.get(MEDIA, json=graph_error(code, subcode), status=http_status)

    response = top_posts(client)

    assert (response.status_code, response.get_json()["code"]) == (502, "provider_refused")


@pytest.mark.parametrize("http_status", [400, 401, 403, 429, 200])
@pytest.mark.parametrize(("code", "subcode"), CONTRACT)
def test_a_refusal_below_5xx_is_known_by_its_code_whatever_its_status(client, wire, code, subcode, http_status):
    wire.get(MEDIA, json=graph_error(code, subcode), status=http_status)

    response = top_posts(client)

    assert (response.status_code, response.get_json()["code"]) == CONTRACT[code, subcode]
    assert response.get_json()["hint"]


@pytest.mark.parametrize("message", ["(#10) Not enough viewers for the media to show insights", "not enough VIEWERS"])
def test_code_10_about_viewers_is_distinguished_from_a_missing_permission(client, wire, message):
    wire.get(MEDIA, json=graph_error(10, message=message), status=400)

    response = top_posts(client)

    assert (response.status_code, response.get_json()["code"]) == (422, "insufficient_viewers")


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (
            2500,
            "An active access token must be used to query information about the current user.",
            (401, "token_invalid"),
        ),
        (2500, "Unknown path components: /x", (502, "provider_refused")),
        (200, "(#200) Provide valid app ID", (401, "token_invalid")),
        (200, "(#200) Requires instagram_manage_insights permission", (403, "permission_denied")),
    ],
)
def test_codes_200_and_2500_about_a_missing_token_are_distinguished(client, wire, code, message, expected):
    wire.get(MEDIA, json=graph_error(code, message=message), status=400)

    response = top_posts(client)

    assert (response.status_code, response.get_json()["code"]) == expected


@pytest.mark.parametrize("code", ["190", 190])
def test_a_code_may_be_a_number_or_its_text(client, wire, code):
    wire.get(MEDIA, json={"error": {"message": "x", "code": code, "error_subcode": "463"}}, status=400)

    assert top_posts(client).get_json()["code"] == "token_expired"


@pytest.mark.parametrize("code", [None, True, [], {}, "many", "\u00b2", "--1", 1.5, 10**400])
def test_a_code_that_is_none_is_an_unknown_refusal(client, wire, code):
    wire.get(MEDIA, json={"error": {"message": "Something is wrong.", "code": code}}, status=400)

    response = top_posts(client)

    assert (response.status_code, response.get_json()["code"]) == (502, "provider_refused")
    assert "Something is wrong." in response.get_json()["message"]


# Second tries


@pytest.mark.parametrize(("code", "subcode"), REPEATED)
def test_what_may_pass_is_tried_three_times_at_most(client, wire, clock, code, subcode):
    wire.get(MEDIA, json=graph_error(code, subcode), status=500)

    response = top_posts(client)

    assert (response.status_code, response.get_json()["code"]) == CONTRACT[code, subcode]
    # What may be too much is asked for twice, then in smaller pages, from 100 posts to 1.
    assert len(wire.calls) == (5 if code == 1 else 3)
    assert sum(clock.waits) < 5


def test_a_page_that_is_too_much_is_requested_in_smaller_ones(client, wire):
    too_much = graph_error(1, message="Please reduce the amount of data you're asking for, then retry your request")
    limits = []

    def answer(request):
        limits.append(int(request.params["limit"]))
        return (500, {}, json.dumps(too_much)) if limits[-1] > 25 else (200, {}, json.dumps({"data": []}))

    wire.add_callback(responses.GET, MEDIA, answer)

    assert top_posts(client).status_code == 200
    assert limits == [100, 100, 25]


@pytest.mark.parametrize(("code", "subcode"), REPEATED)
def test_what_has_passed_is_no_failure(client, wire, code, subcode):
    wire.get(MEDIA, json=graph_error(code, subcode), status=500)
    wire.get(MEDIA, json={"data": []})

    assert top_posts(client).status_code == 200
    assert len(wire.calls) == 2


def test_an_unknown_code_is_repeated_if_it_says_that_it_is_transient(client, wire):
    wire.get(MEDIA, json=graph_error(99999, is_transient=True), status=400)

    response = top_posts(client)

    assert (response.status_code, len(wire.calls)) == (503, 3)


NO_REFUSALS = {
    "html": "<html><title>502 Bad Gateway</title></html>",
    "empty": "",
    "text": "upstream connect error",
    "list": "[]",
    "data": '{"data": []}',
    "half": '{"error": {"mess',
    "words": '{"error": "backend is down"}',
    "unknown code": json.dumps(graph_error(99999)),
    "unknown code, not transient": json.dumps(graph_error(99999, is_transient=False)),
    "no code": '{"error": {"message": "Something is wrong."}}',
    "a token": json.dumps(graph_error(190)),
}


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 599])
@pytest.mark.parametrize("body", NO_REFUSALS.values(), ids=NO_REFUSALS)
def test_a_5xx_is_a_passing_fault_whatever_its_body(client, wire, body, status):
    wire.get(MEDIA, body=body, status=status)

    response = top_posts(client)

    assert (response.status_code, response.get_json()["code"]) == (503, "provider_unavailable")
    assert len(wire.calls) == 3


KEPT_AT_5XX = {*REPEATED, (100, None), *((code, None) for code in THROTTLED), (4, 1349210)}


@pytest.mark.parametrize(("code", "subcode"), [pair for pair in CONTRACT if pair not in KEPT_AT_5XX], ids=str)
def test_a_5xx_blames_neither_token_nor_permission_nor_metric(client, wire, code, subcode):
    wire.get(MEDIA, json=graph_error(code, subcode), status=503)

    response = top_posts(client)

    assert (response.status_code, response.get_json()["code"]) == (503, "provider_unavailable")
    assert len(wire.calls) == 3


@pytest.mark.parametrize(("code", "subcode"), sorted(KEPT_AT_5XX, key=str), ids=str)
def test_a_5xx_with_the_code_of_a_throttle_or_of_too_much_is_one(client, wire, code, subcode):
    wire.get(MEDIA, json=graph_error(code, subcode), status=500)

    response = top_posts(client)

    assert (response.status_code, response.get_json()["code"]) == CONTRACT[code, subcode]
    assert len(wire.calls) == (5 if code == 1 else 1 if code in THROTTLED else 3)


@pytest.mark.parametrize("body", NO_REFUSALS.values(), ids=NO_REFUSALS)
def test_a_5xx_that_has_passed_is_no_failure(client, wire, body):
    wire.get(MEDIA, body=body, status=502)
    wire.get(MEDIA, json={"data": []})

    assert top_posts(client).status_code == 200
    assert len(wire.calls) == 2


@pytest.mark.parametrize(("code", "subcode"), [pair for pair in CONTRACT if pair not in REPEATED], ids=str)
def test_nothing_else_is_repeated(client, wire, clock, code, subcode):
    wire.get(MEDIA, json=graph_error(code, subcode), status=400)

    top_posts(client)

    assert len(wire.calls) == 1
    assert clock.waits == []


@pytest.mark.parametrize("code", sorted(THROTTLED))
def test_throttling_is_never_repeated_even_if_it_says_that_it_is_transient(client, wire, code):
    wire.get(MEDIA, json=graph_error(code, is_transient=True), status=403)

    response = top_posts(client)

    assert (response.status_code, len(wire.calls)) == (429, 1)


def test_no_try_begins_beyond_the_budget(make_client, wire):
    clock = MovableClock(utc("2026-06-15T18:00:00"))
    client = make_client(settings(retry_budget=0.3), clock=clock)
    wire.get(MEDIA, json=graph_error(2), status=500)

    top_posts(client)

    assert len(wire.calls) == 2
    assert sum(clock.waits) < 0.3


def test_a_budget_of_zero_means_one_try(make_client, wire):
    wire.get(MEDIA, json=graph_error(2), status=500)

    top_posts(make_client(settings(retry_budget=0.0)))

    assert len(wire.calls) == 1


# Waits


def usage(*minutes):
    entries = ", ".join(f'{{"type": "instagram", "estimated_time_to_regain_access": {each}}}' for each in minutes)
    return {USAGE: f'{{"17841400000000001": [{entries}]}}'}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (usage(11), 660),
        (usage(0, 3, 1), 180),
        (usage(0), ASSUMED_THROTTLE),
        ({}, ASSUMED_THROTTLE),
        ({USAGE: "not json"}, ASSUMED_THROTTLE),
        ({USAGE: "[1, 2]"}, ASSUMED_THROTTLE),
        ({USAGE: '{"1": {"estimated_time_to_regain_access": 5}}'}, ASSUMED_THROTTLE),
        (usage('"5"', "true", "null", "-5"), ASSUMED_THROTTLE),
        ({"Retry-After": "42"}, 42),
        ({"Retry-After": "Mon, 15 Jun 2026 20:00:00 GMT"}, 7200),
        ({"Retry-After": "42"} | usage(1), 60),
        ({"Retry-After": "\u00b2"}, ASSUMED_THROTTLE),
        (usage(10**9), 86_400),
    ],
)
@pytest.mark.parametrize("code", [4, 80002])
def test_the_wait_is_the_longest_that_a_header_gives_in_seconds(client, wire, headers, seconds, code):
    wire.get(MEDIA, json=graph_error(code), status=400, headers=headers)

    response = top_posts(client)

    assert response.get_json()["retry_after"] == seconds
    assert response.headers["Retry-After"] == str(seconds)


@pytest.mark.parametrize("headers", [{"Retry-After": "42"}, usage(11)])
def test_a_refusal_that_no_wait_ends_names_none_whatever_its_headers_say(client, wire, headers):
    wire.get(MEDIA, json=graph_error(100), status=400, headers=headers)

    response = top_posts(client)

    assert (response.status_code, response.get_json()["retry_after"]) == (502, None)
    assert "Retry-After" not in response.headers


def test_a_block_for_reasons_of_policy_lasts_a_day(client, wire):
    wire.get(MEDIA, json=graph_error(368), status=400)

    assert top_posts(client).get_json()["retry_after"] == POLICY_BLOCK


@pytest.mark.parametrize("body", ["", "<html>", "[]", '{"error": "slow down"}', '{"data": []}'])
def test_status_429_is_throttling_whatever_its_body(client, wire, body):
    wire.get(MEDIA, body=body, status=429)

    response = top_posts(client)

    assert (response.status_code, response.get_json()["code"]) == (429, "provider_rate_limited")
    assert len(wire.calls) == 1
