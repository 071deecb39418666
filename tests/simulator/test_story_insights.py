"""Insights of stories: their metrics, their buckets, too few viewers, and the end after 24 hours."""

import pytest

from tests.simulator.caller import answered, error

BY_BOTH_LOGINS = {
    *("reach", "views", "shares", "reposts", "total_interactions", "follows", "profile_visits", "profile_activity"),
    *("navigation", "replies"),
}
BY_FACEBOOK_LOGIN = {"facebook_views", "total_views", "link_clicks"}


@pytest.fixture
def story(caller):
    """The truth about a live story of an account with many of them."""
    caller.become("prolific")
    caller.switch(shared_to_facebook="all")
    return next(each for each in stories(caller) if each["is_live"] and each["insights"]["reach"] > 100)


def stories(caller, **parameters):
    return caller.own(f"/truth/{caller.account}/stories", insights="true", **parameters)["stories"]


@pytest.mark.parametrize("login", ["graph", "instagram"])
def test_a_story_answers_its_metrics_and_refuses_the_others(read, story, login):
    expected = BY_BOTH_LOGINS | (BY_FACEBOOK_LOGIN if login == "graph" else set())

    assert answered(read, login, story["id"]) == expected


def test_values_of_a_story_are_those_of_the_truth(read, story):
    names = BY_BOTH_LOGINS | BY_FACEBOOK_LOGIN

    items = read("graph", story["id"], ",".join(sorted(names))).json()["data"]

    values = {item["name"]: item["values"][0]["value"] for item in items}
    assert values == {name: story["insights"][name] for name in names}
    for name in ("reach", "views", "shares", "replies", "link_clicks", "navigation", "profile_visits"):
        assert values[name] == story["counts"][name]


def test_navigation_is_broken_down(read, story):
    [item] = read("graph", story["id"], "navigation", breakdown="story_navigation_action_type").json()["data"]

    [breakdown] = item["total_value"]["breakdowns"]
    found = {entry["dimension_values"][0]: entry["value"] for entry in breakdown["results"]}
    assert found == {name: story["counts"][name] for name in found}
    assert set(found) <= {"tap_forward", "tap_back", "tap_exit", "swipe_forward"}
    assert item["values"] == [{"value": sum(found.values())}]


@pytest.mark.parametrize("login", ["graph", "instagram"])
def test_a_story_with_few_viewers_shows_nothing(caller, read, login):
    few = next(each for each in stories(caller, since="2026-08-01") if each["final"]["reach"] == 4)
    published = caller.order("/clock", now=few["timestamp"]).json()["now"]
    caller.order("/clock", now=published + 23 * 3600)

    refused = error(read(login, few["id"], "reach,replies"))

    prefix = "(#10) " if login == "graph" else ""
    assert (refused["code"], refused["message"]) == (10, f"{prefix}Not enough viewers for the media to show insights")


def test_by_a_switch_every_value_of_a_story_must_be_large_enough(caller, read, story):
    caller.switch(story_minimum="values")

    assert read("graph", story["id"], "reach,views").status_code == 200
    assert story["insights"]["reposts"] < 5
    assert error(read("graph", story["id"], "reach,reposts"))["code"] == 10


@pytest.mark.parametrize("answer", ["missing", "empty"])
def test_a_story_that_is_over_has_no_insights(caller, read, answer):
    caller.switch(expired_story=answer)
    over = next(each for each in stories(caller) if not each["is_live"])

    reply = read("graph", over["id"], "reach")

    assert reply.json() == {"data": []} if answer == "empty" else error(reply)["error_subcode"] == 33
