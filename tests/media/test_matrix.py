"""Each metric for each type of media by each login: what the sheet of Meta's page says, and at most one refusal."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest

ALL = frozenset({"FEED", "REELS", "STORY"})
POSTS, PROFILE = ALL - {"STORY"}, ALL - {"REELS"}
REELS, STORY = frozenset({"REELS"}), frozenset({"STORY"})
# As Meta's page has them, and not read from the catalogue that is tested.
TYPES = {
    **dict.fromkeys(("reach", "views", "shares", "reposts", "total_interactions"), ALL),
    **dict.fromkeys(("likes", "comments", "saved"), POSTS),
    **dict.fromkeys(("follows", "profile_visits", "profile_activity"), PROFILE),
    **dict.fromkeys(
        ("ig_reels_avg_watch_time", "ig_reels_video_view_total_time", "reels_skip_rate", "crossposted_views"), REELS
    ),
    **dict.fromkeys(("navigation", "replies", "link_clicks"), STORY),
    **dict.fromkeys(("total_likes", "total_comments"), POSTS),
    **dict.fromkeys(("facebook_views", "total_views"), ALL),
}
BY_FACEBOOK = {"facebook_views", "link_clicks", "total_likes", "total_comments", "total_views"}
ON_FACEBOOK = {"facebook_views", "crossposted_views"}


@pytest.fixture(params=["facebook", "instagram"])
def login(request):
    return request.param


@pytest.fixture
def read(world, login):
    """A world whose account is read by a login."""
    if login == "instagram":
        world.restart(
            ACCESS_LONG_LIVED_TOKEN=world.account["instagram_token"],
            GRAPH_BASE_URL=f"{world.simulator.url}/graph.instagram.com",
            INSTAGRAM_ACCOUNT_ID="",
        )
    return world


def stories_of(world):
    """The stories of a world that are not over, with enough viewers and at least three hours to live."""
    stories = world.simulator.get(f"/_simulator/truth/{world.account['id']}/stories?insights=true").json()["stories"]
    return [
        story | {"media_product_type": "STORY"}
        for story in stories
        if story["insights"]["reach"] >= 5
        and world.clock.now() - datetime.fromisoformat(story["timestamp"]) < timedelta(hours=21)
    ]


def posts_of(world):
    since = (world.clock.now() - timedelta(days=6)).date().isoformat()
    return world.truth(insights="true", since=since)["posts"]


def media_of(world, product_type, **properties):
    """The newest media of a type with some properties."""
    listed = stories_of(world) if product_type == "STORY" else posts_of(world)
    return next(
        media
        for media in listed
        if media["media_product_type"] == product_type
        and all(media[name] == value for name, value in properties.items())
    )


def failed_calls(world):
    """The metrics of each failed call; then count from zero again."""
    made = world.simulator.get("/_simulator/calls").json()["instagram"]["calls"]
    world.simulator.post("/_simulator/calls/reset")
    return [re.search(r"[?&]metric=([^&]+)", call["path"])[1] for call in made if call["status"] >= 400]


def expected(metric, media, login):
    """The value, or the reason why there is none."""
    if login == "instagram" and metric in BY_FACEBOOK:
        return "not_by_login" if media["media_product_type"] in TYPES[metric] else "not_for_product_type"
    if media["media_product_type"] not in TYPES[metric]:
        return "not_for_product_type"
    if metric in ON_FACEBOOK and not media["on_facebook"]:
        return "not_shared_to_facebook"
    return media["insights"][metric]


@pytest.mark.parametrize("on_facebook", [True, False])
@pytest.mark.parametrize("product_type", ["FEED", "REELS", "STORY"])
def test_the_outcome_of_each_metric_equals_the_matrix(read, login, product_type, on_facebook):
    read.switch(shared_to_facebook="all" if on_facebook else "none")
    media = media_of(read, product_type)
    request = f"/api/instagram/insights/{media['id']}?metrics={','.join(TYPES)}"
    wanted = {metric: expected(metric, media, login) for metric in TYPES}
    refused = {metric for metric, outcome in wanted.items() if isinstance(outcome, str)}
    failed_calls(read)

    body = read.body(request)

    found = {each["name"]: each["values"][0] for each in body["insights"]}
    assert {name: each.get("reason", each["value"]) for name, each in found.items()} == wanted
    assert {each["metric"] for each in body["meta"]["unavailable"]} == refused
    assert sorted(failed_calls(read)) == sorted(refused)

    read.advance(**({"hours": 2} if product_type == "STORY" else {"days": 29}))
    again = read.body(f"{request}&refresh=true")

    assert {each["metric"] for each in again["meta"]["unavailable"]} == refused
    assert failed_calls(read) == []


def test_another_media_of_the_type_costs_no_failed_call_either(read):
    first, second = [post for post in posts_of(read) if post["media_product_type"] == "FEED"][:2]
    metrics = "reach,navigation,ig_reels_avg_watch_time"
    read.body(f"/api/instagram/insights/{first['id']}?metrics={metrics}")
    failed_calls(read)

    body = read.body(f"/api/instagram/insights/{second['id']}?metrics={metrics}")

    assert [each["values"][0]["value"] for each in body["insights"]] == [second["insights"]["reach"], None, None]
    assert failed_calls(read) == []


@pytest.mark.parametrize("product_type", ["FEED", "REELS", "STORY"])
def test_the_recommended_metrics_of_a_type_are_all_answered(read, product_type):
    media = media_of(read, product_type)
    failed_calls(read)

    body = read.body(f"/api/instagram/insights/{media['id']}")

    listed = read.body(f"/api/instagram/insights/metrics/{product_type.lower()}")["metrics"]
    assert [each["name"] for each in body["insights"]] == [each["name"] for each in listed]
    assert {each["name"]: each["values"][0]["value"] for each in body["insights"]} == {
        each["name"]: media["insights"][each["name"]] for each in listed
    }
    assert (body["media_type"], body["meta"]["unavailable"]) == (product_type, [])
    assert failed_calls(read) == []


@pytest.mark.parametrize("locale", ["en", "ja"])
def test_a_metric_that_meta_withdraws_is_refused_by_two_media_and_takes_no_other_with_it(read, login, locale):
    read.switch(locale=locale)
    reels = [post for post in posts_of(read) if post["media_product_type"] == "REELS"][:4]
    read.fault("refuse_metric", metric="saved")
    failed_calls(read)

    bodies = [read.body(f"/api/instagram/insights/{reel['id']}") for reel in reels]

    for body, reel in zip(bodies, reels, strict=True):
        found = {each["name"]: each["values"][0] for each in body["insights"]}
        assert found.pop("saved") == {"value": None, "reason": "refused"}
        assert {name: each["value"] for name, each in found.items()} == {name: reel["insights"][name] for name in found}
    # A text in another language does not name the metric, so that it is asked for once more, alone.
    assert len(failed_calls(read)) == (4 if login == "instagram" and locale == "ja" else 2)


@pytest.mark.parametrize("metric", ["saved", "views"])
def test_one_odd_media_that_is_read_first_hides_the_metric_of_no_other(read, metric):
    reels = [post for post in posts_of(read) if post["media_product_type"] == "REELS"][:3]
    read.fault("refuse_metric", metric=metric, path=f"/{reels[0]['id']}/")
    odd = read.body(f"/api/instagram/insights/{reels[0]['id']}?metrics=reach,{metric}")
    assert [each["values"][0]["value"] for each in odd["insights"]] == [reels[0]["insights"]["reach"], None]
    failed_calls(read)

    for reel in reels[1:]:
        body = read.body(f"/api/instagram/insights/{reel['id']}?metrics=reach,{metric}")
        assert body["insights"][1]["values"] == [{"value": reel["insights"][metric]}]
    ranked = read.body(f"/top-posts?time_range=30d&limit=50&by={metric}")["top_posts"]

    assert all(post[metric] is not None for post in ranked if post["id"] != reels[0]["id"])
    again = read.body(f"/api/instagram/insights/{reels[0]['id']}?metrics=reach,{metric}&refresh=true")
    assert again["insights"][1]["values"] == [{"value": None, "reason": "refused"}]
    assert failed_calls(read) == []


def test_a_metric_that_meta_withdraws_later_costs_two_failed_calls(read):
    reels = [post for post in posts_of(read) if post["media_product_type"] == "REELS"][:6]
    for reel in reels[:2]:
        read.body(f"/api/instagram/insights/{reel['id']}?metrics=views,saved")
    read.fault("refuse_metric", metric="saved")
    failed_calls(read)

    bodies = [read.body(f"/api/instagram/insights/{reel['id']}?metrics=views,saved") for reel in reels[2:]]

    assert [body["insights"][1]["values"][0]["value"] for body in bodies] == [None] * 4
    # One media may be odd, so that the first refusal is about that one alone.
    assert len(failed_calls(read)) == 2
    assert {
        each["scope"]: each["works"] for each in read.body("/capabilities")["capabilities"] if each["metric"] == "saved"
    } == {"FEED": True, "REELS": False, "STORY": False, "AD": None}


def test_capabilities_equal_the_matrix_and_cost_no_call(read, login):
    read.body("/top-posts?time_range=1d")
    read.calls()

    found = read.body("/capabilities")["capabilities"]

    works = {(each["metric"], each["scope"]): each["works"] for each in found if each["scope"] in ALL}
    for metric, types in TYPES.items():
        answered = types if login == "facebook" or metric not in BY_FACEBOOK else set()
        assert {type_ for type_ in ALL if works[metric, type_]} == answered, metric
    assert read.calls() == []


def test_capabilities_name_the_successor_of_each_removed_metric(read, login):
    found = read.body("/capabilities")["capabilities"]
    removed = {(each["metric"], each["scope"]): (each["answered_by"], each["since"], each["works"]) for each in found}

    assert removed["plays", "REELS"] == ("views", "2025-04-21", True)
    assert removed["engagement", "STORY"] == ("likes+comments", "2023-12-11", removed["likes", "STORY"][2])
    assert removed["taps_back", "STORY"] == ("navigation", "2023-12-11", True)
    assert removed["taps_back", "FEED"] == ("navigation", "2023-12-11", False)
    assert removed["clips_replays_count", "REELS"] == (None, "2025-04-21", False)
    assert removed["impressions", "account"][0] == "views"
    assert removed["views", "REELS"] == (None, None, True)


def test_capabilities_name_the_login_only_where_the_other_one_would_give_the_metric(read, login):
    found = read.body("/capabilities")["capabilities"]
    reasons = {each["scope"]: each["reason"] for each in found if each["metric"] == "link_clicks"}

    assert reasons["STORY"] == (None if login == "facebook" else "not_by_login")
    assert reasons["FEED"] == reasons["REELS"] == "not_for_product_type"
