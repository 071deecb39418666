"""Follower growth: worked back from the current count by one of two metrics; unknown if neither is given."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
import responses

from services.days import midnight
from tests.planners import NOTHING, body_of, follows, plan_insights, plan_posts, plan_profile, series, totals
from tests.support import graph_error, total_value

TODAY = date(2026, 6, 15)
WEEK = [TODAY - timedelta(days=days) for days in range(7, 0, -1)]


def new_followers(values):
    return 200, {"data": [series("follower_count", values)]}


REFUSED = (400, graph_error(100))


class Insights:
    """Answers both sources of past followers, and records the calls."""

    def __init__(self, net, gross=NOTHING):
        self.net, self.gross = net, gross
        self.calls = []

    def __call__(self, query):
        if query["metric"] == "reach":
            return totals(query, 7)  # The check of a refusal: it is about the metric, not about the account.
        self.calls.append(query)
        return self.net if query["metric"] == "follows_and_unfollows" else self.gross

    @property
    def metrics(self):
        return [query["metric"] for query in self.calls]


@pytest.fixture
def wire():
    with responses.RequestsMock() as wire:
        plan_posts(wire)
        yield wire


@pytest.fixture
def ask(client, wire):
    """Read the follower trend of an account with a number of followers and what its insights answer."""

    def ask(followers, insights, period="7d"):
        plan_profile(wire, followers=followers)
        plan_insights(wire, insights)
        return body_of(client, "/growth-trends", period=period)["trends"][0]

    return ask


def values_of(trend):
    return trend["current_value"], trend["previous_value"], trend["growth_rate"], trend["reason"]


# The first way: follows and unfollows


def test_the_past_count_is_the_current_one_without_follows_and_with_unfollows(ask):
    insights = Insights(follows(gained=50, lost=30))

    trend = ask(1020, insights)

    assert values_of(trend) == (1020, 1000, 2.0, None)
    assert (trend["basis"], trend["approximate"], trend["unit"]) == ("follows_and_unfollows", True, "accounts")
    assert trend["coverage"] == {"covered_until": "2026-06-12T18:00:00Z"}
    assert insights.metrics == ["follows_and_unfollows"]


def test_what_came_and_went_today_belongs_in_for_followers_are_counted_now(ask):
    insights = Insights(follows(gained=1, lost=1))

    trend = ask(1000, insights)

    (query,) = insights.calls
    assert (int(query["since"]), int(query["until"])) == (midnight(WEEK[0]), midnight(TODAY + timedelta(days=1)) - 1)
    assert trend["window"] == {"since": "2026-06-08", "until": "2026-06-14"}


def test_a_bucket_of_zero_that_is_left_out_is_zero(ask):
    assert values_of(ask(1000, Insights(follows(gained=200)))) == (1000, 800, 25.0, None)


def test_all_followers_came_in_the_window(ask):
    assert values_of(ask(500, Insights(follows(gained=500, lost=0)))) == (500, 0, 100, "zero_base")


def test_more_gained_than_there_are_is_inconsistent(ask):
    trend = ask(500, Insights(follows(gained=501, lost=0)))

    assert values_of(trend) == (500, None, None, "inconsistent")


def test_a_long_period_is_added_up_over_several_calls(ask):
    insights = Insights(follows(gained=10, lost=0))

    trend = ask(1000, insights, "90d")

    assert len(insights.calls) == 4
    assert values_of(trend)[:2] == (1000, 960)


# The second way: new followers by day

EACH_DAY = new_followers(dict.fromkeys(WEEK, 10))


@pytest.mark.parametrize(
    "net",
    [NOTHING, follows(), follows(total=90), follows(gained=50, total=90), REFUSED],
    ids=["nothing", "no total", "total without buckets", "buckets that do not add up", "refused"],
)
def test_without_the_first_way_new_followers_are_subtracted(ask, net):
    insights = Insights(net, EACH_DAY)

    trend = ask(1070, insights)

    assert values_of(trend) == (1070, 1000, 7.0, None)
    assert (trend["basis"], trend["approximate"]) == ("follower_count", True)
    assert insights.metrics == ["follows_and_unfollows", "follower_count"]


def test_one_missing_day_makes_the_past_unknown(ask):
    gap = new_followers({day: 10 for day in WEEK if day != WEEK[3]})

    assert values_of(ask(1070, Insights(NOTHING, gap))) == (1070, None, None, "not_answered")


def test_today_is_not_subtracted_twice(ask):
    with_today = new_followers(dict.fromkeys([*WEEK, TODAY], 10))

    assert values_of(ask(1070, Insights(NOTHING, with_today)))[1] == 1000


@pytest.mark.parametrize(("period", "ways"), [("30d", 2), ("31d", 1)])
def test_new_followers_are_kept_for_30_days(ask, period, ways):
    insights = Insights(NOTHING)

    trend = ask(1000, insights, period)

    assert len(set(insights.metrics)) == ways
    assert values_of(trend) == (1000, None, None, "not_answered")


# Neither way


def test_few_followers_are_the_reason_and_the_second_way_is_not_tried(ask):
    insights = Insights(NOTHING)

    trend = ask(99, insights)

    assert values_of(trend) == (99, None, None, "few_followers")
    assert insights.metrics == ["follows_and_unfollows"]


def test_without_the_number_of_now_nothing_is_known(ask):
    trend = ask(None, Insights(follows(gained=50, lost=20)))

    assert values_of(trend) == (None, None, None, "current_unknown")


def test_an_account_without_followers_has_none_to_divide_by(ask):
    assert values_of(ask(0, Insights(NOTHING))) == (0, None, None, "few_followers")


@pytest.mark.parametrize("wrong", ["1000", True, -1, 1.5, [1000]])
def test_a_number_of_followers_that_is_none_is_unknown(ask, wrong):
    assert values_of(ask(wrong, Insights(follows(gained=1, lost=1))))[0] is None


# A temporary fault

PASSING = (500, graph_error(2))


def test_a_passing_fault_of_the_first_way_leaves_the_second(ask):
    assert values_of(ask(1070, Insights(PASSING, EACH_DAY))) == (1070, 1000, 7.0, None)


@pytest.mark.parametrize(("gross", "reason"), [(PASSING, "provider_unavailable"), (REFUSED, "refused")])
def test_the_reason_of_an_unknown_past_is_the_one_of_its_last_way(ask, gross, reason):
    assert values_of(ask(1070, Insights(NOTHING, gross))) == (1070, None, None, reason)


@pytest.mark.parametrize(
    "buckets",
    [
        {"FOLLOW": 300, "UNFOLLOW": 100},
        {"FOLLOWER": 300, "UNFOLLOWED": 100},
        {"NON_FOLLOWER": 100, "NEW": 300},
    ],
)
@pytest.mark.parametrize("new_followers", [None, 5])
def test_unknown_buckets_of_follows_are_no_zeros(client, wire, buckets, new_followers):
    """What is not listed under a known name is unknown; the new followers by day are another basis."""

    def insights(query):
        if "breakdown" in query:
            rows = [([name], count) for name, count in buckets.items()]
            return 200, {"data": [total_value("follows_and_unfollows", None, [(["follow_type"], rows)])]}
        days = {date(2026, 6, day): new_followers for day in range(8, 15)}
        return 200, {"data": [series("follower_count", days if new_followers else {})]}

    plan_profile(wire)
    plan_insights(wire, insights)

    trend = body_of(client, "/growth-trends", period="7d")["trends"][0]

    if new_followers:
        assert (trend["basis"], trend["previous_value"]) == ("follower_count", 1000 - 7 * 5)
    else:
        assert (trend["previous_value"], trend["growth_rate"], trend["basis"]) == (None, None, None)
        assert trend["reason"] == "bucket_unknown"
