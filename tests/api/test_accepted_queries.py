"""The forms that callers may use for the same thing, and that no query whatever breaks the gateway."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.days import EndTime, midnight, provider_time
from services.reports.creators import creator_name
from tests.support import MODASH, utc

ANYTHING = re.compile(r"https://(graph\.facebook|api\.modash)\..*")


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
    ("https://www.instagram.com/0528/", "@0528"),
    ("000528817151", "528817151"),
    ("@000528817151", "@000528817151"),
    ("https://www.instagram.com/nasa/Tagged", "nasa"),
    ("https://www.instagram.com/nasa/channel/", "nasa"),
    ("https://www.instagram.com/nasa/live/", "nasa"),
    ("https://www.instagram.com/nasa/saved/", "nasa"),
    ("https://www.instagram.com/nasa/followers/", "nasa"),
    ("https://www.instagram.com/nasa/embed/", "nasa"),
    ("https://www.instagram.com/nasa/igtv", "nasa"),
    ("https://www.instagram.com/nasa/guides/?x=/p/1", "nasa"),
    ("https://www.instagram.com/nasa/p/CxYz-_3/?img_index=2", "nasa"),
    ("https://www.instagram.com/nasa/reel/CxYz123/", "nasa"),
    ("https://www.instagram.com/nasa/tv/CxYz123/", "nasa"),
    ("HTTPS://WWW.INSTAGRAM.COM/NASA/", "nasa"),
    ("//www.instagram.com/nasa", "nasa"),
    ("https://www.instagram.com:443/nasa", "nasa"),
    ("https://www.instagram.com./nasa", "nasa"),
    ("https://www.instagram.com//nasa//", "nasa"),
    ("https://www.instagram.com/%6Easa", "nasa"),
    ("https://www.instagram.com/%40nasa", "nasa"),
    ("instagram.com/nasa?next=https://www.instagram.com/share/x", "nasa"),
    ("\u00a0https://www.instagram.com/nasa\r\n", "nasa"),
    ("reels.of.nasa", "reels.of.nasa"),
    ("https://www.instagram.com/three.js/", "three.js"),
    ("notes.txt", "notes.txt"),
    ("https://www.instagram.com/creators/", "creators"),
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
    # Neither a handle nor an id
    ".",
    "...",
    "0",
    "000",
    "\u0661\u0662\u0663",
    "\uff11\uff12\uff13",
    "na\u200bsa",
    "nasa\x00",
    "na\tsa",
    "share",
    "@explore",
    "Reels",
    "igtv",
    "robots.txt",
    "@accounts",
    "instagram.com",
    "www.instagram.com",
    "WWW.Instagram.com.",
    # Links to something else than a profile
    "https://www.instagram.com/share/BAPa6ljOTx",
    "https://www.instagram.com/share/reel/BAPa6ljOTx",
    "https://www.instagram.com/share/p/BAPa6ljOTx/",
    "https://www.instagram.com/share",
    "https://www.instagram.com/s/aGlnaGxpZ2h0OjE?story_media_id=1",
    "https://www.instagram.com/stories/highlights/17900000000000000/",
    "https://www.instagram.com/stories/nasa/",
    "https://www.instagram.com/popular/bakery/",
    "https://www.instagram.com/explore/locations/213385402/",
    "https://www.instagram.com/explore/",
    "https://www.instagram.com/locations/1/",
    "https://www.instagram.com/direct/t/123/",
    "https://www.instagram.com/reels/",
    "https://www.instagram.com/igtv/",
    "https://www.instagram.com/igtv/live/",
    "https://www.instagram.com/robots.txt",
    "https://www.instagram.com/favicon.ico",
    "https://www.instagram.com/direct/inbox/",
    "https://www.instagram.com/reels/audio/123/",
    "https://www.instagram.com/legal/privacy/",
    "https://www.instagram.com/ar/123/",
    "https://www.instagram.com/a/path/of/tomorrow",
    "https://www.instagram.com/tomorrow/nasa",
    "https://www.instagram.com/nasa/tomorrow",
    "https://www.instagram.com/nasa/p/",
    "https://www.instagram.com/nasa/p/Cx%2FYz/",
    "https://www.instagram.com/nasa/p/CxYz123/liked_by/",
    "https://www.instagram.com/nasa/reels/CxYz123/",
    "https://www.instagram.com/_u/share",
    "https://www.instagram.com/_u/",
    "https://www.instagram.com/_u/nasa/reels",
    "https://www.instagram.com/%73hare",
    "https://www.instagram.com/share%2Fx",
    "https://www.instagram.com/%2573hare",
    "https://www.instagram.com/SHARE/x",
    "https://www.instagram.com/@share",
    "https://www.instagram.com/./",
    "https://www.instagram.com/../nasa",
    "https://www.instagram.com/nasa;x",
    "https://www.instagram.com/na sa",
    "https://www.instagram.com/na\nsa",
    "https://www.instagram.com/" + "a" * 31,
    "https://www.instagram.com/?u=nasa",
    "https://www.instagram.com/#nasa",
    # Not links to Instagram
    "https://l.instagram.com/?u=https%3A%2F%2Fnasa.gov",
    "https://help.instagram.com/nasa",
    "https://www.threads.net/@nasa",
    "https://instagram.com@evil.example/nasa",
    "https://nasa@instagram.com/nasa",
    "https://www.instagram.com:8443/nasa",
    "https://www.instagram.com:x/nasa",
    "https:///nasa",
    "ftp://www.instagram.com/nasa",
    "javascript://www.instagram.com/nasa",
    "instagram://user?username=nasa",
    "https:\\\\www.instagram.com\\nasa",
    "nasa/",
    "/nasa",
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
        ("/audience", {"breakdowns": " age, city", "timeframe": "THIS_WEEK", "days": "30"}),
        ("/top-posts", {"time_range": "7d", "limit": "50", "format": "JSON"}),
    ],
)
def test_spellings_are_taken_kindly(client, wire, path, query):
    assert client.get(path, query_string=query).status_code == 200


def test_a_metric_that_is_named_twice_is_answered_once(client, wire):
    body = client.get("/account-insights?period=day&metrics=views,reach,views").get_json()

    assert [insight["name"] for insight in body["data"]] == ["views", "reach"]


# Anything

PATHS = [
    "/account-insights",
    "/growth-trends",
    "/top-posts",
    "/audience",
    "/performance-data",
    "/healthz",
    "/openapi.json",
    "/x",
]
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
