"""Days of account insights: ranges, end times, clock changes, today, and the delay of what is reported."""

from datetime import date, timedelta

import pytest

from tests.simulator.caller import NOW, day, midnight


@pytest.mark.parametrize(("first", "hours"), [("2025-10-31", "07"), ("2026-03-06", "08")])
def test_a_series_over_a_clock_change_has_one_point_for_each_day(caller, first, hours):
    days = caller.truth(since=first, until=str(date.fromisoformat(first) + timedelta(days=4)))["days"]

    series = caller.series("reach", since=midnight(first, 1), until=midnight(first, 5))

    assert list(series.values()) == [each["metrics"]["reach"] for each in days]
    assert next(iter(series)) == f"{date.fromisoformat(first) + timedelta(days=1)}T{hours}:00:00+0000"
    assert next(reversed(series)).endswith("T08:00:00+0000" if hours == "07" else "T07:00:00+0000")


@pytest.mark.parametrize("text", ["2025-11-02", "2026-03-08"])
def test_a_window_of_one_day_is_one_point_even_if_it_has_23_or_25_hours(caller, text):
    assert len(caller.series("reach", **day(text))) == 1


def test_both_ends_of_a_range_belong_to_it(caller):
    noon = midnight("2026-11-10") + 12 * 3600

    assert len(caller.series("reach", since=midnight("2026-11-10"), until=midnight("2026-11-11"))) == 2
    assert len(caller.series("reach", since=midnight("2026-11-10"), until=midnight("2026-11-11") - 1)) == 1
    assert caller.insights("reach", since=noon, until=noon).json()["data"] == []


def test_an_end_time_ends_its_day_or_starts_it(caller):
    [truth] = caller.truth(since="2026-11-10", until="2026-11-10")["days"]
    caller.switch(end_time="day_end")
    ends = caller.series("reach", since=midnight("2026-11-11"), until=midnight("2026-11-11"))
    caller.switch(end_time="day_start")

    starts = caller.series("reach", since=midnight("2026-11-10"), until=midnight("2026-11-10"))

    assert ends == {"2026-11-11T08:00:00+0000": truth["metrics"]["reach"]}
    assert starts == {"2026-11-10T08:00:00+0000": truth["metrics"]["reach"]}


def test_today_is_in_totals_at_once_and_in_a_series_when_until_reaches_its_end(settled):
    today = settled.truth(since="2026-11-21", until="2026-11-21")["days"][0]["metrics"]["reach"]

    total = settled.totals("reach", since=midnight("2026-11-21"), until=int(NOW))["reach"]["value"]
    so_far = settled.series("reach", since=midnight("2026-11-21"), until=int(NOW))
    ahead = settled.series("reach", since=midnight("2026-11-21"), until=midnight("2026-11-22"))

    assert total == today
    assert list(so_far) == ["2026-11-21T08:00:00+0000"]
    assert ahead["2026-11-22T08:00:00+0000"] == today


def test_the_past_stays_as_it_was_when_the_clock_moves(caller):
    before = caller.truth(since="2024-06-01", until="2024-08-31")
    caller.order("/clock", now="2027-12-01T00:00:00Z")

    after = caller.truth(since="2024-06-01", until="2024-08-31")

    assert before["days"] == after["days"]
    assert [post["id"] for post in before["posts"]] == [post["id"] for post in after["posts"]]


def test_today_grows_with_the_clock(settled):
    values = []
    for _ in range(5):
        values.append(settled.truth(since="2026-11-21", until="2026-11-21")["days"][0]["metrics"]["views"])
        settled.order("/clock", advance=2 * 3600)

    assert values == sorted(set(values))


def test_recent_days_report_a_part_of_the_truth_and_fill_up(caller):
    truth = {each["date"]: each["metrics"] for each in caller.truth(since="2026-11-15")["days"]}
    yesterday = {"since": midnight("2026-11-20"), "until": midnight("2026-11-21") - 1}
    shown = [caller.totals("views", **yesterday).get("views", {}).get("value", 0)]
    for _ in range(3):
        caller.order("/clock", advance=12 * 3600)
        shown.append(caller.totals("views", **yesterday)["views"]["value"])

    assert shown == sorted(shown)
    assert shown[0] < truth["2026-11-20"]["views"]
    assert shown[-1] == truth["2026-11-20"]["views"]


@pytest.mark.parametrize(("number", "least", "most"), [(0, 0, 0), (1, 1, 11)])
def test_some_days_report_nothing_at_first_but_none_of_the_sandbox_account(caller, number, least, most):
    account = caller.own("/accounts")["accounts"][number]
    caller.account, caller.token = account["id"], account["token"]
    caller.order("/clock", now="2026-11-15T09:00:00Z")
    empty = 0
    for _ in range(20):
        caller.order("/clock", advance=86_400)
        today = caller.own("/clock")["iso"][:10]
        empty += not caller.totals("views", since=midnight(today, -1), until=midnight(today) - 1)

    assert least <= empty <= most


def test_follows_lag_a_day_more(caller):
    day_before = {"since": midnight("2026-11-18"), "until": midnight("2026-11-19") - 1}
    [truth] = caller.truth(since="2026-11-18", until="2026-11-18")["days"]

    totals = caller.totals("views,follows_and_unfollows", **day_before)

    assert totals["views"]["value"] == truth["metrics"]["views"]
    assert totals["follows_and_unfollows"]["value"] < truth["follows"] + truth["unfollows"]


def test_the_default_window_is_the_last_24_hours(settled):
    today = settled.truth(since="2026-11-21")["days"][0]["metrics"]["views"]

    assert settled.totals("views")["views"]["value"] == today
    assert len(settled.series("reach")) == 1
