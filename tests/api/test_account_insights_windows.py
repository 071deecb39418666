"""Windows of account insights: end times, weeks, four weeks, what is left over, and what may still change."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
import responses

from services.days import midnight, pacific_day
from services.insights.catalogue import METRICS
from tests.planners import INSIGHTS, body_of, plan_insights, series, totals, values_of
from tests.support import settings

DAY = timedelta(days=1)


@pytest.fixture
def windows():
    """The first and last day of each requested total, whose value is the number of its days."""
    asked = []

    def answer(query):
        first, last = pacific_day(int(query["since"])), pacific_day(int(query["until"]))
        asked.append((str(first), str(last)))
        return totals(query, (last - first).days + 1)

    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        plan_insights(wire, answer)
        yield asked


def ask(client, period, metrics="views,likes", **query):
    return body_of(client, "/account-insights", period=period, metrics=metrics, **query)


def end_times(body):
    return [value["end_time"] for value in body["data"][0]["values"]]


def dates(body):
    return [value["date"] for value in body["data"][0]["values"]]


# Without a range


@pytest.mark.parametrize(
    ("period", "first", "days"), [("day", "2026-06-14", 1), ("week", "2026-06-08", 7), ("days_28", "2026-05-18", 28)]
)
def test_without_a_range_it_is_the_last_finished_window(client, windows, period, first, days):
    body = ask(client, period)

    assert windows == [(first, "2026-06-14")]
    assert body["data"][0]["values"] == [{"value": days, "date": "2026-06-14", "end_time": "2026-06-15T07:00:00+0000"}]


# Longer ranges


def test_weeks_are_counted_back_from_the_end_and_the_rest_is_named(client, windows):
    body = ask(client, "week", since="2026-05-30", until="2026-06-14")

    assert sorted(windows) == [("2026-06-01", "2026-06-07"), ("2026-06-08", "2026-06-14")]
    assert end_times(body) == ["2026-06-08T07:00:00+0000", "2026-06-15T07:00:00+0000"]
    assert dates(body) == ["2026-06-07", "2026-06-14"]
    (warning,) = body["meta"]["warnings"]
    assert warning["code"] == "days_left_over"
    assert "2026-05-30 to 2026-05-31" in warning["message"]


def test_four_weeks_twice_leave_nothing_over(client, windows):
    body = ask(client, "days_28", since="2026-04-20", until="2026-06-14")

    assert sorted(windows) == [("2026-04-20", "2026-05-17"), ("2026-05-18", "2026-06-14")]
    assert body["meta"]["warnings"] == []


def test_a_range_shorter_than_the_period_has_no_value_and_says_so(client, windows):
    body = ask(client, "week", since="2026-06-12", until="2026-06-14")

    assert end_times(body) == []
    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["days_left_over"]
    assert windows == []


def test_a_range_in_which_no_day_ends_is_empty_and_says_so(client, windows):
    noon = midnight(date(2026, 6, 1)) + 12 * 3600

    body = ask(client, "day", since=noon, until=noon + 60)

    assert [insight["values"] for insight in body["data"]] == [[], []]
    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["empty_range"]


def test_new_followers_of_a_week_are_those_of_its_days(client):
    days = series("follower_count", ((date(2026, 6, 8) + index * DAY, 2) for index in range(7)))
    with responses.RequestsMock() as wire:
        wire.get(INSIGHTS, json={"data": [days]})

        body = ask(client, "week", metrics="follower_count")

    assert values_of(body["data"][0]) == [14]


def test_a_week_of_days_that_are_marked_by_another_time_is_a_warning(client):
    points = [{"value": 2, "end_time": f"2026-06-{day:02}T00:00:00+0000"} for day in range(9, 16)]
    with responses.RequestsMock() as wire:
        wire.get(INSIGHTS, json={"data": [{"name": "follower_count", "period": "day", "values": points}]})

        body = ask(client, "week", metrics="follower_count")

    assert values_of(body["data"][0]) == [14]
    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["unexpected_end_time"]


def test_windows_that_end_alike_and_begin_apart_are_each_shown_whole(client, windows):
    firsts = ["2026-06-01", "2026-06-01", "2026-06-04", "2026-06-02"]

    bodies = [
        ask(client, "day", "views", since=first, until="2026-06-07", **{"format": "json"} if number else {})
        for number, first in enumerate(firsts)
    ]

    assert [(dates(body)[0], len(dates(body))) for body in bodies] == [
        ("2026-06-01", 7),
        ("2026-06-01", 7),
        ("2026-06-04", 4),
        ("2026-06-02", 6),
    ]


# End times


@pytest.mark.parametrize(
    ("since", "until", "hours"),
    [
        ("2026-03-06", "2026-03-10", ["07T08", "08T08", "09T07", "10T07", "11T07"]),
        ("2025-10-31", "2025-11-03", ["01T07", "02T07", "03T08", "04T08"]),
    ],
)
def test_end_times_follow_pacific_time(client, windows, since, until, hours):
    body = ask(client, "day", since=since, until=until)

    assert [end_time[8:13] for end_time in end_times(body)] == hours
    assert all(end_time.endswith(":00:00+0000") for end_time in end_times(body))


def test_every_day_of_a_clock_change_is_requested_once(client, windows):
    ask(client, "day", since="2025-10-31", until="2025-11-04")

    assert sorted(windows) == [(day, day) for day in ("2025-10-31", *(f"2025-11-0{number}" for number in range(1, 5)))]


def test_the_other_meaning_of_end_times_is_one_setting_away(make_client, clock, windows):
    client = make_client(settings(end_time_convention="day_start"), clock=clock)

    body = ask(client, "day", since="2026-03-07", until="2026-03-09")

    assert end_times(body) == [f"2026-03-0{day}T0{hour}:00:00+0000" for day, hour in ((7, 8), (8, 8), (9, 7))]
    assert dates(body) == ["2026-03-07", "2026-03-08", "2026-03-09"]
    assert sorted(windows)[0] == ("2026-03-07", "2026-03-07")


def test_a_unix_range_goes_by_end_times_in_either_meaning(make_client, clock, windows):
    client = make_client(settings(end_time_convention="day_start"), clock=clock)

    ask(client, "day", since=midnight(date(2026, 6, 1)), until=midnight(date(2026, 6, 2)))

    assert sorted(windows) == [("2026-06-01", "2026-06-01"), ("2026-06-02", "2026-06-02")]


# What may still change


@pytest.mark.parametrize(
    ("metrics", "since", "provisional"),
    [
        ("views", "2026-06-01", "2026-06-13"),  # 48 hours before 11:00 of June 15 is June 13
        ("follows_and_unfollows", "2026-06-01", "2026-06-12"),
        ("views,follower_count", "2026-06-01", "2026-06-12"),
        ("views", "2026-06-14", "2026-06-14"),
    ],
)
def test_the_first_day_that_may_still_change_is_named(client, windows, metrics, since, provisional):
    body = ask(client, "day", metrics=metrics, since=since, until="2026-06-14")

    assert body["meta"]["provisional_from"] == provisional


def test_days_long_past_are_final(client, windows):
    assert ask(client, "day", since="2026-05-01", until="2026-05-02")["meta"]["provisional_from"] is None


def test_a_window_that_begins_before_the_days_that_instagram_keeps_has_no_value(client, windows):
    last = date(2026, 6, 15) - timedelta(days=METRICS["views"].retention_days - 3)

    body = ask(client, "week", metrics="views", since=last - 6 * DAY, until=last)

    assert body["data"][0]["values"][0] | {"end_time": ""} == {
        "value": None,
        "date": str(last),
        "end_time": "",
        "reason": "beyond_retention",
    }
    assert windows == []
