"""Daily values are read by the day they name, and sums of them are known only where every part is."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.clients.graph.models import as_count, as_number
from services.days import EndTime, provider_time
from services.insights.values import MetricValue, add_up, read_days
from services.windows import Window

FIRST = date(2026, 5, 1)
F, N = ("FOLLOWER",), ("NON_FOLLOWER",)


def series(values, reading=EndTime.DAY_END):
    return {"values": [{"value": value, "end_time": provider_time(reading.of(day))} for day, value in values]}


@given(
    st.dictionaries(st.integers(0, 400), st.integers(0, 10**6), max_size=20),
    st.randoms(),
    st.sampled_from(EndTime),
)
def test_values_belong_to_days_whatever_their_order(values, chance, reading):
    by_day = {FIRST + timedelta(days=offset): value for offset, value in values.items()}
    shuffled = list(by_day.items())
    chance.shuffle(shuffled)

    found = read_days(series(shuffled, reading), reading)

    assert found == {day: MetricValue(value) for day, value in by_day.items()}


def test_a_day_that_is_missing_in_the_midst_shifts_nothing():
    found = read_days(series([(FIRST, 3), (FIRST + timedelta(days=2), 5)]), EndTime.DAY_END)

    assert found == {FIRST: MetricValue(3), FIRST + timedelta(days=2): MetricValue(5)}


def test_a_sum_with_an_unknown_part_says_that_another_part_was_marked_by_another_time():
    parts = [MetricValue(1, is_shifted=True), MetricValue(None, "not_answered")]

    assert add_up(parts) == MetricValue(None, "not_answered", is_shifted=True)


def test_two_values_of_one_day_are_none_and_still_marked_by_another_time():
    at_noon = provider_time(EndTime.DAY_END.of(FIRST) + 3_600)
    values = [{"value": value, "end_time": at_noon} for value in (3, 5)]

    found = read_days({"values": values}, EndTime.DAY_END)

    assert found == {FIRST: MetricValue(None, "unreadable", is_shifted=True)}


@pytest.mark.parametrize("value", ["3", True, [3], {"0": 3}, float("nan")])
def test_a_value_that_is_no_number_is_unreadable(value):
    found = read_days(series([(FIRST, value)]), EndTime.DAY_END)

    assert found == {FIRST: MetricValue(None, "unreadable")}


@pytest.mark.parametrize(
    "item",
    [
        None,
        {},
        {"values": None},
        {"values": {"value": 3}},
        {"values": [None, 3, "x", []]},
        {"values": [{"value": 3}]},
        {"values": [{"value": 3, "end_time": "soon"}]},
        {"values": [{"value": 3, "end_time": 1_780_000_000}]},
        {"values": [{"value": 3, "end_time": "2026-05-01T07:00:00"}]},
    ],
)
def test_what_names_no_day_is_left_out(item):
    assert read_days(item, EndTime.DAY_END) == {}


@pytest.mark.parametrize("place", range(3))
def test_a_point_that_names_no_day_leaves_out_no_other_day(place):
    item = series([(FIRST, 3), (FIRST + timedelta(days=1), 5)])
    item["values"].insert(place, {"value": 4})

    assert read_days(item, EndTime.DAY_END) == {FIRST: MetricValue(3), FIRST + timedelta(days=1): MetricValue(5)}


TWO = Window(FIRST, FIRST + timedelta(days=1))
ONE = Window(FIRST, FIRST)
UNREADABLE, NOT_ANSWERED = MetricValue(None, "unreadable"), MetricValue(None, "not_answered")


@pytest.mark.parametrize(
    ("item", "window", "expected"),
    [
        (None, TWO, [NOT_ANSWERED] * 2),
        ({}, TWO, [NOT_ANSWERED] * 2),
        ({"values": []}, TWO, [NOT_ANSWERED] * 2),
        (series([(FIRST, 3)]), TWO, [MetricValue(3), NOT_ANSWERED]),
        ({"values": 3}, TWO, [UNREADABLE] * 2),
        ({"values": 3}, ONE, [MetricValue(3)]),
        ({"values": [{"value": 3}]}, ONE, [MetricValue(3)]),
        ({"values": [{"value": 3}]}, TWO, [UNREADABLE] * 2),
        ({"values": {"value": 3}}, TWO, [UNREADABLE] * 2),
        ({"values": {"value": 3}}, ONE, [UNREADABLE]),
        ({"values": [{"value": 3, "end_time": "soon"}]}, ONE, [UNREADABLE]),
        ({"total_value": {"value": 3}}, ONE, [MetricValue(3)]),
        ({"total_value": {"value": 3}}, TWO, [UNREADABLE] * 2),
        (series([(FIRST, 3), (FIRST, 4)]), ONE, [UNREADABLE]),
        (series([(FIRST, 3), (FIRST, 3)]), ONE, [MetricValue(3)]),
    ],
)
def test_each_day_of_a_window_has_a_value_or_a_reason(item, window, expected):
    found = read_days(item, EndTime.DAY_END, window)

    assert [found[day] for day in window] == expected


@pytest.mark.parametrize(
    ("end_time", "day", "is_shifted"),
    [
        ("2026-05-05T07:00:00+0000", date(2026, 5, 4), False),
        ("2026-05-05T08:00:00+0000", date(2026, 5, 4), True),
        ("2026-05-05T00:00:00+0000", date(2026, 5, 4), True),
        ("2026-05-04T22:00:00+0000", date(2026, 5, 4), True),  # midnight in Berlin
        ("2026-05-05T18:00:00+0000", date(2026, 5, 4), True),
        ("2026-05-05T20:00:00+0000", date(2026, 5, 5), True),
        ("2026-12-05T08:00:00+0000", date(2026, 12, 4), False),
        ("2026-12-05T07:00:00+0000", date(2026, 12, 4), True),
        ("2026-03-08T08:00:00+0000", date(2026, 3, 7), False),  # the day of 23 hours begins
        ("2026-03-09T07:00:00+0000", date(2026, 3, 8), False),
        ("2026-11-01T07:00:00+0000", date(2026, 10, 31), False),  # the day of 25 hours begins
        ("2026-11-02T08:00:00+0000", date(2026, 11, 1), False),
        ("2026-11-02T07:00:00+0000", date(2026, 11, 1), True),
    ],
)
def test_a_value_belongs_to_the_day_whose_midnight_is_nearest_and_says_so_if_it_is_another_time(
    end_time, day, is_shifted
):
    found = read_days({"values": [{"value": 3, "end_time": end_time}]}, EndTime.DAY_END)

    assert found == {day: MetricValue(3, is_shifted=is_shifted)}


@pytest.mark.parametrize(
    ("value", "number", "count"),
    [
        (0, 0, 0),
        (7, 7, 7),
        (1.5, 1.5, None),
        (-1, None, None),
        (True, None, None),
        (False, None, None),
        ("7", None, None),
        (None, None, None),
        ([7], None, None),
        ({}, None, None),
        (float("inf"), None, None),
        (float("nan"), None, None),
    ],
)
def test_only_numbers_are_numbers_and_only_whole_ones_count(value, number, count):
    assert as_number(value) == number
    assert as_count(value) == count


@given(st.lists(st.integers(0, 10**6), min_size=1))
def test_known_parts_add_up(values):
    assert add_up([MetricValue(value) for value in values]) == MetricValue(sum(values))


@given(st.lists(st.integers(0, 10**6)), st.lists(st.integers(0, 10**6)))
def test_one_unknown_part_makes_the_sum_unknown_with_its_reason(before, after):
    parts = [*map(MetricValue, before), MetricValue(None, "not_answered", message="why"), *map(MetricValue, after)]

    assert add_up(parts) == MetricValue(None, "not_answered", message="why")


def test_buckets_add_up_one_by_one():
    parts = [MetricValue(7, None, {F: 4, N: 3}), MetricValue(5, None, {F: 5, N: 0})]

    assert add_up(parts) == MetricValue(12, None, {F: 9, N: 3})


def test_buckets_add_up_where_there_is_no_total():
    parts = [MetricValue(None, "no_total", {F: 4, N: 3}), MetricValue(None, "no_total", {F: 5, N: None})]

    assert add_up(parts) == MetricValue(None, "no_total", {F: 9, N: None})


def test_a_part_without_buckets_leaves_the_sum_without_buckets():
    assert add_up([MetricValue(7, None, {F: 7, N: 0}), MetricValue(5)]) == MetricValue(12)


def test_a_bucket_that_only_a_later_part_lists_is_not_lost():
    parts = [MetricValue(4, None, {F: 4, N: 0}), MetricValue(3, None, {F: 1, N: 0, ("UNKNOWN",): 2})]

    buckets = add_up(parts).buckets

    assert ("UNKNOWN",) in buckets


def test_a_bucket_is_a_reading_of_its_own():
    reading = MetricValue(10, None, {F: 7, N: None})

    assert reading.bucket("FOLLOWER") == MetricValue(7)
    assert reading.bucket("NON_FOLLOWER") == MetricValue(None, "bucket_unknown")
    assert MetricValue(10).bucket("FOLLOWER") == MetricValue(None, "not_answered")
    assert MetricValue(None, "refused", message="why").bucket("FOLLOWER") == MetricValue(None, "refused", message="why")
