"""Code 1 may mean a fault that passes or too much at once: a request spends at most eight calls on it."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from datetime import date

import pytest
import responses

from services.days import midnight
from services.insights.request import InsightsRequest
from services.insights.request_order import FIRST_ROUND, rounds
from services.windows import Window
from tests.planners import INSIGHTS, MEDIA, USER, plan_insights, totals, values_of
from tests.support import graph_error, settings, total_value

PLAIN = [
    *("reach", "views", "accounts_engaged", "total_interactions", "likes", "comments", "saves"),
    *("shares", "replies", "reposts", "profile_views", "website_clicks"),
]
SPENT = 8


class Provider:
    """Answers 7 for every metric, or code 1 where a rule says so."""

    def __init__(self):
        self.faulty = lambda _query: False
        self.asked = []
        self.faults = 0

    def __call__(self, query):
        self.asked.append(query)
        if self.faulty(query):
            self.faults += 1
            return 500, graph_error(1, message="An unknown error has occurred.")
        if "metric_type" in query:
            buckets = (
                [([query["breakdown"]], [(["FOLLOWER"], 4), (["NON_FOLLOWER"], 3)])] if "breakdown" in query else []
            )
            return 200, {"data": [total_value(name, 7, buckets) for name in query["metric"].split(",")]}
        return totals(query, 7)


@pytest.fixture
def provider():
    provider = Provider()
    with responses.RequestsMock() as wire:
        plan_insights(wire, provider)
        yield provider


@pytest.fixture
def client(make_client, clock):
    return make_client(settings(retry_budget=5.0), clock=clock)


def ask(client, metrics=("views",), first="2026-06-01", **query):
    query = {"period": "day", "metrics": ",".join(metrics), "since": first, "until": "2026-06-14"} | query
    return client.get("/account-insights", query_string=query)


@pytest.mark.parametrize("first", ["2026-06-14", "2026-06-13", "2026-06-01", "2026-03-14"])
@pytest.mark.parametrize("metrics", [["views"], ["reach"], ["views", "reach"], PLAIN, ["follower_count"]])
@pytest.mark.parametrize("period", ["day", "week"])
def test_where_everything_has_the_fault_a_request_spends_eight_calls_and_the_next_none(
    client, provider, metrics, first, period
):
    provider.faulty = lambda _query: True
    query = {"period": period} | ({"first": first} if period == "day" else {"first": "2026-05-25"})

    replies = [ask(client, metrics, **query) for _ in range(2)]

    assert [(reply.status_code, reply.get_json()["code"]) for reply in replies] == [(503, "provider_unavailable")] * 2
    assert 2 <= provider.faults <= SPENT
    assert len(provider.asked) == provider.faults


@pytest.mark.parametrize("are_faulty", [lambda day: day < 10, lambda day: day % 2, lambda day: day % 2 == 0])
@pytest.mark.parametrize("metrics", [["views"], PLAIN])
def test_days_that_have_the_fault_are_found_by_a_few_calls(client, provider, metrics, are_faulty):
    first = midnight(date(2026, 5, 18))

    def is_faulty(query):
        time.sleep(0.02)
        return bool(are_faulty((int(query["since"]) - first) // 86_400))

    provider.faulty = is_faulty

    body = ask(client, metrics, first="2026-05-18").get_json()

    assert any(value is not None for value in values_of(body["data"][0]))
    assert provider.faults <= SPENT


@pytest.mark.parametrize(("metrics", "guards"), [(["views"], 4), (PLAIN, 2)])
def test_the_other_calls_wait_for_one_round_of_a_few(client, provider, metrics, guards):
    rest = threading.Barrier(28 - guards, timeout=20)

    def is_faulty(_query):
        if len(provider.asked) > guards:
            rest.wait()  # Passed only if all of them are under way at once.
        time.sleep(0.05)
        return False

    provider.faulty = is_faulty

    body = ask(client, metrics, first="2026-05-18").get_json()

    assert {tuple(values_of(insight)) for insight in body["data"]} == {(7,) * 28}
    assert len(provider.asked) == 28


@pytest.mark.parametrize("metrics", [["views"], ["views", "reach", "likes"]])
def test_calls_side_by_side_spend_no_more_than_one_after_the_other(client, provider, metrics):
    newest = str(midnight(date(2026, 6, 14)))

    def is_faulty(query):
        time.sleep(0.02)
        return query["since"] != newest

    provider.faulty = is_faulty

    response = ask(client, metrics, first="2026-03-14")

    known = [value for value in values_of(response.get_json()["data"][0]) if value is not None]
    assert known == [7]
    assert provider.faults <= SPENT


def test_profile_posts_and_insights_of_a_request_spend_eight_calls_together(client, wire):
    calls = []

    def fail(request):
        calls.append(request.url)
        time.sleep(0.02)
        return 500, {}, json.dumps(graph_error(1))

    for url in (USER, MEDIA, INSIGHTS):
        wire.add_callback(responses.GET, url, callback=fail)
    wire.assert_all_requests_are_fired = False  # The others may have spent it all.

    response = client.get("/growth-trends?period=30d&metrics=views,reach,interactions,posts")

    assert response.status_code == 503
    assert len(calls) <= SPENT


def test_a_fault_that_passes_is_answered_by_the_second_call(client, provider):
    provider.faulty = lambda _query: len(provider.asked) == 1

    response = ask(client, PLAIN)

    assert {tuple(values_of(insight)) for insight in response.get_json()["data"]} == {(7,) * 14}
    assert len(provider.asked) == 15


def test_a_metric_that_always_has_the_fault_takes_no_other_down_and_is_left_alone_for_a_while(client, provider, clock):
    provider.faulty = lambda query: "shares" in query["metric"].split(",")

    first = ask(client, PLAIN).get_json()
    faults = provider.faults
    second = ask(client, PLAIN, first="2026-05-30").get_json()
    spent = provider.faults - faults
    provider.faulty = lambda _query: False
    clock.wait(61)
    third = ask(client, PLAIN).get_json()

    values = {insight["name"]: values_of(insight) for insight in first["data"]}
    assert values == {name: [None if name == "shares" else 7] * 14 for name in PLAIN}
    assert {entry["reason"] for entry in first["meta"]["unavailable"]} == {"provider_unavailable"}
    assert faults <= SPENT
    assert spent == 0
    assert second["data"][PLAIN.index("shares")]["values"][0]["reason"] == "provider_unavailable"
    assert {tuple(values_of(insight)) for insight in third["data"]} == {(7,) * 14}


@pytest.mark.parametrize("metrics", [["views"], ["views", "reach"]])
def test_a_breakdown_that_has_the_fault_leaves_the_totals(client, provider, metrics):
    provider.faulty = lambda query: "breakdown" in query

    body = ask(client, metrics, breakdown="follow_type").get_json()
    faults = provider.faults
    ask(client, metrics, breakdown="follow_type", first="2026-05-30")

    assert {tuple(values_of(insight)) for insight in body["data"]} == {(7,) * 14}
    assert [(entry["metric"], entry["reason"]) for entry in body["meta"]["unavailable"]] == [
        (name, "provider_unavailable") for name in metrics
    ]
    assert faults <= SPENT
    assert provider.faults == faults


def test_a_breakdown_that_has_the_fault_costs_one_call_for_the_total(client, provider):
    provider.faulty = lambda query: "breakdown" in query

    body = ask(client, breakdown="follow_type", first="2026-06-14").get_json()

    assert values_of(body["data"][0]) == [7]
    assert ["breakdown" in query for query in provider.asked] == [True, True, False]


def test_a_metric_and_a_breakdown_that_do_not_go_together_leave_the_buckets_of_the_others(client, provider):
    provider.faulty = lambda query: "breakdown" in query and "views" in query["metric"].split(",")

    body = ask(client, ["reach", "views"], breakdown="follow_type").get_json()

    assert [values_of(insight) for insight in body["data"]] == [[7] * 14] * 2
    assert ["breakdowns" in insight["values"][0] for insight in body["data"]] == [True, False]
    assert provider.faults <= SPENT


def test_a_window_that_is_too_long_is_added_up_from_its_halves(client, provider):
    provider.faulty = lambda query: int(query["until"]) - int(query["since"]) > 20 * 86_400

    body = ask(client, ["views"], period="days_28", first="2026-05-18").get_json()

    assert values_of(body["data"][0]) == [14]
    assert provider.faults == 2


@pytest.mark.parametrize(("metric", "bad"), [("views", "2026-05-18"), ("views", "2026-06-01"), ("reach", None)])
def test_a_window_of_which_not_all_can_be_added_up_is_unknown(client, provider, metric, bad):
    first = midnight(date.fromisoformat(bad)) if bad else None

    def is_faulty(query):
        return int(query["until"]) - int(query["since"]) > 20 * 86_400 or int(query["since"]) == first

    provider.faulty = is_faulty

    response = ask(client, [metric], period="days_28", first="2026-05-18")

    assert (response.status_code, response.get_json()["code"]) == (503, "provider_unavailable")


def test_a_request_that_is_too_much_does_not_open_the_circuit_breaker(client, provider):
    provider.faulty = lambda query: "shares" in query["metric"].split(",")
    for day in range(1, 8):
        ask(client, ["likes", "shares"], first=f"2026-06-{day:02}", until=f"2026-06-{day:02}")

    assert ask(client, ["saves"]).status_code == 200


def test_faults_are_found_for_each_day_alone_where_others_are_answered(client, provider):
    days = Counter()

    def faulty(query):
        days[query["since"]] += 1
        return query["since"] == provider.bad

    provider.bad = "1780729200"  # 2026-06-06
    provider.faulty = faulty

    body = ask(client, ["views", "likes"]).get_json()
    faults = provider.faults
    again = ask(client, ["views", "likes"], first="2026-05-30").get_json()

    assert [value["value"] for value in body["data"][0]["values"]].count(None) == 1
    assert [value["value"] for value in again["data"][0]["values"]].count(None) == 1
    assert faults <= SPENT
    assert provider.faults == faults


def test_a_metric_that_has_the_fault_on_one_day_is_asked_for_beside_one_that_always_has_it(client, provider):
    bad = str(midnight(date(2026, 6, 6)))
    provider.faulty = lambda query: "likes" in query["metric"] or query["since"] == bad

    ask(client, ["views", "likes"], first="2026-06-05")
    again = ask(client, ["views", "likes"], first="2026-06-03").get_json()

    assert values_of(again["data"][0]) == [7, 7, 7, None] + [7] * 8
    assert values_of(again["data"][1]) == [None] * 12


def test_requests_that_are_no_more_than_a_first_round_go_out_at_once():
    days = [date(2026, 6, day) for day in range(1, FIRST_ROUND + 2)]
    *few, one_more = [InsightsRequest(("views",), Window(day, day)) for day in days]

    assert list(rounds(few)) == [few]
    assert len(list(rounds([*few, one_more]))) == 2
