"""The numbers of followers at both ends of a window: what two estimates of different bases are worth."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest

from services.days import ONE_DAY
from services.growth.followers_at_both_ends import Followers
from services.growth.kept_counts import KeptCounts
from services.insights.catalogue import MIN_FOLLOWERS
from services.insights.followers_at_start import BREAKDOWN, FollowersAtStart, FollowersThen
from services.insights.values import MetricValue
from services.store.follower_counts import DailyCount
from services.windows import Window

WEEK = Window(date(2026, 6, 1), date(2026, 6, 7))
NET, GROSS = "follows_and_unfollows", "follower_count"


def estimate(value, basis, reason=None):
    return SimpleNamespace(value=lambda *_: FollowersThen(value, reason, basis, "2026-06-05T00:00:00Z"))


def ends(start, end, counts=None):
    return Followers(WEEK, start, end, counts or {}).values(1000, 1.0, {})


@pytest.mark.parametrize(("current", "is_asked"), [(MIN_FOLLOWERS - 1, False), (MIN_FOLLOWERS, True)])
def test_new_followers_are_asked_for_where_instagram_has_them(current, is_asked):
    start = FollowersAtStart(WEEK, datetime(2026, 6, 10, tzinfo=UTC), date(2026, 6, 10))

    assert bool(start.fallback_requests(current, {})) is is_asked


@pytest.mark.parametrize(("count", "is_asked"), [(0, False), (1, True), (None, True)])
def test_an_unknown_kind_of_follows_makes_the_net_number_unknown_unless_there_are_none(count, is_asked):
    start = FollowersAtStart(WEEK, datetime(2026, 6, 10, tzinfo=UTC), date(2026, 6, 10))
    buckets = {("FOLLOWER",): 5, ("NON_FOLLOWER",): 2, ("OF_TOMORROW",): count}
    found = {(NET, BREAKDOWN, Window(WEEK.first, date(2026, 6, 10))): MetricValue(7, None, buckets)}

    assert bool(start.fallback_requests(1000, found)) is is_asked


@pytest.mark.parametrize(
    ("last", "of_now"), [(date(2026, 6, 7), False), (date(2026, 6, 8), False), (date(2026, 6, 9), True)]
)
def test_the_number_at_the_end_is_that_of_now_only_where_no_later_day_is_over(last, of_now):
    now = datetime(2026, 6, 10, 12, tzinfo=UTC)
    followers = Followers.of(Window(WEEK.first, last), now, now.date(), {})

    _, end = followers.values(1000, now.timestamp(), {})

    assert (end.value == 1000) is of_now


@pytest.mark.parametrize(
    ("start", "end", "then"),
    [
        ((900, NET), (950, NET), 900),
        ((900, NET), (950, GROSS), None),
        ((900, GROSS), (950, NET), None),
        ((900, NET), (1000, GROSS), 900),  # No follower came since the end, so that is a count of now.
    ],
)
def test_two_estimates_compare_only_where_they_count_alike(start, end, then):
    found, _ = ends(estimate(*start), estimate(*end))

    assert (found.value, found.reason) == (then, None if then else "inconsistent")
    assert found.basis == start[1]


@pytest.mark.parametrize(
    ("day", "expected"),
    [(WEEK.first, (910, "history", 950, GROSS)), (WEEK.last + ONE_DAY, (900, NET, 910, "history"))],
)
def test_a_count_at_either_end_compares_with_any_estimate(day, expected):
    then, end = ends(estimate(900, NET), estimate(950, GROSS), {day: DailyCount(910, read_at=5.0)})

    assert (then.value, then.basis, end.value, end.basis) == expected


def test_an_unknown_end_keeps_its_own_reason():
    then, end = ends(estimate(900, NET), estimate(None, GROSS, "not_answered"))

    assert (then.value, end.value, end.reason) == (900, None, "not_answered")


def test_an_unknown_start_keeps_its_own_reason():
    then, end = ends(estimate(None, NET, "not_answered"), estimate(950, GROSS))

    assert (then.value, then.reason, end.value) == (None, "not_answered", 950)


class CountedTable:
    """A table of follower counts that notes which days are read."""

    def __init__(self):
        self.read = []

    def columns(self, _account, _names, *, since, until):
        self.read.append((since, until))
        return SimpleNamespace(known=lambda _name: {"2026-06-01": DailyCount(910, read_at=5.0)})


def test_windows_of_different_lengths_that_end_together_are_read_once():
    table = CountedTable()
    kept = KeptCounts(table, SimpleNamespace(on_change=lambda _listener: None))

    counts = [kept.between("1", Window(date(2026, 6, day), WEEK.last)) for day in (1, 2)]

    assert [list(each) for each in counts] == [[date(2026, 6, 1)], []]
    assert len(table.read) == 1
