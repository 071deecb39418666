"""Growth trends: engagement and totals of the last days against the days before, cut by Pacific dates."""

from __future__ import annotations

from datetime import date

import pytest

from services.days import midnight
from services.errors import BusyError
from services.reasons import REASONS
from services.windows import Window
from tests.planners import NOTHING, body_of, follows, plan_insights, plan_posts, plan_profile, post, without
from tests.support import ACCOUNT_ID, graph_error, total_value

NOW, BEFORE = (date(2026, 6, 8), date(2026, 6, 14)), (date(2026, 6, 1), date(2026, 6, 7))


def rated(name, timestamp, likes, comments=0):
    """A post with its counts; without `likes` it hides them."""
    counted = post(name, timestamp, like_count=likes, comments_count=comments)
    return without(counted, "like_count") if likes is None else counted


def plan(wire, posts=(), *, followers=1000, totals=None):
    """Plan the three reads: profile, posts, and insights, of which `totals` gives those of each window."""

    def insights(query):
        if "breakdown" in query:
            return follows(gained=50, lost=20)
        found = (totals or {}).get(int(query["since"]))
        if found is None:
            return 400, graph_error(100)
        return 200, {"data": [total_value(name, found.get(name)) for name in query["metric"].split(",")]}

    plan_profile(wire, followers=followers)
    plan_posts(wire, posts)
    plan_insights(wire, insights)


def ask(client, period="7d", **query):
    body = body_of(client, "/growth-trends", period=period, **query)
    return {trend["metric"]: trend for trend in body["trends"]}, body["meta"]


def test_both_trends_of_the_documents_always_come_first(client, wire):
    plan(wire)

    trends, meta = ask(client)

    assert list(trends) == ["Follower Growth Rate", "Engagement Rate Change"]
    assert (meta["account"], meta["source"], meta["api_version"]) == (ACCOUNT_ID, "instagram", "v25.0")


def test_requested_trends_come_in_one_order_and_once(client, wire):
    plan(wire, totals={})

    trends, _ = ask(client, metrics="posts,views,reach,views,followers,Interactions Change")

    assert list(trends)[2:] == ["Reach Change", "Views Change", "Interactions Change", "Posts Change"]
    assert [trend["key"] for trend in trends.values()] == [
        *("followers", "engagement_rate", "reach", "views", "interactions", "posts")
    ]


# Engagement


def test_the_engagement_rate_is_the_mean_over_the_posts_of_each_window(client, wire):
    posts = [
        rated("d", "2026-06-14T12:00:00+0000", 90, 10),
        rated("c", "2026-06-10T12:00:00+0000", 40, 10),
        rated("b", "2026-06-05T12:00:00+0000", None, 500),
        rated("a", "2026-06-02T12:00:00+0000", 45, 5),
    ]
    plan(wire, posts)

    trends, meta = ask(client)

    trend = trends["Engagement Rate Change"]
    assert trend["current_value"] == pytest.approx(0.075)
    assert trend["previous_value"] == pytest.approx(0.05)
    assert trend["growth_rate"] == pytest.approx(50)
    assert (trend["unit"], trend["basis"], trend["reason"]) == ("fraction", "current_followers", None)
    assert trend["coverage"] == {
        "covered_until": "2026-06-15T07:00:00Z",
        "current": {"numerator": 150, "denominator": 1000, "posts_used": 2, "posts_left_out": 0},
        "previous": {"numerator": 50, "denominator": 1000, "posts_used": 1, "posts_left_out": 1},
    }
    assert [warning["code"] for warning in meta["warnings"]] == ["current_followers"]


@pytest.mark.parametrize(
    ("timestamp", "window"),
    [
        ("2026-06-15T07:00:00+0000", None),  # today
        ("2026-06-15T06:59:59+0000", "current"),
        ("2026-06-08T07:00:00+0000", "current"),
        ("2026-06-08T06:59:59+0000", "previous"),
        ("2026-06-01T07:00:00+0000", "previous"),
        ("2026-06-01T06:59:59+0000", None),
    ],
)
def test_a_post_belongs_to_the_window_of_its_pacific_day(client, wire, timestamp, window):
    plan(wire, [rated("a", timestamp, 1)])

    trends, _ = ask(client)

    coverage = trends["Engagement Rate Change"]["coverage"]
    assert [name for name in ("current", "previous") if coverage[name]["posts_used"]] == ([window] if window else [])


@pytest.mark.parametrize(
    ("posts", "followers", "reason"),
    [
        ([rated("a", "2026-06-10T12:00:00+0000", 1)], 0, "no_followers"),
        ([rated("a", "2026-06-10T12:00:00+0000", 1)], None, "followers_unknown"),
        ([], 1000, "no_posts"),
        ([rated("a", "2026-06-10T12:00:00+0000", 1)], 1000, "no_posts"),  # none in the window before
        ([rated("a", "2026-06-10T12:00:00+0000", None)], 1000, "likes_hidden"),
    ],
)
def test_without_a_base_the_change_is_unknown_with_its_reason(client, wire, posts, followers, reason):
    plan(wire, posts, followers=followers)

    trends, meta = ask(client)

    trend = trends["Engagement Rate Change"]
    assert (trend["growth_rate"], trend["reason"]) == (None, reason)
    entry = {"metric": "Engagement Rate Change", "reason": reason, "message": REASONS[reason]}
    assert meta["unavailable"][-1] == entry


@pytest.mark.parametrize(
    ("likes", "comments", "reason"),
    [
        ((None, None), 0, "likes_hidden"),
        (("12", -1), 0, "unreadable"),
        ((None, "12"), 0, "unreadable"),
        ((None, 5), None, "likes_hidden"),
        ((5, 6), None, "comments_hidden"),
        ((None, 5), "7", "unreadable"),
    ],
)
def test_posts_of_unknown_counts_are_left_out_and_the_reason_is_theirs(client, wire, likes, comments, reason):
    plan(wire, [rated(str(each), "2026-06-10T12:00:00+0000", each, comments) for each in likes])

    trend = ask(client)[0]["Engagement Rate Change"]

    assert (trend["current_value"], trend["reason"]) == (None, reason)
    assert (trend["coverage"]["current"]["posts_used"], trend["coverage"]["current"]["numerator"]) == (0, 0)
    assert trend["coverage"]["current"]["posts_left_out"] == len(set(likes))


def test_a_post_of_unreadable_likes_does_not_change_the_rate(client, wire):
    posts = [rated("b", "2026-06-10T12:00:00+0000", "12", 500), rated("a", "2026-06-10T12:00:00+0000", 40, 10)]
    plan(wire, posts)

    trend = ask(client)[0]["Engagement Rate Change"]

    assert trend["current_value"] == pytest.approx(0.05)
    assert (trend["coverage"]["current"]["posts_used"], trend["coverage"]["current"]["posts_left_out"]) == (1, 1)


def test_a_rate_that_was_zero_grows_by_100(client, wire):
    plan(wire, [rated("b", "2026-06-10T12:00:00+0000", 5), rated("a", "2026-06-02T12:00:00+0000", 0)])

    trend = ask(client)[0]["Engagement Rate Change"]

    assert (trend["previous_value"], trend["growth_rate"], trend["reason"]) == (0, 100, "zero_base")


# Totals

TOTALS = {
    midnight(NOW[0]): {"reach": 150, "views": 0, "total_interactions": 30},
    midnight(BEFORE[0]): {"reach": 100, "views": 10, "total_interactions": 0},
}


def test_totals_are_compared_with_the_window_before(client, wire):
    plan(wire, totals=TOTALS)

    trends, _ = ask(client, metrics="reach,views,interactions")

    rates = {name: (trend["growth_rate"], trend["reason"], trend["unit"]) for name, trend in trends.items()}
    assert rates["Reach Change"] == (50, None, "accounts")
    assert rates["Views Change"] == (-100, None, "views")
    assert rates["Interactions Change"] == (100, "zero_base", "interactions")
    assert trends["Reach Change"]["window"] == {"since": "2026-06-08", "until": "2026-06-14"}
    assert trends["Reach Change"]["previous_window"] == {"since": "2026-06-01", "until": "2026-06-07"}


def test_all_totals_of_a_window_share_one_call(client, wire):
    plan(wire, totals=TOTALS)

    ask(client, metrics="reach,views,interactions")

    assert len([call for call in wire.calls if "/insights" in call.request.url]) == 1 + 2


def test_an_unknown_total_of_either_window_makes_the_change_unknown(client, wire):
    plan(wire, totals={midnight(NOW[0]): {"reach": 150}, midnight(BEFORE[0]): {}})

    trends, meta = ask(client, metrics="reach,views")

    reach = trends["Reach Change"]
    assert (reach["current_value"], reach["previous_value"], reach["growth_rate"]) == (150, None, None)
    assert reach["reason"] == "not_answered"
    assert trends["Views Change"]["reason"] == "not_answered"
    assert {each["message"] for each in meta["unavailable"] if each["reason"] == "not_answered"} == {
        REASONS["not_answered"]
    }
    assert [trends[name]["provisional_from"] for name in ("Reach Change", "Views Change")] == ["2026-06-13", None]


def test_the_total_of_the_window_before_may_change_where_it_alone_is_known(client, wire):
    plan(wire, totals={midnight(NOW[0]): {}, midnight(BEFORE[0]): {"reach": 150}})

    trends, _ = ask(client, metrics="reach")

    reach = trends["Reach Change"]
    assert (reach["current_value"], reach["previous_value"]) == (None, 150)
    assert (reach["provisional_from"], reach["approximate"]) == ("2026-06-13", True)


def test_people_are_not_added_up_over_more_than_one_call_but_views_are(client, wire):
    pieces = [date(2026, 5, 15), date(2026, 5, 30), date(2026, 4, 14), date(2026, 4, 29)]
    plan(wire, totals={midnight(day): {"reach": 100, "views": 10} for day in pieces})

    trends, _ = ask(client, "31d", metrics="reach,views")

    assert trends["Reach Change"]["reason"] == "window_too_long"
    assert trends["Reach Change"]["current_value"] is None
    assert (trends["Views Change"]["current_value"], trends["Views Change"]["growth_rate"]) == (20, 0)


def test_posts_are_counted(client, wire):
    days = ["2026-06-14", "2026-06-10", "2026-06-08", "2026-06-03", "2026-06-02"]
    plan(wire, [rated(day, f"{day}T12:00:00+0000", None) for day in days])

    trend = ask(client, metrics="posts")[0]["Posts Change"]

    assert (trend["current_value"], trend["previous_value"], trend["growth_rate"]) == (3, 2, 50)


def test_a_window_that_begins_beyond_what_is_kept_is_unknown(client, wire):
    year, year_before = Window(date(2025, 6, 15), date(2026, 6, 14)), Window(date(2024, 6, 15), date(2025, 6, 14))
    plan(wire, totals={piece.since: {"views": 10} for piece in (*year.pieces(), *year_before.pieces())})

    trend = ask(client, "365d", metrics="views")[0]["Views Change"]

    assert trend["current_value"] == 10 * len(year.pieces())
    assert (trend["previous_value"], trend["growth_rate"], trend["reason"]) == (None, None, "beyond_retention")


def test_a_busy_gateway_answers_in_no_part(client, wire, monkeypatch):
    """Else callers who come at once get different bodies, though a second later each would get the whole."""
    monkeypatch.setattr("services.posts.reader.PostReader.read_with_profile", lambda *_: raise_busy())
    plan_insights(wire, lambda _query: follows(gained=50, lost=20))

    response = client.get("/growth-trends?period=7d")

    assert (response.status_code, response.get_json()["code"]) == (503, "busy")


def raise_busy():
    raise BusyError("The gateway is busy.", hint="Try again in a second.")


def test_days_of_new_followers_that_are_marked_by_another_time_are_a_warning(client, wire):
    def insights(query):
        if query["metric"] != "follower_count":
            return NOTHING
        points = [{"value": 1, "end_time": f"2026-06-{day + 1:02}T00:00:00+0000"} for day in range(8, 15)]
        return 200, {"data": [{"name": "follower_count", "values": points}]}

    plan_profile(wire)
    plan_posts(wire)
    plan_insights(wire, insights)

    trends, meta = ask(client)

    assert trends["Follower Growth Rate"]["previous_value"] == 993
    assert [warning["code"] for warning in meta["warnings"]][:1] == ["unexpected_end_time"]
