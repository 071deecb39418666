"""Account insights by the second login: the same numbers, and what is answered otherwise."""

import pytest

from tests.simulator.caller import day, error, midnight

TOTAL = {"metric_type": "total_value"}
TODAY = "2026-11-21"


def values(reply):
    return {entry["name"]: entry["total_value"] for entry in reply.json()["data"]}


def day_back(days):
    return {"since": midnight(TODAY, -days), "until": midnight(TODAY, 1 - days) - 1}


def test_numbers_are_those_of_the_other_login(settled):
    asked = {**day("2026-11-10"), **TOTAL}
    metrics = "reach,views,accounts_engaged,total_interactions,likes,follows_and_unfollows,profile_links_taps"

    here = settled.instagram_insights(metrics, **asked)

    assert here.json()["data"] == settled.insights(metrics, **asked).json()["data"]
    assert here.json()["paging"]["next"].startswith(f"{settled.simulator.url}/graph.instagram.com/")


def test_profile_views_are_missing_without_a_word(settled):
    asked = {**day("2026-11-10"), **TOTAL}

    assert list(values(settled.instagram_insights("reach,profile_views,views", **asked))) == ["reach", "views"]
    assert settled.instagram_insights("profile_views", **asked).json()["data"] == []
    assert list(values(settled.insights("profile_views", **asked))) == ["profile_views"]


def test_website_clicks_are_a_switch(settled):
    asked = {**day("2026-11-10"), **TOTAL}
    missing = settled.instagram_insights("website_clicks,reach", **asked)
    settled.switch(igl_website_clicks="answered")
    answered = settled.instagram_insights("website_clicks,reach", **asked)
    settled.switch(igl_website_clicks="refused")
    refused = settled.instagram_insights("website_clicks,reach", **asked)

    assert list(values(missing)) == ["reach"]
    assert values(answered) == values(settled.insights("website_clicks,reach", **asked))
    assert error(refused)["message"].startswith(
        "metric[0] must be one of the following values: reach, follower_count, p"
    )


def test_500_days_are_answered_unless_that_is_switched_off(settled):
    since, until = midnight(TODAY, -501), midnight(TODAY, -1) - 1
    asked = {"since": since, "until": until, **TOTAL}
    days = settled.truth(since="2025-07-08", until="2026-11-19")["days"]

    answered = values(settled.instagram_insights("views", **asked))
    settled.switch(igl_range_limit=True)
    refused = error(settled.instagram_insights("views", **asked))

    assert answered["views"]["value"] == sum(each["metrics"]["views"] for each in days)
    assert refused["message"] == "There cannot be more than 30 days (2592000 s) between since and until"


def test_the_look_back_is_the_same(caller):
    refusal = error(caller.instagram_insights("reach", since=midnight(TODAY, -730), until=midnight(TODAY)))

    assert refusal["message"] == "since param is not valid. Metrics data is available for the last 2 years"


@pytest.mark.parametrize(("back", "is_there"), [(365, True), (366, False)])
def test_reach_by_follow_type_is_empty_beyond_365_days(settled, back, is_there):
    asked = {**day_back(back), **TOTAL, "breakdown": "follow_type"}

    here = values(settled.instagram_insights("reach,views", **asked))
    there = values(settled.insights("reach,views", **asked))

    assert here["reach"]["value"] == there["reach"]["value"] > 0
    assert bool(here["reach"]["breakdowns"][0]["results"]) is is_there
    assert here["views"] == there["views"]
    assert there["reach"]["breakdowns"][0]["results"]


def test_days_28_without_a_range_is_24_hours(settled):
    def only(reply):
        [entry] = reply.json()["data"]
        [point] = entry["values"]
        return entry["period"], point["value"]

    last = only(settled.instagram_insights("reach"))[1]

    assert only(settled.instagram_insights("reach", period="days_28")) == ("days_28", last)
    assert only(settled.insights("reach", period="days_28"))[1] > last
    asked = {"since": midnight(TODAY), "until": midnight(TODAY)}
    assert only(settled.instagram_insights("reach", period="days_28", **asked)) == only(
        settled.insights("reach", period="days_28", **asked)
    )
