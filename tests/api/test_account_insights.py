"""Account insights: the documented metrics, answered in as few calls as possible."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
import responses

from services.days import EndTime, midnight
from services.insights.catalogue import METRICS
from tests.planners import body_of, plan_insights, plan_posts, plan_profile, series, values_of
from tests.support import ACCOUNT_ID, total_value

DAY = timedelta(days=1)
YESTERDAY = date(2026, 6, 14)
DOCUMENTED = [
    *("impressions", "reach", "profile_views", "website_clicks", "email_contacts"),
    *("get_directions_clicks", "phone_call_clicks", "text_message_clicks", "follower_count"),
]
BUTTONS = {
    "email_contacts": ("EMAIL", 4),
    "get_directions_clicks": ("DIRECTION", 3),
    "phone_call_clicks": ("CALL", 2),
    "text_message_clicks": ("TEXT", 0),
}
TAPS = [(["email"], 4), (["direction"], 3), (["call"], 2), (["book_now"], 1)]


class Provider:
    """Answers totals of 7, taps by button, and series whose values are the days of the month."""

    def __init__(self):
        self.calls = []

    def __call__(self, query):
        self.calls.append(query)
        answer = self.series if "metric_type" not in query else self.total
        return 200, {"data": [answer(name, query) for name in query["metric"].split(",")]}

    def total(self, name, query):
        if query.get("breakdown") == "contact_button_type":
            return total_value(name, 10, [(["contact_button_type"], TAPS)])
        return total_value(name, 7)

    def series(self, name, query):
        days = [date(2026, 1, 1) + offset * DAY for offset in range(180)]
        within = [day for day in days if int(query["since"]) <= EndTime.DAY_END.of(day) <= int(query["until"])]
        return series(name, ((day, day.day) for day in within))


@pytest.fixture
def provider():
    provider = Provider()
    with responses.RequestsMock() as wire:
        plan_insights(wire, provider)
        yield provider


def ask(client, metrics, period="day", **query):
    names = metrics if isinstance(metrics, str) else ",".join(metrics)
    return body_of(client, "/account-insights", period=period, metrics=names, **query)


# The documented shape


def test_an_insight_has_the_documented_fields(client, provider):
    (insight,) = ask(client, "profile_views")["data"]

    assert {name: insight[name] for name in ("name", "period", "values", "title", "description", "id")} == {
        "name": "profile_views",
        "period": "day",
        "values": [{"value": 7, "date": "2026-06-14", "end_time": "2026-06-15T07:00:00+0000"}],
        "title": METRICS["profile_views"].title,
        "description": METRICS["profile_views"].description,
        "id": f"{ACCOUNT_ID}_profile_views",
    }


def test_all_documented_metrics_are_answered_under_their_names(client, provider):
    body = ask(client, DOCUMENTED)

    assert [insight["name"] for insight in body["data"]] == DOCUMENTED
    assert None not in [value for insight in body["data"] for value in values_of(insight)]
    assert body["meta"]["unavailable"] == []


def test_all_documented_metrics_of_a_day_take_three_calls(client, provider):
    ask(client, DOCUMENTED)

    asked = sorted((query["metric"], query.get("metric_type"), query.get("breakdown")) for query in provider.calls)
    assert asked == [
        ("follower_count", None, None),
        ("profile_links_taps", "total_value", "contact_button_type"),
        ("views,reach,profile_views,website_clicks", "total_value", None),
    ]


def test_a_day_is_requested_from_its_midnight_to_the_second_before_the_next(client, provider):
    ask(client, "views")

    (query,) = provider.calls
    assert (int(query["since"]), int(query["until"])) == (midnight(YESTERDAY), midnight(YESTERDAY + DAY) - 1)
    assert query["period"] == "day"


# Successors


@pytest.mark.parametrize(("metric", "bucket"), BUTTONS.items())
def test_a_removed_button_metric_is_answered_by_its_bucket(client, provider, metric, bucket):
    body = ask(client, metric)

    assert values_of(body["data"][0]) == [bucket[1]]
    assert body["data"][0]["answered_by"] == "profile_links_taps"
    assert body["meta"]["substitutions"] == [
        {"requested": metric, "answered_by": "profile_links_taps", "since": "2025-01-08"}
    ]


def test_impressions_are_answered_by_views(client, provider):
    body = ask(client, "impressions,views")

    assert [insight.get("answered_by") for insight in body["data"]] == ["views", None]
    assert [query["metric"] for query in provider.calls] == ["views"]
    assert [entry["requested"] for entry in body["meta"]["substitutions"]] == ["impressions"]


def test_a_bucket_has_no_breakdown_of_its_own(client, provider):
    body = ask(client, "email_contacts,views", breakdown="follow_type")

    assert [values_of(insight) for insight in body["data"]] == [[4], [7]]
    assert not any("breakdowns" in insight["values"][0] for insight in body["data"])
    assert [(entry["metric"], entry["reason"]) for entry in body["meta"]["unavailable"]] == [
        ("email_contacts", "breakdown_not_supported"),
        ("views", "bucket_unknown"),
    ]


@pytest.mark.parametrize("total", [7, None])
def test_buckets_are_shown_although_the_total_alone_is_known(client, wire, total):
    rows = [(["follow_type"], [(["FOLLOWER"], 5), (["NON_FOLLOWER"], 2)])]
    answers = {True: total_value("views", total, rows), False: total_value("views", 7)}
    plan_insights(wire, lambda query: (200, {"data": [answers["breakdown" in query]]}))
    ask(client, "views")

    body = ask(client, "views", breakdown="follow_type")

    (value,) = body["data"][0]["values"]
    (part,) = value["breakdowns"]
    assert {row["dimension_values"][0]: row["value"] for row in part["results"]} == {"FOLLOWER": 5, "NON_FOLLOWER": 2}
    assert (value["value"], [entry["reason"] for entry in body["meta"]["unavailable"]]) == (
        total,
        [] if total else ["no_total"],
    )


def test_a_series_is_shown_until_the_first_of_its_values_expires(client, provider, clock):
    query = {"since": "2026-06-14", "until": "2026-06-15"}
    for limits in (query, query | {"format": "json"}):  # The second reply is made of what the first has shown.
        ask(client, "views", **limits)
    provider.total = lambda name, _: total_value(name, 8)
    clock.wait(3601)  # Today's value is fresh for an hour, that of yesterday for six.

    for _ in range(2):
        (insight,) = ask(client, "views", **query)["data"]
        client.application.extensions["services"].wait_until_quiet(10)

    assert values_of(insight) == [7, 8]


# What is not asked at all


@pytest.mark.parametrize(
    ("metric", "breakdown"),
    [
        ("accounts_engaged", "follow_type"),
        ("likes", "follow_type"),
        ("follower_count", "follow_type"),
        ("follows_and_unfollows", "media_product_type"),
        ("profile_links_taps", "follow_type"),
        ("views", "media_product_type,follow_type"),
        ("views", "contact_button_type"),
    ],
)
def test_a_breakdown_that_a_metric_does_not_have_is_not_requested_and_leaves_the_total(
    client, provider, metric, breakdown
):
    body = ask(client, metric, breakdown=breakdown, since="2026-06-10", until="2026-06-10")

    (value,) = body["data"][0]["values"]
    assert (value["value"], "reason" in value, "breakdowns" in value) == (
        10 if metric == "follower_count" else 7,
        False,
        False,
    )
    assert [entry["reason"] for entry in body["meta"]["unavailable"]] == ["breakdown_not_supported"]
    assert ["breakdown" in query for query in provider.calls] == [False]


@pytest.mark.parametrize("metric", ["online_followers", "follower_demographics", "engaged_audience_demographics"])
def test_what_is_not_kept_by_day_is_refused_without_a_call(client, metric):
    body = ask(client, metric)

    assert [value["reason"] for value in body["data"][0]["values"]] == ["not_by_day"]


def test_the_documented_example_lies_beyond_what_is_kept_and_takes_no_call(client):
    body = ask(client, "impressions,reach", since="1630454400", until="1630540800")

    for insight in body["data"]:
        assert insight["values"] == [
            {"value": None, "date": "2021-08-31", "end_time": "2021-09-01T07:00:00+0000", "reason": "beyond_retention"}
        ]
    assert {(entry["metric"], entry["reason"]) for entry in body["meta"]["unavailable"]} == {
        ("impressions", "beyond_retention"),
        ("reach", "beyond_retention"),
    }


@pytest.mark.parametrize(("day", "kept"), [("2024-06-16", True), ("2024-06-15", False)])
def test_days_are_kept_for_729_days(client, provider, day, kept):
    body = ask(client, "views,likes", since=day, until="2024-06-16")

    assert (body["data"][0]["values"][0]["value"] == 7) is kept


def test_a_request_may_have_93_days(client, provider):
    body = ask(client, "views", since="2026-03-14", until="2026-06-14")

    assert values_of(body["data"][0]) == [7] * 93
    assert len(provider.calls) == 93


def test_a_request_of_94_days_is_refused_without_a_call(client):
    response = client.get("/account-insights?period=day&metrics=views&since=2026-03-13&until=2026-06-14")

    assert response.status_code == 400
    assert "93" in response.get_json()["hint"]


# Series


def test_reach_alone_comes_as_a_series_in_one_call(client, provider):
    body = ask(client, "reach", since="2026-05-20", until="2026-05-24")

    assert values_of(body["data"][0]) == [20, 21, 22, 23, 24]
    assert len(provider.calls) == 1


def test_reach_beside_others_shares_their_calls(client, provider):
    ask(client, "reach,views", since="2026-05-20", until="2026-05-24")

    assert [query["metric"] for query in provider.calls] == ["reach,views"] * 5


def test_new_followers_are_kept_for_30_days_and_only_those_are_requested(client, provider):
    body = ask(client, "follower_count", since="2026-05-13", until="2026-05-18")

    assert values_of(body["data"][0]) == [None, None, None, 16, 17, 18]
    assert [value.get("reason") for value in body["data"][0]["values"]] == ["beyond_retention"] * 3 + [None] * 3
    assert [int(query["since"]) for query in provider.calls] == [midnight(date(2026, 5, 16))]


@pytest.mark.parametrize("path", ["/account-insights?period=day", "/growth-trends?period=1d"])
def test_what_a_refresh_brings_is_shown_at_once_by_every_request(client, wire, clock, path):
    number = 7
    wire.assert_all_requests_are_fired = False
    plan_profile(wire)
    plan_posts(wire)
    plan_insights(wire, lambda _query: (200, {"data": [total_value("views", number)]}))
    same = [{}, {"format": "json"}, {"since": "2026-06-14"}, {"until": "2026-06-14"}]

    before = [ask(client, "views", **query) for query in same[:2]]
    number = 8
    clock.wait(10)
    body_of(client, f"{path}&metrics=views&refresh=true")
    after = [ask(client, "views", **query) for query in reversed(same)]

    assert [values_of(body["data"][0]) for body in (*before, *after)] == [[7]] * 2 + [[8]] * 4


# Days that are marked by another time, and lists of Meta that are no longer the known ones


def test_days_that_are_marked_by_another_time_are_a_warning_also_from_the_cache(client, wire):
    hours = {10: "00", 11: "00", 12: "07"}  # Of the last one it is midnight.
    points = [{"value": day, "end_time": f"2026-06-{day + 1:02}T{hours[day]}:00:00+0000"} for day in hours]
    plan_insights(wire, lambda _query: (200, {"data": [{"name": "reach", "values": points}]}))

    for path in ("reach", "reach&format=json"):
        body = body_of(client, f"/account-insights?period=day&since=2026-06-10&until=2026-06-12&metrics={path}")

        assert values_of(body["data"][0]) == [10, 11, 12]
        (warning,) = body["meta"]["warnings"]
        assert warning["code"] == "unexpected_end_time"
        assert "reach" in warning["message"]
    assert len(wire.calls) == 1
    client.application.extensions["services"].cache.forget(ACCOUNT_ID)  # The history has none of it.
    assert body_of(client, "/account-insights?period=day&since=2026-06-10&until=2026-06-12&metrics=reach") == body


@pytest.mark.parametrize(("metric", "estimated"), [("reach", True), ("accounts_engaged", True), ("views", None)])
def test_estimates_of_meta_are_marked(client, provider, metric, estimated):
    assert ask(client, metric)["data"][0].get("estimated") is estimated


def test_what_rests_on_a_bucket_of_an_unknown_list_is_unknown(client, wire):
    rows = [(["EMAIL_BUTTON"], 7), (["CALL_BUTTON"], 2)]
    answer = total_value("profile_links_taps", None, [(["contact_button_type"], rows)])
    plan_insights(wire, lambda _query: (200, {"data": [answer]}))

    body = ask(client, "email_contacts,phone_call_clicks")

    assert [insight["values"][0]["reason"] for insight in body["data"]] == ["bucket_unknown"] * 2
    assert [values_of(insight) for insight in body["data"]] == [[None], [None]]
