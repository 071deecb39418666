"""Growth trends whose parts are refused, fail or are not final yet: the others are answered, each says what it is."""

from __future__ import annotations

from datetime import date

import pytest
from responses.matchers import query_param_matcher

from services.days import midnight, pacific_day
from services.windows import Window
from tests.movable_clock import MovableClock
from tests.planners import (
    MEDIA,
    USER,
    body_of,
    follows,
    plan_insights,
    plan_posts,
    plan_profile,
    post,
    query_of,
    series,
)
from tests.support import graph_error, total_value, utc

POSTS = [post("b", "2026-06-13T12:00:00+0000"), post("a", "2026-06-03T12:00:00+0000")]
ALL = "posts,reach,views,interactions"


def ask(client, period="7d", metrics=ALL, **query):
    body = body_of(client, "/growth-trends", period=period, metrics=metrics, **query)
    return {trend["key"]: trend for trend in body["trends"]}, body["meta"]


def answered(query):
    """Every total is 10, fifty accounts came and twenty left."""
    if "breakdown" in query:
        return follows(gained=50, lost=20)
    return 200, {"data": [total_value(name, 10) for name in query["metric"].split(",")]}


# Parts that are refused or fail


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        (10, 403, "permission_denied"),
        (200, 403, "permission_denied"),
        (299, 400, "permission_denied"),
        (2, 500, "provider_unavailable"),
    ],
)
def test_what_rests_on_no_insights_is_answered_where_they_are_refused(client, wire, code, status, reason):
    plan_profile(wire)
    plan_posts(wire, POSTS)
    plan_insights(wire, lambda _: (status, graph_error(code)))

    trends, meta = ask(client)

    assert (trends["engagement_rate"]["growth_rate"], trends["posts"]["growth_rate"]) == (0, 0)
    assert (trends["followers"]["current_value"], trends["followers"]["previous_value"]) == (1000, None)
    for key in ("followers", "reach", "views", "interactions"):
        assert (trends[key]["growth_rate"], trends[key]["reason"]) == (None, reason)
        assert trends[key]["provisional_from"] is None
    assert {entry["reason"] for entry in meta["unavailable"]} == {reason}
    assert all(entry["message"] for entry in meta["unavailable"])


def test_few_followers_are_no_reason_where_insights_are_refused(client, wire):
    plan_profile(wire, followers=50)
    plan_posts(wire, POSTS)
    plan_insights(wire, lambda _: (403, graph_error(10)))

    assert ask(client)[0]["followers"]["reason"] == "permission_denied"


def test_a_long_window_of_people_names_their_refusal_where_it_is_known(client, wire):
    plan_profile(wire)
    plan_posts(wire, POSTS)
    plan_insights(wire, lambda query: (400, graph_error(100)) if "reach" in query["metric"] else answered(query))
    reasons = [ask(client, period, "views,reach")[0]["reach"]["reason"] for period in ("90d", "7d", "89d")]

    assert reasons == ["window_too_long", "refused", "refused"]


@pytest.mark.parametrize(("code", "reason"), [(10, "permission_denied"), (2, "provider_unavailable")])
def test_without_posts_the_other_trends_are_answered(client, wire, code, reason):
    plan_profile(wire)
    wire.get(MEDIA, json=graph_error(code), status=400)
    plan_insights(wire, answered)

    trends, meta = ask(client)

    assert (trends["followers"]["growth_rate"], trends["reach"]["growth_rate"]) == (pytest.approx(30 / 9.7), 0)
    assert (trends["engagement_rate"]["reason"], trends["posts"]["reason"]) == (reason, reason)
    assert trends["posts"]["current_value"] is None
    assert trends["posts"]["coverage"] == {"covered_until": None}
    unknown = {"numerator": None, "denominator": 1000, "posts_used": None, "posts_left_out": None}
    assert (trends["engagement_rate"]["coverage"]["current"], trends["engagement_rate"]["coverage"]["previous"]) == (
        unknown,
        unknown,
    )
    assert {(entry["metric"], entry["reason"], "retry_after" in entry) for entry in meta["unavailable"]} == {
        ("Engagement Rate Change", reason, code == 2),
        ("Posts Change", reason, code == 2),
    }


def test_a_total_that_could_not_be_read_says_when_to_ask_again(client, wire):
    plan_profile(wire)
    plan_posts(wire, POSTS)
    plan_insights(wire, lambda query: (400, graph_error(2)) if "views" in query["metric"] else answered(query))

    _, meta = ask(client, metrics="views")

    (entry,) = meta["unavailable"]
    assert (entry["metric"], entry["reason"], "retry_after" in entry) == ("Views Change", "provider_unavailable", True)


def test_without_a_profile_the_other_trends_are_answered(client, wire):
    wire.get(USER, json=graph_error(10), status=403)
    plan_posts(wire, POSTS)
    plan_insights(wire, answered)

    trends, _ = ask(client)

    assert (trends["posts"]["growth_rate"], trends["views"]["growth_rate"]) == (0, 0)
    for key in ("followers", "engagement_rate"):
        assert (trends[key]["current_value"], trends[key]["reason"]) == (None, "permission_denied")


def test_a_refusal_of_everything_is_the_answer(client, wire):
    for url in (USER, MEDIA):
        wire.get(url, json=graph_error(10), status=403)
    plan_insights(wire, lambda _: (403, graph_error(10)))

    response = client.get("/growth-trends?period=7d")

    assert (response.status_code, response.get_json()["code"]) == (403, "permission_denied")


# How long an answer lasts


def no_posts_after_the_first_page(wire):
    plan_profile(wire)
    wire.get(MEDIA, json={"data": POSTS[:1], "paging": {"cursors": {"after": "C1"}, "next": "https://next.test/"}})
    wire.get(MEDIA, json=graph_error(2), status=500, match=[query_param_matcher({"after": "C1"}, strict_match=False)])


def no_profile(wire):
    wire.get(USER, json=graph_error(2), status=500)
    plan_posts(wire, POSTS)


def all_lists(wire):
    plan_profile(wire)
    plan_posts(wire, POSTS)


@pytest.mark.parametrize(
    ("plan", "refused", "expires_at"),
    [
        (all_lists, None, "2026-06-15T19:00:00Z"),
        (all_lists, "follows_and_unfollows", "2026-06-15T18:00:05Z"),
        (all_lists, "views", "2026-06-15T18:00:05Z"),
        (no_profile, None, "2026-06-15T18:00:05Z"),
        (no_posts_after_the_first_page, None, "2026-06-15T18:00:00Z"),
    ],
)
def test_an_answer_without_a_part_that_failed_lasts_for_moments_only(client, wire, plan, refused, expires_at):
    def insights(query):
        if refused == query["metric"]:
            return 500, graph_error(2)
        if query["metric"] == "follower_count":
            days = Window(pacific_day(int(query["since"])), pacific_day(int(query["until"])))
            return 200, {"data": [series("follower_count", dict.fromkeys(days, 1))]}
        return answered(query)

    plan(wire)
    plan_insights(wire, insights)

    _, meta = ask(client, metrics="views")

    assert meta["expires_at"] == expires_at


def test_an_answer_is_as_complete_as_the_oldest_of_the_insights_that_it_rests_on(client, wire, clock):
    plan_profile(wire)
    plan_posts(wire, POSTS)
    plan_insights(wire, answered)
    ask(client, metrics="followers")
    clock.wait(1800)

    trends, meta = ask(client, metrics="followers,views")

    assert meta["fetched_at"] == "2026-06-15T18:00:00Z"
    assert trends["followers"]["coverage"]["covered_until"] == "2026-06-12T18:00:00Z"


# Provisional days


def test_a_complete_period_is_covered_until_the_midnight_after_its_last_day(make_client, wire):
    client = make_client(clock=MovableClock(utc("2026-06-15T18:00:00")))
    plan_profile(wire)
    plan_posts(wire, [])
    plan_insights(wire, answered)

    trends, _ = ask(client, until="complete")

    for key in ("reach", "posts"):
        assert trends[key]["window"]["until"] == "2026-06-12"
        assert trends[key]["coverage"]["covered_until"] == "2026-06-13T07:00:00Z"


@pytest.mark.parametrize(
    ("now", "day", "covered_until"),
    [
        ("2026-06-15T18:00:00", "2026-06-13", "2026-06-13T18:00:00Z"),
        ("2026-06-15T07:00:00", "2026-06-13", "2026-06-13T07:00:00Z"),  # midnight in California
        ("2026-06-16T06:59:59", "2026-06-13", "2026-06-14T06:59:59Z"),
        ("2026-11-03T08:30:00", "2026-11-01", "2026-11-01T08:30:00Z"),  # an hour after that of the clock change
        ("2026-03-10T06:30:00", "2026-03-07", "2026-03-08T06:30:00Z"),
    ],
)
def test_totals_of_the_last_48_hours_are_provisional_and_say_so(make_client, wire, now, day, covered_until):
    client = make_client(clock=MovableClock(utc(now)))
    plan_profile(wire)
    plan_posts(wire, [])
    plan_insights(wire, answered)

    trends, meta = ask(client)

    for key in ("reach", "views", "interactions"):
        assert (trends[key]["approximate"], trends[key]["provisional_from"]) == (True, day)
        assert trends[key]["coverage"] == {"covered_until": covered_until}
    assert (trends["posts"]["approximate"], trends["posts"]["provisional_from"]) == (False, None)
    assert trends["followers"]["provisional_from"] < day
    assert meta["provisional_from"] == trends["followers"]["provisional_from"]
    assert day in next(each["message"] for each in meta["warnings"] if each["code"] == "provisional_days")


def test_both_windows_of_one_day_are_provisional(client, wire):
    plan_profile(wire)
    plan_posts(wire, [])
    plan_insights(wire, answered)

    trends, _ = ask(client, "1d", "views")

    assert (trends["views"]["window"]["since"], trends["views"]["provisional_from"]) == ("2026-06-14", "2026-06-13")


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2026-06-15T18:00:00", "2026-06-12"),
        ("2026-06-15T07:00:00", "2026-06-12"),
        ("2026-06-15T06:59:59", "2026-06-11"),
        ("2026-11-03T08:30:00", "2026-10-31"),
        ("2026-11-03T06:30:00", "2026-10-30"),  # half an hour too early
        ("2026-03-10T07:30:00", "2026-03-06"),  # 48 hours after a midnight before a day of 23 hours
    ],
)
def test_until_complete_ends_with_the_last_day_that_is_final(client, wire, clock, now, last):
    clock.set(utc(now))
    plan_profile(wire)
    plan_posts(wire, [post("a", f"{last}T20:00:00+0000")])
    plan_insights(wire, answered)

    trends, meta = ask(client, until="complete")

    assert {trend["window"]["until"] for trend in trends.values()} == {last}
    assert midnight(date.fromisoformat(last)) + 86_400 - 3600 <= clock.timestamp() - 48 * 3600
    for key in ("reach", "views", "interactions", "posts"):
        assert (trends[key]["approximate"], trends[key]["provisional_from"]) == (False, None)
    assert trends["posts"]["current_value"] == 1
    assert "provisional_days" not in [warning["code"] for warning in meta["warnings"]]


def test_followers_until_the_last_complete_day_are_compared_between_the_ends_of_the_window(client, wire):
    asked = []

    def insights(query):
        if "breakdown" not in query:
            return answered(query)
        asked.append(query["since"])
        return follows(gained=50, lost=20) if query["since"] == str(midnight(date(2026, 6, 6))) else follows(5, 2)

    plan_profile(wire)
    plan_posts(wire, [])
    plan_insights(wire, insights)

    trend = ask(client, metrics="followers", until="complete")[0]["followers"]

    assert sorted(asked) == [str(midnight(date(2026, 6, 6))), str(midnight(date(2026, 6, 13)))]
    assert (trend["current_value"], trend["previous_value"]) == (997, 970)
    assert (trend["basis"], trend["window"]) == (
        "follows_and_unfollows",
        {"since": "2026-06-06", "until": "2026-06-12"},
    )


def test_posts_out_of_order_or_without_a_time_make_the_counts_approximate(client, wire):
    plan_profile(wire)
    plan_posts(wire, [*POSTS, post("odd", None)])
    plan_insights(wire, answered)

    trends, meta = ask(client)

    assert (trends["posts"]["approximate"], trends["engagement_rate"]["approximate"]) == (True, True)
    assert "posts_unreadable" in [warning["code"] for warning in meta["warnings"]]


def test_an_unknown_end_is_refused(client):
    response = client.get("/growth-trends?period=7d&until=today")

    assert response.status_code == 400
    assert "yesterday, complete" in response.get_json()["message"] + response.get_json()["hint"]


def test_the_default_end_is_yesterday(client, wire):
    plan_profile(wire)
    plan_posts(wire, [])
    plan_insights(wire, answered)

    given, default = ask(client, until="yesterday"), ask(client)

    assert given == default
    assert query_of(wire.calls[0].request)


@pytest.mark.parametrize("until", ["yesterday", "complete"])  # The values of the second are in the history, too.
def test_people_of_windows_that_are_known_are_not_added_up_either(client, wire, until):
    plan_profile(wire)
    plan_posts(wire, POSTS)
    plan_insights(wire, answered)
    known, _ = ask(client, "30d", until=until)

    trends, meta = ask(client, "60d", until=until)

    assert (known["reach"]["current_value"], known["reach"]["previous_value"]) == (10, 10)
    assert (trends["reach"]["current_value"], trends["reach"]["reason"]) == (None, "window_too_long")
    assert trends["views"]["current_value"] == 20
    assert meta["stale"] is False
