"""Tables: the same numbers as CSV, in which no spreadsheet sees a formula."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from services.store.webhooks import Change
from tests.planners import MEDIA, USER, body_of, follows, plan_insights, plan_posts, plan_profile, post, query_of
from tests.support import ACCOUNT_ID, GRAPH, graph_error, total_value

ANY = re.compile(rf"{GRAPH}/.*")
POST = {"id": "a", "timestamp": "2026-06-14T12:00:00+0000", "comments_count": 7}
DAY = 86_400
REPORTED_AT = 1_781_632_800.0  # a day after the time of the clock
PATHS = {
    "/top-posts?time_range=7d": "id,permalink,caption",
    "/account-insights?period=day&metrics=views": "name,period,date,end_time",
    "/growth-trends?period=7d": "metric,key,current_value,previous_value",
}


def rows_of(response):
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(response.get_data(as_text=True), newline="")))


@pytest.mark.parametrize(("path", "head"), PATHS.items())
@pytest.mark.parametrize("accept", ["text/csv", "text/csv, application/json;q=0.5"])
def test_a_table_is_requested_by_its_type(client, wire, path, head, accept):
    wire.get(ANY, json={"data": [POST]})

    response = client.get(path, headers={"Accept": accept})

    assert rows_of(response)
    assert response.get_data(as_text=True).startswith(head)
    assert "Accept" in response.headers["Vary"]


@pytest.mark.parametrize(("path", "head"), PATHS.items())
def test_the_format_parameter_wins_over_the_accept_header(client, wire, path, head):
    wire.get(ANY, json={"data": [POST]})

    response = client.get(f"{path}&format=csv", headers={"Accept": "application/json"})

    assert response.get_data(as_text=True).startswith(head)


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html,*/*;q=0.8", "", "image/png"])
def test_the_default_is_json(client, wire, accept):
    wire.get(ANY, json={"data": [POST]})

    response = client.get("/top-posts?time_range=7d", headers={"Accept": accept})

    assert response.headers["Content-Type"] == "application/json"


def test_an_error_is_json_even_if_a_table_was_requested(client):
    response = client.get("/top-posts?format=csv", headers={"Accept": "text/csv"})

    assert (response.status_code, response.get_json()["code"]) == (400, "bad_request")


def test_texts_numbers_and_unknown_values_are_distinguishable(client, wire):
    wire.get(ANY, json={"data": [POST | {"caption": 'one, "two"\nthr\u00e9e'}]})

    (row,) = rows_of(client.get("/top-posts?time_range=7d&format=csv"))

    assert row["caption"] == 'one, "two"\nthr\u00e9e'
    assert (row["like_count"], row["likes_hidden"], row["engagement_score"]) == ("", "true", "7")


@pytest.mark.parametrize("caption", ["=HYPERLINK(1)", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_no_text_of_a_table_is_a_formula(client, wire, caption):
    wire.get(ANY, json={"data": [POST | {"caption": caption}]})

    (row,) = rows_of(client.get("/top-posts?time_range=7d&format=csv"))

    assert row["caption"] == f"'{caption}"


def test_buckets_have_rows_of_their_own(client, wire):
    results = [(["FOLLOWER"], 7)]
    wire.get(ANY, json={"data": [total_value("views", 10, [(["follow_type"], results)])]})

    rows = rows_of(client.get("/account-insights?period=day&metrics=views&breakdown=follow_type&format=csv"))

    assert [(row["breakdown"], row["bucket"], row["value"], row["reason"]) for row in rows] == [
        ("", "", "10", ""),
        ("follow_type", "FOLLOWER", "7", ""),
        ("follow_type", "NON_FOLLOWER", "", "bucket_unknown"),
    ]


def test_a_bucket_that_is_listed_twice_is_unknown(client, wire):
    results = [(["FOLLOWER"], 7), (["FOLLOWER"], 7), (["NON_FOLLOWER"], 3)]
    wire.get(ANY, json={"data": [total_value("views", 10, [(["follow_type"], results)])]})

    rows = rows_of(client.get("/account-insights?period=day&metrics=views&breakdown=follow_type&format=csv"))

    assert [(row["bucket"], row["value"], row["reason"]) for row in rows] == [
        ("", "10", ""),
        ("FOLLOWER", "", "bucket_unknown"),
        ("NON_FOLLOWER", "3", ""),
    ]


def test_a_gap_has_a_row_with_its_reason(client, wire):
    wire.get(ANY, json={"data": []})

    (row,) = rows_of(client.get("/account-insights?period=day&metrics=views&format=csv"))

    assert (row["end_time"], row["value"], row["reason"]) == ("2026-06-15T07:00:00+0000", "", "not_answered")


def test_a_table_without_rows_has_its_head(client, wire):
    wire.get(ANY, json={"data": []})

    response = client.get("/top-posts?time_range=7d&format=csv")

    assert response.get_data(as_text=True).startswith("id,permalink,caption")


# Growth trends

PARTS = ("numerator", "denominator", "posts_used", "posts_left_out")


def plan_trends(wire, plan=plan_posts):
    """Plan two windows of seven days before the 15th: three posts, of which one hides its likes, and one post."""
    days = {"a": "2026-06-12", "b": "2026-06-12", "hidden": "2026-06-12", "before": "2026-06-05"}
    posts = [post(name, f"{day}T12:00:00+0000", like_count=7, comments_count=3) for name, day in days.items()]
    del posts[2]["like_count"]
    plan(wire, posts)
    plan_profile(wire)
    plan_insights(wire, lambda query: follows(gained=50, lost=20) if "breakdown" in query else (200, {"data": []}))


def trends_of(client, **query):
    """The rows of the table by the key of their trend."""
    response = client.get("/growth-trends", query_string={"period": "7d", "format": "csv", **query})
    return {row["key"]: row for row in rows_of(response)}


def test_new_columns_of_growth_trends_follow_the_earlier_ones(client, wire):
    plan_trends(wire)

    response = client.get("/growth-trends?period=7d&format=csv")

    assert response.get_data(as_text=True).splitlines()[0] == (
        "metric,key,current_value,previous_value,growth_rate,reason,unit,basis,approximate,since,until,"
        "provisional_from,er_method,numerator,denominator,posts_used,posts_left_out,previous_since,previous_until"
    )


@pytest.mark.parametrize(
    ("query", "method"),
    [({}, "mean_of_posts"), ({"er_method": "median"}, "median"), ({"er_method": "ratio_of_sums"}, "ratio_of_sums")],
)
def test_an_engagement_rate_has_its_method_and_its_parts(client, wire, query, method):
    plan_trends(wire)

    row = trends_of(client, **query)["engagement_rate"]

    assert row["er_method"] == method
    assert [float(row[name]) for name in PARTS] == [20, 1000, 2, 1]
    assert (row["since"], row["until"]) == ("2026-06-08", "2026-06-14")
    assert (row["previous_since"], row["previous_until"]) == ("2026-06-01", "2026-06-07")


@pytest.mark.parametrize(("basis", "denominator"), [("followers", "1000"), ("reach", "")])
def test_parts_of_unknown_posts_are_empty(client, wire, basis, denominator):
    plan_trends(wire, lambda wire, _posts: wire.get(MEDIA, json=graph_error(2), status=500))

    row = trends_of(client, er_basis=basis)["engagement_rate"]

    assert [row[name] for name in PARTS] == ["", denominator, "", ""]


def test_parts_by_reach_are_the_sums_of_the_posts_used(client, wire):
    def plan(wire, posts):
        def page(request):
            if "insights" not in query_of(request)["fields"]:
                return 200, {}, json.dumps({"data": posts})
            values = [
                {"name": "reach", "values": [{"value": 50}]},
                {"name": "total_interactions", "values": [{"value": 4}]},
            ]
            measured = [
                {"id": each["id"], "timestamp": each["timestamp"]}
                | ({} if each["id"] == "b" else {"insights": {"data": values}})
                for each in posts
            ]
            return 200, {}, json.dumps({"data": measured})

        wire.add_callback("GET", MEDIA, callback=page)

    plan_trends(wire, plan)
    wire.assert_all_requests_are_fired = False

    row = trends_of(client, er_basis="reach")["engagement_rate"]

    assert (row["basis"], row["er_method"]) == ("reach", "mean_of_posts")
    assert [float(row[name]) for name in PARTS] == [8, 100, 2, 1]


def test_a_trend_without_a_rate_or_an_earlier_window_leaves_their_columns_empty(client, wire):
    plan_trends(wire)

    rows = trends_of(client, metrics="posts,views")

    for key in ("followers", "posts", "views"):
        assert {rows[key][name] for name in ("er_method", *PARTS)} == {""}
    for name in ("previous_since", "previous_until"):
        assert rows["followers"][name] == ""
        assert rows["posts"][name] == rows["views"][name] == rows["engagement_rate"][name] != ""


# Stories


@pytest.fixture
def reported(client, wire, clock):
    """Two stories that are over: 18001 was polled and reported by a webhook, 18009 was only reported."""

    def page(request):
        node = {"id": "18001", "timestamp": "2026-06-15T16:00:00+0000", "media_type": "IMAGE"}
        asked = re.search(r"insights\.metric\(([\w,]+)\)", query_of(request)["fields"])
        values = [{"name": name, "values": [{"value": 10}]} for name in asked[1].split(",")] if asked else []
        values = [navigation] if asked and asked[1] == "navigation" else values
        return 200, {}, json.dumps({"data": [node | {"insights": {"data": values}}]})

    taps = [(["tap_forward"], 40), (["tap_back"], 2)]
    navigation = total_value("navigation", 42, [(["story_navigation_action_type"], taps)])
    wire.add_callback("GET", f"{USER}/stories", callback=page)
    wire.assert_all_requests_are_fired = False
    assert body_of(client, "/stories")["stories"][0]["source"] == "live"
    clock.wait(DAY)
    for story in ("18001", "18009"):
        value = {"media_id": story, "impressions": 30, "reach": 12, "taps_forward": 44, "taps_back": -1}
        client.application.extensions["services"].kept_stories.apply_webhook(
            Change(ACCOUNT_ID, "story_insights", value, REPORTED_AT)
        )
    return client


def numbers_in(client, story):
    """The columns of each number and bucket of a story that say where it comes from."""
    rows = rows_of(client.get(f"/stories/{story}?format=csv"))
    assert {(row["id"], row["source"]) for row in rows} == {(story, "webhook")}
    columns = ("breakdown", "value", "number_source", "answered_by")
    return {(row["name"], row["bucket"]): tuple(row[name] for name in columns) for row in rows}


def test_a_number_of_a_story_has_a_source_of_its_own(reported):
    numbers = numbers_in(reported, "18001")

    assert numbers["reach", ""] == ("", "12", "webhook", "")
    assert numbers["shares", ""] == ("", "10", "polling", "")


def test_a_bucket_of_a_story_has_its_dimension_and_source(reported):
    numbers = numbers_in(reported, "18001")

    dimension = "story_navigation_action_type"
    assert numbers["navigation", ""][0] == ""
    assert numbers["navigation", "tap_forward"] == (dimension, "44", "webhook", "")
    assert numbers["navigation", "tap_back"] == (dimension, "2", "polling", "")


def test_a_number_of_a_story_names_the_metric_that_answers_it(reported):
    numbers = numbers_in(reported, "18009")

    assert numbers["views", ""] == ("", "30", "webhook", "impressions")
    assert numbers["impressions", ""] == ("", "30", "webhook", "")
    assert numbers["shares", ""] == ("", "", "", "")


def test_new_columns_of_stories_follow_the_earlier_ones(reported):
    response = reported.get("/stories?format=csv")

    assert response.get_data(as_text=True).splitlines()[0] == (
        "id,timestamp,expires_at,media_type,permalink,source,name,bucket,value,reason,read_at,"
        "breakdown,number_source,answered_by"
    )
