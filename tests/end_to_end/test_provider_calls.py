"""How many provider calls a cold request costs; the suite prints the table at its end."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from config import Config
from tests.movable_clock import MovableClock
from tests.support import live_settings, utc

NOW = utc("2026-11-21T18:00")  # Thirty days back lies the clock change of autumn, the dearest time of the year.
PLAIN = (
    "reach,views,accounts_engaged,total_interactions,likes,comments,shares,saves,"
    "replies,reposts,follows_and_unfollows,profile_links_taps"
)
DOCUMENTED = (
    "impressions,reach,profile_views,website_clicks,email_contacts,"
    "get_directions_clicks,phone_call_clicks,text_message_clicks,follower_count"
)
DAYS_28 = "&since=2026-10-24&until=2026-11-20"


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/top-posts?time_range=30d&limit=50", 4),
        ("/top-posts?time_range=30d&limit=50&by=reach", 9),
        ("/growth-trends?period=30d", 8),
        (f"/account-insights?period=day&metrics={PLAIN}{DAYS_28}", 30),
        (f"/account-insights?period=day&metrics={DOCUMENTED}{DAYS_28}", 58),
        (f"/account-insights?period=day&metrics={DOCUMENTED}", 3),
        (f"/account-insights?period=day&metrics=reach{DAYS_28}", 1),
        (f"/account-insights?period=days_28&metrics={DOCUMENTED}", 3),
        ("/performance-data?url=nasa", 1),
    ],
)
def test_a_cold_request_costs_few_calls(simulator, make_client, record_property, path, most):
    listed = simulator.get("/_simulator/accounts").json()
    account = next(account for account in listed["accounts"] if account["kind"] == "prolific")
    simulator.post("/_simulator/clock", {"now": NOW.isoformat()})
    live = live_settings(simulator.url, account, listed["app"], listed["modash"]["key"])
    client = make_client(Config.from_env(live), clock=MovableClock(NOW))
    simulator.post("/_simulator/calls/reset")

    response = client.get(path)

    calls = simulator.get("/_simulator/calls").json()
    # A call that an earlier test gave up may end only now; it was for another account.
    made = len([call for call in calls["instagram"]["calls"] if account["id"] in call["path"]])
    made += calls["modash"]["total"]
    record_property("provider calls", f"{made:>3}, at most {most:>2}: {path[:90]}")
    assert response.status_code == 200
    assert int(response.headers["X-Provider-Calls"]) == made
    assert 0 < made <= most


def test_top_posts_of_a_hundred_posts_in_a_month(simulator, make_client):
    listed = simulator.get("/_simulator/accounts").json()
    account = next(account for account in listed["accounts"] if account["kind"] == "prolific")
    simulator.post("/_simulator/clock", {"now": NOW.isoformat()})
    client = make_client(
        Config.from_env(live_settings(simulator.url, account, listed["app"], "key")), clock=MovableClock(NOW)
    )

    body = client.get("/top-posts?time_range=30d&limit=50").get_json()

    assert body["meta"]["time_range"]["posts"] >= 100


def test_posts_from_before_the_conversion_cost_more_calls_once(simulator, make_client):
    """Three of them, the oldest of a month of about 200 posts."""
    path = "/top-posts?time_range=30d&limit=50&by=reach"
    listed = simulator.get("/_simulator/accounts").json()
    account = next(account for account in listed["accounts"] if account["kind"] == "prolific")
    simulator.post("/_simulator/clock", {"now": NOW.isoformat()})
    since = NOW - timedelta(days=30)
    truth = simulator.get(f"/_simulator/truth/{account['id']}", params={"since": str(since.date())}).json()
    times = sorted(moment for post in truth["posts"] if (moment := datetime.fromisoformat(post["timestamp"])) >= since)
    simulator.post("/_simulator/switches", {"pre_conversion_before": (times[2] + timedelta(seconds=1)).isoformat()})
    clock = MovableClock(NOW)
    client = make_client(Config.from_env(live_settings(simulator.url, account, listed["app"], "key")), clock=clock)

    first = client.get(path)
    clock.wait(60)
    later = client.get(f"{path}&refresh=true")

    assert first.get_json()["meta"]["ranking"]["posts_unknown"] == 3
    assert int(first.headers["X-Provider-Calls"]) <= 20
    assert 0 < int(later.headers["X-Provider-Calls"]) <= 9
    assert later.get_json()["top_posts"] == first.get_json()["top_posts"]
