"""Daily values are read by the day they name, and sums of them are known only where every part is."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.days import EndTime, provider_time
from services.readings import Reading, add_up, as_count, as_number, read_days

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

    assert found == {day: Reading(value) for day, value in by_day.items()}


def test_a_day_that_is_missing_in_the_midst_shifts_nothing():
    found = read_days(series([(FIRST, 3), (FIRST + timedelta(days=2), 5)]), EndTime.DAY_END)

    assert found == {FIRST: Reading(3), FIRST + timedelta(days=2): Reading(5)}


@pytest.mark.parametrize("value", ["3", True, [3], {"0": 3}, float("nan")])
def test_a_value_that_is_no_number_is_unreadable(value):
    found = read_days(series([(FIRST, value)]), EndTime.DAY_END)

    assert found == {FIRST: Reading(None, "unreadable")}


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
    assert add_up([Reading(value) for value in values]) == Reading(sum(values))


@given(st.lists(st.integers(0, 10**6)), st.lists(st.integers(0, 10**6)))
def test_one_unknown_part_makes_the_sum_unknown_with_its_reason(before, after):
    parts = [*map(Reading, before), Reading(None, "not_answered", message="why"), *map(Reading, after)]

    assert add_up(parts) == Reading(None, "not_answered", message="why")


def test_buckets_add_up_one_by_one():
    parts = [Reading(7, None, {F: 4, N: 3}), Reading(5, None, {F: 5, N: 0})]

    assert add_up(parts) == Reading(12, None, {F: 9, N: 3})


def test_buckets_add_up_where_there_is_no_total():
    parts = [Reading(None, "no_total", {F: 4, N: 3}), Reading(None, "no_total", {F: 5, N: None})]

    assert add_up(parts) == Reading(None, "no_total", {F: 9, N: None})


def test_a_part_without_buckets_leaves_the_sum_without_buckets():
    assert add_up([Reading(7, None, {F: 7, N: 0}), Reading(5)]) == Reading(12)


def test_a_bucket_that_only_a_later_part_lists_is_not_lost():
    parts = [Reading(4, None, {F: 4, N: 0}), Reading(3, None, {F: 1, N: 0, ("UNKNOWN",): 2})]

    buckets = add_up(parts).buckets

    assert ("UNKNOWN",) in buckets


def test_a_bucket_is_a_reading_of_its_own():
    reading = Reading(10, None, {F: 7, N: None})

    assert reading.bucket("FOLLOWER") == Reading(7)
    assert reading.bucket("NON_FOLLOWER") == Reading(None, "bucket_unknown")
    assert Reading(10).bucket("FOLLOWER") == Reading(None, "not_answered")
    assert Reading(None, "refused", message="why").bucket("FOLLOWER") == Reading(None, "refused", message="why")
