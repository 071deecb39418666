"""The audience: demographics of followers and of engaged people, and the hours in which followers are online."""

import pytest

from tests.simulator.caller import error, midnight

METRICS = ("follower_demographics", "engaged_audience_demographics")
FIRST_DAY = "2026-11-01"


def audience(caller, metric, breakdown, **parameters):
    asked = {"period": "lifetime", "metric_type": "total_value", "breakdown": breakdown, **parameters}
    return caller.insights(metric, **asked)


def truth(caller, metric, timeframe):
    known = caller.own(f"/truth/{caller.account}/audience")[metric]
    return known if metric == "follower_demographics" else known[timeframe]


def breakdown_of(reply):
    [entry] = reply.json()["data"]
    [breakdown] = entry["total_value"]["breakdowns"]
    return breakdown


def buckets(breakdown):
    return {",".join(result["dimension_values"]): result["value"] for result in breakdown["results"]}


@pytest.mark.parametrize("timeframe", ["this_week", "this_month"])
@pytest.mark.parametrize("by", ["age", "gender", "city", "country"])
@pytest.mark.parametrize("metric", METRICS)
def test_demographics_are_the_truth(caller, metric, by, timeframe):
    breakdown = breakdown_of(audience(caller, metric, by, timeframe=timeframe))

    assert breakdown["dimension_keys"] == [by]
    assert buckets(breakdown) == truth(caller, metric, timeframe)[by]


def test_a_wider_timeframe_has_more_engaged_people(caller):
    week, month = (truth(caller, METRICS[1], timeframe)["people"] for timeframe in ("this_week", "this_month"))

    assert 100 <= week < month


@pytest.mark.parametrize("by", ["city", "country"])
def test_only_the_largest_45_buckets_come(caller, by):
    caller.become("big")

    found = buckets(breakdown_of(audience(caller, "follower_demographics", by)))

    assert len(found) == 45
    assert sum(found.values()) < truth(caller, "follower_demographics", "this_week")["people"]
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_the_buckets_of_a_small_enough_breakdown_add_up(caller):
    found = buckets(breakdown_of(audience(caller, "follower_demographics", "gender")))

    assert sum(found.values()) == truth(caller, "follower_demographics", "this_week")["people"]


def test_demographics_have_no_paging_and_an_id_of_their_metric(caller):
    answer = audience(caller, "follower_demographics", "age,gender").json()

    assert answer["data"][0]["id"] == f"{caller.account}/insights/follower_demographics/lifetime"
    assert answer["data"][0]["total_value"]["breakdowns"][0]["dimension_keys"] == ["age", "gender"]
    assert "paging" not in answer


@pytest.mark.parametrize("metric", METRICS)
def test_the_timeframe_is_the_first_key_by_a_switch(caller, metric):
    plain = buckets(breakdown_of(audience(caller, metric, "country", timeframe="this_month")))
    caller.switch(demographics_keys="timeframe_first")

    breakdown = breakdown_of(audience(caller, metric, "country", timeframe="this_month"))

    assert breakdown["dimension_keys"] == ["timeframe", "country"]
    assert buckets(breakdown) == {f"THIS_MONTH,{name}": value for name, value in plain.items()}


@pytest.mark.parametrize("kind", ["small", "no_followers", "ninety_nine"])
@pytest.mark.parametrize("metric", [*METRICS, "online_followers"])
def test_below_100_followers_an_audience_is_empty(caller, kind, metric):
    caller.become(kind)
    reply = (
        caller.insights(metric, period="lifetime")
        if metric == "online_followers"
        else audience(caller, metric, "age", timeframe="this_month")
    )

    assert (reply.status_code, reply.json()["data"]) == (200, [])


def test_below_100_engaged_people_only_that_audience_is_empty(caller):
    caller.become("quiet")

    assert truth(caller, METRICS[1], "this_week")["people"] < 100
    assert audience(caller, METRICS[1], "age", timeframe="this_week").json()["data"] == []
    assert audience(caller, METRICS[0], "age", timeframe="this_week").json()["data"]


@pytest.mark.parametrize("timeframe", ["last_14_days", "last_30_days", "last_90_days", "prev_month"])
def test_a_withdrawn_timeframe_is_refused_and_answered_for_followers_by_a_switch(caller, timeframe):
    refusals = [audience(caller, metric, "age", timeframe=timeframe) for metric in METRICS]
    caller.switch(old_timeframes="answered")
    followers, engaged = (audience(caller, metric, "age", timeframe=timeframe) for metric in METRICS)

    for refused, metric in zip((*refusals, engaged), (*METRICS, METRICS[1]), strict=True):
        assert (refused.status_code, error(refused)["code"]) == (400, 100)
        assert f"timeframes ({timeframe})" in error(refused)["message"]
        assert metric in error(refused)["message"]
    assert breakdown_of(followers) == breakdown_of(audience(caller, METRICS[0], "age"))


def online(caller, first, last):
    return caller.series("online_followers", period="lifetime", since=midnight(first, 1), until=midnight(last, 1))


def test_online_followers_come_by_hour_and_on_some_days_empty(caller):
    known = caller.own(f"/truth/{caller.account}/audience")["online_followers"]

    series = online(caller, FIRST_DAY, "2026-11-18")

    assert list(series.values()) == [known[day] for day in sorted(known) if day >= FIRST_DAY]
    assert {} in series.values()
    assert all(set(hours) == {str(hour) for hour in range(24)} for hours in series.values() if hours)


def test_the_last_two_days_are_empty_and_filled_later(caller):
    recent = online(caller, "2026-11-19", "2026-11-20")
    caller.order("/clock", advance=5 * 86_400)

    assert list(recent.values()) == [{}, {}]
    assert any(online(caller, "2026-11-19", "2026-11-21").values())


def test_the_last_two_days_are_refused_by_a_switch(caller):
    caller.switch(online_followers_recent="refused")

    refused = caller.insights(
        "online_followers", period="lifetime", since=midnight(FIRST_DAY), until=midnight("2026-11-20")
    )

    assert (refused.status_code, error(refused)["code"]) == (400, 100)
    assert error(refused)["message"].startswith("(#100) (online_followers) metric only supports")
    assert online(caller, FIRST_DAY, "2026-11-16")
