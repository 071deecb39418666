"""The endpoints of the user's guide: media insights, profile activity, navigation, recommended metrics, the test."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import responses

from tests.planners import body_of, plan_posts, post, query_of, without
from tests.support import ACCOUNT_ID, GRAPH, TOKEN, graph_error, table_text, utc

MEDIA_ID = "17932174733377207"
NODE = f"{GRAPH}/v25.0/{MEDIA_ID}"
PATH = f"/api/instagram/insights/{MEDIA_ID}"
OWNER = {"id": ACCOUNT_ID}
FEED = ("views", "likes", "comments", "shares", "saved", "reach", "profile_visits", "profile_activity")
GUIDE = {  # the sets of the user's guide
    "FEED": (*FEED, "total_interactions"),
    "STORY": ("views", "reach", "replies", "navigation", "profile_visits", "shares"),
    "REELS": (
        *("views", "likes", "comments", "shares", "saved", "reach"),
        *("ig_reels_avg_watch_time", "ig_reels_video_view_total_time", "total_interactions"),
    ),
}


@pytest.fixture
def wire():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        yield wire


def plan_node(wire, media_id=MEDIA_ID, product_type="FEED", timestamp="2026-06-10T12:00:00+0000", **fields):
    node = {"id": media_id, "media_type": "IMAGE", "timestamp": timestamp, "permalink": "https://x", "owner": OWNER}
    typed = {} if product_type is None else {"media_product_type": product_type}
    return wire.get(f"{GRAPH}/v25.0/{media_id}", json=node | typed | fields)


def plan_media(wire, numbers, *, refusal=None, media_id=MEDIA_ID):
    """Plan insights from numbers: a call with any metric that has none is refused."""
    calls = []

    def answer(request):
        query = query_of(request)
        names = query["metric"].split(",")
        calls.append(names)
        missing = [name for name in names if name not in numbers]
        if missing:
            text = (
                f"(#100) The Media Insights API does not support the {missing[0]} metric for this media product type."
            )
            return 400, {}, json.dumps(refusal or graph_error(100, message=text))
        return 200, {}, json.dumps({"data": [item_of(name, numbers[name], query.get("breakdown")) for name in names]})

    wire.add_callback(responses.GET, f"{GRAPH}/v25.0/{media_id}/insights", callback=answer)
    return calls


def item_of(name, value, breakdown):
    item = {"name": name, "period": "lifetime", "values": [{"value": value}], "title": name, "description": name}
    if not isinstance(value, dict):
        return item
    results = [{"dimension_values": [key], "value": count} for key, count in value.items()]
    total = sum(value.values())
    parts = {"value": total, "breakdowns": [{"dimension_keys": [breakdown], "results": results}]}
    return item | {"values": [{"value": total}], "total_value": parts}


def plan_refusal(wire, code, subcode=None, *, status=400, **more):
    return wire.get(f"{NODE}/insights", json=graph_error(code, subcode, **more), status=status)


def values(body):
    return {each["name"]: each["values"][0]["value"] for each in body["insights"]}


def reasons(body):
    return {each["metric"]: each["reason"] for each in body["meta"]["unavailable"]}


NUMBERS = dict.fromkeys(
    ("views", "reach", "likes", "comments", "saved", "shares", "reposts", "total_interactions"), 89
) | {"profile_visits": 4, "follows": 1, "profile_activity": {"email": 1, "bio_link_clicked": 5}}


# The guide


def test_the_basic_request_of_the_guide(client, wire):
    plan_node(wire)
    calls = plan_media(wire, NUMBERS)

    body = body_of(client, PATH, media_type="FEED")

    assert {"success", "media_id", "media_type", "insights", "timestamp"} <= body.keys()
    assert (body["success"], body["media_id"], body["media_type"]) == (True, MEDIA_ID, "FEED")
    assert {"name", "period", "values", "title", "description"} <= body["insights"][0].keys()
    assert (body["insights"][0]["period"], body["insights"][0]["values"]) == ("lifetime", [{"value": 89}])
    assert values(body).keys() >= set(GUIDE["FEED"])
    assert body["timestamp"] == body["meta"]["fetched_at"] == "2026-06-15T18:00:00Z"
    assert len(calls) == 2  # one for all plain metrics, one for the metric with a breakdown


def test_the_request_of_the_guide_for_some_metrics(client, wire):
    plan_node(wire)
    calls = plan_media(wire, NUMBERS)

    body = body_of(client, PATH, metrics="views,likes,comments")

    assert values(body) == {"views": 89, "likes": 89, "comments": 89}
    assert calls == [["views", "likes", "comments"]]


def test_the_request_of_the_guide_for_profile_activity(client, wire):
    plan_node(wire)
    plan_media(wire, NUMBERS)

    body = body_of(client, f"{PATH}/profile-activity")

    assert {"success", "data", "breakdown"} <= body.keys()
    (part,) = body["breakdown"]
    assert part["dimension_keys"] == ["action_type"]
    assert {tuple(each["dimension_values"]): each["value"] for each in part["results"]} == {
        ("bio_link_clicked",): 5,
        ("call",): 0,
        ("direction",): 0,
        ("email",): 1,
        ("other",): 0,
        ("text",): 0,
    }
    assert body["data"]["name"] == "profile_activity"
    assert body["data"]["values"] == [{"value": 6}]
    assert body["data"]["total_value"] == {"value": 6, "breakdowns": body["breakdown"]}


def test_the_request_of_the_guide_for_navigation(client, wire):
    plan_node(wire, product_type="STORY", timestamp="2026-06-15T12:00:00+0000")
    plan_media(wire, {"navigation": {"TAP_FORWARD": 9, "TAP_BACK": 2, "TAP_EXIT": 3, "SWIPE_FORWARD": 1}})

    body = body_of(client, f"{PATH}/navigation")

    (part,) = body["breakdown"]
    assert {each["dimension_values"][0]: each["value"] for each in part["results"]} == {
        "swipe_forward": 1,
        "tap_back": 2,
        "tap_exit": 3,
        "tap_forward": 9,
    }


@pytest.mark.parametrize("media_type", ["feed", "story", "reels"])
def test_the_recommended_metrics_of_the_guide_need_no_call(client, wire, media_type):
    body = body_of(client, f"/api/instagram/insights/metrics/{media_type}")

    assert (body["success"], body["media_type"]) == (True, media_type.upper())
    assert {each["name"] for each in body["metrics"]} >= set(GUIDE[media_type.upper()])
    assert len(wire.calls) == 0
    keys = {"name", "title", "description", "unit", "family", "estimated", "breakdowns", "successor"}
    assert all(keys <= each.keys() for each in body["metrics"])


def test_times_are_in_milliseconds_and_the_skip_rate_in_percent(client, wire):
    plan_node(wire, product_type="REELS")
    plan_media(wire, {"ig_reels_avg_watch_time": 7310, "reels_skip_rate": 48.4, "views": 5})

    body = body_of(client, PATH, metrics="ig_reels_avg_watch_time,reels_skip_rate,views")

    assert [(each["unit"], each["values"][0]["value"]) for each in body["insights"]] == [
        ("milliseconds", 7310),
        ("percent", 48.4),
        ("views", 5),
    ]
    assert [each.get("estimated", False) for each in body["insights"]] == [False, True, False]


# Removed metrics


@pytest.mark.parametrize("name", ["plays", "ig_reels_aggregated_all_plays_count", "video_views", "impressions"])
def test_removed_counts_of_views_are_answered_by_views(client, wire, name):
    plan_node(wire, product_type="REELS")
    calls = plan_media(wire, {"views": 12})

    body = body_of(client, PATH, metrics=name)

    (insight,) = body["insights"]
    assert (insight["name"], insight["answered_by"], insight["values"]) == (name, "views", [{"value": 12}])
    (substitution,) = body["meta"]["substitutions"]
    assert (substitution["requested"], substitution["answered_by"]) == (name, "views")
    assert calls == [["views"]]


def test_impressions_of_old_media_are_asked_for_unchanged(client, wire):
    plan_node(wire, timestamp="2024-07-01T23:59:59+0000")
    calls = plan_media(wire, {"impressions": 700})

    body = body_of(client, PATH, metrics="impressions")

    assert (values(body), body["meta"]["substitutions"], calls) == ({"impressions": 700}, [], [["impressions"]])


def test_replays_have_no_successor(client, wire):
    plan_node(wire, product_type="REELS")

    body = body_of(client, PATH, metrics="clips_replays_count")

    assert body["insights"][0]["values"] == [{"value": None, "reason": "no_successor"}]
    assert reasons(body) == {"clips_replays_count": "no_successor"}
    assert body["meta"]["substitutions"] == []


def test_engagement_is_likes_and_comments(client, wire):
    plan_node(wire)
    plan_media(wire, {"likes": 12, "comments": 3})

    body = body_of(client, PATH, metrics="engagement")

    assert (values(body), body["insights"][0]["answered_by"]) == ({"engagement": 15}, "likes+comments")


def test_taps_and_exits_are_buckets_of_navigation(client, wire):
    plan_node(wire, product_type="STORY", timestamp="2026-06-15T12:00:00+0000")
    calls = plan_media(wire, {"navigation": {"tap_forward": 9, "tap_back": 2, "tap_exit": 3, "swipe_forward": 1}})

    body = body_of(client, PATH, metrics="taps_forward,taps_back,exits")

    assert values(body) == {"taps_forward": 9, "taps_back": 2, "exits": 3}
    assert {each["answered_by"] for each in body["insights"]} == {"navigation"}
    assert calls == [["navigation"]]


# Types of media


@pytest.mark.parametrize("given", ["STORY", "story"])
def test_the_type_that_instagram_gives_counts_and_not_that_of_the_caller(client, wire, given):
    plan_node(wire)
    plan_media(wire, NUMBERS)

    body = body_of(client, PATH, media_type=given)

    assert (body["media_type"], "likes" in values(body)) == ("FEED", True)
    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["media_type_mismatch"]


def test_the_type_of_the_caller_counts_where_instagram_gives_none(client, wire):
    plan_node(wire, product_type=None)
    plan_media(wire, NUMBERS)

    body = body_of(client, PATH, media_type="FEED")

    assert (body["media_type"], body["meta"]["warnings"], "likes" in values(body)) == ("FEED", [], True)


def test_without_any_type_only_metrics_of_every_type_are_recommended(client, wire):
    plan_node(wire, product_type=None)
    plan_media(wire, NUMBERS)

    body = body_of(client, PATH)

    assert set(values(body)) == {"views", "reach", "shares", "reposts", "total_interactions"}
    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["media_type_unknown"]


def test_a_listed_media_costs_no_call_for_its_type(client, wire):
    plan_posts(wire, [post(MEDIA_ID)])
    plan_media(wire, NUMBERS)
    body_of(client, "/top-posts", time_range="7d")

    body = body_of(client, PATH, metrics="views")

    assert values(body) == {"views": 89}
    assert [call.request.url for call in wire.calls if call.request.url.split("?")[0] == NODE] == []


def test_a_listed_media_whose_type_cannot_be_read_is_asked_for_all_the_same(client, wire):
    plan_posts(wire, [without(post(MEDIA_ID), "media_product_type")])
    wire.get(NODE, json=graph_error(100, 33), status=400)  # Which is also a limit in disguise.
    plan_media(wire, NUMBERS)
    body_of(client, "/top-posts", time_range="7d")

    answers = [body_of(client, PATH, metrics=metric) for metric in ("views", "reach")]

    assert [values(body) for body in answers] == [{"views": 89}, {"reach": 89}]


# Outcomes


def refused(client, path=PATH):
    response = client.get(path)
    body = response.get_json()
    assert body["error"] is True
    return response.status_code, body["code"]


def test_a_story_with_few_viewers(client, wire):
    plan_node(wire, product_type="STORY", timestamp="2026-06-15T12:00:00+0000")
    plan_refusal(wire, 10, message="(#10) Not enough viewers for the media to show insights")

    assert refused(client) == (422, "insufficient_viewers")
    calls = len(wire.calls)
    assert refused(client) == (422, "insufficient_viewers")
    assert len(wire.calls) == calls  # It is remembered for ten minutes.


def test_few_viewers_say_when_the_story_is_asked_for_again(client, wire, clock):
    plan_node(wire, product_type="STORY", timestamp="2026-06-15T12:00:00+0000")
    plan_refusal(wire, 10, message="(#10) Not enough viewers for the media to show insights")

    first = client.get(PATH)
    clock.wait(200)
    later = client.get(f"{PATH}/navigation")

    assert (first.headers["Retry-After"], later.headers["Retry-After"]) == ("600", "400")
    assert (first.get_json()["retry_after"], later.get_json()["retry_after"]) == (600, 400)
    assert "5 people" in first.get_json()["hint"]


def test_a_story_with_little_of_some_metrics(client, wire, clock):
    plan_node(wire, product_type="STORY", timestamp="2026-06-15T12:00:00+0000")
    few = graph_error(10, message="(#10) Not enough viewers for the media to show insights")
    calls = plan_media(wire, {"views": 30, "reach": 20, "shares": 6}, refusal=few)

    body = body_of(client, PATH, metrics="views,reach,shares,replies")

    assert values(body) == {"views": 30, "reach": 20, "shares": 6, "replies": None}
    assert reasons(body) == {"replies": "insufficient_viewers"}
    calls.clear()
    clock.wait(3700)
    body_of(client, PATH, metrics="views,reach,shares,replies", refresh="true")
    assert calls == [["views", "reach", "shares"], ["replies"]]  # The others do not fail with it again.


def test_a_metric_of_which_an_old_post_has_too_little_is_asked_for_again_an_hour_later(client, wire, clock):
    plan_node(wire, timestamp="2026-05-01T12:00:00+0000")  # Its numbers are fresh for a day.
    numbers = {"views": 30, "reach": 20}
    plan_media(
        wire, numbers, refusal=graph_error(10, message="(#10) Not enough viewers for the media to show insights")
    )
    before = body_of(client, PATH, metrics="views,shares")
    numbers["shares"] = 6
    clock.wait(3601)

    body = body_of(client, PATH, metrics="views,shares")

    assert (reasons(before), values(body)) == ({"shares": "insufficient_viewers"}, {"views": 30, "shares": 6})


@pytest.mark.parametrize(("code", "subcode"), [(100, 2108006), (4, 2108006)])
def test_a_media_from_before_the_conversion_is_asked_for_once_in_thirty_days(client, wire, clock, code, subcode):
    plan_node(wire)
    plan_refusal(wire, code, subcode, message="Invalid parameter")

    assert refused(client) == (422, "media_too_old")
    calls = len(wire.calls)
    clock.wait(29 * 86_400)
    assert refused(client) == (422, "media_too_old")
    assert refused(client, f"{PATH}/profile-activity") == (422, "media_too_old")
    assert (calls, len(wire.calls)) == (2, 2)


def test_a_media_that_is_not_shared_to_facebook(client, wire):
    plan_node(wire, product_type="REELS")
    not_shared = graph_error(-1, 2207086, message="Fatal")
    calls = plan_media(wire, {"views": 5}, refusal=not_shared)

    body = body_of(client, PATH, metrics="views,facebook_views")

    assert (values(body), reasons(body)) == (
        {"views": 5, "facebook_views": None},
        {"facebook_views": "not_shared_to_facebook"},
    )
    assert calls == [["views"], ["facebook_views"]]
    assert body["insights"][1]["family"] == "facebook"


def test_a_missing_permission(client, wire):
    plan_node(wire)
    plan_refusal(wire, 10, message="(#10) Application does not have permission for this action")

    assert refused(client) == (403, "permission_denied")


def test_a_permission_that_is_missing_for_one_metric_leaves_the_others(client, wire, clock):
    plan_node(wire)
    calls = plan_media(wire, {"views": 5, "reach": 4}, refusal=graph_error(200, message="(#200) Requires more"))

    body = body_of(client, PATH, metrics="views,total_views")

    assert (values(body)["views"], reasons(body)) == (5, {"total_views": "permission_denied"})
    clock.wait(1)
    body_of(client, PATH, metrics="views,total_views", refresh="true")
    assert calls == [["views"], ["total_views"], ["views"]]


def test_an_unknown_media(client, wire):
    wire.get(NODE, json=graph_error(100, 33), status=400)

    assert refused(client) == (404, "object_not_found")
    calls = len(wire.calls)
    assert refused(client) == (404, "object_not_found")
    assert len(wire.calls) == calls


def test_a_media_of_another_account_says_who_has_its_insights(client, wire):
    wire.get(NODE, json=graph_error(100, 33), status=400)
    wire.get(f"{NODE}/insights", json=graph_error(100, 33), status=400)
    other = "17932174733377299"
    plan_node(wire, other, owner={"id": "17841499999999999"})

    by_instagram = client.get(PATH).get_json()
    by_owner = client.get(f"/api/instagram/insights/{other}").get_json()
    tested = client.get(f"/api/instagram/insights/test?media_id={MEDIA_ID}").get_json()

    assert (by_instagram["code"], by_owner["code"], tested["reason"]) == ("object_not_found",) * 3
    assert all("collaboration" in body["hint"] for body in (by_instagram, by_owner, tested))


def test_what_instagram_hides_at_first_is_asked_for_again(make_client, clock, wire):
    client = make_client(clock=clock)  # Code 100/33 is also a limit in disguise.
    wire.get(NODE, json=graph_error(100, 33), status=400)
    assert refused(client) == (404, "object_not_found")
    wire.remove(responses.GET, NODE)
    plan_node(wire)
    plan_media(wire, NUMBERS)

    clock.wait(61)

    assert values(body_of(client, PATH, metrics="views")) == {"views": 89}


@pytest.mark.parametrize("answer", ["refused", "missing", "empty"])
def test_a_part_of_an_album(client, wire, answer):
    plan_node(wire, permalink=None)
    if answer == "empty":
        wire.get(f"{NODE}/insights", json={"data": []})
    else:
        plan_refusal(wire, 100, 33 if answer == "missing" else None)

    assert refused(client) == (422, "album_child")
    calls = len(wire.calls)
    assert refused(client) == (422, "album_child")
    assert len(wire.calls) == calls


def test_a_story_that_is_over_is_answered_from_what_was_read(client, wire, clock):
    plan_node(wire, product_type="STORY", timestamp="2026-06-15T12:00:00+0000")
    plan_media(wire, {"views": 30, "reach": 20})
    body_of(client, PATH, metrics="views,reach")
    calls = len(wire.calls)
    clock.wait(86_400)

    body = body_of(client, PATH, metrics="views,reach,replies")

    assert values(body) == {"views": 30, "reach": 20, "replies": None}
    assert reasons(body) == {"replies": "story_expired"}
    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["story_expired"]
    assert body["timestamp"] == "2026-06-15T18:00:00Z"
    assert len(wire.calls) == calls


def test_what_was_not_read_of_a_story_is_not_called_a_metric_that_stories_lack_once_one_had_it(client, wire, clock):
    other = "17932174733377299"
    for media_id, timestamp in ((MEDIA_ID, "2026-06-14T19:00:00+0000"), (other, "2026-06-15T12:00:00+0000")):
        plan_node(wire, media_id, product_type="STORY", timestamp=timestamp)
        plan_media(wire, {"views": 30, "reach": 20, "saved": 3}, media_id=media_id)
    body_of(client, PATH, metrics="views")
    body_of(client, f"/api/instagram/insights/{other}", metrics="saved")
    clock.wait(3600)

    body = body_of(client, PATH, metrics="views,saved")

    assert reasons(body) == {"saved": "story_expired"}


def test_a_story_that_ends_moments_after_it_was_shown_is_over(client, wire, clock):
    plan_node(wire, product_type="STORY", timestamp="2026-06-14T18:00:30+0000")
    plan_media(wire, {"views": 30, "reach": 20})
    before = body_of(client, PATH, metrics="views,reach")
    clock.wait(30)

    body = body_of(client, PATH, metrics="reach,views")

    assert values(body) == {"reach": 20, "views": 30}
    codes = [[warning["code"] for warning in each["meta"]["warnings"]] for each in (before, body)]
    assert codes == [[], ["story_expired"]]


def test_a_story_that_is_over_and_was_never_read(client, wire):
    plan_node(wire, product_type="STORY", timestamp="2026-06-14T12:00:00+0000")

    assert refused(client) == (410, "story_expired")
    assert refused(client, f"{PATH}/navigation") == (410, "story_expired")
    assert len(wire.calls) == 1


def test_a_metric_that_needs_the_metric_type_is_asked_for_with_it(client, wire, clock):
    plan_node(wire)
    text = "(#100) metric[0] must be one of the following values: impressions, reach, replies"
    with_type = []

    def answer(request):
        query = query_of(request)
        names = query["metric"].split(",")
        if "views" in names and query.get("metric_type") != "total_value":
            return 400, {}, json.dumps(graph_error(100, message=text))
        with_type.append(query.get("metric_type"))
        return 200, {}, json.dumps({"data": [item_of(name, 7, None) for name in names]})

    wire.add_callback(responses.GET, f"{NODE}/insights", callback=answer)

    assert values(body_of(client, PATH, metrics="views,reach")) == {"views": 7, "reach": 7}
    failed = len(wire.calls) - 1 - len(with_type)
    clock.wait(1)
    assert values(body_of(client, PATH, metrics="views,reach", refresh="true")) == {"views": 7, "reach": 7}
    assert (failed, len(wire.calls) - 1 - len(with_type)) == (1, 1)
    assert with_type == [None, "total_value", None, "total_value"]


def test_a_refusal_of_everything_is_no_refusal_of_metrics(client, wire):
    plan_node(wire)
    plan_refusal(wire, 100, message="Instagram is odd today")

    assert refused(client) == (502, "provider_refused")

    wire.remove(responses.GET, f"{NODE}/insights")
    plan_media(wire, NUMBERS)
    assert values(body_of(client, PATH, metrics="views,saved")) == {"views": 89, "saved": 89}


def test_a_refusal_of_one_odd_media_is_not_about_its_type(client, wire, clock):
    plan_node(wire)
    plan_media(wire, NUMBERS)
    body_of(client, PATH, metrics="views,saved")
    other = "17932174733377299"
    plan_node(wire, other)
    without = {name: each for name, each in NUMBERS.items() if name != "views"}
    plan_media(wire, without, media_id=other)

    odd = body_of(client, f"/api/instagram/insights/{other}", metrics="views,saved")
    clock.wait(1)
    again = body_of(client, PATH, metrics="views,saved", refresh="true")

    assert (values(odd), reasons(odd)) == ({"views": None, "saved": 89}, {"views": "refused"})
    assert values(again) == {"views": 89, "saved": 89}


def test_a_refusal_is_shown_no_longer_than_it_is_remembered(client, wire, clock):
    plan_node(wire, product_type="REELS")
    numbers = {"reach": 20}
    plan_media(wire, numbers)
    before = [body_of(client, PATH, metrics="saved", **form) for form in ({}, {"format": "json"})]
    numbers["saved"] = 5
    clock.wait(30 * 86_400 + 1)

    assert [reasons(body) for body in before] == [{"saved": "refused"}] * 2
    assert values(body_of(client, PATH, metrics="saved")) == {"saved": 5}


def test_a_metric_that_meta_adds_to_a_type_is_found_when_it_is_asked_for(client, wire):
    plan_node(wire, product_type="REELS")
    plan_media(wire, {"views": 5, "profile_visits": 2})

    body = body_of(client, PATH, metrics="views,profile_visits")

    assert (values(body), body["meta"]["unavailable"]) == ({"views": 5, "profile_visits": 2}, [])


def test_a_known_number_stays_when_it_is_newly_unknown(client, wire, clock):
    plan_node(wire)
    plan_media(wire, NUMBERS)
    body_of(client, PATH, metrics="views,saved")
    wire.remove(responses.GET, f"{NODE}/insights")
    wire.get(f"{NODE}/insights", json={"data": [item_of("saved", 90, None)]})
    clock.wait(3 * 86_400)

    body = body_of(client, PATH, metrics="views,saved")

    assert (values(body), body["meta"]["stale"]) == ({"views": 89, "saved": 90}, True)


@pytest.mark.parametrize(
    ("timestamp", "hours"),
    [(None, 1), ("2026-06-10T12:00:00+0000", 1), ("2026-06-01T12:00:00+0000", 6), ("2026-05-01T12:00:00+0000", 13)],
)
def test_the_older_a_media_the_longer_its_numbers_are_fresh(client, wire, timestamp, hours):
    """The last one until the next day in California, which is sooner than in a day."""
    plan_node(wire, timestamp=timestamp)
    plan_media(wire, NUMBERS)

    meta = body_of(client, PATH, metrics="views")["meta"]

    assert utc(meta["expires_at"]) - utc(meta["fetched_at"]) == timedelta(hours=hours)


def test_numbers_that_another_process_has_read_again_are_shown_here(client, make_client, wire, clock):
    plan_node(wire)
    numbers = {"views": 89}
    plan_media(wire, numbers)
    before = body_of(client, PATH, metrics="views")
    numbers["views"] = 90
    clock.wait(1)
    body_of(make_client(client.application.extensions["config"], clock=clock), PATH, metrics="views", refresh="true")

    client.application.extensions["services"].cache.invalidate_changed()

    assert [values(body) for body in (before, body_of(client, PATH, metrics="views"))] == [{"views": 89}, {"views": 90}]


def test_the_last_good_numbers_are_answered_while_instagram_is_down(client, wire, clock):
    plan_node(wire)
    plan_media(wire, NUMBERS)
    body_of(client, PATH, metrics="views")
    wire.remove(responses.GET, f"{NODE}/insights")
    plan_refusal(wire, 2, status=500)
    clock.wait(3 * 86_400)

    body = body_of(client, PATH, metrics="views")

    assert (values(body), body["meta"]["stale"]) == ({"views": 89}, True)


def test_the_metrics_of_a_media_are_a_table_too(client, wire):
    plan_node(wire)
    plan_media(wire, NUMBERS)

    response = client.get(f"{PATH}?metrics=views,profile_activity&format=csv")

    lines = table_text(response).splitlines()
    assert lines[0] == "media_id,name,breakdown,bucket,value,unit,reason"
    assert f"'{MEDIA_ID},views,,,89,views," in lines
    assert f"'{MEDIA_ID},profile_activity,action_type,email,1,actions," in lines


# What callers may get wrong


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (f"{PATH}?metrics=view", "Did you mean views?"),
        (f"{PATH}?metrics=", "is empty"),
        (f"{PATH}?media_type=video", "Accepted: FEED, REELS, STORY"),
        ("/api/instagram/insights/abc", "Accepted: its numeric id"),
        ("/api/instagram/insights/..%2Fme", "path"),
        ("/api/instagram/insights/abc/navigation", "does not identify a story. Accepted: its numeric id, as /stories"),
        ("/api/instagram/insights/metrics/igtv", "Accepted: FEED, REELS, STORY"),
        ("/api/instagram/insights/metrics/stories", "Did you mean STORY?"),
        (f"/api/instagram/insights/test?media_id={MEDIA_ID}&access_token=TOKEN", "Accepted: 8 to 1000 letters"),
        ("/api/instagram/insights/test", "media_id is missing"),
        (f"{PATH}?media_id=1", "not a parameter"),
    ],
)
def test_a_wrong_parameter_is_refused_with_what_is_accepted(client, path, words):
    response = client.get(path)

    assert response.status_code in {400, 404}
    assert words in json.dumps(response.get_json())


# The test


def test_a_token_that_is_given_twice_is_refused_without_a_call(client, wire):
    response = client.get(
        f"/api/instagram/insights/test?media_id={MEDIA_ID}&access_token=EAAinquery",
        headers={"X-Instagram-Access-Token": "EAAinheader"},
    )

    message = response.get_json()["message"]
    assert (response.status_code, "given twice" in message, "EAA" in message) == (400, True, False)


def test_a_header_that_is_no_token_is_refused(client, wire):
    response = client.get(
        f"/api/instagram/insights/test?media_id={MEDIA_ID}", headers={"X-Instagram-Access-Token": "TOKEN"}
    )

    message = response.get_json()["message"]
    assert response.status_code == 400
    assert message.startswith("X-Instagram-Access-Token: it is not an access token. Accepted:")


def test_the_test_makes_one_call_with_the_token_of_the_caller(client, wire):
    plan_media(wire, {"reach": 4})

    response = client.get("/api/instagram/insights/test", query_string={"media_id": MEDIA_ID, "access_token": TOKEN})

    body = response.get_json()
    assert {"success", "media_id", "works", "reason", "hint"} <= body.keys()
    assert (body["success"], body["media_id"], body["works"], body["reason"]) == (True, MEDIA_ID, True, None)
    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["token_in_query"]
    assert (len(wire.calls), response.headers["Cache-Control"]) == (1, "no-store")
    assert wire.calls[0].request.headers["Authorization"] == f"Bearer {TOKEN}"


def test_a_token_in_a_header_comes_without_a_warning(client, wire):
    plan_media(wire, {"reach": 4})

    body = client.get(
        "/api/instagram/insights/test", query_string={"media_id": MEDIA_ID}, headers={"X-Instagram-Access-Token": TOKEN}
    ).get_json()

    assert (body["works"], body["meta"]["warnings"]) == (True, [])


@pytest.mark.parametrize(
    ("refusal", "works", "reason"),
    [
        ((190, 463), False, "token_expired"),
        ((10, None), None, "permission_or_viewers"),
        ((100, 2108006), False, "media_too_old"),
        ((100, 33), False, "object_not_found"),
        ((9_999, None), False, "provider_refused"),
        ((2, None), None, "provider_unavailable"),
        ((4, None), None, "provider_rate_limited"),
    ],
)
def test_the_test_says_why_insights_do_not_work(client, wire, refusal, works, reason):
    pasted = "pasted-of-no-known-form"
    plan_refusal(wire, *refusal, message=f"nothing for {pasted}")

    response = client.get("/api/instagram/insights/test", query_string={"media_id": MEDIA_ID, "access_token": pasted})

    body = response.get_json()
    assert pasted not in response.get_data(as_text=True)
    assert (response.status_code, body["works"], body["reason"]) == (200, works, reason)
    assert body["hint"]


@pytest.mark.parametrize("words", ["(#10) Not enough viewers", "(#10) Application does not have permission"])
def test_words_that_say_what_code_10_is_about_need_no_second_call(client, wire, words):
    plan_refusal(wire, 10, message=words)

    body = client.get("/api/instagram/insights/test", query_string={"media_id": MEDIA_ID, "access_token": TOKEN})

    expected = "insufficient_viewers" if "viewers" in words else "permission_denied"
    assert (body.get_json()["works"], body.get_json()["reason"]) == (False, expected)
    assert len(wire.calls) == 1


@pytest.mark.parametrize(("is_granted", "reason"), [(True, "insufficient_viewers"), (False, "permission_denied")])
def test_a_localised_code_10_is_settled_by_one_more_call_of_the_same_token(client, wire, is_granted, reason):
    igl = "https://graph.instagram.com/v25.0"
    wire.get(f"{igl}/{MEDIA_ID}/insights", json=graph_error(10, message="視聴者が不足しています"), status=400)
    if is_granted:
        wire.get(f"{igl}/me/insights", json={"data": []})
    else:
        wire.get(f"{igl}/me/insights", json=graph_error(10, message="権限がありません"), status=400)
    query = {"media_id": MEDIA_ID, "access_token": "IGAAtestTOKENthatMUSTneverLEAK0123456789"}

    found = [client.get("/api/instagram/insights/test", query_string=query).get_json() for _ in range(2)]

    assert [(each["works"], each["reason"]) for each in found] == [(False, reason)] * 2
    # Nothing is kept of a caller's token, so that the second test asks again.
    assert len(wire.calls) == 4


@pytest.mark.parametrize("headers", [{"X-Forwarded-For": "192.0.2.1"}, {"Forwarded": "for=192.0.2.1"}])
def test_the_test_is_for_callers_on_this_machine_only(client, wire, headers):
    response = client.get(f"/api/instagram/insights/test?media_id={MEDIA_ID}", headers=headers)

    assert (response.status_code, response.get_json()["code"]) == (403, "local_caller_only")
    assert len(wire.calls) == 0


def test_a_wrong_type_of_media_is_not_answered_by_its_own_path(client):
    message = client.get("/api/instagram/insights/metrics/foo").get_json()["message"]

    assert message == "media_type: 'foo' is not a valid media type. Accepted: FEED, REELS, STORY."
