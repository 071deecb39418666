"""Rankings and rates by the insights of posts are the simulator's truth, by both logins, conversions among them."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest

from config import Config
from tests.end_to_end.truth import Truth
from tests.movable_clock import MovableClock
from tests.support import live_settings, utc

DAY = timedelta(days=1)
METRICS = ("reach", "views", "saved", "shares", "total_interactions", "engagement_rate")
MOMENTS = ["2026-11-03T18:00", "2026-03-09T10:30", "2026-07-15T23:59", "2025-11-02T09:30", "2026-01-01T08:00"]
CASES = 5
ACCOUNTS_OF_A_CASE = 2
DAYS = 100  # of the truth; growth over 45 days compares 90


@pytest.fixture
def gateway_of(simulator, make_client):
    """Build a gateway for one of the simulator's accounts by one of the logins."""
    listed = simulator.get("/_simulator/accounts").json()

    def build(index: int, login: str, now: datetime):
        account = listed["accounts"][index]
        simulator.post("/_simulator/clock", {"now": now.isoformat()})
        live = live_settings(simulator.url, account, listed["app"], "key") | {"LOG_LEVEL": "ERROR"}
        if login == "instagram":
            live |= {
                "ACCESS_LONG_LIVED_TOKEN": account["instagram_token"],
                "GRAPH_BASE_URL": f"{simulator.url}/graph.instagram.com",
                "INSTAGRAM_ACCOUNT_ID": "",
            }
        query = {"insights": "true", "since": f"{(now - DAYS * DAY).date()}"}
        truth = simulator.get(f"/_simulator/truth/{account['id']}", params=query).json()
        return make_client(Config.from_env(live), clock=MovableClock(now)), Truth(truth, now)

    return build


def ask(client, path, **parameters):
    response = client.get(path, query_string=parameters)
    assert response.status_code == 200, response.get_data(as_text=True)
    return response.get_json()


@pytest.mark.parametrize("login", ["facebook", "instagram"])
@pytest.mark.parametrize("case", range(CASES))
def test_rankings_and_rates_equal_the_truth(simulator, gateway_of, login, case):
    chance = random.Random(f"{case} {login}")
    now = utc(MOMENTS[case % len(MOMENTS)])
    switched = None if case % 2 else (now - chance.uniform(1, 60) * DAY).isoformat()
    ads = chance.choice(["feed", "feed", "refused"])
    simulator.post("/_simulator/switches", {"pre_conversion_before": switched, "ad_insights": ads})
    for _ in range(ACCOUNTS_OF_A_CASE):
        client, truth = gateway_of(chance.randrange(240), login, now)
        if ads == "refused":
            for post in truth.body["posts"]:
                post["before_conversion"] |= post["media_product_type"] == "AD"

        check_top_posts(client, truth, chance)
        check_growth(client, truth, chance)


def check_top_posts(client, truth, chance):
    days, limit, by = chance.choice([1, 7, 30]), chance.choice([1, 5, 50]), chance.choice(METRICS)
    body = ask(client, "/top-posts", time_range=f"{days}d", limit=limit, by=by)

    posts = truth.posts(truth.now - days * DAY, truth.now)
    values = [truth.insight(post, by) for post in posts]
    known = sorted((value for value in values if value is not None), reverse=True)
    expected = (known + [None] * (len(values) - len(known)))[:limit]
    assert [post[by] for post in body["top_posts"]] == pytest.approx(expected)
    assert body["meta"]["ranking"] == {"by": by, "posts_unknown": len(values) - len(known)}
    by_id = {post["id"]: post for post in posts}
    for post in body["top_posts"]:
        for metric in METRICS:
            assert post[metric] == pytest.approx(truth.insight(by_id[post["id"]], metric)), (post["id"], metric)
            assert (metric in post["reasons"]) == (post[metric] is None)


def check_growth(client, truth, chance):
    count, base = chance.choice([1, 7, 29, 45]), chance.choice(["reach", "views"])
    method = chance.choice(["mean_of_posts", "ratio_of_sums", "median"])
    body = ask(client, "/growth-trends", period=f"{count}d", er_basis=base, er_method=method)

    last = truth.today - DAY
    first = last - (count - 1) * DAY
    trend = next(trend for trend in body["trends"] if trend["key"] == "engagement_rate")
    current = truth.own_rate(first, last, base, method)
    previous = truth.own_rate(first - count * DAY, first - DAY, base, method)
    assert (trend["basis"], trend["coverage"]["method"]) == (base, method)
    assert trend["current_value"] == pytest.approx(current)
    assert trend["previous_value"] == pytest.approx(previous)
    if current is None or previous is None:
        assert trend["growth_rate"] is None
        assert trend["reason"]
    for part in (trend["coverage"]["current"], trend["coverage"]["previous"]):
        assert sum(part["left_out"].values()) == part["posts_left_out"]
