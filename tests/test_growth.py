"""Growth in percent: from numbers, from 0, and from numbers that are not known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.growth.change import growth

counts = st.integers(0, 10**9)
positive = st.integers(1, 10**9)


@pytest.mark.parametrize(
    ("current", "previous", "rate"),
    [
        (110, 100, 10.0),
        (90, 100, -10.0),
        (100, 100, 0.0),
        (0, 100, -100.0),
        (300, 100, 200.0),
        (2, 3, -33.333333),
        (0.06, 0.05, 20.0),
        (0.0, 0.05, -100.0),
    ],
)
def test_growth_is_the_change_in_percent_of_the_previous_value(current, previous, rate):
    change = growth(current, previous)

    assert (change.rate, change.reason) == (rate, None)


@pytest.mark.parametrize(("current", "rate"), [(1, 100.0), (0.001, 100.0), (10**9, 100.0), (0, 0.0), (0.0, 0.0)])
def test_growth_from_zero_is_100_if_anything_came_and_says_so(current, rate):
    change = growth(current, 0)

    assert (change.rate, change.reason) == (rate, "zero_base")


@pytest.mark.parametrize(
    ("current", "previous", "reason"),
    [
        (None, 100, "current_unknown"),
        (None, 0, "current_unknown"),
        (None, None, "current_unknown"),
        (100, None, "previous_unknown"),
        (0, None, "previous_unknown"),
    ],
)
def test_an_unknown_number_makes_growth_unknown(current, previous, reason):
    change = growth(current, previous)

    assert (change.rate, change.reason) == (None, reason)


@given(counts, positive)
def test_growth_has_the_sign_of_the_change_and_is_never_below_minus_100(current, previous):
    rate = growth(current, previous).rate

    assert rate >= -100
    assert (rate > 0) <= (current > previous)
    assert (rate < 0) <= (current < previous)


@given(counts, positive)
def test_growth_leads_from_the_previous_value_to_the_current_one(current, previous):
    rate = growth(current, previous).rate

    assert previous * (1 + rate / 100) == pytest.approx(current, abs=1e-8 * previous)


@given(positive)
def test_what_stays_does_not_grow(value):
    assert growth(value, value).rate == 0


@given(st.none() | counts, st.none() | counts)
def test_there_is_a_rate_or_a_reason(current, previous):
    change = growth(current, previous)

    assert change.rate is not None or change.reason is not None
