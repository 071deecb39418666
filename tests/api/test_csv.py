"""Tables: the same numbers as CSV, in which no spreadsheet sees a formula."""

from __future__ import annotations

import json
import re

import pytest

from services.store.webhooks import Change
from tests.planners import MEDIA, USER, body_of, follows, plan_insights, plan_posts, plan_profile, post, query_of
from tests.support import ACCOUNT_ID, GRAPH, MODASH, graph_error, table_rows, table_text, total_value

ANY = re.compile(rf"{GRAPH}/.*")
POST = {"id": "a", "timestamp": "2026-06-14T12:00:00+0000", "comments_count": 7}
DAY = 86_400
REPORTED_AT = 1_781_632_800.0  # a day after the time of the clock
PATHS = {
    "/top-posts?time_range=7d": "id,permalink,caption",
    "/account-insights?period=day&metrics=views": "name,period,date,end_time",
    "/growth-trends?period=7d": "metric,key,current_value,previous_value",
}


@pytest.mark.parametrize(("path", "head"), PATHS.items())
@pytest.mark.parametrize("accept", ["text/csv", "text/csv, application/json;q=0.5"])
def test_a_table_is_requested_by_its_type(client, wire, path, head, accept):
    wire.get(ANY, json={"data": [POST]})

    response = client.get(path, headers={"Accept": accept})

    assert table_rows(response)
    assert table_text(response).startswith(head)
    assert "Accept" in response.headers["Vary"]


@pytest.mark.parametrize(("path", "head"), PATHS.items())
def test_the_format_parameter_wins_over_the_accept_header(client, wire, path, head):
    wire.get(ANY, json={"data": [POST]})

    response = client.get(f"{path}&format=csv", headers={"Accept": "application/json"})

    assert table_text(response).startswith(head)


def test_json_that_is_requested_by_the_parameter_is_no_table(client, wire):
    wire.get(ANY, json={"data": [POST]})

    response = client.get("/top-posts?time_range=7d&format=json", headers={"Accept": "text/csv"})

    assert response.headers["Content-Type"] == "application/json"
    assert response.get_json()["top_posts"]


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

    (row,) = table_rows(client.get("/top-posts?time_range=7d&format=csv"))

    assert row["caption"] == 'one, "two"\nthr\u00e9e'
    assert (row["like_count"], row["likes_hidden"], row["engagement_score"]) == ("", "true", "7")


@pytest.fixture
def world_of(client, wire):
    """A function that plans what every path reads, of an account of some username, and has the username read."""

    def plan(username):
        answer = {"id": ACCOUNT_ID, "followers_count": 1000, "data": [POST]} | (
            {"username": username} if username else {}
        )
        wire.get(ANY, json=answer)
        wire.get(re.compile(rf"{MODASH}/v1/instagram/performance-data"), json={"posts": {"likes": {}}, "reels": {}})
        wire.get(re.compile(rf"{MODASH}/.*"), json={"credits": 5})
        wire.assert_all_requests_are_fired = False
        client.get("/growth-trends?period=7d")

    return plan


FORMULAS = (
    "=HYPERLINK(1)",
    "+1",
    "-1",
    "@x",
    "\t=1",
    "\r=1",
    "\n=1",
    "\ttab",
    "\nline",
    " =1",
    "\u3000=1",
    "\u200b\ufeff@x",
)
WIDE = ("\uff1d1", "\uff0b1", "\uff0d1", "\uff20x", " \uff1d1", "\ufe66" + "1")
LOSSY_NUMBERS = ("12345678901234567", "007", "1e5", "1.5E+3", "1.50", "1,234", "0.1", "\uff11\uff12", "9" * 60)
# After what is not seen: a soft hyphen, a joiner, marks of direction, a filler, a selector, a no-break space.
HIDDEN_FORMULAS = [
    f"{hidden}=1" for hidden in ("\xad", "\u034f", "\u202e", "\u2066\u2069", "\u3164", "\ufe0f", "\ufeff\xa0")
]
CONVERTED = (
    *("1/2", "1 1/2", "10:30", "10:30:15", "9:30 pm", "5%", "5 %", "$5", "5 \u20ac", "(5)", "1-2", "1'000", "1\xa0000"),
    *("TRUE", "false", "Wahr", "TRUE ", "\ufeffTRUE", "#N/A", "#DIV/0!", "5%\u200b", "\xa01/2"),
    *("Mar 3", "3 Mar", "3-mar", "May2026", "march 3, 2026", "1 January 2026 10:30", "2026/11/21", "21.11.2026"),
)


@pytest.mark.parametrize("caption", [*FORMULAS, *HIDDEN_FORMULAS, *WIDE, *LOSSY_NUMBERS, *CONVERTED, "'quoted"])
def test_a_text_that_a_spreadsheet_would_change_begins_with_an_apostrophe(client, wire, caption):
    wire.get(ANY, json={"data": [POST | {"caption": caption}]})

    (row,) = table_rows(client.get("/top-posts?time_range=7d&format=csv"))

    assert row["caption"] == f"'{caption}"


HIDDEN = "\u115f\u1160\u2800\u3164\uffa0\u2028\u2029\u0488\u20dd\u0301\x00\x7f\x9f"
MONTHS = (
    *("Jan", "January", "Feb", "February", "Mar", "March", "Apr", "April", "May", "Jun", "June", "Jul", "July"),
    *("Aug", "August", "Sep", "Sept", "September", "Oct", "October", "Nov", "November", "Dec", "December"),
)
RARER = (
    *(f"{hidden}=1" for hidden in HIDDEN),
    *(f"{sign}1" for sign in "\ufe62\ufe63\ufe6b"),
    *(f"{sign}5" for sign in "$\u00a2\u00a3\u00a4\u00a5\u20a0\u20ac\u20cf"),
    *(
        "5\u2030",
        "9:30 am",
        "9:30 AM",
        "9:30 a.m.",
        "9:30pm",
        "9:30 P.M.",
        "1\u20195",
        "12_3",
        "1\\2",
        "1234567890123456",
    ),
    *("TRUE", "FALSE", "WAHR", "FALSCH", "VRAI", "FAUX", "VERDADERO", "FALSO", "VERDADEIRO", "VERO", "WAAR", "ONWAAR"),
    *("#N/A", "#REF!", "#NAME?", "#VALUE!", "#NULL!", "#NUM!", "#DIV/0!"),
    *(
        f"{form}"
        for month in MONTHS
        for form in (f"{month} 3", f"3 {month}", f"{month.lower()}2026", f"3-{month.upper()}")
    ),
)


@pytest.mark.parametrize("share", range(4))
def test_every_rarer_text_that_a_spreadsheet_would_change_begins_with_an_apostrophe(client, wire, share):
    captions = {f"id-{number}": text for number, text in enumerate(RARER[share::4])}
    kept = {"id-a": "123456789012345", "id-b": "3 Sept and 4 Sept", "id-c": "9:30 amber"}
    wire.get(ANY, json={"data": [POST | {"id": id_, "caption": text} for id_, text in (captions | kept).items()]})

    rows = table_rows(client.get("/top-posts?time_range=7d&format=csv&limit=50"))

    assert {row["id"]: row["caption"] for row in rows} == {id_: f"'{text}" for id_, text in captions.items()} | kept


@pytest.mark.parametrize(
    "caption",
    [
        *("a=b", "one - two", "x@y", "2026", "0", "1 + 1", "\u2212", "12 and 3", ""),
        *("2026-11-21", "May", "Maybe 5", "March of 10:30", "Decathlon 5", "true story", "5 stars", "a/b", "50% off"),
        *("\U0001f600 5", "\xa0words", "1\ufe0f\u20e3", "=".rjust(50, "x"), "TRUE or false", "#1", "3 Maroons"),
    ],
)
def test_any_other_text_is_as_it_came(client, wire, caption):
    wire.get(ANY, json={"data": [POST | {"caption": caption}]})

    (row,) = table_rows(client.get("/top-posts?time_range=7d&format=csv"))

    assert row["caption"] == caption


def test_ids_are_texts_and_numbers_stay_numbers(client, wire):
    wire.get(ANY, json={"data": [POST | {"id": "17932174733377207", "like_count": 5}]})

    (row,) = table_rows(client.get("/top-posts?time_range=7d&format=csv"))

    assert (row["id"], row["like_count"]) == ("'17932174733377207", "5")


def test_a_negative_number_is_a_number(client, wire):
    plan_trends(wire, lambda wire, posts: plan_posts(wire, posts[3:]))

    growth = trends_of(client, metrics="posts")["posts"]["growth_rate"]

    assert growth == "-100.0"


def test_line_breaks_and_quotes_of_a_caption_are_written_as_rfc_4180_says(client, wire):
    wire.get(ANY, json={"data": [POST | {"caption": 'a "b"\r\nc\rd\ne, f'}]})

    text = table_text(client.get("/top-posts?time_range=7d&format=csv"))

    head, row = text.split("\r\n", 1)
    assert "\n" not in head
    assert ',"a ""b""\r\nc\rd\ne, f",' in row
    assert row.endswith("\r\n")


def test_a_table_begins_with_the_byte_order_mark(client, wire):
    wire.get(ANY, json={"data": [POST]})

    assert client.get("/top-posts?time_range=7d&format=csv").get_data().startswith(b"\xef\xbb\xbfid,permalink,")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/top-posts?time_range=7d", "top-posts-{}-7d"),
        ("/growth-trends?period=7d&until=complete", "growth-trends-{}-7d-complete"),
        ("/account-insights?period=day&metrics=views", "account-insights-{}-day"),
        (
            "/account-insights?period=day&metrics=views&since=1781420400&until=2026-06-14",
            "account-insights-{}-day-1781420400-2026-06-14",
        ),
        ("/history?metrics=views&since=2026-06-01", "history-{}-2026-06-01"),
        ("/export?since=2026-06-01&until=2026-06-02", f"history-{ACCOUNT_ID}-2026-06-01-2026-06-02"),
        ("/performance-data?url=@na.sa", "performance-data-na.sa"),
    ],
)
@pytest.mark.parametrize("username", ["corner.bakery", None])
def test_the_file_is_named_after_endpoint_account_and_range(client, world_of, path, name, username):
    world_of(username)

    response = client.get(path, headers={"Accept": "text/csv"})

    assert response.status_code == 200, response.get_json()
    expected = f'attachment; filename="{name.format(username or ACCOUNT_ID)}.csv"'
    assert response.headers["Content-Disposition"] == expected


def test_a_file_name_has_safe_characters_only_and_keeps_letters_beyond_ascii(client, world_of):
    world_of('b\u00e4ck"er/../\r\nX: y')

    response = client.get("/top-posts?time_range=7d&format=csv")

    assert response.headers["Content-Disposition"] == (
        'attachment; filename="top-posts-b_ck_er_.._x_y-7d.csv"; '
        "filename*=UTF-8''top-posts-b%C3%A4ck_er_.._x_y-7d.csv"
    )


def test_json_has_no_file_name(client, wire):
    wire.get(ANY, json={"data": [POST]})

    assert "Content-Disposition" not in client.get("/top-posts?time_range=7d").headers


def test_buckets_have_rows_of_their_own(client, wire):
    results = [(["FOLLOWER"], 7)]
    wire.get(ANY, json={"data": [total_value("views", 10, [(["follow_type"], results)])]})

    rows = table_rows(client.get("/account-insights?period=day&metrics=views&breakdown=follow_type&format=csv"))

    assert [(row["breakdown"], row["bucket"], row["value"], row["reason"]) for row in rows] == [
        ("", "", "10", ""),
        ("follow_type", "FOLLOWER", "7", ""),
        ("follow_type", "NON_FOLLOWER", "", "bucket_unknown"),
    ]


def test_a_bucket_that_is_listed_twice_is_unknown(client, wire):
    results = [(["FOLLOWER"], 7), (["FOLLOWER"], 7), (["NON_FOLLOWER"], 3)]
    wire.get(ANY, json={"data": [total_value("views", 10, [(["follow_type"], results)])]})

    rows = table_rows(client.get("/account-insights?period=day&metrics=views&breakdown=follow_type&format=csv"))

    assert [(row["bucket"], row["value"], row["reason"]) for row in rows] == [
        ("", "10", ""),
        ("FOLLOWER", "", "bucket_unknown"),
        ("NON_FOLLOWER", "3", ""),
    ]


def test_a_gap_has_a_row_with_its_reason(client, wire):
    wire.get(ANY, json={"data": []})

    (row,) = table_rows(client.get("/account-insights?period=day&metrics=views&format=csv"))

    assert (row["end_time"], row["value"], row["reason"]) == ("2026-06-15T07:00:00+0000", "", "not_answered")


def test_a_table_without_rows_has_its_head(client, wire):
    wire.get(ANY, json={"data": []})

    response = client.get("/top-posts?time_range=7d&format=csv")

    assert table_text(response).startswith("id,permalink,caption")


def test_the_id_of_a_path_is_in_the_name_of_its_file(reported):
    response = reported.get("/stories/18001?format=csv")

    assert response.headers["Content-Disposition"] == f'attachment; filename="story-18001-{ACCOUNT_ID}.csv"'


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
    return {row["key"]: row for row in table_rows(response)}


def test_new_columns_of_growth_trends_follow_the_earlier_ones(client, wire):
    plan_trends(wire)

    response = client.get("/growth-trends?period=7d&format=csv")

    assert table_text(response).splitlines()[0] == (
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
    rows = table_rows(client.get(f"/stories/{story}?format=csv"))
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

    assert table_text(response).splitlines()[0] == (
        "id,timestamp,expires_at,media_type,permalink,source,name,bucket,value,reason,read_at,"
        "breakdown,number_source,answered_by"
    )
