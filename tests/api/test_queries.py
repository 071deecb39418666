"""What callers may ask: a wrong parameter is named together with what is accepted, before any provider is asked."""

from __future__ import annotations

import re

import pytest

from routes.account_insights import AccountInsightsQuery
from routes.growth_trends import GrowthTrendsQuery
from routes.performance_data import PerformanceDataQuery
from routes.top_posts import TopPostsQuery
from services.growth_trends import TITLES
from services.insights.catalogue import BREAKDOWNS, METRICS

INSIGHTS = {"period": "day", "metrics": "reach"}
GROWTH = {"period": "7d"}
TOP = {"time_range": "7d"}
PERFORMANCE = {"url": "nasa"}
ENDPOINTS = {
    "/account-insights": (INSIGHTS, AccountInsightsQuery),
    "/growth-trends": (GROWTH, GrowthTrendsQuery),
    "/top-posts": (TOP, TopPostsQuery),
    "/performance-data": (PERFORMANCE, PerformanceDataQuery),
    "/api/discovery/performance-data": (PERFORMANCE, PerformanceDataQuery),
    "/healthz": ({}, None),
    "/openapi.json": ({}, None),
}
TIMES = ("Unix seconds", "2026-11-20", "2010", "2100")
PERIODS = ("day", "week", "days_28")


def refused(client, path, query):
    """Ask, and return the message with the hint, as a caller reads them."""
    response = client.get(path, query_string=query)
    body = response.get_json()
    assert (response.status_code, body["code"], body["error"]) == (400, "bad_request", True), body
    return f"{body['message']} {body['hint']}"


@pytest.mark.parametrize(
    ("path", "missing", "accepted"),
    [
        ("/account-insights", "period", PERIODS),
        ("/account-insights", "metrics", METRICS),
        ("/growth-trends", "period", ("1d", "365d")),
        ("/top-posts", "time_range", ("1d", "30d")),
        ("/performance-data", "url", ("handle", "@handle", "numeric id", "link")),
        ("/api/discovery/performance-data", "url", ("handle", "@handle", "numeric id", "link")),
    ],
)
def test_a_missing_parameter_is_named_with_what_is_accepted(client, path, missing, accepted):
    query = {name: value for name, value in ENDPOINTS[path][0].items() if name != missing}

    text = refused(client, path, query)

    assert text.startswith(f"{missing} is missing.")
    assert [name for name in accepted if name not in text] == []


def test_all_missing_parameters_are_named_at_once(client):
    text = refused(client, "/account-insights", {})

    assert "period is missing. metrics is missing." in text


@pytest.mark.parametrize("path", ENDPOINTS)
def test_an_unknown_parameter_is_refused_with_all_known_ones(client, path):
    query, model = ENDPOINTS[path]

    text = refused(client, path, query | {"zzz": "1"})

    assert "'zzz' is not a parameter of this endpoint." in text
    assert "Did you mean" not in text
    assert [name for name in (model.model_fields if model else ["none"]) if name not in text] == []


def test_a_refusal_stays_short_however_many_parameters_are_unknown(client):
    names = {f"limit{number}": "1" for number in range(90)}

    text = refused(client, "/top-posts", ENDPOINTS["/top-posts"][0] | names)

    assert text.count("is not a parameter of this endpoint.") == 5
    assert "85 others are not parameters either." in text
    assert len(text) < 1_000


@pytest.mark.parametrize(
    ("path", "unknown", "nearest"),
    [
        ("/account-insights", "metric", "metrics"),
        ("/account-insights", "Period", "period"),
        ("/account-insights", "break_down", "breakdown"),
        ("/growth-trends", "acount", "account"),
        ("/top-posts", "timerange", "time_range"),
        ("/top-posts", "limits", "limit"),
        ("/performance-data", "urls", "url"),
    ],
)
def test_the_nearest_parameter_is_named(client, path, unknown, nearest):
    text = refused(client, path, ENDPOINTS[path][0] | {unknown: "1"})

    assert f"{unknown!r} is not a parameter of this endpoint. Did you mean {nearest}?" in text


@pytest.mark.parametrize(
    ("path", "name"), [(path, name) for path, (_, model) in ENDPOINTS.items() if model for name in model.model_fields]
)
def test_a_repeated_parameter_is_refused(client, path, name):
    query = [*ENDPOINTS[path][0].items(), (name, "json"), (name, "json")]

    text = refused(client, path, query)

    assert f"{name} is given" in text
    assert "once is accepted" in text


@pytest.mark.parametrize(
    ("path", "name"), [(path, name) for path, (_, model) in ENDPOINTS.items() if model for name in model.model_fields]
)
def test_an_empty_parameter_is_refused_by_its_name(client, path, name):
    text = refused(client, path, ENDPOINTS[path][0] | {name: ""})

    assert text.startswith(f"{name}:")


@pytest.mark.parametrize(
    ("path", "name", "wrong", "accepted"),
    [
        ("/account-insights", "period", "month", PERIODS),
        ("/account-insights", "period", "lifetime", PERIODS),
        ("/account-insights", "metrics", "reach,followers_gained", METRICS),
        ("/account-insights", "metrics", ",", METRICS),
        ("/account-insights", "breakdown", "age", BREAKDOWNS),
        ("/account-insights", "since", "yesterday", TIMES),
        ("/account-insights", "since", "2026-02-30", TIMES),
        ("/account-insights", "since", "2026-06-01T00:00:00Z", TIMES),
        ("/account-insights", "since", "1780000000.5", TIMES),
        ("/account-insights", "since", "-1780000000", TIMES),
        ("/account-insights", "since", "1780000000000", TIMES),  # milliseconds
        ("/account-insights", "since", "20260601", TIMES),
        ("/account-insights", "since", "2009-12-31", TIMES),
        ("/account-insights", "until", "2100-01-02", TIMES),
        ("/account-insights", "until", "١٧٨٠٠٠٠٠٠٠", TIMES),
        ("/account-insights", "account", "../me", ("id", "username")),
        ("/account-insights", "account", "a" * 31, ("id", "username")),
        ("/account-insights", "format", "xml", ("json", "csv")),
        ("/growth-trends", "period", "0d", ("1d", "365d")),
        ("/growth-trends", "period", "366d", ("1d", "365d")),
        ("/growth-trends", "period", "30", ("1d", "365d")),
        ("/growth-trends", "period", "day", ("1d", "365d")),
        ("/growth-trends", "period", "-7d", ("1d", "365d")),
        ("/growth-trends", "period", "\u0667d", ("1d", "365d")),
        ("/growth-trends", "metrics", "likes", TITLES),
        ("/top-posts", "time_range", "31d", ("1d", "30d")),
        ("/top-posts", "time_range", "0d", ("1d", "30d")),
        ("/top-posts", "time_range", "7", ("1d", "30d")),
        ("/top-posts", "media_product_type", "STORY", ("AD", "FEED", "REELS")),
    ],
)
def test_a_wrong_value_is_named_with_what_is_accepted(client, path, name, wrong, accepted):
    text = refused(client, path, ENDPOINTS[path][0] | {name: wrong})

    assert text.startswith(f"{name}:")
    assert [each for each in accepted if each not in text.replace(repr(wrong), "")] == []


@pytest.mark.parametrize("wrong", ["0", "51", "-1", "many", "2.5"])
def test_a_wrong_limit_is_named_with_both_ends_of_its_range(client, wrong):
    text = refused(client, "/top-posts", TOP | {"limit": wrong})

    assert text.startswith("limit:")
    assert {"1", "50"} <= set(re.findall(r"\d+", text.replace(repr(wrong), "")))


@pytest.mark.parametrize(
    ("path", "name", "wrong", "nearest"),
    [
        ("/account-insights", "metrics", "reech", "reach"),
        ("/account-insights", "metrics", "Impressions", "impressions"),
        ("/account-insights", "breakdown", "followtype", "follow_type"),
        ("/account-insights", "metrics", "VIEWS", "views"),
        ("/account-insights", "breakdown", "FOLLOW_TYPE", "follow_type"),
        ("/growth-trends", "metrics", "reaches", "reach"),
        ("/growth-trends", "metrics", "total_interactions", "interactions"),
        ("/top-posts", "by", "saves", "saved"),
        ("/top-posts", "by", "likes", "engagement_score"),
        ("/top-posts", "by", "engagement", "engagement_score"),
    ],
)
def test_the_nearest_value_is_named(client, path, name, wrong, nearest):
    assert f"Did you mean {nearest}?" in refused(client, path, ENDPOINTS[path][0] | {name: wrong})


@pytest.mark.parametrize(
    ("path", "name", "removed", "successors"),
    [
        ("/top-posts", "by", "plays", "views"),
        ("/top-posts", "by", "impressions", "views"),
        ("/growth-trends", "metrics", "plays", "views"),
        ("/growth-trends", "er_basis", "impressions", "views"),
        ("/account-insights", "metrics", "plays", "views"),
        ("/account-insights", "metrics", "engagement", "likes,comments"),
    ],
)
def test_the_successor_of_a_removed_metric_is_named(client, path, name, removed, successors):
    text = refused(client, path, ENDPOINTS[path][0] | {name: removed})

    assert f"{removed!r}" in text
    assert f"Meta replaced it: ask for {successors}." in text


@pytest.mark.parametrize(
    ("path", "name", "metric", "endpoint"),
    [
        ("/top-posts", "by", "online_followers", "/audience"),
        ("/growth-trends", "metrics", "likes", "/account-insights"),
        ("/account-insights", "metrics", "navigation", "/api/instagram/insights/{media_id}"),
        ("/account-insights", "metrics", "followers", "/growth-trends"),
        ("/audience", "metrics", "reach", "/account-insights"),
        ("/api/instagram/insights/18000001697020000", "metrics", "online_followers", "/audience"),
        ("/api/instagram/insights/18000001697020000", "metrics", "email_contacts", "/account-insights"),
    ],
)
def test_the_endpoint_of_a_metric_is_named_where_another_has_it(client, path, name, metric, endpoint):
    query = ENDPOINTS[path][0] if path in ENDPOINTS else {}

    assert f"{endpoint} has it." in refused(client, path, query | {name: metric})


def test_every_wrong_name_of_a_list_is_named(client):
    text = refused(client, "/account-insights", INSIGHTS | {"metrics": "foo,reach,bar"})

    assert "'foo' is not a valid metric. 'bar' is not a valid metric. Accepted: reach" in text


def test_a_list_of_many_wrong_names_is_not_echoed_whole(client):
    text = refused(client, "/growth-trends", GROWTH | {"metrics": ",".join(f"wrong{number}" for number in range(500))})

    assert "495 others are not valid either." in text
    assert len(text) < 500


@pytest.mark.parametrize(
    ("path", "name", "wrong", "words"),
    [
        ("/growth-trends", "period", "366d", "'366d' is out of range."),
        ("/growth-trends", "period", "0d", "'0d' is out of range."),
        ("/growth-trends", "period", "-7d", "'-7d' is out of range."),
        ("/growth-trends", "period", "day", "'day' is not a number of days."),
        ("/top-posts", "time_range", "31d", "'31d' is out of range."),
        ("/top-posts", "time_range", "9999999d", "'9999999d' is out of range."),
        ("/top-posts", "limit", "51", "'51' is out of range."),
        ("/top-posts", "limit", "-1", "'-1' is out of range."),
        ("/top-posts", "limit", "x", "'x' is not a whole number."),
        ("/top-posts", "limit", "2.5", "'2.5' is not a whole number."),
        ("/stories", "limit", "many", "'many' is not a whole number."),
        ("/posting-times", "tz", "Europe/Berlim", "'Europe/Berlim' is not a time zone. Did you mean Europe/Berlin?"),
        ("/posting-times", "tz", "berlin", "'berlin' is not a time zone. Did you mean Europe/Berlin?"),
        ("/posting-times", "tz", "localtime", "'localtime' is not a time zone."),
        ("/audience", "days", "31", "'31' is out of range."),
        ("/performance-data", "wait", "soon", "'soon' is not a whole number."),
    ],
)
def test_a_number_out_of_range_and_text_that_is_no_number_are_distinguished(client, path, name, wrong, words):
    query = ENDPOINTS[path][0] if path in ENDPOINTS else {}

    assert words in refused(client, path, query | {name: wrong})


@pytest.mark.parametrize("path", ["/account-insights", "/stories"])
@pytest.mark.parametrize(
    ("since", "until", "words"),
    [
        ("2026-06-10", "2026-06-01", "since (2026-06-10) is after until (2026-06-01). Exchange them."),
        ("1780000001", "1780000000", "since (1780000001) is after until (1780000000). Exchange them."),
        ("2026-06-16", None, "since (2026-06-16) is in the future."),
    ],
)
def test_every_range_that_cannot_be_is_refused(client, path, since, until, words):
    query = ENDPOINTS[path][0] if path in ENDPOINTS else {}
    bounds = {name: value for name, value in (("since", since), ("until", until)) if value}

    assert words in refused(client, path, query | bounds)


@pytest.mark.parametrize(
    ("since", "until", "words"),
    [
        ("2026-06-10", "2026-06-01", ("since", "2026-06-10", "is after until", "2026-06-01")),
        ("1780000001", "1780000000", ("since", "is after until")),
        ("2026-06-16", None, ("since", "2026-06-16", "future", "today")),
        ("2026-01-01", "2026-06-01", ("since", "until", "152 days", "93")),
    ],
)
def test_ranges_that_cannot_be_are_refused(client, since, until, words):
    bounds = {name: value for name, value in (("since", since), ("until", until)) if value}

    text = refused(client, "/account-insights", INSIGHTS | bounds)

    assert [word for word in words if word not in text] == []


def test_a_long_value_is_not_echoed_whole(client):
    text = refused(client, "/top-posts", {"time_range": "x" * 3000})

    assert len(text) < 300


@pytest.mark.parametrize("path", ["/top-posts", "/healthz", "/nowhere", "/webhooks/instagram"])
def test_more_than_a_hundred_parameters_are_refused_before_they_are_read(client, path):
    few, many, thousands = ("&".join(f"{number:x}" for number in range(count)) for count in (100, 101, 1500))

    for query in (many, thousands):
        refused = client.get(f"{path}?{query}")
        assert (refused.status_code, refused.get_json()["message"]) == (400, "The query has too many parameters.")

    assert client.get(f"{path}?{few}").get_json().get("message") != refused.get_json()["message"]
