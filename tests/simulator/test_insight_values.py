"""Account insights against the truth: totals, series, breakdowns, uniqueness, delay."""

from datetime import date, timedelta
from itertools import pairwise

import pytest

from tests.simulator.caller import day, midnight

ACTS = "total_interactions,likes,comments,saves,shares,replies,reposts"
ADDITIVE = f"views,{ACTS},profile_links_taps,profile_views,website_clicks"
BROKEN_DOWN = {
    "reach": ("follow_type", "media_product_type", "media_product_type,follow_type"),
    "views": ("follow_type", "media_product_type"),
    "total_interactions": ("media_product_type",),
    "likes": ("media_product_type",),
    "comments": ("media_product_type",),
    "saves": ("media_product_type",),
    "shares": ("media_product_type",),
    "profile_links_taps": ("contact_button_type",),
}


def window(first, last):
    return {"since": midnight(first), "until": midnight(last, 1) - 1}


def buckets(total):
    return {",".join(one["dimension_values"]): one["value"] for one in total["breakdowns"][0]["results"]}


def together(values, uniqueness):
    return round((1 - uniqueness) * max(values) + uniqueness * sum(values))


@pytest.mark.parametrize("text", ["2026-11-12", "2025-11-02", "2026-03-08", "2025-01-01"])
def test_the_totals_of_a_day_are_the_truth(caller, text):
    [truth] = caller.truth(since=text, until=text)["days"]

    totals = caller.totals(f"reach,accounts_engaged,{ADDITIVE}", **day(text))

    expected = {name: value for name, value in truth["metrics"].items() if name != "follower_count"}
    assert {name: total["value"] for name, total in totals.items()} == expected


@pytest.mark.parametrize(("metric", "breakdown"), [(name, by) for name, all_by in BROKEN_DOWN.items() for by in all_by])
def test_the_buckets_of_a_day_are_the_truth_without_zeros(caller, metric, breakdown):
    [truth] = caller.truth(since="2026-11-10", until="2026-11-10")["days"]

    total = caller.totals(metric, breakdown=breakdown, **day("2026-11-10"))[metric]

    assert buckets(total) == truth["breakdowns"][metric][breakdown]
    assert total["value"] == truth["metrics"][metric]
    assert total["breakdowns"][0]["dimension_keys"] == breakdown.split(",")
    assert 0 not in buckets(total).values()


def test_two_breakdowns_come_in_the_order_in_which_they_are_asked(caller):
    asked = caller.totals("reach", breakdown="follow_type,media_product_type", **day("2026-11-10"))["reach"]
    other = caller.totals("reach", breakdown="media_product_type,follow_type", **day("2026-11-10"))["reach"]

    assert asked["breakdowns"][0]["dimension_keys"] == ["follow_type", "media_product_type"]
    assert {",".join(reversed(name.split(","))) for name in buckets(asked)} == set(buckets(other))


def test_additive_metrics_of_a_window_are_the_sum_of_its_days(caller):
    days = caller.truth(since="2026-10-18", until="2026-11-15")["days"]

    totals = caller.totals(ADDITIVE, **window("2026-10-18", "2026-11-15"))

    assert len(days) == 29
    for name, total in totals.items():
        assert total["value"] == sum(each["metrics"][name] for each in days)


@pytest.mark.parametrize("metric", ["reach", "accounts_engaged"])
def test_unique_metrics_of_a_window_follow_the_formula_of_the_truth(caller, metric):
    truth = caller.truth(since="2026-10-20", until="2026-10-26")
    values = [each["metrics"][metric] for each in truth["days"]]

    total = caller.totals(metric, **window("2026-10-20", "2026-10-26"))[metric]["value"]

    assert metric in truth["unique_metrics"]
    assert total == together(values, truth["uniqueness"])
    assert max(values) < total < sum(values)


def test_unique_buckets_follow_the_same_formula(caller):
    truth = caller.truth(since="2026-10-20", until="2026-10-26")

    total = caller.totals("reach", breakdown="follow_type", **window("2026-10-20", "2026-10-26"))["reach"]

    for name, value in buckets(total).items():
        days = [each["breakdowns"]["reach"]["follow_type"].get(name, 0) for each in truth["days"]]
        assert value == together(days, truth["uniqueness"])


def test_a_wider_window_never_reaches_fewer_people(caller):
    totals = [caller.totals("reach", **window(f"2026-10-{20 - n}", "2026-10-20"))["reach"]["value"] for n in range(10)]

    assert totals == sorted(totals)


@pytest.mark.parametrize("kind", ["ordinary", "big", "quiet", "hidden_likes", "no_posts", "no_followers", "prolific"])
def test_every_day_adds_up(caller, kind):
    caller.become(kind)
    parts = ("likes", "comments", "saves", "shares", "replies", "reposts")

    days = caller.truth(since="2026-08-01", until="2026-11-21")["days"]

    for each in days:
        metrics, by = each["metrics"], each["breakdowns"]
        assert metrics["total_interactions"] == sum(metrics[name] for name in parts)
        assert sum(by["reach"]["follow_type"].values()) == metrics["reach"]
        assert sum(by["reach"]["media_product_type"].values()) >= metrics["reach"]
        assert all(value <= metrics["reach"] for value in by["reach"]["media_product_type"].values())
        for name, dimension in (("views", "follow_type"), ("views", "media_product_type")):
            assert sum(by[name][dimension].values()) == metrics[name]
        for name in ("total_interactions", "likes", "comments", "saves", "shares"):
            assert sum(by.get(name, {}).get("media_product_type", {}).values()) == metrics[name]
        assert sum(by["profile_links_taps"]["contact_button_type"].values()) == metrics["profile_links_taps"]
        assert metrics["follower_count"] == each["follows"]
    for before, after in pairwise(days):
        assert after["followers"] == before["followers"] + after["follows"] - after["unfollows"]


def test_follows_come_by_follow_type_without_a_value(caller):
    [truth] = caller.truth(since="2026-11-10", until="2026-11-10")["days"]

    total = caller.totals("follows_and_unfollows", breakdown="follow_type", **day("2026-11-10"))[
        "follows_and_unfollows"
    ]

    assert "value" not in total
    assert buckets(total) == {"FOLLOWER": truth["follows"], "NON_FOLLOWER": truth["unfollows"]}


def test_plain_follows_are_both_together_or_a_skeleton(caller):
    [truth] = caller.truth(since="2026-11-10", until="2026-11-10")["days"]
    plain = caller.totals("follows_and_unfollows", **day("2026-11-10"))
    caller.switch(follows_plain_value="skeleton")

    skeleton = caller.totals("follows_and_unfollows", **day("2026-11-10"))

    assert plain["follows_and_unfollows"] == {"value": truth["follows"] + truth["unfollows"]}
    assert skeleton["follows_and_unfollows"] == {}


def test_follower_count_is_the_new_followers_of_each_day(caller):
    days = caller.truth(since="2026-10-23", until="2026-11-10")["days"]

    series = caller.series("follower_count", since=midnight("2026-10-24"), until=midnight("2026-11-11"))

    assert list(series.values()) == [each["follows"] for each in days]


def test_reach_still_answers_weeks(caller):
    truth = caller.truth(since="2026-11-01", until="2026-11-07")
    values = [each["metrics"]["reach"] for each in truth["days"]]

    series = caller.series("reach", period="week", since=midnight("2026-11-08"), until=midnight("2026-11-08"))

    assert list(series.values()) == [together(values, truth["uniqueness"])]


@pytest.mark.parametrize("kind", ["small", "no_followers"])
def test_an_account_below_100_followers_has_no_follower_metrics(caller, kind):
    caller.become(kind)

    assert caller.insights("follower_count").json()["data"] == []
    assert caller.totals("follows_and_unfollows", **day("2026-11-10")) == {}
    assert "reach" in caller.totals("reach", breakdown="follow_type", **day("2026-11-10"))


def test_a_quiet_account_has_days_of_zero_and_breakdowns_without_buckets(caller):
    caller.become("quiet")
    days = caller.truth(since="2026-09-01", until="2026-11-01")["days"]
    zero = next(each["date"] for each in days if not each["metrics"]["reach"])
    tapped = next(each["date"] for each in days if each["metrics"]["profile_views"])

    reach = caller.totals("reach", breakdown="follow_type", **day(zero))["reach"]
    views = caller.totals("views", breakdown="follow_type", **day(zero))["views"]
    taps = caller.totals("profile_links_taps", breakdown="contact_button_type", **day(tapped))["profile_links_taps"]

    assert reach == {"value": 0, "breakdowns": [{"dimension_keys": ["follow_type"], "results": []}]}
    assert views == {"value": 0}
    assert taps["breakdowns"] == [{"dimension_keys": ["contact_button_type"]}]


def test_a_fresh_account_has_nothing_before_it_was_created(caller):
    caller.become("fresh")
    created = date.fromisoformat(caller.truth()["created"])
    before = str(created - timedelta(days=1))

    assert timedelta(0) < date(2026, 11, 21) - created < timedelta(days=20)
    assert caller.totals("reach,views", **day(before)) == {}
    assert list(caller.totals("reach,views", **day(str(created)))) == ["reach", "views"]
    assert caller.truth()["days"][0]["date"] == str(created)


def test_paging_shifts_the_window_by_its_width(caller):
    answer = caller.insights("reach", since=midnight("2026-11-05"), until=midnight("2026-11-07")).json()
    width = midnight("2026-11-07") - midnight("2026-11-05")

    paging = answer["paging"]

    assert f"since={midnight('2026-11-05') - 1 - width}&" in paging["previous"]
    assert f"until={midnight('2026-11-07') + 1 + width}" in paging["next"]
    assert all(caller.token in address for address in paging.values())
    assert caller.session.get(paging["previous"], timeout=5).json()["data"]


def test_an_entry_has_the_shape_of_the_api(caller):
    total = caller.insights("likes", metric_type="total_value", **day("2026-11-10")).json()["data"][0]
    series = caller.insights("reach", **day("2026-11-10")).json()["data"][0]

    assert list(total) == ["name", "period", "title", "description", "total_value", "id"]
    assert list(series) == ["name", "period", "values", "title", "description", "id"]
    assert total["id"] == "17841400000000000/insights/likes/day"


def test_a_breakdown_of_a_series_is_ignored(caller):
    plain = caller.series("reach", **day("2026-11-10"))

    assert caller.series("reach", breakdown="nonsense", **day("2026-11-10")) == plain
