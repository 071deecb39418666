"""One refused metric never takes the others down with it, and finding it out costs a bounded number of calls."""

from __future__ import annotations

import json
import time
from datetime import date, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import responses

from services.days import midnight
from tests.support import ACCOUNT_ID, GRAPH, MovableClock, graph_error, settings, total_value, utc

INSIGHTS = f"{GRAPH}/v25.0/{ACCOUNT_ID}/insights"
PLAIN = [
    *("views", "accounts_engaged", "total_interactions", "likes", "comments", "saves"),
    *("shares", "replies", "reposts", "profile_views", "website_clicks", "profile_links_taps"),
]
FIRST = date(2026, 5, 1)
WORDS = "(#100) The metric is not supported"


class Provider:
    """Answers every metric with 7, but those that it refuses, and the days for which a reply is planned."""

    def __init__(self):
        self.refused = set()
        self.days = {}
        self.calls = []

    def __call__(self, request):
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}
        metrics = query["metric"].split(",")
        self.calls.append(metrics)
        day = next((day for day in self.days if midnight(day) == int(query["since"])), None)
        if day is not None:
            return self.days[day]
        if {(metric, query.get("breakdown", "")) for metric in metrics} & self.refused:
            return 400, {}, json.dumps(graph_error(100, message=WORDS))
        return 200, {}, json.dumps({"data": [total_value(metric, 7) for metric in metrics]})

    def refuse(self, *metrics, breakdown=""):
        self.refused |= {(metric, breakdown) for metric in metrics}

    def plan(self, offset, status, body):
        self.days[FIRST + timedelta(days=offset)] = (status, {}, body)


@pytest.fixture
def provider():
    provider = Provider()
    with responses.RequestsMock() as wire:
        wire.add_callback(responses.GET, INSIGHTS, callback=provider)
        yield provider


def ask(client, metrics, days, **more):
    until = FIRST + timedelta(days=days - 1)
    query = {"period": "day", "metrics": ",".join(metrics), "since": str(FIRST), "until": str(until)}
    return client.get("/account-insights", query_string=query | more)


def values_of(response):
    assert response.status_code == 200, response.get_json()
    return {insight["name"]: [value["value"] for value in insight["values"]] for insight in response.get_json()["data"]}


@pytest.mark.parametrize(
    ("metrics", "days", "calls"),
    [(1, 1, 1), (2, 1, 3), (4, 1, 5), (12, 1, 9), (4, 3, 3 + 4 + 2), (12, 28, 28 + 8 + 27)],
)
def test_finding_one_refused_metric_costs_two_calls_for_each_halving(client, provider, metrics, days, calls):
    asked = PLAIN[:metrics]
    provider.refuse(asked[-1])

    values = values_of(ask(client, asked, days))

    assert values == {name: [7] * days for name in asked[:-1]} | {asked[-1]: [None] * days}
    assert len(provider.calls) <= calls


def test_a_refused_metric_is_listed_once_with_the_words_of_the_provider(client, provider):
    provider.refuse("likes")

    body = ask(client, ["views", "likes"], 3).get_json()

    (entry,) = body["meta"]["unavailable"]
    assert (entry["metric"], entry["reason"]) == ("likes", "refused")
    assert WORDS in entry["message"]
    assert {value["reason"] for value in body["data"][1]["values"]} == {"refused"}
    assert not any("reason" in value for value in body["data"][0]["values"])


def test_two_refused_metrics_are_both_found(client, provider):
    provider.refuse("views", "website_clicks")

    values = values_of(ask(client, PLAIN, 2))

    assert {name for name, series in values.items() if series == [None, None]} == {"views", "website_clicks"}
    assert {name for name, series in values.items() if series == [7, 7]} == set(PLAIN) - {"views", "website_clicks"}


def test_what_was_refused_is_not_asked_for_again(client, provider):
    provider.refuse("likes")
    ask(client, PLAIN, 3)
    provider.calls.clear()

    values = values_of(ask(client, PLAIN, 6))

    assert values["likes"] == [None] * 6
    assert [("likes" in metrics) for metrics in provider.calls] == [False] * 3


def test_what_was_refused_is_asked_for_again_an_hour_later(client, provider, clock):
    provider.refuse("likes")
    ask(client, PLAIN, 1)
    provider.refused.clear()

    clock.wait(3600)

    assert values_of(ask(client, PLAIN, 1))["likes"] == [7]


def test_a_metric_refused_by_one_breakdown_is_still_asked_for_without_it(client, provider):
    provider.refuse("views", breakdown="media_product_type")
    both = ["views", "likes"]

    assert values_of(ask(client, both, 1, breakdown="media_product_type")) == {"views": [None], "likes": [7]}
    assert values_of(ask(client, both, 1)) == {"views": [7], "likes": [7]}


def test_where_all_metrics_are_refused_all_are_null_for_ten_minutes(client, provider, clock):
    provider.refuse(*PLAIN)

    values = values_of(ask(client, PLAIN, 28))
    asked = len(provider.calls)
    provider.refused.clear()

    assert values == {name: [None] * 28 for name in PLAIN}
    assert asked <= 28 + 2 * (len(PLAIN) - 1)
    assert values_of(ask(client, PLAIN, 1)) == {name: [None] for name in PLAIN}
    clock.wait(600)
    assert values_of(ask(client, PLAIN, 1)) == {name: [7] for name in PLAIN}


def test_a_single_refused_metric_costs_one_call_for_each_day(client, provider):
    provider.refuse("views")

    values = values_of(ask(client, ["views"], 5))

    assert values == {"views": [None] * 5}
    assert len(provider.calls) == 5


# Failures of another kind


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (500, json.dumps(graph_error(2)), "provider_unavailable"),
        (500, json.dumps(graph_error(1)), "provider_unavailable"),
        (502, "<html>", "provider_response_invalid"),
        (200, '{"data": [', "provider_response_invalid"),
    ],
)
def test_a_passing_failure_of_one_day_is_a_gap_with_its_reason(client, provider, status, body, reason):
    provider.plan(1, status, body)

    response = ask(client, ["views", "likes"], 3)

    assert values_of(response) == {"views": [7, None, 7], "likes": [7, None, 7]}
    assert response.get_json()["data"][0]["values"][1]["reason"] == reason
    assert [(entry["metric"], entry["reason"]) for entry in response.get_json()["meta"]["unavailable"]] == [
        ("views", reason),
        ("likes", reason),
    ]


def test_a_passing_failure_is_forgotten_in_seconds(client, provider, clock):
    provider.plan(1, 500, json.dumps(graph_error(2)))
    ask(client, ["views"], 3)
    provider.days.clear()

    clock.wait(5)

    assert values_of(ask(client, ["views"], 3)) == {"views": [7, 7, 7]}


def test_where_no_day_is_answered_the_failure_is_told(client, provider):
    for offset in range(3):
        provider.plan(offset, 500, json.dumps(graph_error(2)))

    response = ask(client, ["views"], 3)

    assert (response.status_code, response.get_json()["code"]) == (503, "provider_unavailable")


@pytest.mark.parametrize(
    ("code", "status", "name"),
    [
        (80002, 429, "provider_rate_limited"),
        (4, 429, "provider_rate_limited"),
        (190, 401, "token_invalid"),
        (10, 403, "permission_missing"),
        (368, 503, "provider_blocked"),
    ],
)
def test_a_failure_that_concerns_the_account_ends_the_request(client, provider, code, status, name):
    provider.plan(1, 400, json.dumps(graph_error(code)))

    response = ask(client, ["views"], 3)

    assert (response.status_code, response.get_json()["code"]) == (status, name)


def test_throttling_stops_what_has_not_begun(make_client, provider):
    class Slow(Provider):
        def __call__(self, request):
            time.sleep(0.01)
            return super().__call__(request)

    provider.__class__ = Slow
    provider.plan(0, 400, json.dumps(graph_error(4)))
    client = make_client(settings(provider_parallel=1), clock=MovableClock(utc("2026-09-15T18:00:00")))

    response = ask(client, ["views"], 90)
    asked = len(provider.calls)
    time.sleep(0.1)

    assert response.status_code == 429
    assert asked < 45
    assert len(provider.calls) <= asked + 1  # the one that had begun


def test_throttling_while_a_refused_metric_is_looked_for_ends_the_request(client, provider):
    provider.refuse("likes")
    provider.plan(1, 400, json.dumps(graph_error(4)))

    assert ask(client, PLAIN, 2).status_code == 429


def test_a_refusal_of_days_long_gone_says_nothing_of_yesterday(client, wire, clock):
    def answer(request):
        names = request.params["metric"].split(",")
        is_old = int(request.params["since"]) < clock.now().timestamp() - 200 * 86_400
        if "profile_views" in names and is_old:
            return (400, {}, json.dumps(graph_error(100)))
        return (200, {}, json.dumps({"data": [total_value(name, 7) for name in names]}))

    wire.add_callback(responses.GET, INSIGHTS, answer)
    query = "/account-insights?period=day&metrics=views,profile_views"

    old = client.get(f"{query}&since=2025-09-01&until=2025-09-01").get_json()
    new = client.get(query).get_json()

    assert [entry["values"][0]["value"] for entry in old["data"]] == [7, None]
    assert [entry["values"][0]["value"] for entry in new["data"]] == [7, 7]


def test_a_metric_that_always_has_a_passing_fault_takes_no_other_down(client, wire):
    def answer(request):
        names = request.params["metric"].split(",")
        if "shares" in names:
            return (500, {}, json.dumps(graph_error(1)))
        return (200, {}, json.dumps({"data": [total_value(name, 7) for name in names]}))

    wire.add_callback(responses.GET, INSIGHTS, answer)

    body = client.get("/account-insights?period=day&metrics=reach,views,shares,likes").get_json()

    values = {entry["name"]: entry["values"][0] for entry in body["data"]}
    assert [values[name]["value"] for name in ["reach", "views", "likes"]] == [7, 7, 7]
    assert values["shares"]["reason"] == "provider_unavailable"
    assert len(wire.calls) <= 7


def test_where_nothing_is_answered_nothing_is_taken_apart(client, wire):
    wire.get(INSIGHTS, json=graph_error(1), status=500)

    response = client.get("/account-insights?period=day&metrics=reach,views,shares&since=2026-06-01&until=2026-06-14")

    assert (response.status_code, response.get_json()["code"]) == (503, "provider_unavailable")
    assert len(wire.calls) == 14
