"""One refused metric never takes the others down with it, and finding it out costs a bounded number of calls."""

from __future__ import annotations

import time
from datetime import date, timedelta

import pytest
import responses

from services.days import midnight, pacific_day
from services.insights.catalogue import METRICS
from tests.movable_clock import MovableClock
from tests.planners import plan_insights, totals
from tests.support import ACCOUNT_ID, fresh_for, graph_error, settings, utc

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
        self.faults = 0  # how many of the next calls are answered with code 1
        self.faulty = set()  # metrics that alone are answered with code 1
        self.calls = []

    def __call__(self, query):
        metrics = query["metric"].split(",")
        self.calls.append(metrics)
        if self.faults:
            self.faults -= 1
            return 500, graph_error(1)
        if set(metrics) <= self.faulty:
            return 500, graph_error(1)
        day = next((day for day in self.days if midnight(day) == int(query["since"])), None)
        if day is not None:
            return self.days[day]
        if {(metric, query.get("breakdown", "")) for metric in metrics} & self.refused:
            return 400, graph_error(100, message=WORDS)
        return totals(query, 7)

    def refuse(self, *metrics, breakdown=""):
        self.refused |= {(metric, breakdown) for metric in metrics}

    def plan(self, offset, status, body):
        self.days[FIRST + timedelta(days=offset)] = (status, body)


@pytest.fixture
def provider():
    provider = Provider()
    with responses.RequestsMock() as wire:
        plan_insights(wire, provider)
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
    [(1, 1, 2), (2, 1, 3), (4, 1, 5), (12, 1, 9), (4, 3, 3 + 4 + 2), (12, 28, 28 + 8 + 27)],
)
def test_finding_one_refused_metric_costs_two_calls_for_each_halving(client, provider, metrics, days, calls):
    asked = PLAIN[:metrics]
    provider.refuse(asked[-1])

    values = values_of(ask(client, asked, days))

    assert values == {name: [7] * days for name in asked[:-1]} | {asked[-1]: [None] * days}
    assert len(provider.calls) <= calls


def test_a_refusal_is_checked_with_another_metric(client, provider):
    provider.refuse("reach")

    values = values_of(ask(client, ["reach"], 1))

    assert (values, provider.calls) == ({"reach": [None]}, [["reach"], ["views"]])


def test_a_check_that_fails_says_nothing_of_the_refused_metric(client, provider, monkeypatch):
    answers = [(400, graph_error(100, message=WORDS)), (500, graph_error(2))]
    with monkeypatch.context() as refusing:
        refusing.setattr(Provider, "__call__", lambda *_: answers.pop(0))
        down = ask(client, ["views"], 1)

    assert (down.status_code, down.get_json()["code"]) == (503, "provider_unavailable")
    assert values_of(ask(client, ["views"], 1, format="json")) == {"views": [7]}


WEEK_OR_DAY = pytest.mark.parametrize(("days", "query"), [(7, {"period": "week"}), (1, {})], ids=["week", "day"])


@WEEK_OR_DAY
def test_a_check_that_is_answered_with_code_1_says_nothing_of_a_refusal(client, provider, clock, days, query):
    provider.refuse("reach")
    provider.faulty = METRICS.keys() - {"reach"}
    without = ask(client, ["reach"], days, **query)
    provider.faulty = set()
    clock.wait(6)
    provider.calls.clear()

    values = values_of(ask(client, ["reach"], days, **query))

    assert (without.status_code, without.get_json()["code"]) == (503, "provider_unavailable")
    assert (values, provider.calls) == ({"reach": [None]}, [["reach"], ["views"]])


def test_where_the_check_meets_code_1_another_metric_says_whether_anything_is_answered(client, provider):
    provider.refuse("reach")
    provider.faulty = {"views"}

    first = ask(client, ["reach"], 7, period="week")

    assert (first.status_code, values_of(first)) == (200, {"reach": [None]})
    assert next(call for call in provider.calls if "reach" not in call) == ["views"]
    assert len(provider.calls) == 3


@WEEK_OR_DAY
def test_code_1_for_a_metric_beside_refused_ones_does_not_refuse_it(client, provider, clock, days, query):
    provider.refuse("views")
    provider.faulty = {"likes"}
    first = ask(client, ["views", "likes"], days, **query).get_json()
    provider.faulty.clear()
    clock.wait(61)

    values = values_of(ask(client, ["views", "likes"], days, **query))

    reasons = {entry["metric"]: entry["reason"] for entry in first["meta"]["unavailable"]}
    assert reasons == {"views": "refused", "likes": "provider_unavailable"}
    assert values == {"views": [None], "likes": [7]}


def test_a_failure_of_all_ends_the_search_for_what_is_refused(client, provider, monkeypatch):
    def answer(_provider, query):
        provider.calls.append(query["metric"])
        return (400, graph_error(100)) if "," in query["metric"] else (403, graph_error(10))

    monkeypatch.setattr(Provider, "__call__", answer)

    response = ask(client, ["views", "likes"], 4)

    assert (response.status_code, response.get_json()["code"]) == (403, "permission_denied")
    assert len(provider.calls) <= 4 + 2


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


def test_a_refused_metric_is_not_requested_again(client, provider):
    provider.refuse("likes")
    ask(client, PLAIN, 3)
    provider.calls.clear()

    values = values_of(ask(client, PLAIN, 6))

    assert values["likes"] == [None] * 6
    assert [("likes" in metrics) for metrics in provider.calls] == [False] * 3


def test_a_refused_metric_is_requested_again_an_hour_later(client, provider, clock):
    provider.refuse("likes")
    ask(client, PLAIN, 1)
    provider.refused.clear()

    clock.wait(3600)

    assert values_of(ask(client, PLAIN, 1))["likes"] == [7]


def test_a_metric_refused_by_one_breakdown_is_still_requested_without_it(client, provider):
    provider.refuse("views", breakdown="media_product_type")
    both = ["views", "likes"]

    body = ask(client, both, 1, breakdown="media_product_type").get_json()

    assert [insight["values"][0]["value"] for insight in body["data"]] == [7, 7]
    assert ("views", "refused") in [(entry["metric"], entry["reason"]) for entry in body["meta"]["unavailable"]]
    assert values_of(ask(client, both, 1)) == {"views": [7], "likes": [7]}


@pytest.mark.parametrize(
    ("metrics", "totals"), [(["email_contacts"], []), (["profile_links_taps", "email_contacts"], [7])]
)
def test_taps_on_one_button_are_refused_where_their_breakdown_is(client, provider, metrics, totals):
    provider.refuse("profile_links_taps", breakdown="contact_button_type")
    query = {"breakdown": "contact_button_type"}

    bodies = [ask(client, [*metrics, "reach"], 1, **query).get_json() for _ in range(2)]

    for body in bodies:
        *known, taps, _ = [insight["values"][0] for insight in body["data"]]
        assert (taps["value"], taps["reason"]) == (None, "refused")
        assert [value["value"] for value in known] == totals
        entries = {(each["metric"], each["reason"]): each["message"] for each in body["meta"]["unavailable"]}
        assert WORDS in entries["email_contacts", "refused"]
    assert provider.calls.count(["profile_links_taps"]) == 1 + len(totals)  # The total only where it is wanted.


# Everything refused: the metrics, or the request?


def test_where_all_metrics_are_refused_and_another_is_answered_they_are_refused_for_an_hour(client, provider, clock):
    provider.refuse(*PLAIN)

    values = values_of(ask(client, PLAIN, 28))
    asked = len(provider.calls)
    again = ask(client, PLAIN, 1)
    provider.refused.clear()

    assert values == {name: [None] * 28 for name in PLAIN}
    assert asked <= 2 + 2 * (len(PLAIN) - 1) + 1  # Two requests go first, and one of them is halved.
    assert provider.calls[-1] == ["reach"]
    assert {value["reason"] for insight in again.get_json()["data"] for value in insight["values"]} == {"refused"}
    assert len(provider.calls) == asked
    clock.wait(3600)
    assert values_of(ask(client, PLAIN, 1)) == {name: [7] for name in PLAIN}


def test_where_another_metric_is_refused_too_the_request_has_failed(client, provider):
    provider.refuse("views", "reach")

    first = ask(client, ["views"], 5)
    calls = list(provider.calls)
    second = ask(client, ["views"], 5)
    provider.refused.clear()
    third = ask(client, ["views"], 5)

    for response in (first, second):
        assert (response.status_code, response.get_json()["code"]) == (502, "provider_refused")
        assert WORDS in response.get_json()["message"]
    assert calls == [["views"], ["reach"]]
    assert provider.calls[2] == ["views"]  # The other metric is asked for once an hour at most.
    assert values_of(third) == {"views": [7] * 5}


@pytest.mark.parametrize("days", [1, 5, 28])
def test_while_everything_is_refused_the_next_requests_cost_one_call_each(client, provider, clock, days):
    provider.refuse("reach", *PLAIN)

    failed = ask(client, PLAIN, days)
    costs = []
    for _ in range(3):
        clock.wait(60)
        before = len(provider.calls)
        again = ask(client, PLAIN, days)
        costs.append(len(provider.calls) - before)

    assert [(each.status_code, each.get_json()["code"]) for each in (failed, again)] == [(502, "provider_refused")] * 2
    assert WORDS in again.get_json()["message"]
    assert costs == [1, 1, 1]
    provider.refused.clear()
    before = len(provider.calls)
    assert values_of(ask(client, PLAIN, days)) == {name: [7] * days for name in PLAIN}
    assert len(provider.calls) - before == days + 1
    clock.wait(60)
    before = len(provider.calls)
    ask(client, PLAIN, days + 1)
    assert len(provider.calls) - before == 1


@pytest.mark.parametrize(
    ("days", "query"), [(7, {"period": "week"}), (1, {"breakdown": "media_product_type"})], ids=["week", "breakdown"]
)
def test_code_1_for_the_first_metric_while_everything_is_refused_leaves_the_others(client, provider, days, query):
    both = ["views", "likes"]
    for breakdown in ("", "media_product_type"):
        provider.refuse("reach", *both, breakdown=breakdown)
    refused = ask(client, both, days, **query)
    provider.refused.clear()
    provider.calls.clear()
    provider.faults = 1

    again = ask(client, both, days, **query)

    assert (refused.status_code, refused.get_json()["code"]) == (502, "provider_refused")
    assert values_of(again) == {"views": [7], "likes": [7]}
    assert provider.calls == [["views"], both]


def test_known_values_are_answered_for_one_call_while_everything_is_refused(client, provider, clock):
    known = values_of(ask(client, PLAIN, 28))
    clock.wait(30 * 3600)
    provider.refuse("reach", *PLAIN)
    ask(client, PLAIN, 50)
    before = len(provider.calls)

    again = ask(client, PLAIN, 50)

    assert {name: values[:28] for name, values in values_of(again).items()} == known
    assert len(provider.calls) - before <= 1


def test_a_metric_that_stays_refused_hides_the_others_for_minutes_only(client, provider, clock):
    provider.refuse("reach", *PLAIN)
    ask(client, PLAIN, 1)
    provider.refused.clear()
    provider.refuse(PLAIN[0])

    for _ in range(5):
        ask(client, PLAIN, 1)
        clock.wait(120)

    assert values_of(ask(client, PLAIN, 1)) == {name: [None if name == PLAIN[0] else 7] for name in PLAIN}


def test_a_check_that_was_answered_holds_for_an_hour(client, provider):
    provider.refuse("views", "likes")

    ask(client, ["views"], 1)
    ask(client, ["likes"], 1)

    assert provider.calls == [["views"], ["reach"], ["likes"]]


def test_a_refusal_by_a_breakdown_is_checked_by_the_same_breakdown(client, provider):
    provider.refuse("views", "reach", breakdown="follow_type")

    body = ask(client, ["views"], 1, breakdown="follow_type").get_json()

    assert provider.calls == [["views"], ["reach"], ["views"]]
    assert (body.get("code"), body["data"][0]["values"][0]["value"]) == (None, 7)


@pytest.mark.parametrize("code", [5, 12, 24, 101, 2635, 2500, 77, 300, 99_999, -1])
def test_a_code_about_the_whole_request_refuses_no_metric(client, provider, clock, code):
    provider.plan(0, 400, graph_error(code, message="(#5) Unauthorized source IP address"))
    without = ask(client, ["reach", "views"], 1)
    provider.days.clear()
    first = ask(client, ["reach", "views"], 1)
    provider.plan(1, 400, graph_error(code))
    beside = ask(client, ["reach", "views"], 2)
    provider.days.clear()

    assert (without.status_code, without.get_json()["code"]) == (502, "provider_refused")
    assert values_of(first) == {"reach": [7], "views": [7]}
    assert values_of(beside) == {"reach": [7, None], "views": [7, None]}
    assert {entry["reason"] for entry in beside.get_json()["meta"]["unavailable"]} == {"provider_refused"}
    clock.wait(6)
    assert values_of(ask(client, ["reach", "views"], 2)) == {"reach": [7, 7], "views": [7, 7]}


def test_an_answer_with_a_remembered_refusal_expires_with_it(client, provider, clock):
    provider.refuse("likes")
    ask(client, ["views", "likes"], 1)
    clock.wait(1200)

    response = ask(client, ["views", "likes"], 2)
    clock.wait(2399)
    early = ask(client, ["views", "likes"], 2)
    calls = len(provider.calls)
    provider.refused.clear()
    clock.wait(1)
    late = ask(client, ["views", "likes"], 2)

    assert response.get_json()["meta"]["expires_at"] == "2026-06-15T19:00:00Z"
    assert fresh_for(response) == 2400
    assert early.get_json() == response.get_json()
    assert calls == 3 + 1
    assert values_of(late) == {"views": [7, 7], "likes": [7, 7]}


# Failures of another kind


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (500, graph_error(2), "provider_unavailable"),
        (502, "<html>", "provider_unavailable"),
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
    provider.plan(1, 500, graph_error(2))
    ask(client, ["views"], 3)
    provider.days.clear()

    clock.wait(5)

    assert values_of(ask(client, ["views"], 3)) == {"views": [7, 7, 7]}


def test_if_no_day_is_answered_the_failure_is_raised(client, provider):
    for offset in range(3):
        provider.plan(offset, 500, graph_error(2))

    response = ask(client, ["views"], 3)

    assert (response.status_code, response.get_json()["code"]) == (503, "provider_unavailable")


@pytest.fixture
def one_at_a_time(make_client, clock):
    """A client of a gateway that makes one call at a time."""
    return make_client(settings(provider_parallel=1), clock=clock)


WHOLE_ACCOUNT = pytest.mark.parametrize(
    ("code", "status", "name"),
    [
        (80002, 429, "provider_rate_limited"),
        (4, 429, "provider_rate_limited"),
        (190, 401, "token_invalid"),
        (10, 403, "permission_denied"),
        (368, 503, "provider_blocked"),
    ],
)


@WHOLE_ACCOUNT
def test_a_failure_that_concerns_the_account_ends_the_request(client, provider, code, status, name):
    for offset in range(3):
        provider.plan(offset, 400, graph_error(code))

    response = ask(client, ["views"], 3)

    assert (response.status_code, response.get_json()["code"]) == (status, name)


@WHOLE_ACCOUNT
def test_a_failure_that_concerns_the_account_leaves_what_was_answered(one_at_a_time, provider, code, status, name):
    class FailsSecond(Provider):
        def __call__(self, query):
            answer = super().__call__(query)
            return (400, graph_error(code)) if len(self.calls) == 2 else answer

    provider.__class__ = FailsSecond

    response = ask(one_at_a_time, ["views"], 3)

    # The calls come in any order, and the third one may have been under way.
    assert {7, None} == set(values_of(response)["views"])
    (entry,) = response.get_json()["meta"]["unavailable"]
    assert entry["reason"] == ("throttled" if status == 429 else name)
    assert ("retry_after" in entry) is (status == 429 or code == 368)


def test_throttling_stops_what_has_not_begun(make_client, provider):
    class Slow(Provider):
        def __call__(self, query):
            time.sleep(0.01)
            return super().__call__(query)

    provider.__class__ = Slow
    provider.plan(0, 400, graph_error(4))
    client = make_client(settings(provider_parallel=1), clock=MovableClock(utc("2026-09-15T18:00:00")))

    response = ask(client, ["views"], 90)
    asked = len(provider.calls)
    time.sleep(0.1)

    assert response.status_code in {200, 429}  # What was under way may have been answered before.
    assert asked < 45
    assert len(provider.calls) <= asked + 1  # the one that had begun


def test_throttling_while_a_refused_metric_is_looked_for_says_nothing_of_the_metric(client, provider):
    provider.refuse("likes")
    provider.plan(1, 400, graph_error(4))

    assert ask(client, PLAIN, 2).status_code == 429


@pytest.mark.parametrize(("days", "yesterday"), [(91, 7), (90, None)])
def test_a_refusal_of_days_long_gone_says_nothing_of_yesterday(client, wire, clock, days, yesterday):
    day = pacific_day(clock.now()) - timedelta(days=days)

    def answer(query):
        is_old = int(query["since"]) == midnight(day)
        if "profile_views" in query["metric"].split(",") and is_old:
            return 400, graph_error(100)
        return totals(query, 7)

    plan_insights(wire, answer)
    query = "/account-insights?period=day&metrics=views,profile_views"

    old = client.get(f"{query}&since={day}&until={day}").get_json()
    new = client.get(query).get_json()

    assert [entry["values"][0]["value"] for entry in old["data"]] == [7, None]
    assert [entry["values"][0]["value"] for entry in new["data"]] == [7, yesterday]


def test_what_is_kept_is_as_old_as_the_beginning_of_its_calls(client, wire, clock):
    def answer(query):
        clock.wait(10)
        return totals(query, 7)

    plan_insights(wire, answer)
    began_at = clock.timestamp()

    client.get("/account-insights?period=day&metrics=views")

    history = client.application.extensions["services"].store.history
    kept = history.days(ACCOUNT_ID, since="2026-06-01", until="2026-06-15")
    assert {value.read_at for _, value in kept} == {began_at}
