"""Browsers that poll: nothing is asked again within a lifetime, and each form of a reply has a place of its own."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.front.browser_cache import BrowserCache
from tests.support import fresh_for

POSTS = "/top-posts?time_range=7d&limit=3"
POLLED = [
    POSTS,
    "/account-insights?period=day&metrics=views",
    "/growth-trends?period=7d",
    "/history?metrics=followers",
    "/audience?days=1",
    "/performance-data?url=nasa",
]
ORIGIN = "https://dashboard.example"


def until_expiry(world, reply):
    expires_at = datetime.fromisoformat(reply.get_json()["meta"]["expires_at"])
    return (expires_at - world.clock.now()).total_seconds()


@pytest.mark.parametrize("path", POLLED)
@pytest.mark.parametrize("elapsed", [0.0, 0.55])
def test_a_browser_that_polls_asks_nothing_again_within_a_lifetime(world, path, elapsed):
    """Whenever in the life of a value it comes: `Age` is not taken from the lifetime twice."""
    lifetime = until_expiry(world, world.get(path))
    end = world.clock.timestamp() + lifetime
    world.clock.wait(lifetime * elapsed + 0.7)
    browser = BrowserCache(world.client, world.clock)

    while world.clock.timestamp() < end:
        browser.get(path)
        browser.get(path, Accept="text/csv")
        world.clock.wait(lifetime / 40)

    assert [status for _, status in browser.asked] == [200] * 2


def test_a_browser_that_counts_from_date_asks_nothing_again_within_a_lifetime(world):
    """The value is fetched late in a second, and `Date` is the beginning of that second."""
    world.clock.wait(0.9)
    browser = BrowserCache(world.client, world.clock)

    browser.get(POSTS)
    world.clock.wait(3600 - 0.3)
    browser.get(POSTS)

    assert len(browser.asked) == 1


def test_what_has_expired_is_asked_for_once_for_the_old_value_and_once_for_the_new_one(world):
    browser = BrowserCache(world.client, world.clock)
    for _ in range(130):
        browser.get(POSTS)
        world.settle()
        world.clock.wait(61)

    moments = [at - browser.asked[0][0] for at, _ in browser.asked]
    # The first poll after an hour finds the old value, marked stale, while the new one is read.
    assert moments == [0, 60 * 61, 61 * 61, 120 * 61, 121 * 61]


@pytest.mark.parametrize("path", POLLED)
@pytest.mark.parametrize("seconds", [0.0, 1234.4])
def test_what_is_left_of_a_lifetime_ends_with_the_value(world, path, seconds):
    world.get(path)
    world.clock.wait(seconds)

    ready = world.get(path)
    unchanged = world.get(path, headers={"If-None-Match": ready.headers["ETag"]})

    assert unchanged.status_code == 304
    for reply in (ready, unchanged):
        assert 0 <= fresh_for(reply) - until_expiry(world, ready) < 2
        assert reply.headers["Cache-Control"].endswith("stale-while-revalidate=60")


def test_a_stale_reply_is_asked_for_again_at_once(world):
    world.get(POSTS)
    world.advance(hours=1, seconds=7)
    world.fault("html")

    stale = world.get(POSTS)

    assert stale.get_json()["meta"]["stale"]
    assert fresh_for(stale) <= 0
    # Stale for less than a minute, so that a browser may show it while it asks.
    assert fresh_for(stale) > -60


def test_each_form_of_a_reply_has_a_place_of_its_own(make_world):
    world = make_world(CORS_ORIGINS=ORIGIN)
    browser = BrowserCache(world.client, world.clock)
    forms = [{"Accept": accept} | origin for accept in ("text/csv", "*/*") for origin in ({}, {"Origin": ORIGIN})]

    first = [browser.get(POSTS, **form) for form in forms]
    again = [browser.get(POSTS, **form) for form in reversed(forms)][::-1]

    assert [reply.data[:1] for reply in first] == [reply.data[:1] for reply in again] != [b"{"] * 4
    assert [reply.headers.get("Access-Control-Allow-Origin") for reply in again] == [None, ORIGIN, None, ORIGIN]
    assert len(browser.asked) == 4


@pytest.mark.parametrize(
    ("origins", "negotiated"), [("", {"Accept"}), (ORIGIN, {"Accept", "Origin"}), ("*", {"Accept", "Origin"})]
)
def test_vary_is_one_line_on_every_reply(make_world, origins, negotiated):
    world = make_world(CORS_ORIGINS=origins)
    headers = {"Origin": ORIGIN} if origins else {}
    cold = world.get(POSTS, headers=headers)
    replies = {
        "cold": cold,
        "ready": world.get(POSTS, headers=headers),
        "csv": world.get(POSTS, headers=headers | {"Accept": "text/csv"}),
        "304": world.get(POSTS, headers=headers | {"If-None-Match": cold.headers["ETag"]}),
        "exported": world.get("/export", headers=headers),
        "400": world.get("/top-posts", headers=headers),
        "404": world.get("/nowhere", headers=headers),
        "413": world.get("/healthz", headers=headers, environ_overrides={"CONTENT_LENGTH": "9999999"}),
        "preflight": world.client.options(POSTS, headers=headers | {"Access-Control-Request-Method": "GET"}),
    }

    lines = {name: reply.headers.getlist("Vary") for name, reply in replies.items()}
    tables = {"cold", "ready", "csv", "304", "exported"}
    for name, found in lines.items():
        expected = negotiated if name in tables else negotiated - {"Accept"}
        expected = expected if name == "413" else expected | {"Authorization", "X-API-Key"}
        assert [set(line.split(", ")) for line in found] == ([expected] if expected else []), name


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/status", "/quota", "/credits", "/capabilities", "/nowhere"])
def test_what_describes_this_moment_is_never_kept(world, path):
    assert world.get(path).headers.getlist("Cache-Control") == ["no-store"]
