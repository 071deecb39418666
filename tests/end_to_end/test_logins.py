"""One account, read by either login, gives the same numbers, but for what is known to differ."""

from __future__ import annotations

import pytest

from config import Config
from tests.movable_clock import MovableClock
from tests.support import live_settings, utc

NOW = utc("2026-11-03T18:00")
ALL = (
    "reach,views,accounts_engaged,total_interactions,likes,comments,shares,saves,replies,reposts,follows_and_unfollows,"
    "profile_links_taps,website_clicks,follower_count,impressions,email_contacts,phone_call_clicks"
)
REQUESTS = [
    f"/account-insights?period=day&metrics={ALL}&since=2026-10-29&until=2026-11-02",
    f"/account-insights?period=week&metrics={ALL}&since=2026-10-20&until=2026-11-02",
    "/account-insights?period=days_28&metrics=reach,views&breakdown=follow_type",
    "/account-insights?period=day&metrics=reach&breakdown=media_product_type,follow_type&since=2026-10-30&until=2026-11-01",
    "/growth-trends?period=30d&metrics=reach,views,interactions,posts",
    "/growth-trends?period=90d&metrics=views",
    "/top-posts?time_range=30d&limit=50",
]


@pytest.fixture
def both(simulator, make_client):
    """Build two gateways for one account, one for each login."""
    simulator.post("/_simulator/switches", {"reporting_delay": False, "igl_website_clicks": "answered"})
    simulator.post("/_simulator/clock", {"now": NOW.isoformat()})
    listed = simulator.get("/_simulator/accounts").json()

    def build(index):
        account = listed["accounts"][index]
        facebook = live_settings(simulator.url, account, listed["app"], listed["modash"]["key"])
        instagram = facebook | {
            "ACCESS_LONG_LIVED_TOKEN": account["instagram_token"],
            "GRAPH_BASE_URL": f"{simulator.url}/graph.instagram.com",
            "INSTAGRAM_ACCOUNT_ID": "",
        }
        quiet = {"LOG_LEVEL": "ERROR", "PROVIDER_PARALLEL": "8"}
        return [make_client(Config.from_env(each | quiet), clock=MovableClock(NOW)) for each in (facebook, instagram)]

    return build


@pytest.mark.parametrize("index", range(12))
def test_both_logins_give_the_same_numbers(both, index):
    facebook, instagram = both(index)

    for request in REQUESTS:
        answers = [client.get(request) for client in (facebook, instagram)]

        assert [answer.status_code for answer in answers] == [200, 200], request
        assert answers[0].get_json() == answers[1].get_json(), request


@pytest.mark.parametrize("in_header", [True, False])
def test_it_works_whether_or_not_the_header_is_understood(simulator, both, in_header):
    simulator.post("/_simulator/switches", {"igl_bearer": in_header})
    _, instagram = both(0)

    assert instagram.get("/top-posts?time_range=7d").status_code == 200


@pytest.mark.parametrize("behaviour", ["missing", "answered", "refused"])
def test_website_clicks_may_come_or_not_and_take_nothing_with_them(simulator, both, behaviour):
    facebook, instagram = both(0)
    simulator.post("/_simulator/switches", {"igl_website_clicks": behaviour})
    request = "/account-insights?period=day&metrics=views,website_clicks,profile_views"

    first, second = (client.get(request).get_json()["data"] for client in (facebook, instagram))

    assert first[0] == second[0]
    assert (first[1]["values"][0]["value"] == second[1]["values"][0]["value"]) == (behaviour == "answered")
    assert second[2]["values"][0]["reason"] == "not_by_login"


@pytest.mark.parametrize("locale", ["en", "ja", "pt"])
def test_a_refusal_is_understood_in_any_language(simulator, both, locale):
    _, instagram = both(0)
    simulator.post("/_simulator/switches", {"locale": locale})
    simulator.post("/_simulator/faults", {"provider": "instagram", "kind": "refuse_metric", "metric": "views"})

    body = instagram.get("/account-insights?period=day&metrics=views,likes").get_json()

    assert body["data"][0]["values"][0]["reason"] == "refused"
    assert body["data"][1]["values"][0]["value"] is not None
