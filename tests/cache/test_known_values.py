"""A newly unknown value never replaces a known one: that stays, stale, with its true age, and is fetched again soon."""

from __future__ import annotations

import pytest
import responses

from tests.planners import NOTHING, follows, plan_insights, plan_posts, totals, values_of
from tests.planners import USER as PROFILE
from tests.support import ACCOUNT_ID, graph_error, total_value

YOUNG = "/account-insights?period=day&metrics=views&since=2026-06-14&until=2026-06-14"
GROWTH = "/growth-trends?period=7d"
UNKNOWN = {
    "empty": NOTHING,
    "null": (200, {"data": [{"name": "views", "total_value": {"value": None}}]}),
    "unreadable": (200, {"data": [{"name": "views", "total_value": {"value": "many"}}]}),
    "of another shape": (200, {"data": [{"name": "views", "total_value": "gone"}]}),
}


class Provider:
    """Answers insights as planned, and counts."""

    def __init__(self, answer=None):
        self.answer = answer
        self.calls = 0

    def __call__(self, query):
        self.calls += 1
        return self.answer if self.answer is not None else totals(query, 7)


@pytest.fixture
def provider():
    provider = Provider()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as provider.wire:
        plan_insights(provider.wire, provider)
        yield provider


def body(client, path):
    response = client.get(path)
    assert response.status_code == 200, response.get_json()
    client.application.extensions["services"].wait_until_quiet(10)
    return response.get_json()


def shown(answer):
    return values_of(answer["data"][0]), answer["meta"]["stale"], answer["meta"]["fetched_at"]


@pytest.mark.parametrize("unknown", UNKNOWN)
@pytest.mark.parametrize("refresh", [True, False])
def test_a_known_number_stays_when_it_is_newly_unknown(client, provider, clock, unknown, refresh):
    first = body(client, YOUNG)
    provider.answer = UNKNOWN[unknown]
    clock.wait(600 if refresh else 7 * 3600)

    answers = [body(client, f"{YOUNG}&refresh=true" if refresh else YOUNG)]
    clock.wait(3.5)
    answers.append(body(client, YOUNG))

    assert [shown(answer) for answer in answers] == [([7], True, first["meta"]["fetched_at"])] * 2
    assert provider.calls == 2


def test_it_is_asked_for_again_after_a_minute_and_not_before(client, provider, clock):
    body(client, YOUNG)
    provider.answer = NOTHING
    clock.wait(7 * 3600)
    calls = []
    for _ in range(10):
        body(client, YOUNG)
        calls.append(provider.calls)
        clock.wait(15)
    provider.answer = None
    clock.wait(60)
    body(client, YOUNG)

    last = body(client, YOUNG)

    assert calls == [2, 2, 2, 2, 3, 3, 3, 3, 4, 4]
    assert (last["meta"]["stale"], last["meta"]["fetched_at"]) == (False, "2026-06-16T01:03:30Z")


def test_a_known_number_survives_the_restart_of_the_gateway(make_client, provider, clock):
    client = make_client(clock=clock)
    body(client, YOUNG)
    provider.answer = NOTHING
    clock.wait(600)
    body(client, f"{YOUNG}&refresh=true")

    again = make_client(client.application.extensions["config"], clock=clock)

    assert shown(body(again, YOUNG)) == ([7], True, "2026-06-15T18:00:00Z")


def test_each_bucket_is_kept_by_itself(client, provider, clock):
    path = f"{YOUNG}&breakdown=follow_type"
    provider.answer = (
        200,
        {"data": [total_value("views", 10, [(["follow_type"], [(["FOLLOWER"], 7), (["NON_FOLLOWER"], 3)])])]},
    )
    body(client, path)
    provider.answer = 200, {"data": [total_value("views", 12, [(["follow_type"], [(["FOLLOWER"], 8)])])]}
    clock.wait(600)

    answer = body(client, f"{path}&refresh=true")

    (part,) = answer["data"][0]["values"][0]["breakdowns"]
    assert values_of(answer["data"][0]) == [12]
    assert {row["dimension_values"][0]: row["value"] for row in part["results"]} == {"FOLLOWER": 8, "NON_FOLLOWER": 3}
    assert (answer["meta"]["stale"], answer["meta"]["fetched_at"]) == (True, "2026-06-15T18:00:00Z")


@pytest.mark.parametrize("failure", [*UNKNOWN.values(), (500, graph_error(2)), (404, "<html>"), (400, graph_error(4))])
def test_a_known_total_stays_when_its_breakdown_is_unknown_for_another_reason(client, provider, clock, failure):
    path = f"{YOUNG}&breakdown=follow_type"
    by_breakdown = [400, graph_error(100)]
    provider.wire.reset()
    plan_insights(provider.wire, lambda query: by_breakdown if "breakdown" in query else totals(query, 7))
    first = body(client, path)
    by_breakdown[:] = failure
    clock.wait(3660)  # Until then the refusal is remembered.

    answers = [body(client, f"{path}&refresh=true"), body(client, path)]

    assert values_of(first["data"][0]) == [7]
    assert [shown(answer) for answer in answers] == [([7], True, first["meta"]["fetched_at"])] * 2
    (entry,) = answers[0]["meta"]["unavailable"]
    assert (entry["metric"], "retry_after" in entry) == (
        "views",
        entry["reason"] in {"throttled", "provider_unavailable"},
    )


@pytest.mark.parametrize(
    "left_out", [{}, {"followers_count": None}, {"followers_count": "many"}, {"followers_count": -1}]
)
def test_followers_that_are_left_out_once_stay(client, provider, clock, left_out):
    provider.answer = follows(5, 2)
    profile = provider.wire.get(PROFILE, json={"id": ACCOUNT_ID, "username": "someone", "followers_count": 1000})
    plan_posts(provider.wire)
    first = body(client, GROWTH)
    provider.wire.remove(profile)
    provider.wire.get(PROFILE, json={"id": ACCOUNT_ID} | left_out)
    clock.wait(600)

    answers = [body(client, f"{GROWTH}&refresh=true"), body(client, GROWTH)]

    assert first["meta"]["username"] == "someone"
    for answer in answers:
        assert answer["trends"][0]["current_value"] == 1000
        assert answer["meta"]["username"] == "someone"
        assert (answer["meta"]["stale"], answer["meta"]["fetched_at"]) == (True, "2026-06-15T18:00:00Z")


def test_a_refresh_that_fails_marks_what_is_kept_as_stale_until_the_next_attempt(client, provider, clock):
    body(client, YOUNG)
    provider.answer = 500, graph_error(2)
    clock.wait(600)
    answers = [body(client, f"{YOUNG}&refresh=true"), body(client, YOUNG)]
    provider.answer = None
    clock.wait(3.5)
    body(client, YOUNG)

    last = body(client, YOUNG)

    assert [shown(answer) for answer in answers] == [([7], True, "2026-06-15T18:00:00Z")] * 2
    assert {answer["meta"]["expires_at"] for answer in answers} == {"2026-06-15T18:10:00Z"}
    assert shown(last) == ([7], False, "2026-06-15T18:10:03Z")


def test_a_known_number_of_a_metric_that_is_now_refused_stays_and_is_not_asked_for(client, provider, clock):
    path = "/account-insights?period=day&metrics=views,likes&since=2026-06-14&until=2026-06-14"
    body(client, path)
    asked = []

    def refuse_likes(query):
        asked.append(query["metric"])
        return (400, graph_error(100)) if "likes" in query["metric"].split(",") else totals(query, 9)

    provider.wire.reset()
    plan_insights(provider.wire, refuse_likes)
    clock.wait(600)

    answers = [body(client, f"{path}&refresh=true"), body(client, path)]
    clock.wait(300)
    answers.append(body(client, path))

    assert [[values_of(insight) for insight in answer["data"]] for answer in answers] == [[[9], [7]]] * 3
    assert {answer["meta"]["stale"] for answer in answers} == {True}
    assert (asked[0], sorted(asked[1:])) == ("views,likes", ["likes", "views"])  # The halves are asked for at once.


def test_no_known_number_becomes_null_while_faults_come_and_go(client, provider, clock):
    """Twenty minutes of faults of every kind, over three metrics that were known before."""
    path = "/account-insights?period=day&metrics=views,likes,reach&since=2026-06-14&until=2026-06-14"
    first = body(client, path)
    clock.wait(7 * 3600)
    kinds = [
        NOTHING,
        (500, graph_error(1)),
        (500, graph_error(2)),
        (400, graph_error(100)),
        (400, graph_error(5)),
        (400, graph_error(190)),
        (400, graph_error(80002)),
        (502, "<html>"),
        (200, "{"),
        (200, {"data": [total_value("views", None), total_value("likes", "x"), {"name": "reach", "total_value": [1]}]}),
    ]
    seen = []
    for number in range(120):
        provider.answer = kinds[number // 3 % len(kinds)]
        seen.append(body(client, f"{path}&refresh=true" if number % 7 == 0 else path))
        clock.wait(10)

    assert {tuple(tuple(values_of(insight)) for insight in answer["data"]) for answer in seen} == {((7,),) * 3}
    assert {answer["meta"]["stale"] for answer in seen} == {True}
    assert {answer["meta"]["fetched_at"] for answer in seen} == {first["meta"]["fetched_at"]}
