"""Top posts: every post of the range once, ranked by likes and comments, ties by newest."""

from __future__ import annotations

import pytest

from services import top_posts
from services.posts.ordered_posts import OrderedPosts
from tests.planners import MEDIA, NEXT_PAGE, body_of, plan_posts, post, query_of, without
from tests.support import settings


def ask(client, time_range="7d", **query):
    return body_of(client, "/top-posts", time_range=time_range, **query)


def ids(body):
    return [each["id"] for each in body["top_posts"]]


def reasons(body):
    return [(entry["metric"], entry["reason"]) for entry in body["meta"]["unavailable"]]


def test_a_post_has_all_its_fields(client, wire):
    plan_posts(wire, [post("a", like_count=10, comments_count=5)])

    assert ask(client)["top_posts"] == [
        {
            "id": "a",
            "permalink": "https://www.instagram.com/p/a/",
            "caption": "a",
            "caption_truncated": False,
            "like_count": 10,
            "likes_hidden": False,
            "comments_count": 5,
            "comments_hidden": False,
            "engagement_score": 15,
            "timestamp": "2026-06-14T12:00:00+0000",
            "media_type": "IMAGE",
            "media_product_type": "FEED",
        }
    ]


def test_posts_come_by_score_and_ties_by_newest(client, wire):
    plan_posts(
        wire,
        [
            post("new", "2026-06-14T12:00:00+0000", like_count=5, comments_count=5),
            post("old", "2026-06-13T12:00:00+0000", like_count=10, comments_count=0),
            post("best", "2026-06-12T12:00:00+0000", like_count=10, comments_count=1),
            post("least", "2026-06-11T12:00:00+0000", like_count=0, comments_count=0),
        ],
    )

    assert ids(ask(client)) == ["best", "new", "old", "least"]


def test_rankings_are_remembered_within_a_bound_that_counts_their_posts(make_client, wire, clock, monkeypatch):
    plan_posts(wire, [post(str(number), like_count=number) for number in range(40)])
    made, best = [], OrderedPosts.best

    def counted(ordered, *arguments):
        made.append(1)
        return best(ordered, *arguments)

    monkeypatch.setattr(OrderedPosts, "best", counted)

    def made_again(most):
        monkeypatch.setattr(top_posts, "MOST_RANKINGS", most)
        client = make_client(settings(), clock=clock)
        for range_ in ("7d", "30d"):
            ask(client, range_)
            ask(client, range_, format="json")
        made.clear()
        for range_ in ("7d", "30d"):
            ask(client, range_, limit=2)
        return len(made)

    room = top_posts.RANKING_OVERHEAD + 40 * top_posts.RANKED_POST
    assert [made_again(most) for most in (2 * room, 2 * room - 1)] == [0, 2]


@pytest.mark.parametrize(("limit", "count"), [(None, 5), (1, 1), (50, 12)])
def test_there_are_no_more_posts_than_requested(client, wire, limit, count):
    plan_posts(wire, [post(str(number), like_count=number) for number in range(12)])

    body = ask(client, **({"limit": limit} if limit else {}))

    assert ids(body) == [str(number) for number in range(11, 11 - count, -1)]
    assert body["meta"]["time_range"]["posts"] == 12


def test_hidden_likes_rank_by_comments_and_say_so(client, wire):
    plan_posts(wire, [without(post("hidden", comments_count=30), "like_count"), post("seen", like_count=20)])

    first, second = ask(client)["top_posts"]

    assert (first["id"], first["like_count"], first["likes_hidden"]) == ("hidden", None, True)
    assert first["engagement_score"] == 30
    assert (second["id"], second["likes_hidden"]) == ("seen", False)


@pytest.mark.parametrize("wrong", [None, "12", True, -1, 1.5, [12]])
def test_a_count_that_is_none_is_unknown_and_never_zero(client, wire, wrong):
    plan_posts(wire, [post("a", like_count=wrong, comments_count=wrong), post("b", like_count=0, comments_count=0)])

    best, unknown = ask(client)["top_posts"]

    assert (best["id"], best["engagement_score"]) == ("b", 0)
    assert (unknown["like_count"], unknown["comments_count"], unknown["engagement_score"]) == (None, None, None)


@pytest.mark.parametrize("wrong", ["12", True, -1, 1.5, [12], {}])
def test_likes_that_cannot_be_read_are_not_hidden(client, wire, wrong):
    plan_posts(wire, [post("a", like_count=wrong, comments_count=7)])

    body = ask(client)

    (only,) = body["top_posts"]
    assert (only["like_count"], only["likes_hidden"], only["engagement_score"]) == (None, False, 7)
    assert reasons(body) == [("like_count", "unreadable")]


@pytest.mark.parametrize("wrong", ["12", True, -1, 1.5, [12], {}])
def test_comments_that_cannot_be_read_are_not_hidden(client, wire, wrong):
    plan_posts(wire, [post("a", like_count=7, comments_count=wrong)])

    body = ask(client)

    (only,) = body["top_posts"]
    assert (only["comments_count"], only["comments_hidden"], only["engagement_score"]) == (None, False, 7)
    assert reasons(body) == [("comments_count", "unreadable")]


@pytest.mark.parametrize("absence", [{}, {"comments_count": None}])
def test_hidden_comments_are_marked_and_the_likes_count(client, wire, absence):
    plan_posts(wire, [without(post("a", like_count=7), "comments_count") | absence])

    body = ask(client)

    (only,) = body["top_posts"]
    assert (only["comments_count"], only["comments_hidden"], only["likes_hidden"]) == (None, True, False)
    assert (only["engagement_score"], reasons(body)) == (7, [])


def test_each_reason_is_listed_once_and_only_for_listed_posts(client, wire):
    broken = [post(name, like_count="x", comments_count="x") for name in "ab"]
    plan_posts(
        wire, [*broken, without(post("c"), "like_count"), post("d"), post("e", like_count="x", comments_count=None)]
    )

    every, best = ask(client), ask(client, limit=2)

    assert reasons(every) == [
        ("like_count", "unreadable"),
        ("comments_count", "unreadable"),
    ]
    assert all(entry["message"] for entry in every["meta"]["unavailable"])
    assert (ids(best), reasons(best)) == (["d", "c"], [])


# The range


def test_the_range_is_days_of_24_hours_back_from_now(client, wire):
    plan_posts(wire, [post("in", "2026-06-08T18:00:00+0000"), post("out", "2026-06-08T17:59:59+0000")])

    body = ask(client)

    assert ids(body) == ["in"]
    assert body["meta"]["time_range"] == {"since": "2026-06-08T18:00:00Z", "until": "2026-06-15T18:00:00Z"} | {
        "posts": 1,
        "posts_of_unknown_type": 0,
    }


def test_all_pages_of_the_range_are_read_and_no_page_beyond(client, wire):
    pages = [[post(str(number), f"2026-06-{14 - number:02}T12:00:00+0000")] for number in range(5)]
    plan_posts(wire, *pages, more=True)

    body = ask(client, time_range="5d", limit=50)

    cursors = [query_of(call.request).get("after", "") for call in wire.calls]
    assert sorted(ids(body)) == ["0", "1", "2", "3"]
    assert cursors == ["", "C1", "C2", "C3", "C4"]


def test_a_post_that_comes_twice_is_counted_once(client, wire):
    plan_posts(wire, [post("c"), post("b")], [post("b"), post("a")])

    body = ask(client)

    assert sorted(ids(body)) == ["a", "b", "c"]
    assert body["meta"]["time_range"]["posts"] == 3


def test_an_empty_page_in_the_midst_is_not_the_end(client, wire):
    plan_posts(wire, [post("b")], [], [post("a")])

    assert sorted(ids(ask(client))) == ["a", "b"]


def test_cursors_that_go_in_circles_end_and_say_so(client, wire):
    circle = {"cursors": {"after": "C1"}, "next": NEXT_PAGE}
    wire.get(MEDIA, json={"data": [post("a")], "paging": circle})

    body = ask(client)

    assert ids(body) == ["a"]
    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["truncated"]
    assert len(wire.calls) == 2


def test_a_page_that_cannot_be_continued_says_so(client, wire):
    wire.get(MEDIA, json={"data": [post("a")], "paging": {"next": NEXT_PAGE}})

    body = ask(client)

    assert ids(body) == ["a"]
    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["truncated"]


@pytest.mark.parametrize(
    "broken", [{"id": 1.5}, {"id": True}, {"id": ""}, {"id": None}, {"timestamp": "soon"}, {"timestamp": None}]
)
def test_a_post_without_id_or_time_is_left_out_and_counted(client, wire, broken):
    plan_posts(wire, [post("a"), post("b") | broken])

    body = ask(client)

    assert ids(body) == ["a"]
    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["posts_unreadable"]
    assert body["meta"]["warnings"][0]["message"].startswith("1 ")


def test_an_id_that_comes_as_a_number_is_the_same_id(client, wire):
    plan_posts(wire, [post(5), post("4")], [post("5"), post(3)])

    assert sorted(ids(ask(client))) == ["3", "4", "5"]


def test_an_item_that_is_no_post_is_counted(client, wire):
    plan_posts(wire, [post("a"), None, [], "post"])

    body = ask(client)

    assert ids(body) == ["a"]
    assert body["meta"]["warnings"][0]["message"].startswith("3 ")


def test_no_posts_are_an_empty_list(client, wire):
    plan_posts(wire, [])

    assert ask(client)["top_posts"] == []


# Texts and types


@pytest.mark.parametrize(("length", "truncated"), [(499, False), (500, False), (501, True), (2200, True)])
def test_a_long_caption_is_cut_and_says_so(client, wire, length, truncated):
    plan_posts(wire, [post("a", caption="\u00e9" * length)])

    (only,) = ask(client)["top_posts"]

    assert (len(only["caption"]), only["caption_truncated"]) == (min(length, 500), truncated)


def test_what_the_provider_leaves_out_is_null(client, wire):
    plan_posts(wire, [without(post("a"), "caption", "permalink", "media_type", "media_product_type")])

    (only,) = ask(client)["top_posts"]

    assert [only[name] for name in ("caption", "permalink", "media_type", "media_product_type")] == [None] * 4


@pytest.mark.parametrize(("given", "found"), [("FEED", ["a"]), ("reels", ["b"]), ("AD", [])])
def test_posts_are_filtered_by_their_type(client, wire, given, found):
    plan_posts(wire, [post("a"), post("b", media_product_type="REELS")])

    body = ask(client, media_product_type=given)

    assert (ids(body), body["meta"]["warnings"]) == (found, [])


@pytest.mark.parametrize("unknown", [None, "REEL", "CLIPS", "feed", 7, "absent"])
@pytest.mark.parametrize("given", ["FEED", "REELS", "AD"])
def test_a_post_of_an_unknown_type_matches_no_type_and_is_counted(client, wire, given, unknown):
    odd = post("odd", media_product_type=unknown)
    plan_posts(wire, [post("a"), without(odd, "media_product_type") if unknown == "absent" else odd])

    every, of_type = ask(client), ask(client, media_product_type=given)

    assert ids(every) == ["a", "odd"]
    assert every["top_posts"][1]["media_product_type"] == (unknown if unknown in ("REEL", "CLIPS", "feed") else None)
    assert ids(of_type) == (["a"] if given == "FEED" else [])
    assert [each["meta"]["time_range"]["posts_of_unknown_type"] for each in (every, of_type)] == [1, 1]
    assert [warning["code"] for warning in of_type["meta"]["warnings"]] == ["types_unknown"]


@pytest.mark.parametrize(
    "character", ["\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "e\u0301\u0323"]
)
@pytest.mark.parametrize("already_in", [1, 2])
def test_a_caption_is_cut_before_a_character_that_would_be_in_pieces(client, wire, character, already_in):
    caption = "x" * (500 - already_in) + character + "x"
    wire.get(MEDIA, json={"data": [post("17900000000000001", caption=caption)]})

    shown = body_of(client, "/top-posts?time_range=7d")["top_posts"][0]

    whole = len(character) <= already_in
    assert shown["caption"] == caption[: 500 if whole else 500 - already_in]
    assert shown["caption_truncated"] is True
    kept = body_of(client, "/history/posts/17900000000000001")["post"]["caption"]
    assert kept == shown["caption"]
