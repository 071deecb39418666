"""Refusals that hold for every media, or whose words do not say what they are about, cost few calls and no number."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

PATH = "/api/instagram/insights"
FEW = "insufficient_viewers"


@pytest.fixture(params=["facebook", "instagram"])
def read(world, request):
    """A world whose account is read by one of the logins."""
    if request.param == "instagram":
        by_instagram(world)
    return world


def by_instagram(world):
    world.restart(
        ACCESS_LONG_LIVED_TOKEN=world.account["instagram_token"],
        GRAPH_BASE_URL=f"{world.simulator.url}/graph.instagram.com",
        INSTAGRAM_ACCOUNT_ID="",
    )


def live_stories(world):
    listed = world.simulator.get(f"/_simulator/truth/{world.account['id']}/stories?insights=true").json()["stories"]
    return {story["id"]: story["insights"] for story in listed if story["is_live"]}


def move_to_a_new_story(world):
    """Move to a moment at which the newest of many live stories, and no other, has too few viewers."""
    newest = world.simulator.get(f"/_simulator/truth/{world.account['id']}/stories").json()["stories"][0]
    posted = datetime.fromisoformat(newest["timestamp"])
    world.advance(seconds=(posted - world.clock.now()).total_seconds() + 5)
    few = [story for story, insights in live_stories(world).items() if insights["reach"] < 5]
    assert few == [newest["id"]]
    return newest["id"]


def calls(world):
    """How many calls were made, and how many of them failed; then count from zero again."""
    world.settle()
    made = world.simulator.get("/_simulator/calls").json()["instagram"]["calls"]
    world.simulator.post("/_simulator/calls/reset")
    return len(made), sum(call["status"] >= 400 for call in made)


def numbers(story):
    return {each["name"]: each["value"] for each in story["insights"] if each["value"] is not None}


def test_a_metric_that_needs_a_metric_type_costs_one_failed_call_for_all_posts(read):
    read.switch(views_needs_metric_type=True)
    posts = {post["id"]: post["insights"]["views"] for post in read.truth(insights="true", since="2026-10-20")["posts"]}
    read.body("/top-posts?time_range=30d")
    calls(read)

    body = read.body("/top-posts?time_range=30d&by=views&limit=50")

    assert {post["id"]: post["views"] for post in body["top_posts"]} == {
        post["id"]: posts[post["id"]] for post in body["top_posts"]
    }
    assert body["meta"]["ranking"]["posts_unknown"] == 0
    assert calls(read) == (5, 1)
    read.advance(hours=7)
    read.body("/top-posts?time_range=30d&by=views&limit=50&refresh=true")
    assert calls(read)[1] == 0


def test_a_metric_that_needs_a_metric_type_costs_one_failed_call_for_all_stories(read):
    read.switch(views_needs_metric_type=True)
    truth = live_stories(read)
    calls(read)

    stories = read.body("/stories")["stories"]

    assert {story["id"]: numbers(story)["views"] for story in stories} == {
        story: insights["views"] for story, insights in truth.items()
    }
    made, failed = calls(read)
    assert (made <= 4, failed) == (True, 1)
    read.advance(hours=1)
    read.body("/stories?refresh=true")
    assert calls(read)[1] == 0


@pytest.mark.parametrize("locale", ["en", "ja", "pt", "fr"])
def test_too_few_viewers_are_found_whatever_language_instagram_answers_in(world, locale):
    by_instagram(world)
    world.switch(locale=locale)
    few = move_to_a_new_story(world)
    truth = live_stories(world)

    stories = {story["id"]: story for story in world.body("/stories")["stories"]}
    response = world.get(f"{PATH}/{few}?metrics=views,navigation")

    assert stories.keys() == truth.keys()
    assert {each["reason"] for each in stories.pop(few)["insights"]} == {FEW}
    for story in stories.values():
        assert numbers(story) == {name: truth[story["id"]][name] for name in numbers(story)}
        assert not [each for each in story["insights"] if each["value"] is None]
    assert (response.status_code, response.get_json()["code"]) == (422, FEW)


def test_a_missing_permission_is_no_lack_of_viewers(world):
    by_instagram(world)
    few = move_to_a_new_story(world)
    world.body("/top-posts?time_range=1d")
    world.fault("permission", code=10)

    response = world.get(f"{PATH}/{few}?account={world.account['id']}")

    assert (response.status_code, response.get_json()["code"]) == (403, "permission_denied")


def test_a_new_story_without_viewers_does_not_have_all_others_asked_alone(read):
    move_to_a_new_story(read)
    stories = len(live_stories(read))
    calls(read)

    read.body("/stories")

    assert stories >= 8
    # The page; the list; the viewers of the new story; what passes over it; the one behind it, and the page behind
    # that one; the navigation of both.
    made, failed = calls(read)
    assert (made <= 9, failed) == (True, 2)  # By the Instagram login one more shows that the token may read insights.


def test_a_story_without_viewers_is_refused_whatever_else_is_asked_of_it(read):
    few = move_to_a_new_story(read)
    other = next(story for story in live_stories(read) if story != few)
    read.body(f"{PATH}/{other}?metrics=likes")  # Stories have none, as is known from here on.

    assert (
        read.body(f"{PATH}/{few}?metrics=clips_replays_count")["insights"][0]["values"][0]["reason"] == "no_successor"
    )
    for metrics in ("likes,views", "likes,navigation", "facebook_views,views", "likes,views"):
        response = read.get(f"{PATH}/{few}?metrics={metrics}")
        assert (response.status_code, response.get_json()["code"]) == (422, FEW), metrics
    assert read.get(f"{PATH}/{few}?metrics=clips_replays_count").status_code == 200


def test_a_post_from_before_the_conversion_is_refused_whatever_else_is_asked_of_it(read):
    posts = [post for post in read.truth(since="2026-11-01")["posts"] if post["media_product_type"] == "FEED"]
    read.body(f"{PATH}/{posts[0]['id']}?metrics=navigation")
    read.switch(pre_conversion_before=(read.clock.now() - timedelta(days=2)).isoformat())

    for metrics in ("navigation,reach", "navigation,reach", "navigation"):
        response = read.get(f"{PATH}/{posts[-1]['id']}?metrics={metrics}")
        assert (response.status_code, response.get_json()["code"]) == (422, "media_too_old"), metrics


@pytest.mark.parametrize("answers", ["missing", "empty"])
def test_a_story_that_ended_without_viewers_is_over_and_no_part_of_an_album(read, answers):
    read.switch(expired_story=answers)
    few = move_to_a_new_story(read)
    read.body("/stories")
    read.advance(hours=25)

    body = read.body(f"{PATH}/{few}")

    assert {(each["values"][0]["value"], each["values"][0]["reason"]) for each in body["insights"]} == {(None, FEW)}
