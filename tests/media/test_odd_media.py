"""Media that differ from the usual ones, read from the simulator with each of its switches."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.media.test_refused_names import by_instagram
from tests.support import forget_everything

PATH = "/api/instagram/insights"


def posts(world, *, days=6, **properties):
    since = (world.clock.now() - timedelta(days=days)).date().isoformat()
    listed = world.truth(insights="true", since=since)["posts"]
    return [post for post in listed if all(post[name] == value for name, value in properties.items())]


def stories(world):
    listed = world.simulator.get(f"/_simulator/truth/{world.account['id']}/stories?insights=true").json()["stories"]
    now = world.clock.now()
    return [story for story in listed if now - datetime.fromisoformat(story["timestamp"]) < timedelta(hours=21)]


def values(body):
    return {each["name"]: each["values"][0]["value"] for each in body["insights"]}


def reasons(body):
    return {each["metric"]: each["reason"] for each in body["meta"]["unavailable"]}


def failed_calls(world):
    made = world.simulator.get("/_simulator/calls").json()["instagram"]["calls"]
    world.simulator.post("/_simulator/calls/reset")
    return [call["path"] for call in made if call["status"] >= 400]


@pytest.mark.parametrize("answers", ["feed", "refused"])
def test_a_post_that_is_only_an_advertisement(world, answers):
    world.switch(ad_insights=answers)
    ad = posts(world, days=30, media_product_type="AD")[0]

    body = world.body(f"{PATH}/{ad['id']}?metrics=views,reach,saved,profile_activity")

    assert body["media_type"] == "AD"
    if answers == "feed":
        assert values(body) == {name: ad["insights"][name] for name in values(body)}
    else:
        assert set(reasons(body).values()) == {"not_for_product_type"}
        failed_calls(world)
        other = posts(world, days=30, media_product_type="AD")[1]
        assert set(values(world.body(f"{PATH}/{other['id']}?metrics=views,saved")).values()) == {None}
        assert failed_calls(world) == []


@pytest.mark.parametrize(("login", "answers"), [("facebook", "feed"), ("instagram", "feed"), ("facebook", "refused")])
def test_the_capabilities_of_advertisements_are_unknown_until_instagram_was_asked(world, login, answers):
    if login == "instagram":
        by_instagram(world)
    world.switch(ad_insights=answers)
    ad = posts(world, days=30, media_product_type="AD")[0]
    before = works_for_ads(world)
    body = world.body(f"{PATH}/{ad['id']}?metrics=views,reach,link_clicks")

    of_facebook = (None, "not_documented") if login == "facebook" else (False, "not_by_login")
    assert {name: before[name] for name in ("views", "navigation", "link_clicks")} == {
        "views": (None, "not_documented"),
        "navigation": (None, "not_documented"),
        "link_clicks": of_facebook,
    }
    after = works_for_ads(world)
    if answers == "feed":
        assert values(body) == {"views": ad["insights"]["views"], "reach": ad["insights"]["reach"], "link_clicks": None}
        assert (after["views"], after["reach"]) == ((True, None), (True, None))
    else:
        assert (after["views"], after["reach"]) == ((False, "not_for_product_type"),) * 2
    lacking = "not_for_product_type" if login == "facebook" else "not_by_login"
    assert (reasons(body)["link_clicks"], after["link_clicks"]) == (lacking, (False, lacking))


def test_what_two_metrics_stand_for_is_unknown_while_one_of_them_is(world):
    world.switch(ad_insights="feed")
    ad = posts(world, days=30, media_product_type="AD")[0]

    world.body(f"{PATH}/{ad['id']}?metrics=likes")

    works = works_for_ads(world)
    assert (works["likes"], works["engagement"]) == ((True, None), (None, "not_documented"))


def works_for_ads(world):
    found = world.body("/capabilities")["capabilities"]
    return {each["metric"]: (each["works"], each["reason"]) for each in found if each["scope"] == "AD"}


def test_what_an_advertisement_lacks_is_not_for_its_type(world):
    world.switch(ad_insights="feed")
    ad = posts(world, days=30, media_product_type="AD")[0]

    body = world.body(f"{PATH}/{ad['id']}?metrics=views,navigation,reels_skip_rate")

    assert reasons(body) == dict.fromkeys(("navigation", "reels_skip_rate"), "not_for_product_type")


@pytest.mark.parametrize("answers", ["unsupported", "empty"])
def test_a_picture_of_an_album(world, answers):
    world.switch(album_child_insights=answers)
    album = posts(world, media_type="CAROUSEL_ALBUM", media_product_type="FEED")[0]
    graph = f"{world.settings['GRAPH_BASE_URL'].removeprefix(world.simulator.url)}/v25.0"
    token = world.settings["ACCESS_LONG_LIVED_TOKEN"]
    children = world.simulator.get(f"{graph}/{album['id']}?fields=children&access_token={token}").json()["children"]

    response = world.get(f"{PATH}/{children['data'][0]['id']}")

    assert (response.status_code, response.get_json()["code"]) == (422, "album_child")
    assert world.get(f"{PATH}/{album['id']}").status_code == 200


@pytest.mark.parametrize("minimum", ["viewers", "values"])
def test_a_story_with_values_below_five(world, minimum):
    world.switch(story_minimum=minimum)
    story = next(each for each in stories(world) if each["insights"]["reach"] >= 5 > each["insights"]["replies"])
    metrics = ("views", "reach", "replies", "shares", "navigation")

    body = world.body(f"{PATH}/{story['id']}?metrics={','.join(metrics)}")

    few = {name for name in metrics if minimum == "values" and story["insights"][name] < 5}
    assert values(body) == {name: None if name in few else story["insights"][name] for name in metrics}
    assert reasons(body) == dict.fromkeys(few, "insufficient_viewers")
    world.advance(minutes=20)
    again = world.body(f"{PATH}/{story['id']}?metrics={','.join(metrics)}")
    for answered, wait in ((body, 3600), (again, 2400)):
        waits = {each["metric"]: each["retry_after"] for each in answered["meta"]["unavailable"]}
        assert waits == pytest.approx(dict.fromkeys(few, wait), abs=2)


def test_a_name_and_a_value_below_five_in_one_call_are_two_refusals(world):
    """The name is refused before any value is looked at, and what is refused then is about the rest."""
    world.switch(story_minimum="values", views_needs_metric_type=True)
    story = next(each for each in stories(world) if each["insights"]["views"] >= 5 > each["insights"]["replies"])

    body = world.body(f"{PATH}/{story['id']}?metrics=views,reach,replies")

    assert values(body) == {name: story["insights"][name] for name in ("views", "reach")} | {"replies": None}


def test_a_story_that_comes_without_insights_is_asked_for_alone(world):
    world.switch(story_minimum="values", expansion_refusals="omitted")
    truth = {each["id"]: each["insights"] for each in stories(world) if each["insights"]["reach"] >= 5}

    found = {each["id"]: each["insights"] for each in world.body("/stories")["stories"] if each["id"] in truth}

    assert found.keys() == truth.keys()
    for story, insights in found.items():
        numbers = {each["name"]: each["value"] for each in insights}
        assert numbers == {name: (n if (n := truth[story][name]) >= 5 else None) for name in numbers}


def test_a_story_without_five_viewers(make_world):
    world = make_world("small")
    for _ in range(60):
        found = [each for each in stories(world) if each["insights"]["reach"] < 5]
        if found:
            break
        world.advance(hours=12)

    response = world.get(f"{PATH}/{found[0]['id']}")

    assert (response.status_code, response.get_json()["code"]) == (422, "insufficient_viewers")


def test_media_from_before_the_conversion(make_world):
    world = make_world("converted")
    listed = world.truth(insights="true", since="2026-02-01")["posts"]
    before = next(post for post in listed if post["before_conversion"])
    after = next(post for post in listed if not post["before_conversion"])

    response = world.get(f"{PATH}/{before['id']}")

    assert (response.status_code, response.get_json()["code"]) == (422, "media_too_old")
    assert len(failed_calls(world)) == 1
    assert world.get(f"{PATH}/{before['id']}?metrics=reach").status_code == 422
    assert failed_calls(world) == []
    assert values(world.body(f"{PATH}/{after['id']}?metrics=reach")) == {"reach": after["insights"]["reach"]}


@pytest.mark.parametrize("switch", [{"total_views": "refused"}, {"views_needs_metric_type": True}])
def test_what_is_odd_about_one_metric_costs_one_failed_call_in_thirty_days(world, switch):
    world.switch(**switch)
    first, second = posts(world, media_product_type="FEED")[:2]
    metrics = ("reach", "views", "likes", "total_views")
    expected = {"total_views"} if "total_views" in switch else set()

    bodies = [world.body(f"{PATH}/{post['id']}?metrics={','.join(metrics)}") for post in (first, second)]

    for body, post in zip(bodies, (first, second), strict=True):
        assert set(reasons(body)) == expected
        assert values(body) == {name: None if name in expected else post["insights"][name] for name in metrics}
    assert len(failed_calls(world)) == 1


@pytest.mark.parametrize("answers", ["unlisted", "unsupported"])
def test_a_metric_of_the_other_login_takes_no_other_with_it(world, answers):
    world.switch(igl_facebook_metrics=answers)
    world.restart(
        ACCESS_LONG_LIVED_TOKEN=world.account["instagram_token"],
        GRAPH_BASE_URL=f"{world.simulator.url}/graph.instagram.com",
        INSTAGRAM_ACCOUNT_ID="",
    )
    post = posts(world, media_product_type="FEED")[0]

    body = world.body(f"{PATH}/{post['id']}?metrics=views,total_likes")

    assert values(body) == {"views": post["insights"]["views"], "total_likes": None}
    assert reasons(body) == {"total_likes": "not_by_login"}


@pytest.mark.parametrize("answers", ["missing", "empty"])
def test_a_story_that_is_over_is_known_as_long_as_the_database(world, answers):
    world.switch(expired_story=answers)
    story = next(each for each in stories(world) if each["insights"]["reach"] >= 5)
    read = world.body(f"{PATH}/{story['id']}")
    navigation = world.body(f"{PATH}/{story['id']}/navigation")
    world.advance(days=40)
    world.calls()

    later = world.body(f"{PATH}/{story['id']}")

    assert values(later) == values(read)
    assert world.body(f"{PATH}/{story['id']}/navigation")["breakdown"] == navigation["breakdown"]
    assert later["timestamp"] == read["timestamp"]
    assert world.calls() == []


@pytest.mark.parametrize("answers", ["missing", "empty"])
def test_a_story_that_is_over_and_was_never_seen(world, answers):
    world.switch(expired_story=answers)
    story = stories(world)[0]
    world.advance(hours=25)

    response = world.get(f"{PATH}/{story['id']}")

    assert (response.status_code, response.get_json()["code"]) == (404, "object_not_found")


def test_numbers_equal_the_truth_after_everything_was_forgotten(world):
    post = posts(world, media_product_type="REELS")[0]
    first = world.body(f"{PATH}/{post['id']}")
    forget_everything(world.client.application)

    second = world.body(f"{PATH}/{post['id']}")

    assert values(first) == values(second) == {name: post["insights"][name] for name in values(first)}


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "html", "status": 200},
        {"kind": "wrong_type", "value": None, "at": "data"},
        {"kind": "wrong_type", "value": "many", "at": "data.0"},
        {"kind": "wrong_type", "value": "many", "at": "data.0.values"},
        {"kind": "nan"},
        {"kind": "empty"},
        {"kind": "reduce_data", "above": 3},
        {"kind": "server_error", "code": 1},
        {"kind": "throttled", "code": 80002},
        {"kind": "token", "subcode": 463},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
def test_whatever_instagram_sends_a_known_number_stays_and_no_other_is_invented(world, fault):
    first, second = posts(world, media_product_type="FEED")[:2]
    world.body("/top-posts?time_range=7d")
    known = values(world.body(f"{PATH}/{first['id']}"))
    world.advance(days=2)
    truth = posts(world, id=second["id"])[0]["insights"]
    world.fault(**fault)

    kept = world.body(f"{PATH}/{first['id']}?refresh=true")
    response = world.get(f"{PATH}/{second['id']}")

    later = posts(world, id=first["id"])[0]["insights"]
    assert all(value in {known[name], later[name]} for name, value in values(kept).items())
    if response.status_code == 200:
        found = values(response.get_json())
        assert {name: value for name, value in found.items() if value not in {None, truth[name]}} == {}
    else:
        assert response.get_json()["code"] != "internal_error"


def test_posts_that_come_without_insights_are_asked_why(world):
    world.switch(expansion_refusals="omitted", pre_conversion_before=world.clock.now().isoformat())
    world.body("/top-posts?time_range=7d")
    failed_calls(world)

    body = world.body("/top-posts?time_range=7d&by=views")

    unavailable = next(each for each in body["meta"]["unavailable"] if each["metric"] == "views")
    assert unavailable["reason"] == "media_too_old"
    assert len(failed_calls(world)) == 1


def test_a_post_that_refuses_a_metric_costs_no_failed_call_once_it_is_known(world):
    """Even where a page repeats the last post of the one before, as when a post is published meanwhile."""
    world.switch(media_without_views=15, repeat_post=True)
    odd = {post["id"] for post in posts(world, days=30, without_views=True)}
    first = world.body("/top-posts?time_range=30d&by=views&limit=50")
    isolated = failed_calls(world)
    world.advance(minutes=20)

    again = world.body("/top-posts?time_range=30d&by=views&limit=50&refresh=true")

    assert isolated
    assert 0 < len(odd) < 10
    assert [body["meta"]["ranking"]["posts_unknown"] for body in (first, again)] == [len(odd)] * 2
    assert failed_calls(world) == []


def test_a_name_that_is_refused_does_not_hide_that_a_media_is_too_old(world):
    world.switch(views_needs_metric_type=True, pre_conversion_before=world.clock.now().isoformat())
    post = posts(world)[0]

    response = world.get(f"{PATH}/{post['id']}?metrics=views")

    assert (response.status_code, response.get_json()["code"]) == (422, "media_too_old")
