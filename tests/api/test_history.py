"""GET /history: what is kept, by day, week and month; gaps stay gaps, and no provider is called."""

from __future__ import annotations

import json
import sqlite3
from datetime import date, timedelta
from random import Random

import pytest
import responses

from services.accounts.token_encryption import new_key
from services.days import our_time
from services.store.database import DatabaseUnavailableError
from services.store.follower_counts import FollowerCount, FollowerCounts
from services.store.history import HistoryKey, HistoryValue
from services.store.sqlite_texts import TextTolerantCursor
from tests.planners import body_of, plan_insights, plan_posts, plan_profile, totals
from tests.support import ACCOUNT_ID, NoConnections, add_account, settings, table_rows, utc

OTHER_ACCOUNT = "17841400000000009"

FIRST, YESTERDAY = date(2026, 1, 1), date(2026, 6, 14)  # a Thursday, and a Sunday
READ_AT = 1_781_000_000.0


def days(first=FIRST, last=YESTERDAY):
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


class Kept:
    """Puts values into the history of a gateway, of its account."""

    def __init__(self, client):
        store = client.application.extensions["services"].store
        self._history, self._counts = store.history, store.follower_counts

    def day(self, metric, day, value, *, breakdown=(), buckets=None, **more):
        self.window(metric, day, day, value, breakdown=breakdown, buckets=buckets, **more)

    def window(self, metric, first, last, value, *, breakdown=(), buckets=None, **more):
        key = HistoryKey(metric, breakdown, first.isoformat(), last.isoformat())
        self._history.keep(ACCOUNT_ID, {key: HistoryValue(value, buckets, READ_AT, **more)})

    def series(self, metric, values):
        keys = {HistoryKey(metric, (), day.isoformat(), day.isoformat()): each for day, each in values.items()}
        self._history.keep(ACCOUNT_ID, {key: HistoryValue(each, None, READ_AT) for key, each in keys.items()})

    def followers(self, counts):
        self.counts(FollowerCount(day.isoformat(), count, READ_AT) for day, count in counts.items())

    def counts(self, counts):
        for count in counts:
            self._counts.keep(ACCOUNT_ID, count)


@pytest.fixture
def kept(client):
    return Kept(client)


def ask(client, metrics, **query):
    """Read series without a provider: there is no planned answer, so that a call would fail the test."""
    return body_of(client, "/history", metrics=metrics, **query)


def points_of(body, number=0):
    return {point["date"]: point for point in body["series"][number]["points"]}


def values_of(body, number=0):
    return {day: point["value"] for day, point in points_of(body, number).items()}


# Days


def test_each_day_of_a_range_has_its_kept_value_or_a_gap(client, kept):
    kept.series("views", {date(2026, 6, 1): 10, date(2026, 6, 3): 0})
    kept.day("views", date(2026, 6, 4), 7, final=False)
    kept.day("views", date(2026, 6, 5), None, reason="not_answered")

    body = ask(client, "views", since="2026-06-01", until="2026-06-05")

    (series,) = body["series"]
    assert (series["metric"], series["breakdown"], series["interval"]) == ("views", None, "day")
    assert (series["aggregation"], series["unit"]) == ("none", "views")
    assert series["points"] == [
        {"date": "2026-06-01", "value": 10, "reason": None, "final": True},
        {"date": "2026-06-02", "value": None, "reason": "not_kept", "final": False},
        {"date": "2026-06-03", "value": 0, "reason": None, "final": True},
        {"date": "2026-06-04", "value": 7, "reason": None, "final": False},
        {"date": "2026-06-05", "value": None, "reason": "not_answered", "final": False},
    ]
    assert {entry["reason"] for entry in body["meta"]["unavailable"]} == {"not_kept", "not_answered"}
    assert (body["meta"]["account"], body["meta"]["source"]) == (ACCOUNT_ID, "history")


def test_without_a_range_the_last_30_finished_days_are_given(client, kept):
    kept.series("views", {YESTERDAY: 5})

    values = values_of(ask(client, "views"))

    assert (min(values), max(values), len(values)) == ("2026-05-16", "2026-06-14", 30)


def test_a_day_that_is_not_over_says_so(client, kept):
    kept.series("views", {YESTERDAY: 5})

    body = ask(client, "views,followers", since="2026-06-14", until="2026-06-15")

    assert [each["points"][-1]["reason"] for each in body["series"]] == ["not_over", "not_over"]
    assert values_of(body) == {"2026-06-14": 5, "2026-06-15": None}


def test_several_metrics_are_series_in_the_order_of_the_request(client, kept):
    kept.series("views", {YESTERDAY: 5})
    kept.followers({YESTERDAY: 900})

    body = ask(client, "followers,views,reach", since="2026-06-14", until="2026-06-14")

    assert [(each["metric"], each["points"][0]["value"]) for each in body["series"]] == [
        *(("followers", 900), ("views", 5), ("reach", None)),
    ]
    assert body["series"][0]["points"][0]["counted_at"].endswith("Z")
    assert {"metric": "views", "breakdown": None} in body["meta"]["kept"]


def test_buckets_are_given_by_their_breakdown(client, kept):
    kept.day("views", YESTERDAY, 10, breakdown=("follow_type",), buckets={("FOLLOWER",): 7, ("NON_FOLLOWER",): None})

    body = ask(client, "views", breakdown="follower_type", since="2026-06-14")

    (series,) = body["series"]
    assert (series["breakdown"], series["points"][0]["value"]) == ("follow_type", 10)
    assert series["points"][0]["results"] == [
        {"dimension_values": ["FOLLOWER"], "value": 7},
        {"dimension_values": ["NON_FOLLOWER"], "value": None},
    ]


def test_two_dimensions_are_found_in_any_order(client, kept):
    both = ("media_product_type", "follow_type")
    kept.day("reach", YESTERDAY, 9, breakdown=both, buckets={("POST", "FOLLOWER"): 4})

    (series,) = ask(client, "reach", breakdown="follow_type,media_product_type", since="2026-06-14")["series"]

    assert (series["breakdown"], series["points"][0]["value"]) == ("media_product_type,follow_type", 9)


# Names


def test_an_impossible_breakdown_is_refused_with_those_that_each_metric_has(client, kept):
    kept.day("reach", YESTERDAY, 9, breakdown=("planet", "follow_type"), buckets={("MARS", "FOLLOWER"): 4})

    refused = client.get("/history?metrics=reach,follower_demographics,followers&breakdown=age,planet").get_json()

    assert refused["hint"] == (
        "Accepted: reach: media_product_type, follow_type, media_product_type,follow_type, planet,follow_type. "
        "follower_demographics: age, gender, city, country. followers: no breakdown."
    )


def test_a_breakdown_that_one_metric_has_leaves_the_totals_of_the_others(client, kept):
    kept.day("views", YESTERDAY, 5)

    body = ask(client, "reach,views", breakdown="media_product_type,follow_type", since="2026-06-14")

    assert [each["breakdown"] for each in body["series"]] == ["media_product_type,follow_type", None]
    assert body["series"][1]["points"][0]["value"] == 5
    assert ("views", "breakdown_not_supported") in {
        (each["metric"], each["reason"]) for each in body["meta"]["unavailable"]
    }


def test_every_kept_name_is_accepted_and_a_name_that_is_nowhere_is_refused_with_what_is_kept(client, kept):
    kept.series("views_of_2031", {YESTERDAY: 5})
    kept.day("demographics_of_2031", YESTERDAY, None, breakdown=("planet",), buckets={("MARS",): 2})

    known = ask(client, "views_of_2031", since="2026-06-14")
    by_planet = ask(client, "demographics_of_2031", breakdown="planet", since="2026-06-14")
    response = client.get("/history?metrics=views_of_2032,views")

    assert values_of(known) == {"2026-06-14": 5}
    assert by_planet["series"][0]["points"][0]["results"] == [{"dimension_values": ["MARS"], "value": 2}]
    assert (response.status_code, response.get_json()["code"]) == (400, "bad_request")
    assert "views_of_2032" in response.get_json()["message"]
    assert "views_of_2031" in response.get_json()["hint"]


def test_a_removed_metric_is_answered_by_the_kept_values_of_its_successor(client, kept):
    kept.series("views", {YESTERDAY: 5})
    buttons = {("EMAIL",): 3, ("CALL",): None}
    kept.day("profile_links_taps", YESTERDAY, 9, breakdown=("contact_button_type",), buckets=buttons)

    body = ask(client, "impressions,email_contacts,phone_call_clicks", since="2026-06-14")

    shown = [(each["metric"], each["answered_by"], each["points"][0]["value"]) for each in body["series"]]
    assert shown == [
        ("impressions", "views", 5),
        ("email_contacts", "profile_links_taps", 3),
        ("phone_call_clicks", "profile_links_taps", None),
    ]
    assert body["series"][2]["points"][0]["reason"] == "bucket_unknown"
    assert body["meta"]["substitutions"][0]["requested"] == "impressions"


def test_an_account_of_which_nothing_is_kept_has_gaps_and_no_error(client):
    body = ask(client, "views,followers", since="2026-06-14")

    assert [each["points"][0]["reason"] for each in body["series"]] == ["not_kept", "not_kept"]
    assert body["meta"]["kept"] == []


def test_every_count_of_the_profile_is_answered_by_day_and_by_week(client, kept):
    kept.counts([FollowerCount("2026-06-09", 900, READ_AT, 77, 31), FollowerCount("2026-06-12", 910, READ_AT)])

    by_day = ask(client, "followers,follows,media_count", since="2026-06-08")
    by_week = ask(client, "followers,follows,media_count", since="2026-06-08", interval="week")
    nothing = ask(client, "views", since="2026-06-14")

    found = [(values_of(by_day, number)["2026-06-09"], values_of(by_day, number)["2026-06-12"]) for number in range(3)]
    assert found == [(900, 910), (77, None), (31, None)]
    weeks = [(each["unit"], each["aggregation"], each["points"][0]["value"]) for each in by_week["series"]]
    assert weeks == [("accounts", "last", 910), ("accounts", "last", 77), ("posts", "last", 31)]
    assert [each["metric"] for each in nothing["meta"]["kept"]] == ["followers", "follows", "media_count"]


@pytest.mark.parametrize("interval", ["day", "week", "month"])
@pytest.mark.parametrize("metric", ["views", "followers", "online_followers"])
def test_a_range_in_which_no_day_ends_has_no_points_and_lists_what_is_kept(client, kept, metric, interval):
    kept.day("views", YESTERDAY, 5)

    within_a_day = ask(client, metric, interval=interval, since=1_781_000_000, until=1_781_000_001)

    assert [each["points"] for each in within_a_day["series"]] == [[]]
    assert [each["code"] for each in within_a_day["meta"]["warnings"]] == ["empty_range"]
    assert {"metric": "views", "breakdown": None} in within_a_day["meta"]["kept"]


@pytest.mark.parametrize("interval", ["day", "week"])
@pytest.mark.parametrize(
    ("finals", "age"), [((True, True, True), 30), ((True, False, False), 10), ((False, False, True), 0)]
)
def test_a_page_is_as_old_as_the_oldest_value_that_may_change_else_as_the_newest(client, interval, finals, age):
    history = client.application.extensions["services"].store.history
    for day, seconds, final in zip((8, 9, 10), (0, 10, 20), finals, strict=True):
        key = HistoryKey("views", (), f"2026-06-{day:02}", f"2026-06-{day:02}")
        history.keep(ACCOUNT_ID, {key: HistoryValue(5, None, READ_AT + seconds, final=final)})
    Kept(client).counts([FollowerCount("2026-06-11", 900, READ_AT + 30), FollowerCount("2026-06-12", 900, READ_AT)])

    meta = ask(client, "views,followers", since="2026-06-08", interval=interval)["meta"]

    assert meta["fetched_at"] == our_time(READ_AT + age)


def test_every_metric_of_an_export_that_is_about_days_is_answered(client, kept):
    """The names of both are the same, also those that no catalogue has."""
    kept.counts([FollowerCount("2026-06-14", 900, READ_AT, 77, 31)])
    kept.series("views", {YESTERDAY: 5})
    kept.series("views-of:2031", {YESTERDAY: 6})

    lines = [json.loads(line) for line in client.get("/export").get_data(as_text=True).splitlines()]

    exported = {line["metric"]: line["value"] for line in lines}
    body = ask(client, ",".join(exported), since="2026-06-14")
    assert {each["metric"]: each["points"][0]["value"] for each in body["series"]} == exported
    again = client.get("/export", query_string={"metrics": ",".join(exported)}).get_data(as_text=True)
    assert [json.loads(line) for line in again.splitlines()] == lines


# Weeks and months


@pytest.mark.parametrize("interval", ["week", "month"])
def test_additive_metrics_are_summed_over_whole_periods_and_gaps_are_never_filled(client, kept, interval):
    """Recomputed from the days alone, over half a year with random gaps."""
    random = Random(7)
    values = {day: random.randrange(1000) for day in days() if random.random() > 0.02}
    kept.series("views", values)

    body = ask(client, "views", interval=interval, since=FIRST.isoformat(), until=YESTERDAY.isoformat())

    expected, lacking = {}, {}
    for day in days():
        is_last = day.weekday() == 6 if interval == "week" else (day + timedelta(days=1)).day == 1
        first = day - timedelta(days=6) if interval == "week" else day.replace(day=1)
        if is_last and first >= FIRST:
            missing = [each.isoformat() for each in days(first, day) if each not in values]
            expected[day.isoformat()] = None if missing else sum(values[each] for each in days(first, day))
            lacking |= {day.isoformat(): missing} if missing else {}
    assert values_of(body) == expected
    assert None in expected.values()
    points = points_of(body)
    assert {day: point["missing_days"] for day, point in points.items() if "missing_days" in point} == lacking
    assert {point["reason"] for day, point in points.items() if day in lacking} == {"days_missing"}
    assert body["series"][0]["aggregation"] == "sum"
    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["days_left_over"]


def test_a_week_is_monday_to_sunday_and_final_only_if_all_its_days_are(client, kept):
    kept.series("views", dict.fromkeys(days(date(2026, 6, 1), date(2026, 6, 13)), 1))
    kept.day("views", YESTERDAY, 1, final=False)

    points = points_of(ask(client, "views", interval="week", since="2026-06-01"))

    assert {day: (point["since"], point["value"], point["final"]) for day, point in points.items()} == {
        "2026-06-07": ("2026-06-01", 7, True),
        "2026-06-14": ("2026-06-08", 7, False),
    }


def test_people_are_never_summed_but_a_kept_value_of_exactly_that_week_is_given(client, kept):
    kept.series("reach", dict.fromkeys(days(), 100))
    kept.window("reach", date(2026, 6, 1), date(2026, 6, 7), 450)
    kept.window("reach", date(2026, 6, 7), date(2026, 6, 13), 460)

    body = ask(client, "reach", interval="week", since="2026-06-01")

    assert values_of(body) == {"2026-06-07": 450, "2026-06-14": None}
    assert body["series"][0]["aggregation"] == "none"
    assert points_of(body)["2026-06-14"]["reason"] == "unique_not_summed"


def test_a_metric_that_the_catalogue_does_not_know_is_not_summed(client, kept):
    kept.series("views_of_2031", dict.fromkeys(days(date(2026, 6, 8)), 5))

    (point,) = points_of(ask(client, "views_of_2031", interval="week", since="2026-06-08")).values()

    assert (point["value"], point["reason"]) == (None, "not_summed")


@pytest.mark.parametrize(("read_at", "day"), [("06:59:59", "2026-06-14"), ("07:00:00", "2026-06-15")])
def test_a_profile_has_the_number_of_followers_of_the_day_in_california(client, clock, read_at, day):
    clock.set(utc(f"2026-06-15T{read_at}"))
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        plan_profile(wire, followers=900)
        plan_posts(wire)
        plan_insights(wire, lambda query: totals(query, 1))
        body_of(client, "/growth-trends", period="7d")

    body = ask(client, "followers", since="2026-06-13", until=day)

    assert {each: value for each, value in values_of(body).items() if value is not None} == {day: 900}


@pytest.mark.parametrize(("read_at", "value"), [("06:59:59", None), ("07:00:00", 7)])
def test_a_value_is_kept_from_the_end_of_its_day_on(client, clock, read_at, value):
    clock.set(utc(f"2026-06-16T{read_at}"))
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        plan_insights(wire, lambda query: totals(query, 7))
        day = {"since": "2026-06-15", "until": "2026-06-15"}
        body = body_of(client, "/account-insights", period="day", metrics="views", **day)

    assert body["data"][0]["values"][0]["value"] == 7
    assert values_of(ask(client, "views", **day)) == {"2026-06-15": value}


def test_a_number_of_followers_that_could_not_be_kept_is_that_of_the_next_profile_of_its_day(
    client, clock, monkeypatch
):
    def unavailable(*_):
        raise DatabaseUnavailableError("connection refused")

    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        plan_posts(wire)
        plan_insights(wire, lambda query: totals(query, 1))
        for followers in (900, 905):
            plan_profile(wire, followers=followers)
        monkeypatch.setattr(FollowerCounts, "keep", unavailable)
        body_of(client, "/growth-trends", period="7d")
        monkeypatch.undo()
        clock.wait(60)
        body_of(client, "/growth-trends", period="7d", refresh="true")

    assert values_of(ask(client, "followers", since="2026-06-15", until="2026-06-15")) == {"2026-06-15": 905}


def test_a_week_has_the_last_known_number_of_followers(client, kept):
    kept.followers({date(2026, 6, 2): 900, date(2026, 6, 5): 910})

    body = ask(client, "followers", interval="week", since="2026-06-01")

    assert values_of(body) == {"2026-06-07": 910, "2026-06-14": None}
    assert body["series"][0]["aggregation"] == "last"


def test_buckets_of_a_week_are_summed_where_each_day_knows_them(client, kept):
    for day in days(date(2026, 6, 8)):
        kept.day(
            "follows_and_unfollows",
            day,
            None,
            breakdown=("follow_type",),
            buckets={("FOLLOWER",): 3, ("NON_FOLLOWER",): None if day == YESTERDAY else 1},
        )

    (point,) = points_of(
        ask(client, "follows_and_unfollows", breakdown="follow_type", interval="week", since="2026-06-08")
    ).values()

    assert (point["value"], point["reason"]) == (None, "no_total")
    assert [(each["dimension_values"], each["value"]) for each in point["results"]] == [
        *((["FOLLOWER"], 21), (["NON_FOLLOWER"], None)),
    ]


def test_demographics_are_given_by_each_breakdown_and_a_week_has_its_last_known_ones(client, kept):
    for day, count in ((date(2026, 6, 2), 5), (date(2026, 6, 4), 6)):
        kept.day(
            "follower_demographics", day, None, breakdown=("country",), buckets={("PT",): count}, reason="no_total"
        )
    gone = {"final": False, "reason": "not_answered"}
    for day in (date(2026, 6, 5), date(2026, 6, 12)):
        kept.day("follower_demographics", day, None, breakdown=("country",), **gone)

    body = ask(client, "follower_demographics", interval="week", since="2026-06-01")
    by_day = ask(client, "follower_demographics", breakdown="country", since="2026-06-01", until="2026-06-02")

    assert [each["breakdown"] for each in body["series"]] == ["age", "gender", "city", "country"]
    assert {each["aggregation"] for each in body["series"]} == {"last"}
    first, second = body["series"][3]["points"]
    assert first["results"] == [{"dimension_values": ["PT"], "value": 6}]
    assert (first["reason"], first["final"], first["since"]) == ("no_total", True, "2026-06-01")
    assert first["counted_at"] == "2026-06-09T10:13:20Z"
    assert (second["reason"], second["final"], "results" in second) == ("not_answered", False, False)
    assert {point["reason"] for each in body["series"][:3] for point in each["points"]} == {"not_kept"}
    (series,) = by_day["series"]
    assert [(point["reason"], "results" in point) for point in series["points"]] == [
        *(("not_kept", False), ("no_total", True)),
    ]


def test_followers_online_are_given_by_hour(client, kept):
    kept.day("online_followers", YESTERDAY, None, breakdown=("hour",), buckets={("7",): 3}, reason="no_total")

    (series,) = ask(client, "online_followers", since="2026-06-14")["series"]
    (same,) = ask(client, "online_followers", breakdown="hour", since="2026-06-14")["series"]

    assert series == same
    assert series["points"][0]["results"] == [{"dimension_values": ["7"], "value": 3}]


# Ranges and pages


def test_years_are_read_page_by_page_without_a_gap_or_a_repetition(client, kept):
    values = {day: number for number, day in enumerate(days(date(2024, 6, 1)))}
    kept.series("views", values)
    query = {"since": "2024-06-01", "until": "2026-06-14", "limit": 300}

    seen, cursor, pages = {}, None, 0
    while pages == 0 or cursor is not None:
        body = ask(client, "views,reach", **query | ({"cursor": cursor} if cursor else {}))
        found = values_of(body)
        assert not seen.keys() & found.keys()
        assert len(found) <= 300
        assert list(found) == list(values_of(body, 1))
        seen, cursor, pages = seen | found, body["meta"]["next_cursor"], pages + 1

    assert seen == {day.isoformat(): value for day, value in values.items()}
    assert pages == 3


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": "views,reach"},
        {"interval": "week"},
        {"since": "2026-05-02"},
        {"until": "2026-06-13"},
        {"breakdown": "follow_type"},
        {"account": OTHER_ACCOUNT},
        {"cursor": "2026-05-11.0123456789ab"},
    ],
)
def test_a_cursor_of_another_query_is_refused(make_client, clock, change):
    key = new_key()
    client = make_client(settings(token_key=key), clock=clock)
    add_account(client.application.extensions["services"].store, key, OTHER_ACCOUNT)
    clock.wait(2)
    query = {"account": ACCOUNT_ID}
    query |= {"metrics": "views", "since": "2026-05-01", "until": "2026-06-14", "limit": 10}
    cursor = ask(client, **query)["meta"]["next_cursor"]
    assert len(values_of(ask(client, **query | {"cursor": cursor, "limit": 40}))) == 35

    response = client.get("/history", query_string=query | {"cursor": cursor} | change)

    assert response.status_code == 400
    assert "another query" in response.get_json()["message"]
    assert "meta.next_cursor" in response.get_json()["hint"]


def test_a_cursor_whose_day_has_left_the_usual_range_is_refused(client, clock):
    cursor = ask(client, "views", limit=1)["meta"]["next_cursor"]

    clock.wait(3 * 86_400)
    response = client.get("/history", query_string={"metrics": "views", "limit": 1, "cursor": cursor})

    assert response.status_code == 400
    assert "not in the range any more" in response.get_json()["message"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"metrics": ""}, "it is empty"),
        ({"metrics": "views;drop"}, "is not the name of a metric"),
        ({"metrics": ",".join(f"m{number}" for number in range(26))}, "names 26 metrics"),
        ({"metrics": "views", "interval": "year"}, "year"),
        ({"metrics": "views", "limit": "1001"}, "out of range"),
        ({"metrics": "views", "cursor": "next"}, "not a cursor"),
        ({"metrics": "views", "cursor": "2026-06-01"}, "not a cursor"),
        ({"metrics": "views", "breakdown": "nope"}, "nope is no breakdown"),
        ({"metrics": "followers", "breakdown": "follow_type,nope"}, "nope is no breakdown"),
        ({"metrics": "navigation"}, "'navigation' is not kept of this account, and cannot be."),
        ({"metrics": "veiws"}, "Did you mean views?"),
        ({"metrics": "views", "breakdown": "folow_type"}, "Did you mean follow_type?"),
        ({"metrics": "views", "breakdown": "age,gender"}, "age,gender is no breakdown of views"),
        ({"metrics": "views", "breakdown": "media_product_type,follow_type"}, "is no breakdown of views"),
        ({"metrics": "impressions,likes", "breakdown": "media_product_type,follow_type"}, "of impressions, likes"),
        ({"metrics": "followers", "breakdown": "age,gender"}, "age,gender is no breakdown of followers"),
        ({"metrics": "follower_demographics", "breakdown": "follow_type"}, "no breakdown of follower_demographics"),
        ({"metrics": "phone_call_clicks", "breakdown": "age,gender"}, "no breakdown of phone_call_clicks"),
        ({"metrics": "views", "since": "2026-06-10", "until": "2026-06-01"}, "after until"),
        ({"metrics": "views", "since": "2027-01-01"}, "in the future"),
    ],
)
def test_a_wrong_request_is_refused_with_what_is_accepted(client, query, words):
    response = client.get("/history", query_string=query)

    body = response.get_json()
    assert response.status_code == 400
    assert words in body["message"]
    assert "ccepted" in body["message"] + body["hint"] or "Exchange" in body["hint"]


def test_a_range_without_a_whole_week_says_so(client, kept):
    kept.series("views", dict.fromkeys(days(), 1))

    body = ask(client, "views", interval="week", since="2026-06-09", until="2026-06-12")

    assert body["series"][0]["points"] == []
    assert body["meta"]["warnings"] == [
        {
            "code": "days_left_over",
            "message": "2026-06-09 to 2026-06-12 is no whole week or month and is not part of the answer.",
        }
    ]


# Replies


def test_equal_requests_get_equal_bytes_and_a_new_value_shows_soon(client, kept, clock):
    kept.series("views", {YESTERDAY: 5})
    first = client.get("/history?metrics=views")
    clock.wait(60)
    assert client.get("/history?metrics=views").get_data() == first.get_data()

    kept.day("views", date(2026, 6, 13), 4)
    clock.wait(300)

    assert values_of(ask(client, "views"))["2026-06-13"] == 4
    assert first.headers["ETag"]


def test_a_database_that_is_unavailable_is_an_error_and_no_gap(client, monkeypatch):
    services = client.application.extensions["services"]
    services.accounts.find(None)
    monkeypatch.setattr(services.store.history._database, "_connections", NoConnections())

    response = client.get("/history?metrics=views")

    assert (response.status_code, response.get_json()["code"]) == (503, "busy")


def test_a_database_that_fails_while_its_rows_are_fetched_is_an_error_and_no_gap(client, kept, monkeypatch):
    if client.application.extensions["config"].database_url:
        pytest.skip("PostgreSQL has sent all rows before the first is fetched.")
    kept.series("views", {YESTERDAY: 5})
    kept.followers({YESTERDAY: 100})

    def fails(_cursor):
        raise sqlite3.OperationalError("disk I/O error")

    for metric in ("views", "followers"):
        with monkeypatch.context() as patch:
            patch.setattr(TextTolerantCursor, "fetchall", fails)
            response = client.get(f"/history?metrics={metric}")

        assert (response.status_code, response.get_json()["code"]) == (503, "busy")


@pytest.mark.parametrize("interval", ["day", "week", "month"])
def test_a_year_with_every_day_has_the_same_points_as_one_with_a_gap_elsewhere(client, kept, interval):
    every = days(date(2026, 2, 1), date(2026, 3, 1))
    values = {day: number * 3 for number, day in enumerate(every)}
    kept.series("views", values)
    kept.followers(values)
    whole = {"since": "2026-02-01", "until": "2026-03-01", "interval": interval}
    before = {**whole, "since": "2026-01-01"}

    complete = ask(client, "views,followers", **whole)
    with_gap = ask(client, "views,followers", **before)

    for number in (0, 1):
        points = points_of(complete, number)
        assert points
        assert points.items() <= points_of(with_gap, number).items()
        assert all(point["value"] is not None for point in points.values())


@pytest.mark.parametrize("interval", ["week", "month"])
def test_a_sum_with_a_day_whose_value_is_unknown_is_not_made(client, kept, interval):
    unknown = date(2026, 2, 18)
    kept.series("views", {day: 5 for day in days(date(2026, 2, 1), date(2026, 3, 1)) if day != unknown})
    kept.day("views", unknown, None, reason="not_answered")
    whole = ("2026-02-02", "2026-03-01") if interval == "week" else ("2026-02-01", "2026-02-28")

    points = points_of(ask(client, "views", interval=interval, since=whole[0], until=whole[1]))

    lacking = "2026-02-22" if interval == "week" else "2026-02-28"
    assert (points[lacking]["value"], points[lacking]["missing_days"]) == (None, ["2026-02-18"])
    assert {point["value"] for day, point in points.items() if day != lacking} <= {35}


def test_the_last_known_count_of_a_month_counts_where_its_last_day_has_none(client, kept):
    kept.followers({date(2026, 2, 28): 10, date(2026, 3, 30): 12, date(2026, 4, 30): 13})

    body = ask(client, "followers", since="2026-02-01", until="2026-04-30", interval="month")

    assert values_of(body) == {"2026-02-28": 10, "2026-03-31": 12, "2026-04-30": 13}


def test_a_table_has_a_row_for_each_point_and_bucket(client, kept):
    kept.day("views", YESTERDAY, 10, breakdown=("follow_type",), buckets={("FOLLOWER",): 7, ("NON_FOLLOWER",): None})

    response = client.get("/history?metrics=views&breakdown=follow_type&since=2026-06-13&format=csv")

    rows = table_rows(response)
    assert [(row["date"], row["bucket"], row["value"], row["reason"], row["final"]) for row in rows] == [
        ("2026-06-13", "", "", "not_kept", "false"),
        ("2026-06-14", "", "10", "", "true"),
        ("2026-06-14", "FOLLOWER", "7", "", "true"),
        ("2026-06-14", "NON_FOLLOWER", "", "bucket_unknown", "true"),
    ]
