"""Days are Pacific days of 23, 24 or 25 hours, named by either of their two midnights; how moments are written."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.days import EndTime, midnight, our_time, pacific_day, parse_provider_time, provider_time
from tests.support import utc

DAY = timedelta(days=1)
HOUR = 3600

SPRING = {date(2015, 3, 8), date(2024, 3, 10), date(2025, 3, 9), date(2026, 3, 8), date(2027, 3, 14)}
AUTUMN = {date(2015, 11, 1), date(2024, 11, 3), date(2025, 11, 2), date(2026, 11, 1), date(2027, 11, 7)}

days = st.dates(date(2015, 1, 1), date(2035, 12, 31)) | st.sampled_from(sorted(SPRING | AUTUMN))
readings = st.sampled_from(EndTime)


# Midnights


@given(days)
def test_a_day_has_23_24_or_25_hours(day):
    hours = (midnight(day + DAY) - midnight(day)) / HOUR

    assert hours in {23, 24, 25}


@pytest.mark.parametrize("day", sorted(SPRING))
def test_the_day_of_the_clock_change_in_spring_has_23_hours(day):
    assert midnight(day + DAY) - midnight(day) == 23 * HOUR


@pytest.mark.parametrize("day", sorted(AUTUMN))
def test_the_day_of_the_clock_change_in_autumn_has_25_hours(day):
    assert midnight(day + DAY) - midnight(day) == 25 * HOUR


@given(days)
def test_midnight_is_at_7_or_8_in_utc(day):
    moment = datetime.fromtimestamp(midnight(day), UTC)

    assert (moment.date(), moment.hour) in {(day, 7), (day, 8)}
    assert (moment.minute, moment.second) == (0, 0)


@pytest.mark.parametrize(
    ("day", "written"),
    [
        (date(2026, 3, 8), "2026-03-08T08:00:00+0000"),
        (date(2026, 3, 9), "2026-03-09T07:00:00+0000"),
        (date(2026, 11, 1), "2026-11-01T07:00:00+0000"),
        (date(2026, 11, 2), "2026-11-02T08:00:00+0000"),
    ],
)
def test_midnights_around_clock_changes_are_written_as_the_provider_does(day, written):
    assert provider_time(midnight(day)) == written


@given(days)
def test_a_day_begins_at_its_midnight_and_not_a_second_earlier(day):
    assert pacific_day(midnight(day)) == day
    assert pacific_day(midnight(day) - 1) == day - DAY


# The two readings of end_time


@given(days, readings)
def test_an_end_time_names_the_day_it_was_made_of(day, reading):
    assert reading.day(reading.of(day)) == day


@given(days)
def test_the_two_readings_are_one_day_apart(day):
    assert EndTime.DAY_END.of(day) == EndTime.DAY_START.of(day + DAY) == midnight(day + DAY)


@given(days, readings)
def test_an_end_time_given_an_hour_early_still_names_its_day(day, reading):
    assert reading.day(reading.of(day) - HOUR) == day


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
        ("2000-01-01T00:00:00+0000", utc("2000-01-01T00:00:00")),
        ("2100-12-31T23:59:59+0000", utc("2100-12-31T23:59:59")),
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


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (1e20, "9999-12-31T23:59:59Z"),
        (10**20, "9999-12-31T23:59:59Z"),
        (float("inf"), "9999-12-31T23:59:59Z"),
        (-1e20, "0001-01-01T00:00:00Z"),
        (float("-inf"), "0001-01-01T00:00:00Z"),
        (float("nan"), "0001-01-01T00:00:00Z"),
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-7))), "9999-12-31T23:59:59Z"),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=7))), "0001-01-01T00:00:00Z"),
    ],
    ids=repr,
)
def test_a_moment_that_no_calendar_has_is_written_as_the_nearest_that_it_has(moment, written):
    assert our_time(moment) == written
