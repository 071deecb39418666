"""The days that a caller's range names, and moments as both sides write them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.days import EndTime, Window, between, is_after, midnight, our_time, parse_provider_time, provider_time
from tests.support import utc

DAY = timedelta(days=1)
HOUR = 3600
FAR_FUTURE = date(2040, 1, 1)
CLOCK_CHANGES = [date(2025, 3, 9), date(2025, 11, 2), date(2026, 3, 8), date(2026, 11, 1)]

days = st.dates(date(2015, 1, 1), date(2035, 12, 31)) | st.sampled_from(CLOCK_CHANGES)
readings = st.sampled_from(EndTime)


# A caller's range


@given(days, st.integers(-60 * HOUR, 60 * HOUR), st.integers(0, 200 * HOUR), readings)
def test_a_day_belongs_to_a_unix_range_if_its_end_time_lies_within(day, offset, width, reading):
    since = midnight(day) + offset
    until = since + width
    around = [day + index * DAY for index in range(-5, 14)]

    window = between(since, until, length=1, today=FAR_FUTURE, end_time=reading)

    assert [*(window or ())] == [each for each in around if since <= reading.of(each) <= until]


@given(days, st.integers(0, 100))
def test_dates_mean_whole_days_and_both_belong(day, length):
    window = between(day, day + length * DAY, length=1, today=FAR_FUTURE, end_time=EndTime.DAY_END)

    assert window == Window(day, day + length * DAY)


TODAY = date(2026, 6, 15)


@pytest.mark.parametrize(
    ("since", "until", "length", "expected"),
    [
        (None, None, 1, (date(2026, 6, 14), date(2026, 6, 14))),
        (None, None, 7, (date(2026, 6, 8), date(2026, 6, 14))),
        (None, None, 28, (date(2026, 5, 18), date(2026, 6, 14))),
        (None, date(2026, 3, 31), 7, (date(2026, 3, 25), date(2026, 3, 31))),
        (date(2026, 6, 12), None, 1, (date(2026, 6, 12), date(2026, 6, 14))),
        (TODAY, None, 1, (TODAY, TODAY)),
        (TODAY, TODAY, 1, (TODAY, TODAY)),
        (date(2026, 6, 12), date(2027, 1, 1), 1, (date(2026, 6, 12), TODAY)),
    ],
)
def test_what_is_left_out_is_filled_with_finished_days(since, until, length, expected):
    assert between(since, until, length=length, today=TODAY, end_time=EndTime.DAY_END) == Window(*expected)


def test_a_range_without_any_end_time_has_no_days():
    noon = midnight(TODAY) - 12 * HOUR

    assert between(noon, noon + HOUR, length=1, today=TODAY, end_time=EndTime.DAY_END) is None


@pytest.mark.parametrize(
    ("since", "until", "after"),
    [
        (date(2026, 6, 2), date(2026, 6, 1), True),
        (date(2026, 6, 1), date(2026, 6, 1), False),
        (1_780_000_001, 1_780_000_000, True),
        (1_780_000_000, 1_780_000_000, False),
        (date(2026, 6, 2), midnight(date(2026, 6, 2)) - 1, True),
        (date(2026, 6, 2), midnight(date(2026, 6, 2)) + HOUR, False),
        (midnight(date(2026, 6, 2)) + HOUR, date(2026, 6, 2), False),
        (midnight(date(2026, 6, 3)) + 1, date(2026, 6, 2), True),
    ],
)
def test_since_is_after_until_in_every_mix_of_forms(since, until, after):
    assert is_after(since, until) is after


# Times as they are written


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-05-07T13:00:34+0000", utc("2026-05-07T13:00:34")),
        ("2026-05-07T13:00:34+00:00", utc("2026-05-07T13:00:34")),
        ("2026-05-07T13:00:34Z", utc("2026-05-07T13:00:34")),
        ("2026-05-07T06:00:34-0700", utc("2026-05-07T13:00:34")),
        ("2026-05-07T13:00:34", None),
        ("2026-05-07", None),
        ("1999-12-31T23:59:59+0000", None),
        ("2101-01-01T00:00:00+0000", None),
        ("yesterday", None),
        ("", None),
        (1_780_000_000, None),
        (None, None),
        (["2026-05-07T13:00:34+0000"], None),
    ],
)
def test_provider_times_are_read_only_with_their_offset(text, moment):
    assert parse_provider_time(text) == moment


@given(st.integers(1_262_304_000, 2_082_758_400))
def test_a_provider_time_reads_back_as_the_moment_it_was_written_from(moment):
    assert parse_provider_time(provider_time(moment)) == datetime.fromtimestamp(moment, UTC)


def test_our_times_end_in_z():
    moment = datetime(2026, 6, 15, 11, 0, tzinfo=timezone(timedelta(hours=-7)))

    assert our_time(moment) == "2026-06-15T18:00:00Z"
