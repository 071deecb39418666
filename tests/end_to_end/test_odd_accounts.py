"""Accounts at the edges: nothing at all, far too much, names and texts that few expect."""

from __future__ import annotations

from datetime import timedelta

import pytest

from config import Config
from tests.movable_clock import MovableClock
from tests.support import live_settings, utc

NOW = utc("2026-11-18T18:00")
ASKED_FOR = timedelta(days=62)  # two windows of 30 days, with a day at each end
EVERYTHING = [
    "/account-insights?period=day&metrics=impressions,reach,follower_count,email_contacts,follows_and_unfollows",
    "/account-insights?period=days_28&metrics=reach,views&breakdown=follow_type",
    "/growth-trends?period=30d&metrics=reach,views,interactions,posts",
    "/top-posts?time_range=30d&limit=50",
    "/top-posts?time_range=30d&limit=50&format=csv",
]


@pytest.fixture(params=["facebook", "instagram"])
def gateway_of(request, simulator, make_client):
    simulator.post("/_simulator/switches", {"reporting_delay": False})
    simulator.post("/_simulator/clock", {"now": NOW.isoformat()})
    listed = simulator.get("/_simulator/accounts").json()

    def build(kind):
        account = next(each for each in reversed(listed["accounts"]) if each["kind"] == kind)
        live = live_settings(simulator.url, account, listed["app"], listed["modash"]["key"])
        if request.param == "instagram":
            live["ACCESS_LONG_LIVED_TOKEN"] = account["instagram_token"]
            live["GRAPH_BASE_URL"] = f"{simulator.url}/graph.instagram.com"
        client = make_client(Config.from_env(live | {"LOG_LEVEL": "ERROR"}), clock=MovableClock(NOW))
        truth = simulator.get(f"/_simulator/truth/{account['id']}?since={(NOW - ASKED_FOR).date()}").json()
        return client, account, truth

    return build


@pytest.mark.parametrize(
    "kind",
    ["ninety_nine", "odd_texts", "digits", "hidden_likes", "no_posts", "no_followers", "nothing"],
)
def test_every_endpoint_answers_and_every_unknown_has_a_reason(gateway_of, kind):
    client, _, _ = gateway_of(kind)

    for request in EVERYTHING:
        response = client.get(request)

        assert response.status_code == 200, response.get_data(as_text=True)
        body = response.get_json(silent=True) or {}
        for value in (value for entry in body.get("data", []) for value in entry["values"]):
            assert (value["value"] is None) == ("reason" in value)
        for trend in body.get("trends", []):
            assert trend["growth_rate"] is not None or trend["reason"]


def test_thousands_of_posts_are_all_looked_at(gateway_of):
    client, _, truth = gateway_of("flood")
    growth = client.get("/growth-trends?period=7d")

    body = client.get("/top-posts?time_range=30d&limit=1").get_json()

    assert growth.status_code == 200
    since = body["meta"]["time_range"]["since"][:19]
    assert body["meta"]["time_range"]["posts"] == len([p for p in truth["posts"] if p["timestamp"][:19] >= since])
    assert body["meta"]["time_range"]["posts"] > 4_000
    assert body["meta"]["warnings"] == []


def test_with_99_followers_instagram_does_not_tell_who_came(gateway_of):
    client, _, truth = gateway_of("ninety_nine")

    trend = client.get("/growth-trends?period=7d").get_json()["trends"][0]

    assert (trend["current_value"], truth["followers_count"]) == (99, 99)
    assert (trend["previous_value"], trend["reason"]) == (None, "few_followers")


def test_without_followers_there_is_no_engagement_rate(gateway_of):
    client, _, _ = gateway_of("no_followers")

    trends = client.get("/growth-trends?period=7d").get_json()["trends"]

    assert trends[0]["current_value"] == 0
    assert (trends[1]["current_value"], trends[1]["reason"]) == (None, "no_followers")


def test_hidden_likes_are_ranked_by_their_comments(gateway_of):
    client, _, _ = gateway_of("hidden_likes")

    posts = client.get("/top-posts?time_range=30d").get_json()["top_posts"]

    assert posts
    assert all(post["likes_hidden"] and post["engagement_score"] == post["comments_count"] for post in posts)


def test_a_username_of_digits_is_not_taken_for_an_id(gateway_of):
    client, account, _ = gateway_of("digits")

    by_name = client.get(f"/top-posts?time_range=7d&account={account['username']}")
    other = client.get("/top-posts?time_range=7d&account=999")

    assert by_name.get_json()["meta"]["account"] == account["id"]
    assert other.get_json()["code"] == "account_unknown"


def test_texts_come_as_they_are(gateway_of):
    client, _, truth = gateway_of("odd_texts")

    posts = client.get("/top-posts?time_range=30d&limit=50").get_json()["top_posts"]

    captions = {post["id"]: post["caption"] for post in truth["posts"]}
    assert posts
    for post in posts:
        # Half a surrogate pair is no character.
        assert (post["caption"] or "") == (captions[post["id"]] or "").encode(errors="replace").decode()[:500]
