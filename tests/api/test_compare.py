"""GET /compare: several accounts side by side, each with its own numbers and its own failures."""

from __future__ import annotations

import json
import time
from datetime import date, datetime, timedelta

import pytest
import responses

from services.accounts.resolver import AccountResolver
from services.accounts.token_encryption import new_key
from services.compare import HEADLINES, MOST_ACCOUNTS
from services.days import midnight
from services.errors import AccountUnknownError, BusyError
from tests.planners import body_of, follows, post, query_of
from tests.support import ACCOUNT_ID, GRAPH, add_account, graph_error, settings, table_rows, total_value

BAKERY = "17841400000000011"
NAMES = {ACCOUNT_ID: "us", BAKERY: "bakery"}
WINDOW = {"since": "2026-06-08", "until": "2026-06-14"}
THIS_WEEK = midnight(date(2026, 6, 8))


class Account:
    """What Instagram answers of an account: its followers, posts, and totals of the last week and the one before."""

    def __init__(self, wire, id_, *, followers=1000, gained=0, posts=(), totals=None, failure=None):
        user = f"{GRAPH}/v25.0/{id_}"
        self.failure = failure
        self.profile = {"id": id_, "username": NAMES[id_], "followers_count": followers}
        self.posts, self.gained, self.totals = list(posts), gained, totals or ({}, {})
        for path, answer in (("", self._profile), ("/media", self._posts), ("/insights", self._insights)):
            wire.add_callback(responses.GET, user + path, callback=self._answer(answer))

    def _answer(self, answer):
        def callback(request):
            status, body = self.failure or (200, answer(query_of(request)))
            return status, {}, json.dumps(body)

        return callback

    def _profile(self, _query):
        return self.profile

    def _posts(self, _query):
        return {"data": self.posts}

    def _insights(self, query):
        if "breakdown" in query:
            return follows(gained=self.gained, lost=0)[1]
        values = self.totals[0 if int(query["since"]) >= THIS_WEEK else 1]
        return {"data": [total_value(name, values.get(name)) for name in query["metric"].split(",")]}


@pytest.fixture
def wire():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        yield wire


@pytest.fixture
def client(make_client, clock):
    key = new_key()
    client = make_client(settings(token_key=key), clock=clock)
    add_account(client.application.extensions["services"].store, key, BAKERY)
    clock.wait(2)
    return client


def plan_both(wire):
    likes = [("2026-06-14", 90, 10), ("2026-06-09", 40, 10), ("2026-06-02", 45, 5)]
    posts = [post(day, f"{day}T12:00:00+0000", like_count=a, comments_count=b) for day, a, b in likes]
    totals = ({"reach": 150, "views": 80, "total_interactions": 30}, {"reach": 100, "views": 100})
    return [
        Account(wire, ACCOUNT_ID, followers=1000, gained=20, posts=posts, totals=totals),
        Account(wire, BAKERY, followers=500, gained=100),
    ]


def ask(client, accounts=f"{ACCOUNT_ID},bakery", **query):
    body = body_of(client, "/compare", accounts=accounts, **{"period": "7d"} | query)
    return body["accounts"], body["meta"]


def numbers(row):
    return {key: metric["value"] for key, metric in row["metrics"].items()}


def test_each_account_has_its_own_numbers_in_the_order_of_the_request(client, wire):
    plan_both(wire)

    (own, bakery), meta = ask(client)

    assert [(row["account"], row["username"], row["error"]) for row in (own, bakery)] == [
        (ACCOUNT_ID, "us", None),
        (BAKERY, "bakery", None),
    ]
    assert numbers(own) == {
        "followers": 1000,
        "follower_growth": pytest.approx((1000 - 980) / 980 * 100, abs=1e-6),
        "engagement_rate": pytest.approx((100 / 1000 + 50 / 1000) / 2),
        "reach": 150,
        "views": 80,
        "interactions": 30,
        "posts": 2,
    }
    assert (numbers(bakery)["followers"], numbers(bakery)["follower_growth"], numbers(bakery)["posts"]) == (500, 25, 0)
    assert meta["window"] == WINDOW
    assert (meta["source"], meta["api_version"], meta["stale"]) == ("instagram", "v25.0", False)


def test_a_number_has_its_change_and_the_reason_of_what_is_unknown(client, wire):
    plan_both(wire)

    (own, bakery), meta = ask(client)

    views, interactions = own["metrics"]["views"], own["metrics"]["interactions"]
    assert (views["previous_value"], views["growth_rate"], views["unit"]) == (100, -20, "views")
    assert (interactions["value"], interactions["reason"]) == (30, None)
    assert (interactions["growth_rate"], interactions["growth_reason"]) == (None, "not_answered")
    assert (bakery["metrics"]["reach"]["value"], bakery["metrics"]["reach"]["reason"]) == (None, "not_answered")
    assert own["metrics"]["follower_growth"].keys() & {"growth_rate", "previous_value"} == set()
    assert {entry["account"] for entry in meta["unavailable"] if entry["metric"] == "reach"} == {BAKERY}
    for row in (own, bakery):
        nulls = [key for key, each in row["metrics"].items() if None in {each["value"], each.get("growth_rate", 0)}]
        explained = [each["metric"] for each in meta["unavailable"] if each["account"] == row["account"]]
        assert explained == nulls != []
    assert {entry["account"] for entry in meta["warnings"]} == {ACCOUNT_ID, BAKERY}


def test_the_numbers_are_those_of_growth_trends(client, wire):
    plan_both(wire)
    metrics = "reach,views,interactions,posts"
    trends = body_of(client, "/growth-trends", period="7d", metrics=metrics, account=ACCOUNT_ID)["trends"]

    (own, _), _ = ask(client)

    assert {trend["key"]: trend["current_value"] for trend in trends}.items() <= numbers(own).items()
    assert numbers(own)["follower_growth"] == trends[0]["growth_rate"]


@pytest.mark.parametrize(
    ("failure", "code", "status"),
    [
        ((400, graph_error(190)), "token_invalid", 401),
        ((400, graph_error(10)), "permission_denied", 403),
        ((500, graph_error(2)), "provider_unavailable", 503),
    ],
)
def test_the_failure_of_one_account_is_its_own(client, wire, failure, code, status):
    _, bakery = plan_both(wire)
    # Instagram is shown to answer: else five faults in a row, whose order with the answers is open, would be its own.
    body_of(client, "/top-posts", time_range="7d", account=ACCOUNT_ID)
    bakery.failure = failure

    (first, second), meta = ask(client)

    assert (first["error"], numbers(first)["reach"]) == (None, 150)
    assert (second["account"], second["username"]) == (BAKERY, "bakery")
    assert (second["error"]["code"], second["error"]["status"], second["error"]["provider"]) == (
        *(code, status, "instagram"),
    )
    assert second["metrics"].keys() == set(HEADLINES)
    assert {(metric["value"], metric["reason"]) for metric in second["metrics"].values()} == {(None, code)}
    of_bakery = [entry for entry in meta["unavailable"] if entry["account"] == BAKERY]
    assert {entry["account"] for entry in meta["unavailable"]} == {ACCOUNT_ID, BAKERY}
    assert [(entry["metric"], entry["reason"]) for entry in of_bakery] == [(key, code) for key in HEADLINES]
    assert {entry["message"] for entry in of_bakery} == {second["error"]["message"]}
    assert {entry.get("retry_after") for entry in of_bakery} == {second["error"]["retry_after"]}
    assert (second["error"]["retry_after"] is None) is (status != 503)


def test_an_unknown_account_is_a_row_with_its_error(client, wire):
    plan_both(wire)

    (first, second), meta = ask(client, accounts=f"nobody.here,{ACCOUNT_ID}")

    assert (first["account"], first["username"], first["error"]["code"]) == ("nobody.here", None, "account_unknown")
    assert (first["error"]["provider"], first["metrics"]["posts"]["reason"]) == (None, "account_unknown")
    assert numbers(second)["posts"] == 2
    of_unknown = [entry for entry in meta["unavailable"] if entry["account"] == "nobody.here"]
    assert {entry["reason"] for entry in of_unknown} == {"account_unknown"}


def test_a_comparison_with_an_unknown_account_is_kept_for_a_minute(client, wire, clock):
    plan_both(wire)
    first = client.get("/compare?accounts=nobody.here")
    calls = len(wire.calls)

    clock.wait(59)
    again = client.get("/compare?accounts=nobody.here")
    assert (again.data, len(wire.calls)) == (first.data, calls)
    clock.wait(2)
    later = client.get("/compare?accounts=nobody.here")

    meta = first.get_json()["meta"]
    assert datetime.fromisoformat(meta["expires_at"]) - clock.now() == timedelta(seconds=-1)
    assert "max-age=60" in first.headers["Cache-Control"]
    assert later.get_json()["meta"]["expires_at"] > meta["expires_at"]


def test_a_comparison_with_a_failure_that_may_pass_is_soon_read_again_whatever_else_fails(client, wire, clock):
    _, bakery = plan_both(wire)
    bakery.failure = (500, graph_error(2))

    _, meta = ask(client, accounts="bakery,nobody.here")

    assert datetime.fromisoformat(meta["expires_at"]) - clock.now() == timedelta(seconds=5)


def test_a_comparison_is_as_old_as_its_oldest_account(client, wire, clock):
    plan_both(wire)
    client.get("/growth-trends?period=7d&metrics=reach,views,interactions,posts&account=bakery")
    first = clock.now()
    clock.wait(600)

    (own, bakery), meta = ask(client)

    moments = [datetime.fromisoformat(each["fetched_at"]) - first for each in (own, bakery, meta)]
    assert moments == [timedelta(seconds=600), timedelta(0), timedelta(0)]


def test_a_growth_from_no_followers_at_all_says_that_it_has_no_base(client, wire):
    us, _ = plan_both(wire)
    us.profile["followers_count"] = us.gained

    (own, _), _ = ask(client)

    growth = own["metrics"]["follower_growth"]
    assert (growth["value"], growth["reason"]) == (100, "zero_base")


def test_a_table_without_a_period_is_named_after_its_days(client, wire):
    plan_both(wire)

    usual = client.get("/compare?accounts=us,bakery&format=csv").headers["Content-Disposition"]
    named = client.get("/compare?accounts=us,bakery&period=7d&format=csv").headers["Content-Disposition"]

    assert usual == 'attachment; filename="compare-2026-05-18-2026-06-14.csv"'
    assert named == 'attachment; filename="compare-7d.csv"'


def test_a_known_comparison_costs_no_call_until_a_value_of_any_account_changes(client, wire, clock):
    _, bakery = plan_both(wire)
    ask(client)
    calls = len(wire.calls)
    ask(client)
    assert len(wire.calls) == calls

    clock.wait(60)
    bakery.profile = bakery.profile | {"followers_count": 600}
    client.get("/growth-trends?period=7d&account=bakery&refresh=true")

    (_, row), _ = ask(client)
    assert numbers(row)["followers"] == 600


def test_without_a_period_the_last_28_days_are_compared(client, wire):
    plan_both(wire)

    meta = body_of(client, "/compare", accounts="bakery")["meta"]

    assert meta["window"] == {"since": "2026-05-18", "until": "2026-06-14"}


@pytest.mark.parametrize(
    ("accounts", "words"),
    [
        ("", "it is empty"),
        (" , ", "it is empty"),
        (",".join(f"user{number}" for number in range(MOST_ACCOUNTS + 1)), "names 21 accounts"),
        ("us,not an account", "does not identify an account"),
    ],
)
def test_a_list_that_cannot_be_is_refused_with_what_is_accepted(client, accounts, words):
    response = client.get("/compare", query_string={"accounts": accounts})

    assert response.status_code == 400
    assert words in response.get_json()["message"]


def test_a_list_of_the_largest_size_is_accepted_and_an_account_named_twice_counts_once(client, wire):
    plan_both(wire)
    names = ["bakery", "bakery", *(f"user{number}" for number in range(MOST_ACCOUNTS - 1))]

    rows, _ = ask(client, accounts=",".join(names))

    assert [row["error"] is None for row in rows] == [True] + [False] * (MOST_ACCOUNTS - 1)


def test_an_account_that_is_named_by_its_id_and_its_username_has_one_row(client, wire):
    us, _bakery = plan_both(wire)
    us.posts = []

    rows, meta = ask(client, accounts=f"bakery,{ACCOUNT_ID},{BAKERY},@bakery,BAKERY")

    assert [row["account"] for row in rows] == [BAKERY, ACCOUNT_ID]
    warnings = [(each["account"], each["code"]) for each in meta["warnings"]]
    assert len(warnings) == len(set(warnings)) > 0


def test_names_are_looked_up_side_by_side_so_that_they_share_a_call_and_its_failure(client, wire):
    calls = []

    def answer(_request):
        calls.append("profile")
        time.sleep(0.3)  # All names are waiting for it by then.
        return 500, {}, "{}"

    wire.add_callback(responses.GET, f"{GRAPH}/v25.0/{ACCOUNT_ID}", callback=answer)

    rows, _ = ask(client, accounts="one,two,three,four")

    assert [row["error"]["code"] for row in rows] == ["provider_unavailable"] * 4
    assert calls == ["profile"]


@pytest.mark.parametrize("account_id", [ACCOUNT_ID, ""])
def test_names_that_are_looked_up_after_a_failure_share_it_too(make_client, clock, wire, account_id):
    """There are more names than threads."""
    config = settings(provider_parallel=1, max_waiting_requests=1, instagram_account_id=account_id, page_id="555")
    client = make_client(config, clock=clock)
    wire.get(f"{GRAPH}/v25.0/{account_id or 555}", json=graph_error(10), status=403)

    rows, _ = ask(client, accounts=",".join(f"user{number}" for number in range(MOST_ACCOUNTS)))

    assert {row["error"]["code"] for row in rows} == {"permission_denied"}
    assert len(wire.calls) == 1


def test_an_account_that_is_removed_meanwhile_takes_no_other_down(client, wire, monkeypatch):
    plan_both(wire)
    find, found = AccountResolver.find, set()

    def find_once(resolver, reference):
        account = find(resolver, reference)
        if account.id in found:
            raise AccountUnknownError("There is no such account here.")
        found.add(account.id)
        return account

    monkeypatch.setattr(AccountResolver, "find", find_once)

    rows, _ = ask(client)

    assert [numbers(row)["followers"] for row in rows] == [1000, 500]


@pytest.mark.parametrize(
    "busy_in", ["posts.reader.PostReader.read_with_profile", "accounts.resolver.AccountResolver.find"]
)
def test_a_busy_gateway_answers_for_no_account(client, wire, monkeypatch, busy_in):
    plan_both(wire)

    def busy(*_):
        raise BusyError("The gateway is busy.")

    monkeypatch.setattr(f"services.{busy_in}", busy)

    response = client.get("/compare?accounts=bakery&period=7d")

    assert (response.status_code, response.get_json()["code"]) == (503, "busy")


def test_a_table_has_one_row_for_each_account(client, wire):
    _, bakery = plan_both(wire)
    bakery.failure = (400, graph_error(190))

    response = client.get(f"/compare?accounts={ACCOUNT_ID},bakery&period=7d&format=csv")

    own, other = table_rows(response)
    assert (own["account"], own["reach"], own["posts"], own["error"]) == (f"'{ACCOUNT_ID}", "150", "2", "")
    assert (own["since"], own["until"]) == (WINDOW["since"], WINDOW["until"])
    assert (other["username"], other["reach"], other["reach_reason"]) == ("bakery", "", "token_invalid")
    assert other["error"] == "token_invalid"
