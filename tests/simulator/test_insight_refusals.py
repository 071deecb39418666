"""Account insights that are refused: every text, and in which order the faults of a call are found."""

import pytest

from tests.simulator.caller import NOW, midnight

ACCEPTED = (
    "reach, follower_count, website_clicks, profile_views, online_followers, accounts_engaged, total_interactions, "
    "likes, comments, shares, saves, replies, engaged_audience_demographics, reached_audience_demographics, "
    "follower_demographics, follows_and_unfollows, profile_links_taps, views, threads_likes, threads_replies, reposts, "
    "quotes, threads_followers, threads_follower_demographics, content_views, threads_views, threads_clicks, "
    "threads_reposts"
)
DAY, MONTH = 86_400, 2_592_000
OLD = "(#100) since param is not valid. Metrics data is available for the last 2 years"
WIDE = "(#100) There cannot be more than 30 days (2592000 s) between since and until"
TODAY = "2026-11-21"
TOTAL = {"metric_type": "total_value"}


def refused(reply, message, *, code=100, status=400):
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["message"]) == (status, code, message)
    assert error["type"] == "OAuthException"
    assert error["fbtrace_id"]


def test_an_unknown_metric_is_named_by_its_place(caller):
    refused(caller.insights("impressions"), f"(#100) metric[0] must be one of the following values: {ACCEPTED}")
    refused(
        caller.insights("reach,views,email_contacts", **TOTAL),
        f"(#100) metric[2] must be one of the following values: {ACCEPTED}",
    )


def test_metric_and_period_are_required(caller):
    refused(caller.insights(""), "(#100) The parameter metric is required")
    refused(caller.insights("reach", period=""), "(#100) The parameter period is required")


@pytest.mark.parametrize(
    ("metric", "period"),
    [
        ("online_followers", "week"),
        ("views", "days_28"),
        ("follower_demographics", "day"),
        ("online_followers", "day"),
        ("reach", "lifetime"),
    ],
)
def test_a_period_that_does_not_fit_is_refused(caller, metric, period):
    refused(
        caller.insights(metric, period=period),
        f"(#100) The following periods ({period}) are incompatible with the metric ({metric})",
    )


def test_total_metrics_need_their_metric_type(caller):
    refused(
        caller.insights("reach,views,profile_views"),
        "(#100) The following metrics (views,profile_views) should be specified with parameter metric_type=total_value",
    )


def test_follower_count_is_no_total(caller):
    refused(
        caller.insights("follower_count", **TOTAL),
        "(#100) The following metrics (follower_count) should be specified with parameter metric_type=time_series",
    )


def test_an_unknown_metric_type_is_refused(caller):
    refused(
        caller.insights("reach", metric_type="sum"),
        "(#100) metric_type must be one of the following values: default, time_series, total_value",
    )


def test_30_days_are_the_widest_range_counted_in_seconds(caller):
    since = midnight("2026-10-01")

    assert caller.insights("reach", since=since, until=since + MONTH).status_code == 200
    refused(caller.insights("reach", since=since, until=since + MONTH + 1), WIDE)


def test_30_calendar_days_over_the_autumn_clock_change_are_too_wide(caller):
    since, until = midnight("2025-10-15"), midnight("2025-11-14") - 1

    refused(caller.insights("views", since=since, until=until, **TOTAL), WIDE)


def test_30_calendar_days_over_the_spring_clock_change_are_an_hour_short(caller):
    since, until = midnight("2026-02-20"), midnight("2026-03-22") - 1

    assert until - since < MONTH
    assert caller.insights("views", since=since, until=until, **TOTAL).status_code == 200


def test_the_look_back_is_729_days(caller):
    first = midnight(TODAY, -729)

    assert caller.insights("reach", since=first, until=first + DAY).json()["data"]
    refused(caller.insights("reach", since=midnight(TODAY, -730), until=first), OLD)


def test_a_future_since_is_refused_and_a_future_until_is_not(caller):
    now = int(NOW)

    refused(caller.insights("reach", since=now + DAY, until=now + 2 * DAY), OLD)
    assert caller.insights("reach", since=now - DAY, until=now + 2 * DAY).status_code == 200


def test_follower_count_goes_back_30_days(caller):
    assert caller.insights("follower_count", since=midnight(TODAY, -30), until=midnight(TODAY, -20)).json()["data"]
    refused(
        caller.insights("follower_count", since=midnight(TODAY, -31), until=midnight(TODAY, -20)),
        "(#100) (follower_count) metric only supports querying data for the last 30 days excluding the current day",
    )


@pytest.mark.parametrize(
    ("metric", "breakdown"),
    [
        ("follows_and_unfollows", "media_product_type"),
        ("replies", "media_product_type"),
        ("reach", "contact_button_type"),
        ("views", "media_product_type,follow_type"),
        ("reach,accounts_engaged", "follow_type"),
    ],
)
def test_a_breakdown_that_does_not_fit_is_an_unknown_error(caller, metric, breakdown):
    refused(caller.insights(metric, breakdown=breakdown, **TOTAL), "An unknown error has occurred.", code=1, status=500)


def test_an_unknown_breakdown_is_refused(caller):
    refused(
        caller.insights("views", breakdown="follower_type", **TOTAL),
        "(#100) breakdown[0] must be one of the following values: "
        "age, city, country, gender, follow_type, media_product_type, contact_button_type",
    )


def test_demographics_need_a_breakdown(caller):
    refused(
        caller.insights("follower_demographics", period="lifetime", **TOTAL),
        "(#100) The parameter breakdown is required for metric (follower_demographics)",
    )


def test_an_unknown_timeframe_is_refused(caller):
    refused(
        caller.insights("follower_demographics", period="lifetime", breakdown="age", timeframe="last_year", **TOTAL),
        "(#100) timeframe must be one of the following values: "
        "last_14_days, last_30_days, last_90_days, prev_month, this_month, this_week",
    )


def test_faults_are_found_in_the_order_metric_period_type_range_age_breakdown(caller):
    wrong = {
        "metric": "nonsense",
        "period": "week",
        "metric_type": "time_series",
        "since": midnight(TODAY, -800),
        "until": midnight(TODAY),
        "breakdown": "contact_button_type",
    }
    right = {"metric": "views", "period": "day", "metric_type": "total_value", "until": midnight(TODAY, -780)}
    beginnings = []
    for name in ("metric", "period", "metric_type", "until"):
        beginnings.append(caller.insights(**wrong).json()["error"]["message"][7:25])
        wrong[name] = right[name]
    beginnings.append(caller.insights(**wrong).json()["error"]["message"][7:25])
    beginnings.append(
        caller.insights(**{**wrong, "since": midnight(TODAY, -1), "until": NOW // 1}).json()["error"]["code"]
    )

    assert beginnings == [
        "metric[0] must be ",
        "The following peri",
        "The following metr",
        "There cannot be mo",
        OLD[7:25],
        100,
    ]


def test_a_refused_metric_takes_the_others_with_it(caller):
    assert "data" not in caller.insights("reach,likes,impressions", **TOTAL).json()


def test_ranges_may_be_iso_dates_and_nothing_else(caller):
    assert caller.insights("reach", since="2026-11-10", until="2026-11-12").json()["data"]
    refused(caller.insights("reach", since="whenever"), "(#100) Param since must be a valid timestamp")
    refused(
        caller.insights("reach", since=midnight(TODAY), until=midnight(TODAY, -1)),
        "(#100) The since parameter must be before the until parameter",
    )


@pytest.mark.parametrize("text", ["99999999999999", "-5", "9" * 400, "0001-01-01", "9999-12-31T23:59:59", "١٢"])
def test_a_moment_out_of_all_bounds_is_refused(caller, text):
    assert caller.insights("reach", since=text).json()["error"]["code"] == 100
    assert caller.insights("reach", until=text).json()["error"]["code"] == 100


def test_listed_metrics_that_no_account_has_are_left_out(caller):
    assert caller.insights("threads_views,reach", since=midnight(TODAY, -5)).json()["data"][0]["name"] == "reach"
