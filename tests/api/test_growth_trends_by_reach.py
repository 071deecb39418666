"""The engagement rate by each post's own reach or views: its parts, its methods, and what is left out."""

from __future__ import annotations

import json

import pytest
import responses

from tests.planners import MEDIA, NEXT_PAGE, body_of, follows, plan_insights, plan_profile, post, query_of, without
from tests.support import graph_error

NOW_DAYS = {"2026-06-12T12:00:00+0000": ("a", "b", "c", "d"), "2026-06-05T12:00:00+0000": ("e",)}
# reach, views, total_interactions; the window of seven days before the 15th has a to d, the one before it has e
NUMBERS = {"a": (100, 200, 10), "b": (1000, 4000, 20), "c": (50, 50, 25), "d": (0, 0, 0), "e": (10, 20, 1)}


@pytest.fixture
def instagram(wire):
    """Posts with insights; `answer` stands in for a page of insights, `lacking` has posts without some metrics."""

    class Instagram:
        def __init__(self):
            self.answer, self.lacking, self.pages = None, {}, 0
            self.days, self.is_cut = NOW_DAYS, False

        def media(self, request):
            if self.is_cut and "after" in query_of(request):
                return 500, {}, json.dumps(graph_error(2))
            if "insights" not in query_of(request)["fields"]:
                return self.page(lambda name, at: post(name, at, like_count=7, comments_count=3))
            self.pages += 1
            return self.answer or self.page(
                lambda name, at: {"id": name, "timestamp": at, "insights": self.insights(name)}
            )

        def page(self, item):
            posts = [item(name, at) for at, names in self.days.items() for name in names]
            more = {"next": NEXT_PAGE} if self.is_cut else {}
            return 200, {}, json.dumps({"data": posts, "paging": {"cursors": {"after": "C"}} | more})

        def insights(self, name):
            reach, views, interactions = NUMBERS[name]
            values = {"reach": reach, "views": views, "total_interactions": interactions, "saved": 1, "shares": 1}
            values = without(values, *self.lacking.get(name, ()))
            return {"data": [{"name": metric, "values": [{"value": value}]} for metric, value in values.items()]}

    instagram = Instagram()
    wire.add_callback(responses.GET, MEDIA, callback=instagram.media)
    plan_profile(wire)
    plan_insights(wire, lambda _query: follows(gained=50, lost=20))
    wire.assert_all_requests_are_fired = False
    return instagram


def rate(client, **query):
    body = body_of(client, "/growth-trends", period="7d", **query)
    return next(trend for trend in body["trends"] if trend["key"] == "engagement_rate"), body["meta"]


@pytest.mark.parametrize(
    ("basis", "method", "expected"),
    [
        ("reach", "mean_of_posts", (0.1 + 0.02 + 0.5) / 3),
        ("reach", "ratio_of_sums", 55 / 1150),
        ("reach", "median", 0.1),
        ("views", "mean_of_posts", (0.05 + 0.005 + 0.5) / 3),
        ("views", "ratio_of_sums", 55 / 4250),
        ("followers", "median", 10 / 1000),
        ("followers", "ratio_of_sums", 40 / 4 / 1000),
    ],
)
def test_each_basis_and_method(client, instagram, basis, method, expected):
    trend, _ = rate(client, er_basis=basis, er_method=method)

    assert trend["current_value"] == pytest.approx(expected)
    assert trend["basis"] == ("current_followers" if basis == "followers" else basis)
    assert trend["coverage"]["method"] == method
    assert trend["previous_value"] == pytest.approx({"reach": 0.1, "views": 0.05, "followers": 0.01}[basis])


def test_the_parts_are_in_the_reply(client, instagram):
    trend, _ = rate(client, er_basis="reach")

    assert trend["coverage"]["current"] == {
        "numerator": 55,
        "denominator": 1150,
        "posts_used": 3,
        "posts_left_out": 1,
        "left_out": {"no_reach": 1},
    }
    assert (trend["approximate"], trend["provisional_from"]) == (True, "2026-06-13")


def test_without_the_parameters_nothing_is_asked_or_added(client, instagram):
    trend, _ = rate(client)
    explicit, _ = rate(client, er_basis="followers", er_method="mean_of_posts")

    assert instagram.pages == 0
    assert trend == explicit
    assert set(trend["coverage"]) == {"covered_until", "current", "previous"}
    assert set(trend["coverage"]["current"]) == {"numerator", "denominator", "posts_used", "posts_left_out"}


def test_a_post_without_its_reach_is_left_out_for_its_reason(client, instagram):
    instagram.lacking = {"a": ("reach",), "b": ("total_interactions",)}

    trend, _ = rate(client, er_basis="reach")

    assert trend["current_value"] == pytest.approx(0.5)
    assert trend["coverage"]["current"]["left_out"] == {"not_answered": 2, "no_reach": 1}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            (400, {}, json.dumps(graph_error(10, message="(#10) Application does not have permission"))),
            "permission_denied",
        ),
        ((503, {}, "{}"), "provider_unavailable"),
        ((400, {}, json.dumps(graph_error(4, message="(#4) Application request limit reached"))), "throttled"),
    ],
)
def test_insights_that_cannot_be_read_take_no_other_trend_down(client, instagram, answer, reason):
    instagram.answer = answer

    body = body_of(client, "/growth-trends", period="7d", metrics="posts", er_basis="views")

    trends = {trend["key"]: trend for trend in body["trends"]}
    assert (trends["engagement_rate"]["current_value"], trends["engagement_rate"]["reason"]) == (None, reason)
    assert trends["posts"]["current_value"] == 4
    assert trends["followers"]["current_value"] == 1000
    unavailable = {each["metric"]: each for each in body["meta"]["unavailable"]}
    assert unavailable["Engagement Rate Change"]["reason"] == reason
    assert ("retry_after" in unavailable["Engagement Rate Change"]) == (reason != "permission_denied")


def test_a_reply_without_the_insights_of_posts_is_made_again_within_moments(client, instagram, clock):
    instagram.answer = (500, {}, json.dumps(graph_error(2)))
    failed = client.get("/growth-trends?period=7d&er_basis=reach")
    whole = client.get("/growth-trends?period=7d")

    def seconds(reply):
        return int(reply.headers["Cache-Control"].rpartition("max-age=")[2].partition(",")[0])

    assert seconds(failed) <= 60 < seconds(whole)
    instagram.answer = None
    clock.wait(61)
    assert rate(client, er_basis="reach", er_method="median")[0]["current_value"] == pytest.approx(0.1)


def test_no_insights_are_read_of_windows_whose_posts_are_not_all_known(client, instagram):
    instagram.days, instagram.is_cut = {"2026-06-12T12:00:00+0000": ("a",)}, True

    trend, _ = rate(client, er_basis="reach")

    assert (trend["current_value"], trend["reason"]) == (None, "provider_unavailable")
    assert set(trend["coverage"]["current"].values()) == {None}
    assert instagram.pages == 0


def test_top_posts_and_growth_share_the_insights(client, instagram):
    rate(client, er_basis="reach")
    assert instagram.pages == 1

    rate(client, er_basis="views", er_method="median")
    body_of(client, "/top-posts", time_range="7d", by="shares")

    assert instagram.pages == 1


def test_unknown_words_are_refused(client):
    for query in ("er_basis=impressions", "er_method=sum"):
        assert client.get(f"/growth-trends?period=7d&{query}").status_code == 400


@pytest.mark.parametrize(("day", "first"), [(12, "2026-06-13"), (5, "2026-06-13"), (20, None)])
def test_a_rate_of_either_window_may_change_with_its_insights(client, instagram, day, first):
    instagram.days = {f"2026-06-{day:02}T12:00:00+0000": ("a",)}

    trend, _ = rate(client, er_basis="reach")

    known = [trend["current_value"] is not None, trend["previous_value"] is not None]
    assert known == [day == 12, day == 5]
    assert (trend["provisional_from"], trend["approximate"]) == (first, first is not None)


@pytest.mark.parametrize("basis", ["reach", "views"])
def test_days_that_may_change_are_named_by_a_warning(client, instagram, basis):
    trend, meta = rate(client, er_basis=basis)
    by_followers, other = rate(client)

    (warning,) = [each for each in meta["warnings"] if each["code"] == "provisional_days"]
    assert trend["approximate"]
    assert warning["message"].startswith(
        f"engagement_rate: Instagram reports the days from {trend['provisional_from']}"
    )
    assert by_followers["provisional_from"] is None
    assert "provisional_days" not in [each["code"] for each in other["warnings"]]
