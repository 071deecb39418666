"""What was answered is kept and returned although a later call of the request fails; only the rest is asked again."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
import responses

from tests.planners import INSIGHTS, plan_insights, totals, values_of
from tests.support import ACCOUNT_ID, fresh_for, graph_error, settings

DAYS_93 = "/account-insights?period=day&metrics=views&since=2026-03-14&until=2026-06-14"
WEEK = "/account-insights?period=day&metrics=views&since=2026-06-01&until=2026-06-07"
REGAIN = {"X-Business-Use-Case-Usage": '{"1": [{"type": "instagram", "estimated_time_to_regain_access": 10}]}'}


class Throttling:
    """Answers a number of calls, refuses every other one until it is released, and counts who is asked for."""

    def __init__(self, calls, refusal=None):
        self._lock = threading.Lock()
        self._left, self._calls, self._refusal = calls, calls, refusal or (400, graph_error(80002))
        self.answered = Counter()

    def __call__(self, query):
        with self._lock:
            if not self._left:
                return self._refusal
            self._left -= 1
            self.answered[query["since"], query["metric"]] += 1
        return totals(query, 7)

    def go_on(self):
        self._left = self._calls


@pytest.fixture
def plan():
    with responses.RequestsMock() as wire:

        def make(provider):
            plan_insights(wire, provider)
            return provider

        yield make


@pytest.mark.parametrize("parallel", [1, 32])
def test_93_days_are_done_after_two_attempts_and_no_answered_day_is_asked_again(make_client, clock, plan, parallel):
    client, provider = make_client(settings(provider_parallel=parallel), clock=clock), plan(Throttling(60))

    first = client.get(DAYS_93).get_json()
    again = client.get(DAYS_93.replace("views", "views&format=json")).get_json()
    provider.go_on()
    clock.wait(901)
    second = client.get(DAYS_93).get_json()

    assert Counter(values_of(first["data"][0])) == {7: 60, None: 33}
    assert values_of(again["data"][0]) == values_of(first["data"][0])
    assert values_of(second["data"][0]) == [7] * 93
    assert set(provider.answered.values()) == {1}
    (entry,) = first["meta"]["unavailable"]
    assert (entry["metric"], entry["reason"], entry["retry_after"]) == ("views", "throttled", 900)
    assert second["meta"]["unavailable"] == []


def test_callers_who_wait_for_the_same_days_get_them_too_and_no_day_is_asked_for_twice(make_client, clock, plan):
    client, provider = make_client(settings(provider_parallel=8), clock=clock), plan(Throttling(20))

    with ThreadPoolExecutor(6) as callers:
        paths = [DAYS_93, f"{DAYS_93}&format=json"] * 3
        replies = list(callers.map(lambda path: client.application.test_client().get(path), paths))

    assert {reply.status_code for reply in replies} == {200}
    assert {Counter(values_of(reply.get_json()["data"][0]))[7] for reply in replies} == {20}
    assert set(provider.answered.values()) == {1}


def test_an_answer_in_part_is_not_served_for_long(client, plan):
    plan(Throttling(3))

    response = client.get(WEEK)

    assert response.status_code == 200
    assert 0 < fresh_for(response) <= 5


def test_where_nothing_is_known_the_failure_is_raised(client, plan):
    plan(Throttling(0))

    response = client.get(WEEK)

    assert (response.status_code, response.get_json()["code"]) == (429, "provider_rate_limited")


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        ((500, graph_error(2)), "provider_unavailable"),
        ((200, "<html>"), "provider_response_invalid"),
        ((400, graph_error(190)), "token_invalid"),
    ],
)
def test_other_failures_leave_what_was_answered_too(make_client, clock, plan, refusal, reason):
    client, provider = make_client(settings(provider_parallel=1), clock=clock), plan(Throttling(3, refusal))

    first = client.get(WEEK).get_json()
    provider.go_on()
    clock.wait(20)
    second = client.get(WEEK).get_json()

    assert Counter(values_of(first["data"][0])) == {7: 3, None: 4}
    assert {entry["reason"] for entry in first["meta"]["unavailable"]} == {reason}
    if reason == "token_invalid":  # A token that was refused is not tried again.
        assert second["data"] == first["data"]
    else:
        assert Counter(values_of(second["data"][0]))[7] >= 4
    assert set(provider.answered.values()) == {1}


def test_a_timeout_leaves_what_was_answered(client):
    with responses.RequestsMock() as wire:
        days = Counter()

        def answer(request):
            days[request.params["since"]] += 1
            if len(days) == 3 and days[request.params["since"]] == 1:
                raise requests.ReadTimeout("slow")
            query = {"metric": request.params["metric"]}
            status, body = totals(query, 7)
            return status, {}, json.dumps(body)

        wire.add_callback(responses.GET, INSIGHTS, callback=answer)
        first = client.get(WEEK).get_json()

    assert Counter(values_of(first["data"][0])) == {7: 6, None: 1}
    assert [entry["reason"] for entry in first["meta"]["unavailable"]] == ["provider_timeout"]


def test_what_is_answered_is_in_both_databases_before_the_request_ends(make_client, clock, plan, monkeypatch):
    """Another process that reads the same days does not ask for them again, should this one die."""
    client = make_client(settings(provider_parallel=1), clock=clock)
    store = client.application.extensions["services"].store
    days = [f"insights/2026-06-0{day}/2026-06-0{day}/" for day in range(1, 8)]
    keep, in_history = store.history.keep, []

    def kept():
        recorded = store.history.days(ACCOUNT_ID, since="2026-06-01", until="2026-06-07")
        return len(store.cache_entries.read(ACCOUNT_ID, days)), len(recorded)

    def keep_noted(account, values):
        in_history.extend(values)
        keep(account, values)

    class Watched(Throttling):
        def __call__(self, query):
            deadline = time.monotonic() + 10
            while len(self.answered) == 6 and min(kept()) < 6 and time.monotonic() < deadline:
                time.sleep(0.01)
            found.append(kept())
            return super().__call__(query)

    found = []
    monkeypatch.setattr(store.history, "keep", keep_noted)
    plan(Watched(7))
    client.get(WEEK)

    assert (found[0], found[-1]) == ((0, 0), (6, 6))
    assert (len(in_history), len(set(in_history))) == (7, 7)  # None is written twice.
