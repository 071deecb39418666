"""Follower growth: worked back from now by what Instagram tells, in two ways; never invented where it tells nothing."""

from __future__ import annotations

import json
from datetime import date, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import responses

from services.days import EndTime, midnight, provider_time
from tests.support import ACCOUNT_ID, GRAPH, MovableClock, graph_error, total_value, utc

USER = f"{GRAPH}/v25.0/{ACCOUNT_ID}"
TODAY = date(2026, 6, 15)
WEEK = [TODAY - timedelta(days=days) for days in range(7, 0, -1)]
NOTHING = (200, {"data": []})


def follows(gained=None, lost=None, total=None):
    counts = [("FOLLOWER", gained), ("NON_FOLLOWER", lost)]
    results = [([name], count) for name, count in counts if count is not None]
    return 200, {"data": [total_value("follows_and_unfollows", total, [(["follow_type"], results)])]}


def new_followers(values):
    points = [{"value": value, "end_time": provider_time(EndTime.DAY_END.of(day))} for day, value in values.items()]
    return 200, {"data": [{"name": "follower_count", "period": "day", "values": points}]}


REFUSED = (400, graph_error(100))


class Insights:
    """Answers both ways to the followers of the past, and keeps what was asked."""

    def __init__(self, net, gross=NOTHING):
        self.net, self.gross = net, gross
        self.asked = []

    def __call__(self, request):
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}
        self.asked.append(query)
        status, body = self.net if query["metric"] == "follows_and_unfollows" else self.gross
        return status, {}, json.dumps(body)

    @property
    def metrics(self):
        return [query["metric"] for query in self.asked]


@pytest.fixture
def wire():
    with responses.RequestsMock() as wire:
        wire.get(f"{USER}/media", json={"data": []})
        yield wire


@pytest.fixture
def ask(make_client, wire):
    """Ask for the follower trend of an account with a number of followers and what its insights answer."""
    client = make_client(clock=MovableClock(utc("2026-06-15T18:00:00")))

    def ask(followers, insights, period="7d"):
        wire.get(USER, json={"id": ACCOUNT_ID} | ({} if followers is None else {"followers_count": followers}))
        wire.add_callback(responses.GET, f"{USER}/insights", callback=insights)
        response = client.get("/growth-trends", query_string={"period": period})
        assert response.status_code == 200, response.get_json()
        return response.get_json()["trends"][0]

    return ask


def values_of(trend):
    return trend["current_value"], trend["previous_value"], trend["growth_rate"], trend["reason"]


# The first way: follows and unfollows


def test_the_past_is_now_without_those_who_came_and_with_those_who_left(ask):
    insights = Insights(follows(gained=50, lost=30))

    trend = ask(1020, insights)

    assert values_of(trend) == (1020, 1000, 2.0, None)
    assert (trend["basis"], trend["approximate"], trend["unit"]) == ("follows_and_unfollows", True, "accounts")
    assert trend["coverage"] == {"covered_until": "2026-06-12T18:00:00Z"}
    assert insights.metrics == ["follows_and_unfollows"]


def test_what_came_and_went_today_belongs_in_for_followers_are_counted_now(ask):
    insights = Insights(follows(gained=1, lost=1))

    trend = ask(1000, insights)

    (query,) = insights.asked
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

    assert len(insights.asked) == 4
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


# A passing fault

PASSING = (500, graph_error(2))


def test_a_passing_fault_of_the_first_way_leaves_the_second(ask):
    assert values_of(ask(1070, Insights(PASSING, EACH_DAY))) == (1070, 1000, 7.0, None)


@pytest.mark.parametrize(("gross", "reason"), [(PASSING, "provider_unavailable"), (REFUSED, "refused")])
def test_the_reason_of_an_unknown_past_is_the_one_of_its_last_way(ask, gross, reason):
    assert values_of(ask(1070, Insights(NOTHING, gross))) == (1070, None, None, reason)
