"""Numbers are read only where there are any: by name, never by position, and a missing one is never 0 by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.readings import Reading, read_total
from tests.support import total_value

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


# Plain totals


@pytest.mark.parametrize("value", [0, 7, 1.5, 10**12])
def test_a_total_is_read(value):
    assert read_total(total_value("views", value), ()) == Reading(value)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (None, "not_answered"),
        ({}, "not_answered"),
        ({"total_value": None}, "not_answered"),
        ({"total_value": {}}, "not_answered"),
        ({"total_value": {"value": None}}, "not_answered"),
        ({"total_value": []}, "unreadable"),
        ({"total_value": 5}, "unreadable"),
        ({"total_value": {"value": "5"}}, "unreadable"),
        ({"total_value": {"value": True}}, "unreadable"),
        ({"total_value": {"value": [5]}}, "unreadable"),
        ({"total_value": {"value": {"value": 5}}}, "unreadable"),
        ({"total_value": {"value": float("inf")}}, "unreadable"),
        ({"total_value": {"value": float("nan")}}, "unreadable"),
    ],
)
def test_what_is_no_total_is_unknown_with_its_reason(item, reason):
    assert read_total(item, ()) == Reading(None, reason)


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
    assert read_total(item, FOLLOW) == Reading(value, reason, buckets)


def test_an_unlisted_bucket_that_the_catalogue_does_not_know_is_kept():
    reading = read_total(by_follow_type(9, ("FOLLOWER", 7), ("UNKNOWN", 2)), FOLLOW)

    assert reading.buckets == {F: 7, N: 0, ("UNKNOWN",): 2}


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


def test_a_key_that_was_not_asked_for_does_not_shift_the_values():
    results = [(["LAST_30_DAYS", "FOLLOWER"], 5), (["LAST_30_DAYS", "NON_FOLLOWER"], 2)]
    item = total_value("views", 7, [(["timeframe", "follow_type"], results)])

    assert read_total(item, FOLLOW).buckets == {F: 5, N: 2}


def test_breakdowns_by_other_keys_are_no_buckets():
    item = total_value("views", 7, [(["media_product_type"], [(["REEL"], 7)])])

    assert read_total(item, FOLLOW) == Reading(7, None, None)


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

    assert read_total(item, FOLLOW) == Reading(7, None, None)


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
    assert read_total({"total_value": {"value": value}}, ()) == Reading(None, "unreadable", None)
