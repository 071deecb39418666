"""Requests over data that is cached: what differs is made without a provider call, and without reading a database."""

from __future__ import annotations

import pytest

from services.cache import local

TRENDS = "/growth-trends?period=7d&metrics=reach,posts"
INSIGHTS = "/account-insights?period=day&metrics=reach,views,likes"
POSTS = "/top-posts?time_range=30d&limit=50"
REPORT = "/performance-data?url=nasa"


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """What is known to be absent stays known, however slow this machine is at present."""
    monkeypatch.setattr(local, "ABSENT_FOR", 3_600.0)


def learn(world):
    """Let the process notice its own changes, as it does every second, and drop what it has of the account."""
    world.settle()
    world.services.cache.invalidate_changed()


@pytest.mark.parametrize(
    ("first", "others"),
    [
        (POSTS, ["/top-posts?time_range=7d&limit=2", "/top-posts?time_range=30d&media_product_type=FEED&format=csv"]),
        (
            TRENDS,
            [f"{TRENDS}&er_method=median", f"{TRENDS}&format=csv", "/growth-trends?period=7d&metrics=posts,reach"],
        ),
        (INSIGHTS, ["/account-insights?period=day&metrics=views", f"{INSIGHTS}&format=csv"]),
    ],
    ids=["top posts", "growth", "insights"],
)
def test_another_query_over_cached_data_reads_no_database(world, statements, first, others):
    world.body(first)
    learn(world)
    world.get(f"{first}&format=json")  # It reads again what the first request has changed.
    statements.clear()

    replies = [world.get(path) for path in others]

    assert [(reply.status_code, reply.headers["X-Provider-Calls"]) for reply in replies] == [(200, "0")] * len(others)
    assert statements == []


def test_another_form_of_a_report_reads_it_no_more(world, statements):
    first = world.body(REPORT)
    learn(world)
    world.get(f"{REPORT}&wait=1")
    statements.clear()

    again = world.body(f"{REPORT}&wait=2")

    assert again["posts"] == first["posts"]
    assert [statement for statement in statements if "FROM reports" in statement or "FROM pending" in statement] == []


def test_a_value_that_another_process_replaces_is_shown_after_its_change_is_noticed(world):
    before = world.body(POSTS)["meta"]["time_range"]["until"]
    here = world.services
    world.advance(minutes=30)
    world.restart()  # a second process over the same store
    world.body("/top-posts?time_range=30d&limit=50&refresh=true")
    world.settle()

    here.cache.invalidate_changed()
    newer = here.top_posts.ranked(29, 50).as_json()["meta"]["time_range"]["until"]

    assert newer > before


@pytest.mark.parametrize("by", ["", "&by=reach"], ids=["score", "reach"])
def test_a_ranking_is_made_again_once_another_process_has_read_newer_numbers(world, by):
    path = f"/top-posts?time_range=30d&limit=5{by}"
    here, cache = world.client, world.services.cache
    world.body(path)
    shown = here.get(f"{path}&format=json").get_json()
    world.advance(minutes=30)
    world.restart()  # a second process over the same store
    world.body(f"{path}&refresh=true")
    world.settle()

    cache.invalidate_changed()
    again = here.get(f"{path}&media_product_type=FEED").get_json()
    newer = here.get(f"{path}&format=json").get_json()

    assert newer["top_posts"] == world.body(path)["top_posts"] != shown["top_posts"]
    until = [reply["meta"]["time_range"]["until"] for reply in (shown, again, newer)]
    assert until[0] < until[1] == until[2]


def test_a_ranking_ends_with_the_insights_that_it_was_made_of(world):
    path = "/top-posts?time_range=2d&by=reach"
    world.body(POSTS)
    world.advance(minutes=30)
    world.body(path)  # Its insights are half an hour younger than the list.
    world.advance(minutes=31)
    world.get(f"{path}&format=csv")
    world.settle()  # The list was read again, the insights were not.
    before = world.body(f"{path}&limit=4")
    same = world.body(f"{path}&limit=3")
    world.advance(minutes=30)
    world.get(path)
    world.settle()

    after = world.body(f"{path}&limit=3")

    assert same["top_posts"] == before["top_posts"][:3]
    assert after["meta"]["time_range"] == before["meta"]["time_range"]  # The list is the same one.
    assert [post["reach"] for post in after["top_posts"]] != [post["reach"] for post in same["top_posts"]]
    client = world.client
    world.restart()
    assert client.get(f"{path}&limit=3&format=csv").data == world.get(f"{path}&limit=3&format=csv").data


def test_a_second_request_does_not_see_what_the_first_one_did_with_shared_values(world):
    first = world.body(INSIGHTS)
    world.get("/account-insights?period=day&metrics=likes,views&format=csv")
    world.get(f"{POSTS}&by=reach")
    second = world.body("/account-insights?period=day&metrics=views,reach,likes")

    by_name = {each["name"]: each for each in second["data"]}
    assert [by_name[each["name"]] for each in first["data"]] == first["data"]


def test_what_was_shown_before_is_shown_until_it_expires_and_no_longer(world):
    first = world.body(f"{INSIGHTS}&format=json")["meta"]
    learn(world)
    world.get(INSIGHTS)
    world.advance(hours=3)
    world.get(f"{INSIGHTS}&account={first['account']}")
    before = world.body(f"{INSIGHTS}&format=json&account={first['account']}")["meta"]
    world.advance(hours=4)

    world.get(INSIGHTS)  # It may answer the expired values, stale, while they are read again.
    world.settle()
    after = world.body(f"{INSIGHTS}&format=json")["meta"]

    assert before["fetched_at"] == first["fetched_at"]
    assert after["fetched_at"] > first["expires_at"]
    assert after["stale"] is False
