"""Media insights of stories that are over, of which only a webhook has said anything or little was read."""

from __future__ import annotations

import pytest
import responses

from services.store.webhooks import Change
from tests.planners import body_of
from tests.support import ACCOUNT_ID

NOW = 1_781_546_400  # of the clock: 2026-06-15T18:00:00Z
DAY = 86_400
STORY = "18009"
PATH = f"/api/instagram/insights/{STORY}"


@pytest.fixture
def wire():
    """The wire, on which nothing may be asked."""
    with responses.RequestsMock() as wire:
        yield wire


@pytest.fixture
def reported(client, wire, clock):
    clock.wait(DAY)
    report(client, impressions=444, reach=400, taps_forward=301, taps_back=20, exits=60, replies=3)
    return client


def report(client, **value):
    change = Change(ACCOUNT_ID, "story_insights", {"media_id": STORY, **value}, float(NOW + DAY))
    client.application.extensions["services"].kept_stories.apply_webhook(change)


def values(body):
    return {each["name"]: each["values"][0]["value"] for each in body["insights"]}


def reasons(body):
    return {each["metric"]: each["reason"] for each in body["meta"]["unavailable"]}


def codes(body):
    return [warning["code"] for warning in body["meta"]["warnings"]]


def test_a_story_without_a_known_time_is_not_taken_for_an_old_one(reported):
    body = body_of(reported, PATH, metrics="profile_activity,reach")

    assert (values(body), reasons(body)) == (
        {"profile_activity": None, "reach": 400},
        {"profile_activity": "story_expired"},
    )


def test_views_that_are_impressions_say_so(reported):
    body = body_of(reported, PATH, metrics="views,plays,video_views")

    assert values(body) == {"views": 444, "plays": 444, "video_views": 444}
    assert {each["answered_by"] for each in body["insights"]} == {"impressions"}
    assert {(each["requested"], each["answered_by"]) for each in body["meta"]["substitutions"]} == {
        ("plays", "impressions"),
        ("video_views", "impressions"),
    }
    assert codes(body) == ["story_expired", "views_from_impressions"]


def test_impressions_that_were_reported_are_answered_as_themselves(reported):
    body = body_of(reported, PATH, metrics="impressions,reach")

    assert values(body) == {"impressions": 444, "reach": 400}
    assert all("answered_by" not in each for each in body["insights"])
    assert (body["meta"]["substitutions"], codes(body)) == ([], ["story_expired"])


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("likes", "not_for_product_type"),
        ("reels_skip_rate", "not_for_product_type"),
        ("total_likes", "not_for_product_type"),
        ("engagement", "not_for_product_type"),
        ("clips_replays_count", "no_successor"),
        ("shares", "story_expired"),
    ],
)
def test_what_no_story_has_is_not_called_expired(reported, metric, reason):
    body = body_of(reported, PATH, metrics=f"reach,{metric}")

    assert reasons(body) == {metric: reason}


def test_only_metrics_that_no_story_has_are_unknown_for_that_reason(reported):
    body = body_of(reported, PATH, metrics="likes,saved")

    assert reasons(body) == dict.fromkeys(("likes", "saved"), "not_for_product_type")


def test_a_value_below_five_keeps_its_reason(client, wire, clock):
    clock.wait(DAY)
    report(client, reach=12, replies=-1)

    body = body_of(client, PATH, metrics="reach,replies")

    assert reasons(body) == {"replies": "insufficient_viewers"}
    assert reasons(body_of(client, PATH, metrics="replies")) == {"replies": "insufficient_viewers"}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (f"{PATH}/profile-activity", "last half hour"),
        (f"{PATH}?metrics=facebook_views", "while a story lasts"),
        (f"{PATH}?metrics=shares,profile_activity", "hourly"),
    ],
)
def test_what_was_not_kept_says_when_it_is_read(reported, path, words):
    response = reported.get(path)

    assert (response.status_code, response.get_json()["code"]) == (410, "story_expired")
    assert words in response.get_json()["hint"]


def test_navigation_that_a_webhook_reported_in_part_has_every_bucket_and_no_total(reported):
    body = body_of(reported, f"{PATH}/navigation")

    (part,) = body["breakdown"]
    assert {each["dimension_values"][0]: each["value"] for each in part["results"]} == {
        "tap_forward": 301,
        "tap_back": 20,
        "tap_exit": 60,
        "swipe_forward": None,
    }
    assert body["data"]["values"] == [{"value": None, "reason": "total_not_reported"}]
    assert "webhook" in body["meta"]["unavailable"][0]["message"]
