"""How long each kind of value is fresh: the clocks of gateway and simulator move, and provider calls are counted."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.stores import query

GROWTH = "/growth-trends?period=7d"
POSTS = "/top-posts?time_range=30d&limit=50"
TODAY, YOUNG, FINISHED = "2026-11-21", "2026-11-20", "2026-11-10"


def day(date, metrics="views"):
    return f"/account-insights?period=day&metrics={metrics}&since={date}&until={date}"


def value(body):
    return body["data"][0]["values"][0]["value"]


def profile_calls(world):
    return [path for path in world.calls() if "followers_count" in path]


def test_the_follower_count_is_fetched_once_an_hour(world):
    first = world.body(GROWTH)
    cold = profile_calls(world)
    world.advance(minutes=59)
    within = world.body(GROWTH)
    none = profile_calls(world)
    world.advance(minutes=2)
    expired = world.body(GROWTH)
    refreshed = profile_calls(world)
    then = world.body(GROWTH)

    assert (len(cold), len(none), len(refreshed)) == (1, 0, 1)
    assert [body["meta"]["stale"] for body in (first, within, expired, then)] == [False, False, True, False]
    assert expired["trends"][0]["current_value"] == first["trends"][0]["current_value"]
    assert then["meta"]["fetched_at"] == "2026-11-21T19:01:00Z"


def test_a_value_beyond_stale_while_revalidate_is_waited_for(world):
    world.body(GROWTH)
    world.calls()
    world.advance(hours=30)

    body = world.body(GROWTH)

    assert body["meta"]["stale"] is False
    assert len(profile_calls(world)) == 1


def test_the_newest_page_of_posts_is_fetched_every_hour_and_the_others_every_six(world):
    world.body(POSTS)
    cold = len(world.calls("/media"))
    hourly, stale = [], []
    for _ in range(7):
        world.advance(minutes=61)
        stale.append(world.body(POSTS)["meta"]["stale"])
        hourly.append(len(world.calls("/media")))

    assert cold > 1
    assert stale == [True] * 7
    assert hourly == [1, 1, 1, 1, 1, cold, 1]


def test_a_post_list_that_was_fetched_in_parts_is_complete(world):
    world.body(POSTS)
    for _ in range(8):
        world.advance(minutes=61)
        world.body(POSTS)
        world.settle()

    body = world.body(POSTS)

    read = body["meta"]["time_range"]
    since, until = (datetime.fromisoformat(read[name]).timestamp() for name in ("since", "until"))
    published = [datetime.fromisoformat(post["timestamp"]).timestamp() for post in world.truth()["posts"]]
    assert body["meta"]["stale"] is False
    assert read["until"] == "2026-11-22T02:08:00Z"
    assert read["posts"] == len([moment for moment in published if since <= moment <= until]) > 100


def test_insights_of_today_are_fetched_once_an_hour(world):
    world.body(day(TODAY))
    world.calls()
    world.advance(minutes=59)
    world.body(day(TODAY))
    within = world.calls()
    world.advance(minutes=2)
    expired = world.body(day(TODAY))
    refreshed = world.calls()
    then = world.body(day(TODAY))

    assert (len(within), len(refreshed)) == (0, 1)
    assert (expired["meta"]["stale"], then["meta"]["stale"]) == (True, False)
    assert value(then) > value(expired)


def test_insights_of_a_provisional_day_are_fetched_every_six_hours(world):
    world.body(day(YOUNG))
    world.calls()
    world.advance(hours=5, minutes=59)
    world.body(day(YOUNG))
    within = world.calls()
    world.advance(minutes=2)
    expired = world.body(day(YOUNG))
    refreshed = world.calls()

    assert (len(within), len(refreshed)) == (0, 1)
    assert expired["meta"]["stale"] is True


def test_a_day_is_fetched_a_last_time_once_its_values_are_final(world):
    world.body(day(YOUNG))
    world.advance(hours=37, minutes=59, seconds=59)  # 48 hours after the last second of the day.
    world.body(day(YOUNG))
    world.settle()
    world.calls()
    world.advance(days=30)

    body = world.body(day(YOUNG))

    assert world.calls() == []
    assert body["meta"]["stale"] is False


def test_follows_are_provisional_for_72_hours(world):
    world.body(day(YOUNG, "follows_and_unfollows"))
    world.calls()
    asked = []
    for _ in range(4):
        world.advance(hours=24, minutes=30)
        world.body(day(YOUNG, "follows_and_unfollows"))
        asked.append(len(world.calls("insights")))

    # The day ends at 08:00 UTC, so 72 hours after it are 62 hours from the start.
    assert asked[0] == 1
    assert asked[2:] == [1, 0]


def test_a_final_value_is_never_fetched_again_by_any_process(make_world, store_settings):
    world = make_world(**store_settings)
    first = world.body(day(FINISHED, "views,likes"))
    assert len(world.calls()) == 1

    for table in ("cache_entries", "leases", "cache_versions", "quota_usage"):
        query(store_settings, "memory", f"DELETE FROM {table}")
    world.restart()
    second = world.body(day(FINISHED, "views,likes"))
    forced = world.body(f"{day(FINISHED, 'views,likes')}&refresh=true")

    assert world.calls() == []
    assert second["data"] == forced["data"] == first["data"]


def test_a_final_day_without_an_answer_is_asked_for_again_a_day_later(make_world):
    world, path, asked = make_world("small"), day("2026-11-12", "follower_count"), []
    first = world.body(path)
    for minutes in (24 * 60 - 1, 2):
        world.calls()
        world.advance(minutes=minutes)
        world.body(path)
        asked.append(len(world.calls("follower_count")))

    assert first["data"][0]["values"][0]["reason"] == "not_answered"
    assert asked == [0, 1]


@pytest.mark.parametrize("metrics", ["views", "follower_count"])
def test_a_final_value_is_kept_longer_than_instagram_keeps_it(world, metrics):
    first = world.body(day(FINISHED, metrics))
    world.calls()
    world.advance(days=765)
    world.restart()

    kept = world.body(day(FINISHED, metrics))
    never_read = world.body(day("2026-11-09", metrics))

    assert value(kept) == value(first) is not None
    assert never_read["data"][0]["values"][0] | {"end_time": ""} == {
        "value": None,
        "date": "2026-11-09",
        "end_time": "",
        "reason": "beyond_retention",
    }
    assert world.calls() == []


def test_a_final_breakdown_is_kept_longer_than_instagram_keeps_it(world):
    path = f"{day(FINISHED, 'views,reach')}&breakdown=follow_type"
    first = world.body(path)
    world.calls()
    world.advance(days=765)
    world.restart()

    assert world.body(path)["data"] == first["data"]
    assert world.calls() == []


def test_a_refused_metric_is_requested_again_after_an_hour(world):
    world.fault("refuse_metric", metric="shares")
    world.body(day(FINISHED, "views,shares"))
    world.calls()
    world.body(day("2026-11-09", "views,shares"))
    spared = world.calls("shares")
    world.heal()
    world.advance(minutes=61)

    body = world.body(day(FINISHED, "views,shares"))

    assert spared == []
    assert body["data"][1]["values"][0]["value"] is not None


def test_a_report_is_fresh_for_seven_days_and_an_unknown_creator_is_looked_up_again_after_an_hour(world):
    asked = []
    for wait in (0, 6, 2):
        world.advance(days=wait)
        world.body("/performance-data?url=nasa")
        asked.append(len(world.calls("performance")))
    missing = []
    for minutes in (0, 59, 2):
        world.advance(minutes=minutes)
        assert world.get("/performance-data?url=missing.one").status_code == 404
        missing.append(len(world.calls("performance")))

    assert asked == [1, 0, 1]
    assert missing == [1, 0, 1]
