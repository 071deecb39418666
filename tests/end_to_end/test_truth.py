"""The gateway's numbers are the simulator's truth: 100 accounts and windows, clock changes among them.

`TRUTH=all` takes 200 of each.
"""

from __future__ import annotations

import os
import random
from datetime import date, datetime, timedelta

import pytest

from config import Config
from tests.end_to_end.truth import BUTTONS, PACIFIC, Truth, end_time, midnight
from tests.movable_clock import MovableClock
from tests.support import live_settings, utc

DAY = timedelta(days=1)
DOCUMENTED = [
    *("impressions", "reach", "profile_views", "website_clicks", "email_contacts"),
    *("get_directions_clicks", "phone_call_clicks", "text_message_clicks", "follower_count"),
]
PLAIN = [
    *("reach", "views", "accounts_engaged", "total_interactions", "likes", "comments", "shares", "saves"),
    *("replies", "reposts", "follows_and_unfollows", "profile_links_taps"),
]
# Just after both clock changes, in the midst of summer, on the hour that comes twice, at the year's end.
MOMENTS = ["2026-11-03T18:00", "2026-03-09T10:30", "2026-07-15T23:59", "2025-11-02T09:30", "2026-01-01T08:00"]
CASES = 20 if os.environ.get("TRUTH") == "all" else 10
ACCOUNTS_OF_A_CASE = 10
# No question goes further back, and the truth of every day takes longer than the answers.
ASKED_FOR = timedelta(days=220)


@pytest.fixture
def gateway_of(simulator, make_client):
    """Build a gateway for one of the simulator's accounts, on a clock that stands where the simulator's does."""
    simulator.post("/_simulator/switches", {"reporting_delay": False})
    listed = simulator.get("/_simulator/accounts").json()

    def build(index: int, now: datetime, **environment: str):
        account = listed["accounts"][index]
        simulator.post("/_simulator/clock", {"now": now.isoformat()})
        live = live_settings(simulator.url, account, listed["app"], listed["modash"]["key"])
        live |= {"PROVIDER_PARALLEL": "8", "LOG_LEVEL": "WARNING"} | environment
        client = make_client(Config.from_env(live), clock=MovableClock(now))
        since = {"since": f"{(now - ASKED_FOR).date()}"}
        truth = simulator.get(f"/_simulator/truth/{account['id']}", params=since).json()
        return client, Truth(truth, now)

    return build


def ask(client, path, **parameters):
    response = client.get(path, query_string=parameters)
    assert response.status_code == 200, response.get_data(as_text=True)
    return response.get_json()


@pytest.mark.parametrize("case", range(CASES))
def test_numbers_equal_the_truth(gateway_of, case):
    chance = random.Random(case)
    for _ in range(ACCOUNTS_OF_A_CASE):
        client, truth = gateway_of(chance.randrange(240), utc(MOMENTS[case % len(MOMENTS)]))

        check_days(client, truth, chance)
        check_windows(client, truth, chance)
        check_growth(client, truth, chance)
        check_top_posts(client, truth, chance)


def check_days(client, truth, chance):
    metrics = chance.choice([DOCUMENTED, PLAIN, chance.sample(PLAIN, 3), ["reach"], ["follower_count"]])
    last = truth.today - chance.choice([1, 1, 2, 30, 200]) * DAY
    first = last - chance.randrange(8) * DAY
    body = ask(client, "/account-insights", period="day", metrics=",".join(metrics), since=first, until=last)

    assert [entry["name"] for entry in body["data"]] == metrics
    for entry in body["data"]:
        days = [first + offset * DAY for offset in range((last - first).days + 1)]
        assert [value["end_time"] for value in entry["values"]] == [end_time(day) for day in days]
        for day, value in zip(days, entry["values"], strict=True):
            beyond = entry["name"] == "follower_count" and (truth.today - day).days > 30
            expected = None if beyond else truth.value(entry["name"], day, day)
            assert value["value"] == expected, (truth.body["account"], entry["name"], day)
            assert ("reason" in value) == (expected is None)


def check_windows(client, truth, chance):
    period, length = chance.choice([("week", 7), ("days_28", 28)])
    metric, breakdown = chance.choice(
        [
            ("reach", "follow_type"),
            ("reach", "media_product_type"),
            ("views", "media_product_type"),
            ("likes", "media_product_type"),
            ("profile_links_taps", "contact_button_type"),
            ("follows_and_unfollows", "follow_type"),
        ]
    )
    last = truth.today - chance.randrange(1, 60) * DAY
    first = last - (2 * length - 1 + chance.randrange(length)) * DAY
    body = ask(
        client,
        "/account-insights",
        period=period,
        metrics=metric,
        breakdown=breakdown,
        since=first,
        until=last,
    )

    values = body["data"][0]["values"]
    assert [value["end_time"] for value in values] == [end_time(last - length * DAY), end_time(last)]
    assert bool(body["meta"]["warnings"]) == ((last - first).days + 1 > 2 * length)
    for until, value in zip([last - length * DAY, last], values, strict=True):
        since = until - (length - 1) * DAY
        expected = truth.buckets(metric, breakdown, since, until)
        total = None if metric == "follows_and_unfollows" else truth.value(metric, since, until)
        assert value["value"] == total
        assert ("breakdowns" in value) == (expected is not None)
        if expected is not None:
            results = value["breakdowns"][0]["results"]
            assert {result["dimension_values"][0]: result["value"] for result in results} == expected


def check_growth(client, truth, chance):
    count, until = chance.choice([1, 7, 29, 30, 60]), chance.choice(["yesterday", "yesterday", "complete"])
    body = ask(client, "/growth-trends", period=f"{count}d", until=until, metrics="views,interactions,reach,posts")

    provisional = (truth.now - 2 * DAY).astimezone(PACIFIC).date()
    last = truth.today - DAY if until == "yesterday" else provisional - DAY
    first = last - (count - 1) * DAY
    before = (first - count * DAY, first - DAY)
    trends = {trend["metric"]: trend for trend in body["trends"]}
    followers = truth.followers if until == "yesterday" else truth.followers_before(last + DAY)
    for name in ("Views Change", "Interactions Change", "Reach Change"):
        known = trends[name]["current_value"] is not None or trends[name]["previous_value"] is not None
        marked = str(max(provisional, before[0])) if until == "yesterday" and known else None
        assert (trends[name]["provisional_from"], trends[name]["approximate"]) == (marked, marked is not None)
    expected = {
        "Follower Growth Rate": (followers, truth.followers_before(first)),
        "Engagement Rate Change": (truth.engagement_rate(first, last), truth.engagement_rate(*before)),
        "Views Change": (truth.value("views", first, last), truth.value("views", *before)),
        "Interactions Change": (
            truth.value("total_interactions", first, last),
            truth.value("total_interactions", *before),
        ),
        "Posts Change": tuple(
            len(truth.posts(midnight(since), midnight(until + DAY) - timedelta(seconds=1)))
            for since, until in [(first, last), before]
        ),
        "Reach Change": tuple(
            truth.value("reach", since, until) if fits_one_call(since, until) else None
            for since, until in [(first, last), before]
        ),
    }
    for name, (current, previous) in expected.items():
        trend = trends[name]
        assert trend["current_value"] == pytest.approx(current), (truth.body["account"], count, name)
        assert trend["previous_value"] == pytest.approx(previous), (truth.body["account"], count, name)
        if current is None or previous is None:
            assert trend["growth_rate"] is None
            assert trend["reason"]
        elif previous == 0:
            assert (trend["growth_rate"], trend["reason"]) == (100.0 if current > 0 else 0.0, "zero_base")
        else:
            assert trend["growth_rate"] == pytest.approx((current - previous) / previous * 100, abs=1e-5)


def fits_one_call(since: date, until: date) -> bool:
    return (midnight(until + DAY) - midnight(since)).total_seconds() <= 2_592_000


def check_top_posts(client, truth, chance):
    days, limit = chance.choice([1, 7, 30]), chance.choice([1, 5, 50])
    body = ask(client, "/top-posts", time_range=f"{days}d", limit=limit)

    posts = truth.posts(truth.now - timedelta(days=days), truth.now)
    scores = sorted(
        ((0 if post["likes_hidden"] else post["like_count"]) + post["comments_count"] for post in posts), reverse=True
    )
    by_id = {post["id"]: post for post in posts}
    assert [post["engagement_score"] for post in body["top_posts"]] == scores[:limit]
    assert len({post["id"] for post in body["top_posts"]}) == len(body["top_posts"])
    for post in body["top_posts"]:
        true = by_id[post["id"]]
        assert post["like_count"] == (None if true["likes_hidden"] else true["like_count"])
        assert post["likes_hidden"] == true["likes_hidden"]
        assert post["comments_count"] == true["comments_count"]


@pytest.mark.parametrize("marks", ["day_end", "day_start"])
def test_both_readings_of_end_time_give_the_same_numbers(simulator, gateway_of, marks):
    simulator.post("/_simulator/switches", {"end_time": marks})
    client, truth = gateway_of(0, utc("2026-11-03T18:00"), END_TIME_CONVENTION=marks)
    first, last = date(2026, 10, 30), date(2026, 11, 2)

    body = ask(client, "/account-insights", period="day", metrics="reach", since=first, until=last)
    both = ask(client, "/account-insights", period="day", metrics="reach,follower_count", since=first, until=last)

    values = [truth.value("reach", first + n * DAY, first + n * DAY) for n in range(4)]
    assert [value["value"] for value in body["data"][0]["values"]] == values
    assert [value["end_time"] for value in body["data"][0]["values"]] == [
        end_time(first + n * DAY, marks=marks) for n in range(4)
    ]
    assert [value["value"] for value in both["data"][1]["values"]] == [
        truth.value("follower_count", first + n * DAY, first + n * DAY) for n in range(4)
    ]


@pytest.mark.parametrize("index", range(0, 24, 2))
def test_with_the_reporting_delay_only_provisional_days_differ(simulator, gateway_of, index):
    now = utc("2026-11-20T15:00")
    client, truth = gateway_of(index, now)
    simulator.post("/_simulator/switches", {"reporting_delay": True})
    metrics = [*PLAIN, *BUTTONS]
    first, last = truth.today - 6 * DAY, truth.today

    body = ask(client, "/account-insights", period="day", metrics=",".join(metrics), since=first, until=last)

    provisional_from = date.fromisoformat(body["meta"]["provisional_from"])
    assert provisional_from == truth.today - 3 * DAY  # follows_and_unfollows is provisional for 72 hours
    for entry in body["data"]:
        for offset, value in enumerate(entry["values"]):
            day = first + offset * DAY
            expected = truth.value(entry["name"], day, day)
            if day < provisional_from:
                assert value["value"] == expected
            else:
                assert value["value"] is None or value["value"] <= expected
            assert ("reason" in value) == (value["value"] is None)


@pytest.mark.parametrize("index", range(0, 24, 4))
def test_with_the_reporting_delay_only_changes_that_are_marked_differ(simulator, gateway_of, index):
    client, truth = gateway_of(index, utc("2026-11-20T15:00"))
    simulator.post("/_simulator/switches", {"reporting_delay": True})
    metrics = {"views": "views", "interactions": "total_interactions", "reach": "reach"}

    for until, last in [("yesterday", truth.today - DAY), ("complete", truth.today - 3 * DAY)]:
        body = ask(client, "/growth-trends", period="7d", until=until, metrics=",".join(metrics))
        trends = {trend["key"]: trend for trend in body["trends"]}
        for key, metric in metrics.items():
            expected = truth.value(metric, last - 6 * DAY, last)
            assert trends[key]["window"]["until"] == str(last)
            assert trends[key]["current_value"] == expected or trends[key]["approximate"], (key, until)
            assert trends[key]["approximate"] == (until == "yesterday")
