"""Days are Pacific days: of 23, 24 or 25 hours, cut by seconds, named by either of their two midnights."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.days import (
    MAX_SECONDS,
    EndTime,
    Window,
    last_days,
    midnight,
    pacific_day,
    provider_time,
)

DAY = timedelta(days=1)
HOUR = 3600

SPRING = {date(2015, 3, 8), date(2024, 3, 10), date(2025, 3, 9), date(2026, 3, 8), date(2027, 3, 14)}
AUTUMN = {date(2015, 11, 1), date(2024, 11, 3), date(2025, 11, 2), date(2026, 11, 1), date(2027, 11, 7)}

days = st.dates(date(2015, 1, 1), date(2035, 12, 31)) | st.sampled_from(sorted(SPRING | AUTUMN))
readings = st.sampled_from(EndTime)
windows = st.builds(lambda first, length: Window(first, first + length * DAY), days, st.integers(0, 400))


def seconds_of(window):
    return midnight(window.last + DAY) - midnight(window.first)


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


# Pieces of a window


@given(windows)
def test_pieces_cover_the_window_exactly_and_in_order(window):
    pieces = window.pieces()

    assert [day for piece in pieces for day in piece] == list(window)


@given(windows)
def test_no_piece_is_wider_than_one_call_allows(window):
    assert all(seconds_of(piece) <= MAX_SECONDS for piece in window.pieces())


@given(windows)
def test_there_are_no_more_pieces_than_needed(window):
    fewest = -(-seconds_of(window) // MAX_SECONDS)

    assert len(window.pieces()) in {fewest, fewest + 1}


@pytest.mark.parametrize(
    ("first", "length", "pieces"),
    [
        (date(2026, 6, 1), 1, 1),
        (date(2026, 6, 1), 30, 1),
        (date(2026, 6, 1), 31, 2),
        (date(2026, 6, 1), 60, 2),
        (date(2026, 6, 1), 61, 3),
        (date(2026, 2, 20), 30, 1),  # an hour shorter
        (date(2025, 11, 2), 30, 2),  # an hour longer
        (date(2025, 10, 20), 30, 2),
        (date(2025, 10, 4), 30, 2),
        (date(2025, 11, 3), 30, 1),
        (date(2026, 11, 1), 30, 2),
        (date(2026, 10, 3), 30, 2),
        (date(2026, 10, 2), 30, 1),
    ],
)
def test_windows_need_this_many_calls(first, length, pieces):
    window = Window(first, first + (length - 1) * DAY)

    assert len(window.pieces()) == pieces


# Windows


@given(windows)
def test_a_window_ends_a_second_before_the_next_one_begins(window):
    following = Window(window.last + DAY, window.last + DAY)

    assert window.until + 1 == following.since


@given(windows)
def test_the_window_before_has_the_same_length_and_touches(window):
    before = window.before()

    assert len(before) == len(window)
    assert before.last + DAY == window.first


@given(windows, st.sampled_from([1, 7, 28]))
def test_counting_back_covers_the_window_and_names_the_rest(window, length):
    cut, rest = window.counted_back(length)
    parts = [*([rest] if rest else []), *cut]

    assert [day for part in parts for day in part] == list(window)
    assert all(len(part) == length for part in cut)
    assert rest is None or len(rest) < length
    assert all(earlier.last < later.first for earlier, later in pairwise(parts))


@given(st.datetimes(datetime(2015, 1, 1), datetime(2035, 12, 31)), st.integers(1, 365))
def test_the_last_days_are_finished_ones(moment, count):
    now = moment.replace(tzinfo=UTC)

    window = last_days(count, now=now)

    assert len(window) == count
    assert window.last == pacific_day(now) - DAY
    assert window.until < now.timestamp()
