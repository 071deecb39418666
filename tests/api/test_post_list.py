"""The list of posts behind top posts and growth: its order, its limit, what it has seen, what was known, failures."""

from __future__ import annotations

import json
import random
from datetime import timedelta

import pytest
import responses

from tests.planners import (
    MEDIA,
    NEXT_PAGE,
    body_of,
    plan_insights,
    plan_posts,
    plan_profile,
    post,
    query_of,
    totals,
    without,
)
from tests.support import graph_error, utc

THROTTLED = (400, graph_error(4, message="(#4) Application request limit reached"))
FAULT = (503, {"error": {"message": "down", "code": 2}})


def at(clock, **ago):
    return (clock.now() - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%S+0000")


@pytest.fixture
def media(wire):
    """Instagram's list of posts, in pages, whose calls are counted and whose pages fail on request."""

    class Media:
        def __init__(self):
            self.posts, self.page, self.failing, self.asked, self.heavy = [], 2, {}, [], {}

        def answer(self, request):
            query = query_of(request)
            start = int(query.get("after", 0))
            self.asked.append(start)
            if start in self.failing:
                status, body = self.failing[start]
                return status, {}, json.dumps(body)
            size = min(self.page, int(query["limit"]))
            end = start + size
            if any(start <= number < end and size > most for number, most in self.heavy.items()):
                return 500, {}, json.dumps(graph_error(1, message="Please reduce the amount of data you're asking for"))
            paging = {"cursors": {"after": str(end)}} | ({"next": NEXT_PAGE} if end < len(self.posts) else {})
            return 200, {}, json.dumps({"data": self.posts[start:end], "paging": paging})

        def calls(self):
            asked, self.asked = self.asked, []
            return asked

    media = Media()
    wire.add_callback(responses.GET, MEDIA, callback=media.answer)
    plan_profile(wire)
    plan_insights(wire, lambda query: totals(query, 1))
    wire.assert_all_requests_are_fired = False
    return media


def top(client, time_range="7d", **query):
    body = body_of(client, "/top-posts", time_range=time_range, limit=50, **query)
    return {each["id"]: each for each in body["top_posts"]}, body["meta"]


def growth(client, period="7d"):
    body = body_of(client, "/growth-trends", period=period, metrics="posts")
    return {trend["key"]: trend for trend in body["trends"]}, body["meta"]


def codes(meta):
    return [warning["code"] for warning in meta["warnings"]]


# Order


@pytest.mark.parametrize(
    "days",
    [
        [[1, 2, 400], [3, 5]],
        [[400, 1, 2], [3, 4]],  # a pinned post
        [[1, 400], [2, 3, 4]],
        [[1, 400, 401], [2, 402], [403, 3], [5]],
        [[2, 1], [4, 3]],
        [[400, 401, 1], [402, 403], [404, 2], [3, 5]],  # one whole page is old
    ],
)
def test_an_old_post_before_newer_ones_does_not_end_the_list(client, wire, clock, days):
    pages = [[post(f"{day}d", at(clock, days=day)) for day in page] for page in days]
    plan_posts(wire, *pages)
    plan_profile(wire)
    plan_insights(wire, lambda query: totals(query, 1))

    posts, meta = top(client)
    trends, _ = growth(client, "8d")

    young = {f"{day}d" for page in days for day in page if day < 8}
    assert (set(posts), codes(meta)) == (young, [])
    assert trends["posts"]["current_value"] == len(young)


def test_a_list_out_of_order_is_not_read_for_ever_and_says_that_it_may_lack_posts(client, media, clock):
    media.posts = [post(name, at(clock, days=days)) for name, days in [("pinned", 400), ("new", 1), ("newer", 0.5)]]
    media.posts += [post(f"old{days}", at(clock, days=days)) for days in range(20, 60)]

    posts, meta = top(client)

    assert set(posts) == {"new", "newer"}
    assert codes(meta) == ["posts_out_of_order"]
    assert media.calls() == [0, 2, 4, 6, 8]
    trends, _ = growth(client)
    assert trends["posts"]["approximate"]
    assert trends["engagement_rate"]["approximate"]


@pytest.mark.parametrize(("old", "calls"), [(24, [0, 30]), (25, [0])])
def test_a_list_in_order_ends_after_25_old_posts(client, media, clock, old, calls):
    media.page = 30
    media.posts = [post(f"new{n}", at(clock, hours=n + 1)) for n in range(30 - old)]
    media.posts += [post(f"old{n}", at(clock, days=8 + n)) for n in range(70)]

    posts, meta = top(client)

    assert (len(posts), codes(meta)) == (30 - old, [])
    assert media.calls() == calls


@pytest.mark.parametrize("pinned", [1, 2, 3, 4])
def test_old_posts_that_fill_the_first_pages_end_nothing(client, media, clock, pinned):
    media.posts = [post(f"pinned{n}", at(clock, days=400 + n)) for n in range(pinned)]
    media.posts += [post(f"new{n}", at(clock, days=n + 1)) for n in range(3)]

    assert set(top(client)[0]) == {"new0", "new1", "new2"}


@pytest.mark.parametrize("listed", [10_000, 9_990, 400])
def test_the_limit_of_instagram_is_no_end(client, media, clock, listed):
    """10,244 posts in 60 days, of which it lists the newest 10,000, or a few less while new ones come."""
    media.page = 100
    minutes = 60 * 24 * 60 / 10_244
    media.posts = [post(str(n), at(clock, minutes=minutes * (n + 1))) for n in range(listed)]

    posts, meta = growth(client, "31d")

    trend = posts["posts"]
    if listed == 400:  # that is all that there are
        assert (trend["previous_value"], trend["reason"], codes(meta)) == (0, "zero_base", ["current_followers"])
        return
    assert trend["current_value"] > 5_000
    assert (trend["previous_value"], trend["growth_rate"], trend["reason"]) == (None, None, "truncated")
    assert posts["engagement_rate"]["reason"] == "truncated"
    assert "truncated" in codes(meta)
    if listed == 10_000:  # The newest page is read alone later, and says nothing of the others.
        media.calls()
        growth(client, "30d")
        assert media.calls() == []
        clock.wait(3700)
        assert growth(client, "31d")[0]["posts"]["reason"] == "truncated"


def test_a_post_without_a_time_makes_the_list_approximate_also_where_only_its_first_page_is_read(client, media, clock):
    media.posts = [post(f"{n}", at(clock, days=n)) for n in range(1, 9)]
    media.posts[4] = without(media.posts[4], "timestamp")
    first, _ = growth(client, "4d")
    media.calls()
    clock.wait(3700)

    again = body_of(client, "/growth-trends", period="4d", metrics="posts", refresh="true")["trends"][-1]

    assert media.calls() == [0]
    assert (first["posts"]["approximate"], again["approximate"]) == (True, True)


# What the list has seen

MIDNIGHT = utc("2026-06-15T07:00:00")  # in California


def test_posts_are_never_counted_beyond_the_moment_the_list_was_read(client, media, clock):
    clock.set(MIDNIGHT - timedelta(minutes=30))
    media.posts = [post("early", at(clock, days=1))]
    top(client)
    media.posts.insert(0, post("late", at(clock, minutes=-10)))
    clock.set(MIDNIGHT + timedelta(minutes=10))
    media.calls()

    trends, meta = growth(client, "1d")

    assert media.calls() == [0]
    assert (trends["posts"]["current_value"], trends["posts"]["previous_value"]) == (1, 1)
    assert meta["stale"] is False


@pytest.mark.parametrize("failure", [FAULT, THROTTLED])
def test_a_window_that_the_list_has_not_seen_is_unknown_while_it_cannot_be_read_again(client, media, clock, failure):
    clock.set(MIDNIGHT - timedelta(minutes=30))
    media.posts = [post("early", at(clock, hours=5), like_count=9), post("before", at(clock, days=1, hours=5))]
    growth(client, "1d")  # The number of followers is known as well.
    top(client)
    clock.set(MIDNIGHT + timedelta(minutes=10))
    media.failing[0] = failure

    trends, meta = growth(client, "1d")

    for key in ("posts", "engagement_rate"):
        assert (trends[key]["current_value"], trends[key]["growth_rate"], trends[key]["reason"]) == (
            None,
            None,
            "not_seen_yet",
        )
        assert trends[key]["previous_value"] is not None
    assert meta["stale"] is True
    assert {"metric": "Posts Change", "reason": "not_seen_yet"}.items() <= meta["unavailable"][-1].items()
    assert set(top(client)[0]) == {"early", "before"}

    del media.failing[0]
    clock.wait(3700)
    assert growth(client, "1d")[0]["posts"]["current_value"] == 1


def test_pages_that_were_read_before_the_end_of_the_window_are_read_again_after_it(client, media, clock):
    clock.set(MIDNIGHT - timedelta(minutes=30))
    media.posts = [post(f"{n}", at(clock, hours=12 * n)) for n in range(1, 7)]
    media.failing[2] = FAULT
    growth(client, "1d")
    del media.failing[2]
    media.posts.insert(0, post("late", at(clock, minutes=-10)))
    clock.set(MIDNIGHT + timedelta(minutes=10))

    trends, _ = growth(client, "1d")

    assert (trends["posts"]["current_value"], trends["posts"]["previous_value"]) == (2, 2)


# What was known


@pytest.mark.parametrize("seed", range(3))
def test_no_known_number_is_lost_in_twenty_minutes_of_faults_that_come_and_go(client, media, clock, seed):
    chance = random.Random(seed)
    media.posts = [post(f"{n}", at(clock, days=n), like_count=n, comments_count=n) for n in range(1, 15)]
    known, _ = top(client, "9d")
    trends, _ = growth(client, "4d")
    true, started = list(media.posts), clock.now()
    clock.wait(chance.choice([60, 3700, 7 * 3600]))

    for _ in range(20):
        fault = chance.choice(["none", "empty", "hidden", "down", "throttled", "damaged"])
        page = chance.choice([0, 2, 4, 8])
        media.posts = [] if fault == "empty" else true
        media.posts = (
            [without(each, "like_count", "comments_count") for each in true] if fault == "hidden" else media.posts
        )
        answers = {"down": FAULT, "throttled": THROTTLED, "damaged": (200, {"data": "x"}), "none": None}
        media.failing = {page: answers[fault]} if answers.get(fault) else {}
        clock.wait(60)
        posts, meta = top(client, "9d", **chance.choice([{}, {"refresh": "true"}]))

        assert {name: each["engagement_score"] for name, each in posts.items()}.items() <= {
            name: each["engagement_score"] for name, each in known.items()
        }.items()
        assert set(known) - set(posts) <= {"9"}  # the last one, which becomes too old
        assert meta["fetched_at"] >= f"{started:%Y-%m-%dT%H:%M:%SZ}"
        now, _ = growth(client, "4d")
        for key in ("posts", "engagement_rate"):
            assert now[key]["current_value"] == trends[key]["current_value"]
            assert now[key]["previous_value"] == trends[key]["previous_value"]


def test_an_empty_answer_does_not_make_known_posts_unknown(client, media, clock):
    media.posts = listed = [post("b", at(clock, days=1)), post("a", at(clock, days=2))]
    known, _ = top(client)
    media.posts = []
    clock.wait(3700)

    for _ in range(20):
        posts, meta = top(client, refresh="true")
        assert posts == known
        assert (meta["stale"], meta["fetched_at"]) == (True, "2026-06-15T18:00:00Z")
        assert codes(meta) == ["posts_kept"]
        clock.wait(60)

    media.posts = listed
    clock.wait(3700)
    posts, meta = top(client, refresh="true")
    assert (posts, meta["stale"], codes(meta)) == (known, False, [])


def test_a_list_of_posts_that_cannot_be_read_is_not_empty(client, media, clock):
    media.posts = [post("a", at(clock, days=1))]
    top(client)
    media.posts = [without(media.posts[0], "timestamp")]
    clock.wait(3700)

    posts, meta = top(client, refresh="true")

    assert (posts, codes(meta)) == ({}, ["posts_unreadable"])


def test_answers_that_stay_empty_for_a_day_are_believed(client, media, clock):
    media.posts = [post("a", at(clock, days=1))]
    top(client)
    media.posts = []

    for _ in range(26):
        clock.wait(3600)
        posts, meta = top(client, refresh="true")

    assert (posts, meta["stale"], codes(meta)) == ({}, False, [])


@pytest.mark.parametrize("wrong", ["absent", None, "12", -1])
@pytest.mark.parametrize("name", ["like_count", "comments_count"])
def test_a_count_that_vanishes_keeps_its_known_number_for_a_day(client, media, clock, name, wrong):
    mark = {"like_count": "likes_hidden", "comments_count": "comments_hidden"}[name]
    kept = post("a", at(clock, days=1), like_count=7, comments_count=3)
    media.posts = [post("b", at(clock, hours=2)), kept]
    top(client)
    media.posts[1] = without(kept, name) if wrong == "absent" else kept | {name: wrong}

    for _ in range(3):
        clock.wait(3700)
        posts, meta = top(client, refresh="true")
        assert (posts["a"][name], posts["a"][mark], posts["a"]["engagement_score"]) == (kept[name], False, 10)
        assert (meta["stale"], meta["fetched_at"], codes(meta)) == (True, "2026-06-15T18:00:00Z", ["counts_kept"])

    clock.wait(86_400)
    posts, meta = top(client, refresh="true")
    assert (posts["a"][name], posts["a"][mark]) == (None, wrong in ("absent", None))
    assert (meta["stale"], codes(meta)) == (False, [])


def test_a_known_count_of_an_older_post_is_as_old_as_its_reading(client, media, clock):
    media.posts = [post(f"{n}", at(clock, days=n), like_count=n) for n in range(1, 7)]
    top(client)
    clock.wait(3700)
    top(client, refresh="true")  # The first page only.
    media.posts[5] = without(media.posts[5], "like_count")
    clock.wait(6 * 3600)

    posts, meta = top(client, refresh="true")

    assert posts["6"]["like_count"] == 6
    assert (meta["stale"], meta["fetched_at"]) == (True, "2026-06-15T18:00:00Z")


def test_counts_of_older_posts_are_read_again_after_six_hours_although_the_newest_are_read_hourly(client, media, clock):
    media.posts = [post(f"{n}", at(clock, days=n), like_count=n) for n in range(1, 7)]
    top(client, "9d")
    media.posts[5] = media.posts[5] | {"like_count": 60}
    asked = []
    for _ in range(7):
        clock.wait(3601)
        top(client, "9d", refresh="true")
        asked.append(media.calls())

    posts, meta = top(client, "9d")

    assert (posts["6"]["like_count"], meta["stale"]) == (60, False)
    assert asked[0] == [0, 2, 4, 0]
    assert asked[1:] == [[0]] * 4 + [[0, 2, 4], [0]]


def test_counts_of_older_posts_are_read_again_after_six_hours_although_new_posts_come_hourly(client, media, clock):
    media.posts = [post(f"{n}", at(clock, days=n), like_count=n) for n in range(1, 7)]
    top(client, "9d")
    media.posts[5] = media.posts[5] | {"like_count": 60}
    for number in range(7):
        clock.wait(3601)
        media.posts.insert(0, post(f"new{number}", at(clock, seconds=1)))
        posts, _ = top(client, "9d", refresh="true")

    assert (len(posts), posts["6"]["like_count"]) == (13, 60)


def test_a_missing_count_is_asked_for_again_soon(client, media, clock):
    media.posts = [post("a", at(clock, days=1), like_count=7)]
    top(client)
    media.posts = [without(post("a", at(clock, days=1)), "like_count")]
    clock.wait(60)
    top(client, refresh="true")
    media.posts = [post("a", media.posts[0]["timestamp"], like_count=8)]
    media.calls()

    clock.wait(30)
    top(client)
    assert media.calls() == []
    clock.wait(31)
    top(client)
    client.application.extensions["services"].wait_until_quiet(10)
    posts, meta = top(client)

    assert (posts["a"]["like_count"], meta["stale"]) == (8, False)


def test_a_count_that_is_missing_for_longer_is_asked_for_again_later_whatever_else_vanishes(client, media, clock):
    listed = [post(name, at(clock, days=1), like_count=7) for name in "ab"]
    media.posts = listed
    top(client)
    for posts, wait in (
        ([listed[0], without(listed[1], "like_count")], 60),
        ([without(each, "like_count") for each in listed], 600),
    ):
        media.posts = posts
        clock.wait(wait)
        top(client, refresh="true")
    media.calls()

    asked = []
    for wait in (590, 11):
        clock.wait(wait)
        top(client)
        client.application.extensions["services"].wait_until_quiet(10)
        asked.append(media.calls())

    assert asked == [[], [0]]


def test_type_and_link_of_a_post_stay_known(client, media, clock):
    media.posts = [post("a", at(clock, days=1))]
    known, _ = top(client)
    media.posts = [without(post("a", at(clock, days=1)), "permalink", "media_type", "media_product_type")]

    posts, meta = top(client, refresh="true")

    assert (posts, meta["stale"]) == (known, False)


# A page that fails


@pytest.mark.parametrize(("failure", "code"), [(THROTTLED, "throttled"), (FAULT, "provider_unavailable")])
def test_pages_that_were_answered_are_kept_and_only_the_rest_is_asked_for(client, media, clock, failure, code):
    media.posts = [post(f"{n}", at(clock, days=n)) for n in range(1, 16)]
    media.failing[8] = failure

    trends, meta = growth(client, "7d")

    assert media.calls() == [0, 2, 4, 6, 8]
    assert trends["posts"]["current_value"] == 7
    assert (trends["posts"]["previous_value"], trends["posts"]["reason"]) == (None, code)
    assert "posts_incomplete" in codes(meta)
    posts, meta = top(client, "14d")
    assert set(posts) == {f"{n}" for n in range(1, 9)}
    assert "posts_incomplete" in codes(meta)
    assert "Posts before 2026-06-07T18:00:00Z are not known" in meta["warnings"][0]["message"]

    del media.failing[8]
    media.calls()
    clock.wait(3000)
    trends, meta = growth(client, "7d")

    assert media.calls() == [8, 10, 12, 14]
    assert (trends["posts"]["current_value"], trends["posts"]["previous_value"]) == (7, 7)
    assert (meta["stale"], meta["fetched_at"]) == (False, "2026-06-15T18:00:00Z")


def test_a_refresh_begins_again_although_pages_were_answered_before_a_failure(client, media, clock):
    media.posts = [post(f"{n}", at(clock, days=n), like_count=n) for n in range(1, 6)]
    media.failing[2] = FAULT
    top(client)
    del media.failing[2]
    media.posts[0] = media.posts[0] | {"like_count": 50}
    media.calls()
    clock.wait(60)

    posts, _ = top(client, refresh="true")

    assert (media.calls(), posts["1"]["like_count"]) == ([0, 2, 4], 50)


def test_a_list_out_of_order_that_fails_has_no_number_of_posts(client, media, clock):
    media.posts = [post(f"{days}d", at(clock, days=days)) for days in (400, 1, 2, 3)]
    media.failing[2] = FAULT

    trend = growth(client)[0]["posts"]

    assert (trend["current_value"], trend["reason"]) == (None, "provider_unavailable")


def test_a_known_count_stays_when_a_page_before_a_failure_lacks_it(client, media, clock):
    media.posts = [post(f"{n}", at(clock, days=n), like_count=n) for n in range(1, 6)]
    top(client)
    media.posts[0] = without(media.posts[0], "like_count")
    media.failing[2] = FAULT
    clock.wait(7 * 3600)

    top(client, refresh="true")
    clock.wait(2)  # Replies are kept ready for a second.
    posts, meta = top(client)

    assert (posts["1"]["like_count"], meta["stale"]) == (1, True)


@pytest.mark.parametrize(
    ("heavy", "calls"),
    [({120: 6}, 14), ({120: 1}, 22), (dict.fromkeys(range(300), 25), 16), ({0: 25, 299: 25}, 12)],
)
def test_one_heavy_post_does_not_make_the_whole_list_dear(client, media, clock, heavy, calls):
    media.page, media.heavy = 100, heavy
    media.posts = [post(f"{n}", at(clock, minutes=n + 1)) for n in range(300)]

    _, meta = top(client, "1d")

    assert (meta["time_range"]["posts"], codes(meta)) == (300, [])
    assert len(media.asked) <= calls


def test_a_later_attempt_begins_again_when_the_first_pages_are_old(client, media, clock):
    media.posts = [post(f"{n}", at(clock, days=n)) for n in range(1, 6)]
    media.failing[2] = FAULT
    top(client)
    del media.failing[2]
    media.calls()
    clock.wait(3700)

    posts, meta = top(client)

    assert media.calls() == [0, 2, 4]
    assert (len(posts), codes(meta)) == (5, [])


@pytest.mark.parametrize("place", [0, 2])
def test_a_failure_in_the_middle_leaves_known_posts_known(client, media, clock, place):
    """Out of the order of time as well, so that the pages before the failure are no list."""
    media.posts = [post(f"{n}", at(clock, days=n), like_count=n) for n in range(1, 7)]
    known, _ = top(client, "9d")
    media.posts.insert(place, post("new", at(clock, hours=-7)))
    media.failing[4] = FAULT
    clock.wait(8 * 3600)  # by then the whole list is read again

    top(client, "9d", refresh="true")
    clock.wait(2)  # Replies are kept ready for a second.
    posts, meta = top(client, "9d")

    assert set(posts) == ({"new", *known} if place == 0 else set(known))
    assert (meta["stale"], meta["fetched_at"]) == (True, "2026-06-15T18:00:00Z")


def test_an_empty_page_where_posts_were_known_is_no_end(client, media, clock):
    media.posts = [post(f"{n}", at(clock, days=n)) for n in range(1, 7)]
    known, _ = top(client, "9d")
    media.failing[2] = (200, {"data": []})
    clock.wait(7 * 3600)

    top(client, "9d", refresh="true")
    clock.wait(2)  # Replies are kept ready for a second.
    posts, meta = top(client, "9d")

    assert (set(posts), meta["stale"]) == (set(known), True)


def test_an_empty_page_is_believed_where_the_known_posts_are_a_day_old(client, media, clock):
    media.posts = [post(f"{n}", at(clock, days=n)) for n in range(1, 7)]
    top(client, "9d")
    media.failing[2] = (200, {"data": []})
    clock.wait(25 * 3600)

    posts, meta = top(client, "9d", refresh="true")

    assert (set(posts), meta["stale"]) == ({"1", "2"}, False)


def test_without_any_known_post_the_failure_is_answered(client, media):
    media.failing[0] = FAULT

    response = client.get("/top-posts?time_range=7d")

    assert (response.status_code, response.get_json()["code"]) == (503, "provider_unavailable")
