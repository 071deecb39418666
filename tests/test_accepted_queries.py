"""The forms that callers may use for the same thing, and that no query whatever breaks the gateway."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.creators import creator_name
from services.days import EndTime, midnight, provider_time
from tests.support import MODASH, MovableClock, utc

ANYTHING = re.compile(r"https://(graph\.facebook|api\.modash)\..*")


@pytest.fixture
def client(make_client):
    return make_client(clock=MovableClock(utc("2026-06-15T18:00:00")))


@pytest.fixture
def wire():
    """Providers that answer everything with nothing."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        wire.get(ANYTHING, json={"data": []})
        yield wire


# Creators

CREATORS = [
    ("nasa", "nasa"),
    ("@nasa", "nasa"),
    ("NASA", "nasa"),
    (" @Nasa ", "nasa"),
    ("a.b_c9", "a.b_c9"),
    ("528817151", "528817151"),
    ("@528817151", "@528817151"),
    ("https://www.instagram.com/nasa/", "nasa"),
    ("https://instagram.com/nasa", "nasa"),
    ("http://m.instagram.com/NASA/", "nasa"),
    ("www.instagram.com/nasa", "nasa"),
    ("instagram.com/nasa/?hl=en", "nasa"),
    ("https://www.instagram.com/nasa/reels/", "nasa"),
    ("https://www.instagram.com/nasa/#x", "nasa"),
    ("https://instagr.am/nasa", "nasa"),
    ("https://www.instagram.com/_u/nasa/", "nasa"),
    ("https://www.instagram.com/@nasa", "nasa"),
    ("https://www.instagram.com/528817151/", "@528817151"),
]
NO_CREATORS = [
    "",
    "@",
    "@@nasa",
    "na sa",
    "nasa?x=1",
    "nasa&url=other",
    "náså",
    "a" * 31,
    "nasa\n.",
    "../user/info",
    "https://www.instagram.com/",
    "https://www.instagram.com/p/CxYz123/",
    "https://www.instagram.com/reel/CxYz123/",
    "https://www.instagram.com/reels/CxYz123/",
    "https://www.instagram.com/tv/CxYz123/",
    "https://www.instagram.com/stories/nasa/123/",
    "https://www.instagram.com/explore/tags/space/",
    "https://www.instagram.com/accounts/login/",
    "https://www.instagram.com/P/CxYz123/",
    "https://www.tiktok.com/@nasa",
    "https://instagram.com.evil.example/nasa",
    "https://evil.example/instagram.com/nasa",
    "https://evilinstagram.com/nasa",
    "https://[::1/nasa",
    "//",
]


@pytest.mark.parametrize(("given_", "name"), CREATORS)
def test_a_creator_may_be_named_in_many_ways(client, wire, given_, name):
    response = client.get("/performance-data", query_string={"url": given_})

    assert response.status_code == 200
    asked = urlsplit(wire.calls[0].request.url)
    assert f"{asked.scheme}://{asked.netloc}{asked.path}" == f"{MODASH}/v1/instagram/performance-data"
    assert parse_qs(asked.query) == {"url": [name]}
    assert response.get_json()["meta"]["creator"] == name


@pytest.mark.parametrize("given_", NO_CREATORS)
def test_what_names_no_creator_is_refused_without_a_call(client, wire, given_):
    response = client.get("/performance-data", query_string={"url": given_})

    assert (response.status_code, response.get_json()["code"]) == (400, "bad_request")
    assert response.get_json()["message"].startswith("url:")
    assert len(wire.calls) == 0


@pytest.mark.parametrize(("given_", "name"), CREATORS)
def test_the_name_of_a_creator_names_the_same_creator(given_, name):
    assert creator_name(creator_name(given_)) == name


# Times


@pytest.mark.parametrize(
    ("since", "until", "days"),
    [
        ("2026-06-01", "2026-06-02", ("2026-06-01", "2026-06-02")),
        (" 2026-06-01 ", "2026-06-01", ("2026-06-01",)),
        ("1780297200", "1780383600", ("2026-05-31", "2026-06-01")),  # both midnights of June 1, Pacific time
        ("1780297201", "1780383600", ("2026-06-01",)),
        ("1780297201", "1780383599", ()),
        ("2026-06-01", "1780383600", ("2026-06-01",)),
        ("1780297201", "2026-06-02", ("2026-06-01", "2026-06-02")),
    ],
)
def test_times_are_unix_seconds_or_dates_in_any_mix(client, wire, since, until, days):
    query = {"period": "day", "metrics": "views", "since": since, "until": until}

    body = client.get("/account-insights", query_string=query).get_json()

    assert [value["end_time"] for value in body["data"][0]["values"]] == [
        provider_time(EndTime.DAY_END.of(utc(day).date())) for day in days
    ]


def test_the_unix_times_of_the_table_above_are_midnights():
    assert (midnight(utc("2026-06-01").date()), midnight(utc("2026-06-02").date())) == (1780297200, 1780383600)


# Spellings


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/account-insights", {"period": "DAY", "metrics": "reach"}),
        ("/account-insights", {"period": "day", "metrics": " reach , views "}),
        ("/account-insights", {"period": "day", "metrics": "reach,reach,"}),
        ("/account-insights", {"period": "day", "metrics": "views", "breakdown": "follower_type"}),
        ("/account-insights", {"period": "day", "metrics": "reach", "account": "17841400000000001"}),
        ("/growth-trends", {"period": "30d", "metrics": "Reach Change"}),
        ("/growth-trends", {"period": "30d", "metrics": "reach_change,Views"}),
        ("/top-posts", {"time_range": " 7d", "media_product_type": "reels"}),
        ("/top-posts", {"time_range": "7d", "limit": "50", "format": "JSON"}),
    ],
)
def test_spellings_are_taken_kindly(client, wire, path, query):
    assert client.get(path, query_string=query).status_code == 200


def test_a_metric_that_is_named_twice_is_answered_once(client, wire):
    body = client.get("/account-insights?period=day&metrics=views,reach,views").get_json()

    assert [insight["name"] for insight in body["data"]] == ["views", "reach"]


# Anything

PATHS = ["/account-insights", "/growth-trends", "/top-posts", "/performance-data", "/healthz", "/openapi.json", "/x"]
NAMES = ["period", "metrics", "since", "until", "breakdown", "account", "format", "time_range", "limit", "url"]
VALUES = [
    "day",
    "7d",
    "365d",
    "reach",
    "views,likes",
    "2026-06-01",
    "1780297200",
    "follow_type",
    "5",
    "nasa",
    "csv",
    "",
]
queries = st.lists(
    st.tuples(st.sampled_from(NAMES) | st.text(max_size=8), st.sampled_from(VALUES) | st.text(max_size=12)), max_size=5
)
raw = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=30)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(path=st.sampled_from(PATHS), query=queries | raw)
def test_no_query_breaks_the_gateway(client, wire, path, query):
    response = client.get(path, query_string=query)

    assert response.status_code in {200, 400, 404}
    assert response.status_code == 200 or response.get_json()["error"] is True
