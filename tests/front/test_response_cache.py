"""Cached replies: the same bytes without a call, however the request is spelled, and the headers for their age."""

from __future__ import annotations

from datetime import datetime

import pytest
from werkzeug.test import EnvironBuilder

from front.response_cache import freshness_headers
from services.answers import Freshness
from tests.support import fresh_for

POSTS = "/top-posts?time_range=7d&limit=3"
FINISHED = "/account-insights?period=day&metrics=views&since=2026-11-10&until=2026-11-10"
REPORT = "/performance-data?url=nasa"
CSV, JSON = "text/csv; charset=utf-8", "application/json"
ELSEWHERE = {"environ_overrides": {"REMOTE_ADDR": "203.0.113.9"}}


def test_a_request_for_new_values_is_never_answered_with_a_ready_reply(world):
    world.get(POSTS)
    front = world.client.application.wsgi_app

    def is_ready(**headers):
        return front.ready_reply(EnvironBuilder(POSTS, headers=headers).get_environ(), lambda *_: None) is not None

    assert is_ready()
    assert not is_ready(**{"Cache-Control": "no-cache"})


@pytest.mark.parametrize(("stale", "seconds"), [(False, 15), (True, 10)])
def test_a_stale_reply_is_kept_no_longer_than_it_is_old(stale, seconds):
    headers = dict(freshness_headers(Freshness(1000.0, 1015.0, stale), 1010.0, "hit"))

    assert headers["Age"] == "10"
    assert headers["Cache-Control"].startswith(f"private, max-age={seconds},")
    assert headers["Cache-Status"].endswith(f"ttl={seconds - 10}")


@pytest.mark.parametrize(
    ("fetched_at", "expires_at", "age", "lifetime"),
    [(1012.0, 1025.0, "0", 15), (1010.0, 1010.0, "0", 0), (1000.0, 1009.0, "10", 9)],
    ids=["fetched by a clock that is ahead", "expires at once", "has expired"],
)
def test_an_age_and_a_lifetime_are_never_negative(fetched_at, expires_at, age, lifetime):
    headers = dict(freshness_headers(Freshness(fetched_at, expires_at), 1010.0, "hit"))

    assert headers["Age"] == age
    assert headers["Cache-Control"].startswith(f"private, max-age={lifetime},")


@pytest.mark.parametrize(
    "path", [POSTS, FINISHED, "/growth-trends?period=7d&metrics=reach", f"{POSTS}&format=csv", f"{REPORT}&format=csv"]
)
def test_a_second_request_makes_no_call_and_gets_the_same_bytes(world, path):
    first = world.get(path)
    world.calls()

    second = world.get(path)

    assert first.status_code == second.status_code == 200
    assert first.data == second.data
    assert first.headers["ETag"] == second.headers["ETag"]
    assert int(first.headers["X-Provider-Calls"]) > 0
    assert second.headers["X-Provider-Calls"] == "0"
    assert world.calls() == []


def test_a_kept_report_is_ready_from_the_first_reply_that_has_spent_nothing(world):
    bought = world.get(REPORT)
    world.calls()

    first, second = world.get(REPORT), world.get(REPORT)

    spent = [reply.get_json()["meta"]["cost"]["credits"] for reply in (bought, first, second)]
    assert (spent, first.data == second.data) == ([0.25, 0, 0], True)
    assert first.headers["ETag"] == second.headers["ETag"] != bought.headers["ETag"]
    assert world.calls() == []


@pytest.mark.parametrize(
    "spelled",
    [
        "/top-posts?limit=3&time_range=7d",
        "/top-posts?time_range=%37d&%6cimit=3",
        "/top-posts?time_range=7d&limit=3&",
    ],
)
def test_the_spelling_of_a_query_makes_no_difference(world, spelled):
    first = world.get(POSTS)

    front = world.client.application.wsgi_app
    ready = front.ready_reply(EnvironBuilder(spelled).get_environ(), lambda *_: None)
    replies = [world.get(spelled) for _ in range(3)]

    assert ready == [first.data]
    assert {reply.data for reply in replies} == {first.data}
    assert {reply.headers["X-Provider-Calls"] for reply in replies} == {"0"}


def test_bodies_are_equal_where_their_tags_are_whatever_they_were_made_of(world):
    """Fetched for the reply, shown by another reply before, or read from the database."""
    posts = "/top-posts?time_range=30d"
    (media,) = [post["id"] for post in world.body(f"{posts}&limit=1")["top_posts"]]
    metrics = ("reach", "views", "reach,views", "views,reach", "reach,views,likes")
    paths = [f"/account-insights?period=day&metrics={each}" for each in metrics]
    paths += [f"/account-insights?period=day&metrics=reach&since=2026-11-0{day}&until=2026-11-09" for day in (7, 8)]
    paths += [f"/api/instagram/insights/{media}?metrics={each}" for each in metrics]
    paths += [f"{posts}&limit={limit}{by}" for limit in (2, 3) for by in ("", "&by=reach", "&by=views")]
    paths = [f"{path}&format={format_}" for path in paths for format_ in ("json", "csv")]

    cold = {path: world.get(path) for path in paths}
    world.restart()
    kept = {path: world.get(path) for path in reversed(paths)}

    replies = [*cold.values(), *kept.values()]
    assert {path: reply.data for path, reply in kept.items()} == {path: reply.data for path, reply in cold.items()}
    assert [reply.status_code for reply in replies] == [200] * len(replies)
    found = {(reply.headers["ETag"], reply.data) for reply in replies}
    assert len(found) == len({tag for tag, _ in found}) == len({body for _, body in found})


def test_what_differs_in_a_parameter_differs_in_the_reply(world):
    paths = [f"/top-posts?time_range={days}d&limit={limit}" for days in (7, 30) for limit in (1, 3)]
    paths += [f"{POSTS}&media_product_type=REELS", f"{POSTS}&format=csv", f"{POSTS}&format=json"]
    once = [world.get(path).data for path in paths]

    again = [world.get(path).data for path in reversed(paths)]

    assert again == once[::-1]
    assert len(set(once)) == len(paths) - 1
    assert once[-1] == world.get(POSTS).data  # `format=json` is the default.


@pytest.mark.parametrize("path", [POSTS, FINISHED])
@pytest.mark.parametrize(
    ("accept", "type_"),
    [
        ("text/csv", CSV),
        ("text/*", CSV),
        ("text/csv;q=0.9, application/json;q=0.1", CSV),
        ("text/csv;q=0.1, application/json;q=0.9", JSON),
        ("text/html, */*;q=0.5", JSON),
        ("application/json", JSON),
        ("*/*", JSON),
        ("image/png", JSON),
        ("TEXT/CSV", CSV),
        ("Text/Csv;q=0.9, Application/Json;q=0.1", CSV),
        ("application/json;q=0, */*", CSV),
        ("application/json;q=0.1, */*;q=0.9", CSV),
    ],
)
def test_each_caller_gets_the_form_it_accepts_whatever_earlier_callers_accepted(world, path, accept, type_):
    given = world.get(path, headers={"Accept": accept})
    default = world.get(path)
    given_again = world.get(path, headers={"Accept": accept})
    default_again = world.get(path)

    assert [reply.content_type for reply in (given, given_again)] == [type_] * 2
    assert [reply.content_type for reply in (default, default_again)] == [JSON] * 2
    assert (given.data, default.data) == (given_again.data, default_again.data)
    assert "Accept" in default_again.headers["Vary"]


@pytest.mark.parametrize(
    ("known", "status"),
    [
        ("{tag}", 304),
        ("W/{tag}", 304),
        ('"other", {tag}', 304),
        ('W/"other",W/{tag}', 304),
        ("*", 304),
        (" * ", 304),
        ('"other"', 200),
        ("", 200),
        ("nonsense", 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_body_that_the_caller_has_already_is_not_sent_again(world, known, status, method):
    cold = world.get(POSTS)
    header = {"If-None-Match": known.format(tag=cold.headers["ETag"])}

    warm = world.client.open(POSTS, method=method, headers=header)
    world.restart()
    kept = world.client.open(POSTS, method=method, headers=header)

    for reply in (warm, kept):
        assert reply.status_code == status
        assert reply.headers["ETag"] == cold.headers["ETag"]
        assert reply.headers["Cache-Control"].startswith("private, max-age=")
        assert reply.headers["X-Provider-Calls"] == "0"
        assert reply.data == (cold.data if (status, method) == (200, "GET") else b"")
        of_body = {"Content-Type", "Content-Length"} if status == 304 else set()
        assert set(reply.headers.keys()) == set(cold.headers.keys()) - of_body


def test_a_cold_request_that_matches_is_304_too(world):
    tag = world.get(FINISHED).headers["ETag"]
    world.restart(INSTANCE_PATH=world.settings["INSTANCE_PATH"])

    reply = world.get(FINISHED, headers={"If-None-Match": tag})

    assert (reply.status_code, reply.data) == (304, b"")


def test_a_head_request_gives_the_length_and_sends_no_body(world):
    whole = world.get(POSTS)

    head = world.client.head(POSTS)

    assert (head.status_code, head.data) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(whole.data)


def test_a_head_request_caches_nothing_that_would_answer_a_get(world):
    world.client.head(POSTS)

    assert world.get(POSTS).get_json()["top_posts"]


@pytest.mark.parametrize("kept", [False, True])
def test_a_report_takes_no_head_whether_it_is_stored_or_not(world, kept):
    for _ in range(2 if kept else 0):  # The second one is cached; the first one has the price in it.
        world.body(REPORT)

    assert world.client.head(REPORT).status_code == 405


def test_the_headers_follow_the_age_of_a_reply(world):
    cold = world.get(POSTS)
    world.advance(minutes=10)
    hit = world.get(POSTS)
    world.advance(minutes=50, seconds=1)
    stale = world.get(POSTS)
    world.settle()
    then = world.get(POSTS)

    assert [reply.headers["Age"] for reply in (cold, hit, stale, then)] == ["0", "600", "3601", "0"]
    assert {reply.headers["Cache-Control"] for reply in (cold, hit, stale, then)} == {
        "private, max-age=3600, stale-while-revalidate=60"
    }
    assert [fresh_for(reply) for reply in (cold, hit, stale, then)] == [3600, 3000, -1, 3600]
    assert cold.headers["Cache-Status"] == "insights-gateway; fwd=miss; ttl=3600"
    assert hit.headers["Cache-Status"] == "insights-gateway; hit; ttl=3000"
    assert stale.headers["Cache-Status"] == "insights-gateway; hit; ttl=-1"
    assert [reply.headers["X-Provider-Calls"] for reply in (cold, hit, stale, then)] == ["1", "0", "0", "0"]
    assert [reply.get_json()["meta"]["stale"] for reply in (cold, hit, stale, then)] == [False, False, True, False]
    assert len({reply.headers["ETag"] for reply in (cold, stale, then)}) == 3


def test_a_reply_that_depends_on_the_day_expires_at_pacific_midnight(world):
    world.advance(hours=13, minutes=30)  # 23:30 Pacific time
    late = world.get("/growth-trends?period=7d")
    world.advance(minutes=31)

    tomorrow = world.get("/growth-trends?period=7d")

    assert late.get_json()["meta"]["expires_at"] == "2026-11-22T08:00:00Z"
    assert late.headers["Cache-Control"].startswith("private, max-age=1800,")
    windows = [reply.get_json()["trends"][0]["window"]["until"] for reply in (late, tomorrow)]
    assert windows == ["2026-11-20", "2026-11-21"]


def test_body_and_headers_agree_on_the_expiry(world):
    reply = world.get("/growth-trends?period=7d")

    meta = reply.get_json()["meta"]
    left = (datetime.fromisoformat(meta["expires_at"]) - world.clock.now()).total_seconds()
    assert fresh_for(reply) == left


@pytest.mark.parametrize(("fault", "code"), [("html", "provider_unavailable"), ("throttled", "provider_rate_limited")])
def test_an_error_is_never_cached(world, fault, code):
    world.fault(fault)
    failed = [world.get(FINISHED) for _ in range(2)]
    world.heal()
    world.advance(hours=2)

    healed = world.get(FINISHED)

    assert [reply.get_json()["code"] for reply in failed] == [code] * 2
    assert [reply.headers["Cache-Control"] for reply in failed] == ["no-store"] * 2
    assert "ETag" not in failed[0].headers
    assert healed.status_code == 200


def but_cost(reply):
    """A body without what its own request has spent."""
    body = reply.get_json()
    body["meta"].pop("cost", None)
    return body


@pytest.mark.parametrize(
    "path",
    [
        POSTS,
        f"{POSTS}&by=views",
        "/growth-trends?period=7d",
        "/account-insights?period=day&metrics=views",
        "/account-insights?period=days_28&metrics=reach",
        "/audience?metrics=follower_demographics&breakdown=age",
        "/compare?accounts=us&period=7d",
        "/api/instagram/insights/{media}?metrics=reach",
        "/performance-data?url=nasa",
    ],
)
def test_refresh_reads_again_what_is_fresh_and_cached(world, path):
    if "{media}" in path:
        path = path.format(media=world.body(POSTS)["top_posts"][0]["id"])
    path = path.replace("us&", f"{world.account['id']}&")
    world.get(path)
    world.get(path)
    world.calls()
    world.advance(minutes=1)

    forced = world.get(f"{path}&refresh=true")

    made = world.calls()
    after = world.get(path)
    assert forced.status_code == 200
    assert len(made) == int(forced.headers["X-Provider-Calls"]) > 0
    assert "fwd=request" in forced.headers["Cache-Status"]
    assert forced.get_json()["meta"]["fetched_at"] == "2026-11-21T18:01:00Z"
    assert (but_cost(after), after.headers["X-Provider-Calls"]) == (but_cost(forced), "0")


def test_refresh_reads_no_finished_day_again(world):
    world.get(FINISHED)
    world.calls()

    forced = world.get(f"{FINISHED}&refresh=true")

    assert forced.status_code == 200
    assert world.calls() == []


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(
    "remote",
    [
        ELSEWHERE,
        {"environ_overrides": {"REMOTE_ADDR": "128.0.0.1"}},
        {"environ_overrides": {"REMOTE_ADDR": "::ffff:203.0.113.9"}},
        {"environ_overrides": {"REMOTE_ADDR": "::127.0.0.1"}},
        {"environ_overrides": {"REMOTE_ADDR": "localhost"}},
        {"environ_overrides": {"REMOTE_ADDR": ""}},
        {"headers": {"X-Forwarded-For": "203.0.113.9"}},
        {"headers": {"X-Forwarded-For": "127.0.0.1"}},
        {"headers": {"Forwarded": "for=203.0.113.9"}},
        {"headers": {"X-Real-IP": "203.0.113.9"}},
    ],
)
def test_refresh_is_refused_to_remote_callers(world, warm, remote):
    if warm:
        world.get(POSTS)
        world.get(POSTS)
        world.calls()

    refused = world.get(f"{POSTS}&refresh=true", **remote)

    assert (refused.status_code, refused.get_json()["code"]) == (403, "refresh_forbidden")
    assert world.calls() == []


@pytest.mark.parametrize("written", ["no-cache", "No-Cache", "max-age=0, NO-CACHE"])
def test_a_reload_that_its_caller_may_not_force_says_so_whether_the_reply_is_ready_or_not(world, written):
    options = ELSEWHERE | {"headers": {"Cache-Control": written}}

    found = [world.get(POSTS, **options).headers["Cache-Status"] for _ in range(2)]

    assert ["; hit" in status for status in found] == [False, True]
    assert all("; detail=refresh-not-permitted" in status for status in found)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1", "::ffff:127.0.0.2"])
def test_a_caller_on_this_machine_may_refresh_whichever_of_its_addresses_it_has(world, address):
    forced = world.get(f"{POSTS}&refresh=true", environ_overrides={"REMOTE_ADDR": address})

    assert (forced.status_code, "fwd=request" in forced.headers["Cache-Status"]) == (200, True)


@pytest.mark.parametrize("query", ["refresh=perhaps", "refresh=true&refresh=true", "refresh="])
def test_a_wrong_refresh_is_refused_although_the_reply_is_cached(world, query):
    world.get(POSTS)

    assert world.get(f"{POSTS}&{query}").status_code == 400


@pytest.mark.parametrize(
    ("header", "value", "status"), [("HTTP_TRANSFER_ENCODING", "chunked", 400), ("CONTENT_LENGTH", "3", 413)]
)
def test_a_body_is_refused_although_the_reply_is_cached(world, header, value, status):
    path = "/top-posts?time_range=7d"
    world.get(path)

    refused = world.get(path, environ_overrides={header: value})

    assert refused.status_code == status
    assert "; hit" in world.get(path).headers["Cache-Status"]


def test_refresh_false_is_answered_as_without(world):
    first = world.get(POSTS)

    second = world.get(f"{POSTS}&refresh=false", **ELSEWHERE)

    assert (second.data, second.headers["X-Provider-Calls"]) == (first.data, "0")


@pytest.mark.parametrize("changes", [True, False])
def test_a_reply_during_which_a_value_has_changed_is_not_cached(world, monkeypatch, changes):
    services, front = world.client.application.extensions["services"], world.client.application.wsgi_app
    rank = services.top_posts.ranked

    def rank_then_change(*arguments, **options):
        answer = rank(*arguments, **options)
        services.cache.announce_change(world.account["id"] if changes else "17841400000000999")
        return answer

    monkeypatch.setattr(services.top_posts, "ranked", rank_then_change)

    assert world.get(POSTS).status_code == 200

    assert (front.cached_bytes == 0) is changes
