"""Growth trends that were shown moments ago: other requests are made of them, and get what reading again would give."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from services.cache.policies import HOUR
from services.days import midnight, pacific_day
from services.growth.kept_counts import KeptCounts
from services.growth.shown_trends import TREND_OVERHEAD, ShownTrend
from services.store.follower_counts import FollowerCount
from services.store.history import HistoryKey, HistoryValue
from tests.movable_clock import MovableClock
from tests.planners import MEDIA, USER, body_of, follows, plan_insights, plan_posts, plan_profile, post, totals
from tests.support import ACCOUNT_ID, NoConnections, graph_error, settings, utc

COUNTED_DAYS = 15
SELECTIONS = ("", "&metrics=reach", "&metrics=views,posts")
PATHS = [
    f"/growth-trends?period={length}d&until={until}{more}"
    for length, until in ((7, "yesterday"), (7, "complete"), (9, "yesterday"))  # The last two begin on the same day.
    for more in (*SELECTIONS, "&er_method=median", "&er_basis=views&metrics=views", "&er_basis=reach&er_method=median")
]
# Sets of metrics that none of those has, made of what those read.
OTHER_SETS = [
    f"/growth-trends?period=7d{more}"
    for more in ("&metrics=views", "&metrics=reach,posts", "&metrics=reach,views", "&er_basis=views&metrics=reach")
]


def keep_counts(world):
    today = pacific_day(world.clock.now())
    for number in range(COUNTED_DAYS):
        day = today - timedelta(days=number + 1)
        count = FollowerCount(day.isoformat(), 10_000 - number, midnight(day) + 600.0)
        world.services.store.follower_counts.keep(world.account["id"], count)


@pytest.mark.parametrize("is_counted", [True, False], ids=["with a history of followers", "without"])
def test_what_was_shown_before_is_what_reading_again_gives_at_any_moment(world, is_counted):
    if is_counted:
        keep_counts(world)
    world.advance(hours=13, minutes=40)
    world.get("/growth-trends?period=7d&metrics=reach,views")
    # Ten minutes before midnight in California, then after it; then after a part of the values has expired.
    for minutes in (10, 11, 70):
        world.advance(minutes=minutes)
        world.get("/growth-trends?period=7d&refresh=true")  # The metrics that it does not show stay as old as they are.
        for path in PATHS:
            world.get(path)
        world.settle()
        for path in PATHS:
            world.get(f"{path}&format=json")
        paths = [*PATHS, *OTHER_SETS]
        kept = [world.body(f"{path}&account={world.account['id']}") for path in paths]
        for path, body in zip(paths, kept, strict=True):
            world.services.cache.forget(world.account["id"])
            assert world.body(path) == body, (minutes, path)


@pytest.mark.parametrize("is_counted", [True, False], ids=["with a history of followers", "without"])
def test_another_request_over_the_same_values_reads_nothing(world, monkeypatch, is_counted):
    if is_counted:
        keep_counts(world)
    world.get(PATHS[0])
    world.advance(minutes=1)  # The parts of a reply are of different ages.
    for _ in range(2):
        for path in PATHS:
            world.get(path)
        world.settle()
        world.services.cache.invalidate_changed()  # As every second: it sees its own changes, and begins again.
    for form in ("&format=json", f"&account={world.account['id']}"):
        for path in PATHS:
            world.get(f"{path}{form}")

    def read(*_arguments, **_options):
        raise AssertionError("It is read again.")

    monkeypatch.setattr(KeptCounts, "between", read)

    paths = [*PATHS, *OTHER_SETS]
    assert [world.get(f"{path}&format=csv").status_code for path in paths] == [200] * len(paths)


def test_a_metric_that_instagram_refuses_is_shown_again_beside_others(client, wire, monkeypatch):
    plan_profile(wire)
    plan_posts(wire, [])

    def answer(query):
        if "reach" in query["metric"]:
            return 400, {"error": {"code": 100, "message": "(#100) metric[0] must be one of the following values"}}
        return follows(gained=50, lost=20) if "breakdown" in query else totals(query, 7)

    plan_insights(wire, answer)
    for metrics in ("reach,views", "reach,views,posts"):
        body_of(client, "/growth-trends", period="7d", metrics=metrics)
    services = client.application.extensions["services"]
    assert services.wait_until_quiet(30)
    services.cache.invalidate_changed()  # As every second: it sees its own changes, and begins again.
    for metrics in ("reach,views", "reach,views,posts"):
        body_of(client, "/growth-trends", period="7d", metrics=metrics, format="json")

    def read(*_arguments, **_options):
        raise AssertionError("It is read again.")

    monkeypatch.setattr(KeptCounts, "between", read)
    body = body_of(client, "/growth-trends", period="7d", metrics="reach,posts")

    assert [(trend["key"], trend["current_value"], trend["reason"]) for trend in body["trends"][2:]] == [
        ("reach", None, "refused"),
        ("posts", 0, "zero_base"),
    ]


def test_what_stands_in_the_way_of_the_posts_is_named_each_time(client, wire):
    plan_profile(wire)
    plan_posts(wire, [post("1", timestamp=None)])
    plan_insights(wire, lambda _: follows(gained=50, lost=20))

    queries = ({}, {"format": "json"}, {"er_method": "median"}, {"er_method": "mean_of_posts"})
    bodies = [body_of(client, "/growth-trends", period="7d", **query) for query in queries]

    codes = [[warning["code"] for warning in body["meta"]["warnings"]] for body in bodies]
    assert codes == [["current_followers", "posts_unreadable"]] * len(queries)


def test_a_value_that_is_replaced_is_shown_at_once(client, wire, clock):
    for followers in (1000, 1100):
        plan_profile(wire, followers=followers)
    plan_posts(wire, [])
    plan_insights(wire, lambda _: follows(gained=50, lost=20))

    def followers_now(**query):
        return body_of(client, "/growth-trends", **{"period": "7d"} | query)["trends"][0]["current_value"]

    before = [followers_now(), followers_now(er_method="median"), followers_now(format="json")]
    clock.wait(60)
    newer = followers_now(period="1d", refresh="true")

    assert (before, newer) == ([1000] * 3, 1100)
    assert followers_now(er_method="mean_of_posts") == 1100


def test_a_refresh_reads_everything_again_moments_later(client, wire, clock):
    number = 7
    plan_profile(wire)
    plan_posts(wire, [])
    plan_insights(wire, lambda query: follows(gained=50, lost=20) if "breakdown" in query else totals(query, number))

    def reach(**query):
        return body_of(client, "/growth-trends", period="7d", metrics="reach", **query)["trends"][-1]["current_value"]

    before = [reach(er_method=method) for method in ("median", "ratio_of_sums")]
    number = 8
    clock.wait(10)

    after = [reach(er_method="ratio_of_sums", refresh="true"), reach()]

    assert (before, after) == ([7, 7], [8, 8])


def test_what_was_shown_is_shown_until_it_expires_and_no_longer(world):
    paths = [f"/growth-trends?period=7d{more}" for more in ("", "&format=json", "&er_method=median")]
    fetched_at = [world.body(path)["meta"]["fetched_at"] for path in paths]
    world.advance(minutes=61)

    world.get(f"{paths[0]}&er_method=mean_of_posts")  # It may be answered stale while the values are read again.
    world.settle()

    assert world.body(f"{paths[0]}&until=yesterday")["meta"]["fetched_at"] > max(fetched_at)


def test_values_that_have_expired_are_read_again_also_where_nothing_has_replaced_them(client, wire, clock, monkeypatch):
    plan_profile(wire)
    plan_posts(wire, [])
    plan_insights(wire, lambda _: follows(gained=50, lost=20))
    read, times = KeptCounts.between, []

    def counted(*arguments, **options):
        times.append(1)
        return read(*arguments, **options)

    monkeypatch.setattr(KeptCounts, "between", counted)

    for query in ({}, {"format": "json"}, {"er_method": "median"}):
        body_of(client, "/growth-trends", period="7d", **query)
    before = len(times)
    body_of(client, "/growth-trends", period="7d", er_method="mean_of_posts")
    within = len(times)
    clock.wait(HOUR)  # Exactly when they expire.
    body_of(client, "/growth-trends", period="7d", until="yesterday")
    assert client.application.extensions["services"].wait_until_quiet(30)

    assert (within, len(times)) == (before, before + 1)


def test_the_moment_up_to_which_totals_are_complete_goes_on(client, wire, clock):
    """Where a total is kept as final although its days are not, as after an import, its trend names the present."""
    plan_profile(wire)
    plan_posts(wire, [])
    store = client.application.extensions["services"].store
    store.follower_counts.keep(ACCOUNT_ID, FollowerCount("2026-06-08", 1000, midnight(date(2026, 6, 8)) + 600.0))
    for first, last in (("2026-06-01", "2026-06-07"), ("2026-06-08", "2026-06-14")):
        store.history.keep(ACCOUNT_ID, {HistoryKey("reach", (), first, last): HistoryValue(5, None, 1.0)})

    def covered_until(**query):
        trends = body_of(client, "/growth-trends", period="7d", metrics="reach", **query)["trends"]
        return trends[-1]["coverage"]["covered_until"]

    before = [covered_until(), covered_until(format="json"), covered_until(er_method="median")]
    clock.wait(60)

    assert before == ["2026-06-13T18:00:00Z"] * 3
    assert covered_until(er_method="mean_of_posts") == "2026-06-13T18:01:00Z"


def test_the_moment_up_to_which_follows_are_reported_goes_on(client, wire, clock):
    """The same for a number of followers that is worked back from kept follows."""
    plan_profile(wire)
    plan_posts(wire, [])
    buckets = {("FOLLOWER",): 50, ("NON_FOLLOWER",): 20}
    key = HistoryKey("follows_and_unfollows", ("follow_type",), "2026-06-08", "2026-06-15")
    client.application.extensions["services"].store.history.keep(ACCOUNT_ID, {key: HistoryValue(None, buckets, 1.0)})

    def covered_until(**query):
        trend = body_of(client, "/growth-trends", period="7d", **query)["trends"][0]
        return trend["previous_value"], trend["coverage"]["covered_until"]

    before = [covered_until(), covered_until(format="json"), covered_until(er_method="median")]
    clock.wait(60)

    assert before == [(970, "2026-06-12T18:00:00Z")] * 3
    assert covered_until(er_method="mean_of_posts") == (970, "2026-06-12T18:01:00Z")


def test_a_day_that_becomes_final_is_none_that_may_change_any_more(make_client, wire):
    """The 72 hours in which follows may change end an hour after midnight where the clocks were moved meanwhile."""
    plan_profile(wire, followers=None)
    plan_posts(wire, [])
    clock = MovableClock(utc("2026-03-11T07:59:40"))  # 20 seconds before one in California
    client = make_client(settings(), clock=clock)
    counts = client.application.extensions["services"].store.follower_counts
    counts.keep(ACCOUNT_ID, FollowerCount("2026-03-04", 1000, midnight(date(2026, 3, 4)) + 600.0))

    def provisional_from(**query):
        return body_of(client, "/growth-trends", period="7d", **query)["trends"][0]["provisional_from"]

    before = [provisional_from(), provisional_from(format="json")]
    clock.wait(30)

    assert before == ["2026-03-07"] * 2
    assert provisional_from(er_method="mean_of_posts") == "2026-03-08"


def test_a_value_that_could_not_be_had_is_read_again_by_the_next_request(client, wire):
    is_down = True
    plan_profile(wire)
    plan_posts(wire, [])

    def answer(query):
        if "breakdown" in query:
            return follows(gained=50, lost=20)
        # Of the current window alone: five failures in a row would open the breaker.
        is_current = float(query["until"]) > midnight(date(2026, 6, 14))
        return (500, {}) if is_down and is_current else totals(query, 7)

    plan_insights(wire, answer)

    def reach(**query):
        return body_of(client, "/growth-trends", period="7d", metrics="reach", **query)["trends"][-1]["current_value"]

    down = [reach(**query) for query in ({}, {"format": "json"}, {"er_method": "median"})]
    is_down = False

    assert (down, reach(er_method="mean_of_posts")) == ([None] * 3, 7)


@pytest.mark.parametrize("url", [USER, MEDIA])
def test_a_profile_or_list_that_could_not_be_had_is_read_again_by_the_next_request(client, wire, url):
    plan_insights(wire, lambda query: follows(gained=50, lost=20) if "breakdown" in query else totals(query, 7))
    failing = wire.get(url, json=graph_error(2), status=500)
    if url == USER:
        plan_posts(wire, [])
    else:
        plan_profile(wire)

    def numbers(**query):
        return [each["current_value"] for each in body_of(client, "/growth-trends", period="7d", **query)["trends"]]

    down = [
        numbers(metrics="posts", **query) for query in ({}, {"er_method": "median"}, {"er_method": "ratio_of_sums"})
    ]
    wire.remove(failing)
    if url == USER:
        plan_profile(wire)
    else:
        plan_posts(wire, [])

    assert down == [[None, None, 0] if url == USER else [1000, None, None]] * 3
    assert numbers(metrics="posts", er_method="ratio_of_sums", format="json") == [1000, None, 0]


def test_what_was_shown_without_the_database_is_not_shown_when_it_is_back(world, monkeypatch):
    keep_counts(world)
    path = "/growth-trends?period=7d"
    world.services.accounts.find(None)
    with monkeypatch.context() as without:
        without.setattr(world.services.store.follower_counts._database, "_connections", NoConnections())
        away = [world.body(f"{path}{more}") for more in ("", "&format=json", "&metrics=posts", "&metrics=followers")]

    back = world.body(f"{path}&until=yesterday")

    assert [body["trends"][0]["basis"] for body in away] == ["follows_and_unfollows"] * len(away)
    assert back["trends"][0]["basis"] == "history"


def test_a_kept_trend_weighs_no_less_than_its_texts_and_not_much_more(client, wire):
    plan_profile(wire)
    plan_posts(wire, [])
    plan_insights(wire, lambda _: follows(gained=50, lost=20))
    body = body_of(client, "/growth-trends", period="7d", metrics="posts")

    for trend in [ShownTrend.of(each, None) for each in body["trends"]]:
        texts = len(trend.json.text) + len(trend.line.text)
        assert texts <= trend.size - TREND_OVERHEAD <= 2 * texts
