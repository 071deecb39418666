"""Windows of days: those that a caller's range names, and how a window is cut."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.days import EndTime, midnight, pacific_day
from services.errors import InvalidRequestError
from services.windows import MAX_SECONDS, Window, between, check_range, is_after, last_days

DAY = timedelta(days=1)
HOUR = 3600
FAR_FUTURE = date(2040, 1, 1)
CLOCK_CHANGES = [date(2025, 3, 9), date(2025, 11, 2), date(2026, 3, 8), date(2026, 11, 1)]

days = st.dates(date(2015, 1, 1), date(2035, 12, 31)) | st.sampled_from(CLOCK_CHANGES)
readings = st.sampled_from(EndTime)
windows = st.builds(lambda first, length: Window(first, first + length * DAY), days, st.integers(0, 400))


def seconds_of(window):
    return midnight(window.last + DAY) - midnight(window.first)


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


def test_a_range_that_begins_after_today_is_refused_also_by_its_moment():
    tomorrow = date(2026, 3, 2)
    check_range(midnight(tomorrow), None, tomorrow - DAY)

    with pytest.raises(InvalidRequestError, match="in the future"):
        check_range(midnight(tomorrow) + 1, None, tomorrow - DAY)


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


def test_equal_windows_are_one_key():
    windows = {Window(date(2026, 3, 1), date(2026, 3, 2)): 1}

    assert windows[Window(date(2026, 3, 1), date(2026, 3, 2))] == 1
    assert Window(date(2026, 3, 1), date(2026, 3, 3)) not in windows
    assert sorted([Window(date(2026, 3, 2), date(2026, 3, 2)), *windows])[0] in windows
