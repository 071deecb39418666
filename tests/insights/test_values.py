"""Numbers are read only where there are any: by name, never by position, and a missing one is never 0 by itself."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.history.period_values import value_of_period
from services.history.periods import Period
from services.insights.values import MetricValue, add_up, merge_values, read_total
from services.store.history import KeptValue
from services.windows import Window
from tests.support import total_value

DAY = Window(date(2026, 5, 1), date(2026, 5, 1))
FOLLOW = ("follow_type",)
BOTH = ("media_product_type", "follow_type")
F, N = ("FOLLOWER",), ("NON_FOLLOWER",)

WORDS = [
    "total_value",
    "value",
    "breakdowns",
    "dimension_keys",
    "results",
    "dimension_values",
    "follow_type",
    "FOLLOWER",
]
words = st.sampled_from(WORDS)
answers_without_numbers = st.dictionaries(
    words,
    st.recursive(
        st.none() | st.booleans() | words,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
        max_leaves=8,
    ),
)


def by_follow_type(value, *results):
    return total_value("views", value, [(["follow_type"], [([name], count) for name, count in results])])


# Sums of periods


@pytest.mark.parametrize("finals", [(True, True), (True, False), (False, True)])
def test_a_sum_of_days_is_final_once_each_day_is(finals):
    days = {f"2026-05-0{day}": KeptValue(day, None, 0.0, None, final) for day, final in enumerate(finals, 1)}

    found = value_of_period(Period("2026-05-01", "2026-05-02"), "sum", days, None, unique=False)

    assert (found.value, found.final) == (3, all(finals))


# Plain totals


@pytest.mark.parametrize("value", [0, 7, 1.5, 10**12])
def test_a_total_is_read(value):
    assert read_total(total_value("views", value), ()) == MetricValue(value)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (None, "not_answered"),
        ({}, "not_answered"),
        ({"total_value": None}, "not_answered"),
        ({"total_value": {}}, "not_answered"),
        ({"total_value": {"value": None}}, "not_answered"),
        ({"total_value": []}, "unreadable"),
        ({"total_value": -5}, "unreadable"),
        ({"total_value": "5"}, "unreadable"),
        ({"values": []}, "not_answered"),
        ({"values": [{"value": None}]}, "not_answered"),
        ({"values": "5"}, "unreadable"),
        ({"values": {"value": 5}}, "unreadable"),
        ({"values": [5]}, "unreadable"),
        ({"values": [{"value": "5"}]}, "unreadable"),
        ({"values": [{"value": 5}, {"value": 5}]}, "unreadable"),
        ({"values": [{"value": 5, "end_time": "2026-05-03T07:00:00+0000"}]}, "unreadable"),
        ({"values": [{"value": 5, "end_time": "soon"}]}, "unreadable"),
        ({"total_value": {"value": "5"}}, "unreadable"),
        ({"total_value": {"value": ""}}, "unreadable"),
        ({"total_value": {"value": False}}, "unreadable"),
        ({"total_value": {"value": True}}, "unreadable"),
        ({"total_value": {"value": [5]}}, "unreadable"),
        ({"total_value": {"value": {"value": 5}}}, "unreadable"),
        ({"total_value": {"value": float("inf")}}, "unreadable"),
        ({"total_value": {"value": float("nan")}}, "unreadable"),
    ],
)
def test_what_is_no_total_is_unknown_with_its_reason(item, reason):
    assert read_total(item, (), window=DAY) == MetricValue(None, reason)


@pytest.mark.parametrize(
    "item",
    [
        {"total_value": 5},
        {"values": 5},
        {"values": [{"value": 5}]},
        {"values": [{"value": 5, "end_time": "2026-05-02T07:00:00+0000"}]},
    ],
)
def test_a_number_in_another_place_is_read_where_it_can_only_be_the_total(item):
    assert read_total(item, (), window=DAY) == MetricValue(5)


@pytest.mark.parametrize("days", [2, 7])
def test_the_value_of_one_day_is_not_the_total_of_several(days):
    item = {"values": [{"value": 5, "end_time": "2026-05-02T07:00:00+0000"}]}
    window = Window(DAY.first, DAY.first + timedelta(days=days - 1))

    assert read_total(item, (), window=window) == MetricValue(None, "unreadable")


# Buckets of zero, which the provider leaves out


@pytest.mark.parametrize(
    ("item", "value", "reason", "buckets"),
    [
        (by_follow_type(10, ("FOLLOWER", 7), ("NON_FOLLOWER", 3)), 10, None, {F: 7, N: 3}),
        (by_follow_type(7, ("FOLLOWER", 7)), 7, None, {F: 7, N: 0}),
        (by_follow_type(10, ("FOLLOWER", 7)), 10, None, {F: 7, N: None}),
        (by_follow_type(None, ("FOLLOWER", 7)), None, "no_total", {F: 7, N: 0}),
        (by_follow_type(None, ("FOLLOWER", 0)), None, "no_total", {F: 0, N: 0}),
        (by_follow_type(0), 0, None, {F: 0, N: 0}),
        (total_value("views", 0), 0, None, {F: 0, N: 0}),
        (by_follow_type(10), 10, None, None),
        (total_value("views", 10), 10, None, None),
        (by_follow_type(None), None, "not_answered", None),
        (total_value("views", None), None, "not_answered", None),
    ],
    ids=[
        "all listed",
        "listed ones add up",
        "listed ones do not add up",
        "no total but a bucket",
        "no total but a bucket of zero",
        "no bucket of a total of zero",
        "no breakdown of a total of zero",
        "no bucket of a total",
        "no breakdown of a total",
        "no bucket and no total",
        "nothing at all",
    ],
)
def test_a_missing_bucket_is_zero_only_where_that_is_certain(item, value, reason, buckets):
    assert read_total(item, FOLLOW) == MetricValue(value, reason, buckets)


def test_an_unlisted_bucket_that_the_catalogue_does_not_know_is_kept():
    reading = read_total(by_follow_type(9, ("FOLLOWER", 7), ("UNKNOWN", 2)), FOLLOW)

    assert reading.buckets == {F: 7, N: 0, ("UNKNOWN",): 2}


def by_product(value, **counts):
    results = [([name], count) for name, count in counts.items()]
    return read_total(total_value("views", value, [(["media_product_type"], results)]), ("media_product_type",))


@pytest.mark.parametrize("value", [100, None, 130])
def test_what_is_not_listed_beside_a_name_that_the_catalogue_does_not_know_is_unknown(value):
    buckets = by_product(value, FEED=70, REELS=30).buckets

    names = ("AD", "CAROUSEL_CONTAINER", "POST", "REEL", "STORY")
    assert buckets == {("FEED",): 70, ("REELS",): 30} | {(name,): None for name in names}


def test_a_name_that_is_listed_is_known_beside_one_that_is_not_in_the_catalogue():
    assert by_product(100, POST=70, CLIPS=30).buckets["POST",] == 70
    assert by_product(100, POST=70, CLIPS=30).buckets["REEL",] is None
    assert by_product(0, CLIPS=0).buckets["REEL",] == 0


@pytest.mark.parametrize(("value", "unlisted"), [(9, 0), (None, None)])
def test_a_rare_name_is_known_but_says_nothing_of_the_others_without_a_total(value, unlisted):
    reading = read_total(by_follow_type(value, ("FOLLOWER", 7), ("UNKNOWN", 2)), FOLLOW)

    assert reading.buckets == {F: 7, N: unlisted, ("UNKNOWN",): 2}


def test_renamed_buckets_of_follows_make_both_unknown():
    item = total_value("follows_and_unfollows", None, [(["follow_type"], [(["FOLLOW"], 300), (["UNFOLLOW"], 100)])])

    assert read_total(item, FOLLOW).bucket("FOLLOWER") == MetricValue(None, "bucket_unknown")
    assert read_total(item, FOLLOW).bucket("NON_FOLLOWER") == MetricValue(None, "bucket_unknown")


def test_a_bucket_that_a_complete_part_does_not_list_is_zero_in_it():
    parts = [by_product(70, POST=70), by_product(9, POST=4, IGTV=5)]

    assert add_up(parts).buckets["IGTV",] == 5
    assert add_up(parts).buckets["POST",] == 74


def test_a_bucket_that_an_incomplete_part_does_not_list_is_unknown_in_the_sum():
    incomplete = read_total(by_follow_type(10, ("FOLLOWER", 7)), FOLLOW)
    complete = read_total(by_follow_type(9, ("FOLLOWER", 7), ("UNKNOWN", 2)), FOLLOW)

    added = add_up([complete, incomplete])

    assert added.buckets == {F: 14, N: None, ("UNKNOWN",): None}
    assert added.value == 19


def test_beside_a_row_that_cannot_be_read_nothing_is_zero_although_the_others_add_up():
    rows = [{"dimension_values": ["FOLLOWER"], "value": 7}, {"dimension_values": [5], "value": 3}]
    item = {"total_value": {"value": 7, "breakdowns": [{"dimension_keys": ["follow_type"], "results": rows}]}}

    assert read_total(item, FOLLOW) == MetricValue(7, None, {F: 7, N: None})


def test_a_known_number_fills_what_is_newly_unknown_and_nothing_else():
    known = MetricValue(10, None, {F: 7, N: 3}, is_shifted=True)

    assert merge_values(known, MetricValue(None, "not_answered")) == known
    assert merge_values(known, MetricValue(12, None, {F: 9, N: None})) == MetricValue(12, None, {F: 9, N: 3})
    assert merge_values(known, MetricValue(12, None, {F: 12})) == MetricValue(12, None, {F: 12})
    assert merge_values(MetricValue(None, "refused"), MetricValue(None, "not_answered")).reason == "not_answered"


def test_the_documented_spelling_of_a_dimension_is_read_too():
    item = total_value("views", 7, [(["follower_type"], [(["FOLLOWER"], 4), (["NON_FOLLOWER"], 3)])])

    assert read_total(item, FOLLOW).buckets == {F: 4, N: 3}


@pytest.mark.parametrize(("metric", "follower"), [("reach", None), ("accounts_engaged", None), ("views", 7)])
def test_people_are_not_added_up_over_a_dimension_that_was_not_requested(metric, follower):
    results = [(["REEL", "FOLLOWER"], 5), (["POST", "FOLLOWER"], 2), (["POST", "NON_FOLLOWER"], 3)]
    item = total_value(metric, 10, [(["media_product_type", "follow_type"], results)])

    assert read_total(item, FOLLOW).buckets == {F: follower, N: 3}


def test_values_of_dimensions_are_compared_without_case():
    reading = read_total(by_follow_type(7, ("follower", 4), ("Non_Follower", 3)), FOLLOW)

    assert reading.buckets == {F: 4, N: 3}


def test_dimensions_are_found_by_their_keys_in_any_order():
    results = [(["FOLLOWER", "REEL"], 300), (["NON_FOLLOWER", "POST"], 120)]
    item = total_value("reach", 420, [(["follow_type", "media_product_type"], results)])

    buckets = read_total(item, BOTH).buckets

    assert buckets["REEL", "FOLLOWER"] == 300
    assert buckets["POST", "NON_FOLLOWER"] == 120
    assert sum(buckets.values()) == 420


def test_a_key_that_was_not_requested_does_not_shift_the_values():
    results = [(["LAST_30_DAYS", "FOLLOWER"], 5), (["LAST_30_DAYS", "NON_FOLLOWER"], 2)]
    item = total_value("views", 7, [(["timeframe", "follow_type"], results)])

    assert read_total(item, FOLLOW).buckets == {F: 5, N: 2}


def test_breakdowns_by_other_keys_are_no_buckets():
    item = total_value("views", 7, [(["media_product_type"], [(["REEL"], 7)])])

    assert read_total(item, FOLLOW) == MetricValue(7, None, None)


@pytest.mark.parametrize(
    "breakdowns",
    [
        None,
        {},
        "FOLLOWER",
        [None],
        [[]],
        [{}],
        [{"dimension_keys": "follow_type"}],
        [{"dimension_keys": ["follow_type"]}],
        [{"dimension_keys": ["follow_type"], "results": {}}],
        [{"dimension_keys": ["follow_type"], "results": [None, "x", 5]}],
        [{"dimension_keys": ["follow_type"], "results": [{"dimension_values": "FOLLOWER", "value": 7}]}],
        [{"dimension_keys": ["follow_type"], "results": [{"dimension_values": ["FOLLOWER", "x"], "value": 7}]}],
        [{"dimension_keys": ["follow_type"], "results": [{"dimension_values": ["FOLLOWER"], "value": "7"}]}],
        [{"dimension_keys": ["follow_type"], "results": [{"dimension_values": ["FOLLOWER"], "value": True}]}],
        [{"dimension_keys": ["follow_type"], "results": [{"dimension_values": ["FOLLOWER"]}]}],
    ],
)
def test_wrong_types_at_any_level_give_no_bucket(breakdowns):
    item = {"total_value": {"value": 7, "breakdowns": breakdowns}}

    assert read_total(item, FOLLOW) == MetricValue(7, None, None)


@given(answers_without_numbers, st.sampled_from([(), FOLLOW, BOTH]))
def test_an_answer_without_a_number_gives_no_number(item, breakdown):
    reading = read_total(item, breakdown)

    assert reading.value is None
    assert reading.reason in {"not_answered", "unreadable"}
    assert reading.buckets is None


def test_a_listed_bucket_without_a_number_is_unknown_and_so_is_what_is_not_listed():
    rows = [{"dimension_values": ["FOLLOWER"], "value": 10}, {"dimension_values": ["NON_FOLLOWER"], "value": None}]
    item = {"total_value": {"breakdowns": [{"dimension_keys": ["follow_type"], "results": rows}]}}

    assert read_total(item, FOLLOW).buckets == {("FOLLOWER",): 10, ("NON_FOLLOWER",): None}


@pytest.mark.parametrize(
    ("value", "results", "buckets"),
    [
        (None, [("FOLLOWER", 7), ("FOLLOWER", 7)], {F: None, N: None}),
        (None, [("FOLLOWER", 7), ("follower", 7), ("NON_FOLLOWER", 3)], {F: None, N: 3}),
        (7, [("FOLLOWER", 7), ("FOLLOWER", 7)], {F: None, N: None}),
        (10, [("FOLLOWER", 7), ("FOLLOWER", 7), ("NON_FOLLOWER", 3)], {F: None, N: 3}),
        (14, [("FOLLOWER", 7), ("FOLLOWER", 7)], {F: 14, N: 0}),
        (17, [("FOLLOWER", 7), ("FOLLOWER", 7), ("NON_FOLLOWER", 3)], {F: 14, N: 3}),
        (None, [("FOLLOWER", 7), ("NON_FOLLOWER", 7)], {F: 7, N: 7}),
        (None, [("FOLLOWER", 7), ("FOLLOWER", 3)], {F: 10, N: 0}),
    ],
)
def test_a_row_that_comes_twice_is_unknown_unless_all_add_up_to_the_total(value, results, buckets):
    assert read_total(by_follow_type(value, *results), FOLLOW).buckets == buckets


@pytest.mark.parametrize("value", [-5, 10**400, 10**16, 1e300])
def test_a_number_that_can_count_nothing_is_none(value):
    assert read_total({"total_value": {"value": value}}, ()) == MetricValue(None, "unreadable", None)
