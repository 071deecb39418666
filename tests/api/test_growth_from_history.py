"""Growth from the history: counted followers at both ends, kept days in place of calls, and no call too many."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

import pytest
import responses

from services.days import midnight, pacific_day
from services.insights import sums_of_kept_days
from services.insights.reader import InsightsReader
from services.store.follower_counts import FollowerCount
from services.store.history import HistoryKey, HistoryValue
from services.windows import Window
from tests.planners import USER, body_of, follows, plan_insights, plan_posts, plan_profile, post
from tests.support import ACCOUNT_ID, NoConnections, graph_error, settings, total_value

TODAY = date(2026, 6, 15)
FINAL_UNTIL = date(2026, 6, 11)  # the last day that a worker has read as final
FOLLOWS = ("follows_and_unfollows", ("follow_type",))


def days(first, last):
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


class Instagram:
    """Answers insights out of a truth by day, and notes the windows that it was asked for."""

    def __init__(self, wire, truth, *, followers=1000, posts=()):
        self.truth, self.asked = truth, []
        plan_profile(wire, followers=followers)
        plan_posts(wire, list(posts))
        plan_insights(wire, self._answer)

    def _answer(self, query):
        window = Window(pacific_day(int(query["since"])), pacific_day(int(query["until"])))
        self.asked.append((query["metric"], window))
        if "breakdown" in query:
            gained, lost = (sum(self.truth[name].get(day, 0) for day in window) for name in ("gained", "lost"))
            return follows(gained=gained, lost=lost)
        return 200, {"data": [total_value(name, self.total(name, window)) for name in query["metric"].split(",")]}

    def total(self, name, window):
        return 7 if name == "reach" else sum(self.truth[name].get(day, 0) for day in window)


@pytest.fixture
def wire():
    """The provider's side of the wire, of which the tests say which calls are made."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        yield wire


@pytest.fixture
def store(client):
    return client.application.extensions["services"].store


def keep_counts(store, counts):
    for day, followers in counts.items():
        read_at = midnight(day) + 600.0
        store.follower_counts.keep(ACCOUNT_ID, FollowerCount(day.isoformat(), followers, read_at))


def keep(store, metric, values, *, breakdown=(), **more):
    """Keep values by day; those of a breakdown are its buckets."""
    keys = {HistoryKey(metric, breakdown, day.isoformat(), day.isoformat()): value for day, value in values.items()}
    kept = {
        key: HistoryValue(None, value, 1.0, **more) if breakdown else HistoryValue(value, None, 1.0, **more)
        for key, value in keys.items()
    }
    store.history.keep(ACCOUNT_ID, kept)


def ask(client, period, **query):
    body = body_of(client, "/growth-trends", period=period, **query)
    return {trend["key"]: trend for trend in body["trends"]}, body["meta"]


TRUTH = {"gained": {TODAY: 5, date(2026, 6, 10): 10}, "lost": {date(2026, 6, 9): 3}}


# Followers


def test_followers_that_were_counted_at_both_ends_are_exact_and_cost_no_call(client, wire, store):
    instagram = Instagram(wire, TRUTH, followers=1100)
    keep_counts(store, {date(2026, 6, 8): 1000, date(2026, 6, 11): 1050})

    trends, meta = ask(client, "7d")

    trend = trends["followers"]
    assert (trend["current_value"], trend["previous_value"], trend["growth_rate"]) == (1100, 1000, 10)
    assert (trend["basis"], trend["approximate"], trend["provisional_from"]) == ("history", False, None)
    assert trend["coverage"] == {
        "covered_until": "2026-06-15T18:00:00Z",
        "start_counted_at": "2026-06-08T07:10:00Z",
        "end_counted_at": "2026-06-15T18:00:00Z",
        "gap_days": [f"2026-06-{day:02}" for day in (9, 10, 12, 13, 14)],
    }
    assert instagram.asked == []
    assert "follows_not_reported_yet" not in [warning["code"] for warning in meta["warnings"]]


@pytest.fixture
def down(wire):
    """Instagram answers nothing."""
    for path in ("", "/media", "/insights"):
        wire.get(f"{USER}{path}", json=graph_error(2), status=500)


@pytest.mark.usefixtures("down")
@pytest.mark.parametrize(("start", "end", "rate", "reason"), [(1000, 1080, 8, None), (0, 10, 100, "zero_base")])
def test_followers_counted_at_both_ends_need_no_answer_of_instagram(client, store, start, end, *, rate, reason):
    keep_counts(store, {date(2026, 6, 6): start, date(2026, 6, 13): end})

    followers, engagement = ask(client, "7d", until="complete")[0].values()

    assert (followers["previous_value"], followers["current_value"]) == (start, end)
    assert (followers["growth_rate"], followers["reason"], followers["approximate"]) == (rate, reason, False)
    assert (engagement["growth_rate"], engagement["reason"]) == (None, "provider_unavailable")


@pytest.mark.usefixtures("down")
@pytest.mark.parametrize("day", [6, 13])
def test_a_count_at_one_end_makes_no_growth_while_instagram_is_down(client, store, day):
    keep_counts(store, {date(2026, 6, day): 1000})

    response = client.get("/growth-trends?period=7d&until=complete")

    assert (response.status_code, response.get_json()["code"]) == (503, "provider_unavailable")


def test_without_a_count_at_the_start_the_next_basis_is_used_and_the_gaps_are_listed(client, wire, store):
    Instagram(wire, TRUTH, followers=1100)
    keep_counts(store, {date(2026, 6, 9): 1000})

    trend = ask(client, "7d")[0]["followers"]

    assert (trend["previous_value"], trend["basis"], trend["approximate"]) == (1088, "follows_and_unfollows", True)
    assert trend["coverage"]["gap_days"] == [f"2026-06-{day:02}" for day in (8, 10, 11, 12, 13, 14)]
    assert (trend["coverage"]["start_counted_at"], trend["coverage"]["covered_until"]) == (None, "2026-06-12T18:00:00Z")


def test_counts_of_earlier_days_alone_list_no_gaps_of_the_window(client, wire, store):
    Instagram(wire, TRUTH, followers=1100)
    keep_counts(store, {date(2026, 5, 20): 900})

    week, month = (ask(client, period)[0]["followers"]["coverage"] for period in ("7d", "30d"))

    assert set(week) == {"covered_until"}
    assert len(month["gap_days"]) == 29


COUNTED = {date(2026, 6, 6): 1000, date(2026, 6, 13): 1080}


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (
            (6, 13),
            (1080, 1000, "history", "2026-06-06T07:10:00Z", "2026-06-13T07:10:00Z", "2026-06-13T07:10:00Z"),
        ),
        ((6,), (1095, 1000, "history", "2026-06-06T07:10:00Z", None, "2026-06-12T18:00:00Z")),
        ((13,), (1080, 1088, FOLLOWS[0], None, "2026-06-13T07:10:00Z", "2026-06-12T18:00:00Z")),
    ],
    ids=["both ends", "the start", "the end"],
)
def test_a_window_that_ended_before_now_has_the_counts_of_its_own_ends(client, wire, store, days, expected):
    instagram = Instagram(wire, TRUTH, followers=1100)
    keep_counts(store, {day: count for day, count in COUNTED.items() if day.day in days})

    trend = ask(client, "7d", until="complete")[0]["followers"]

    coverage, is_exact = trend["coverage"], len(days) == len(COUNTED)
    values = trend["current_value"], trend["previous_value"], trend["basis"]
    moments = (coverage[name] for name in ("start_counted_at", "end_counted_at", "covered_until"))
    assert trend["window"] == {"since": "2026-06-06", "until": "2026-06-12"}
    assert (*values, *moments) == expected
    assert coverage["gap_days"][0] == f"2026-06-0{7 if 6 in days else 6}"
    assert (trend["approximate"], trend["provisional_from"]) == (not is_exact, None if is_exact else "2026-06-12")
    assert len(instagram.asked) == (0 if is_exact else 1)


def test_the_present_count_is_as_old_as_the_profile_and_not_as_the_insights_beside_it(client, wire, store, clock):
    Instagram(wire, TRUTH | {"views": {}}, followers=1100)
    keep_counts(store, {date(2026, 6, 8): 1000})
    ask(client, "7d")
    clock.wait(600)

    coverage = ask(client, "7d", metrics="views")[0]["followers"]["coverage"]

    assert (coverage["end_counted_at"], coverage["covered_until"]) == ("2026-06-15T18:00:00Z",) * 2


def test_a_rate_of_counted_ends_has_no_reason_although_the_profile_could_not_be_read(client, wire, store):
    wire.get(USER, json=graph_error(2), status=500)
    plan_posts(wire, [])
    keep_counts(store, {date(2026, 6, 6): 1000, date(2026, 6, 13): 1080})

    trend = ask(client, "7d", until="complete")[0]["followers"]

    assert (trend["current_value"], trend["growth_rate"], trend["reason"]) == (1080, 8, None)


def test_a_count_that_comes_meanwhile_is_seen_once_it_is_announced(client, wire, store):
    Instagram(wire, TRUTH, followers=1100)
    before = ask(client, "7d")[0]["followers"]
    keep_counts(store, {date(2026, 6, 8): 1000})
    client.application.extensions["services"].cache.announce_change(ACCOUNT_ID)

    after = ask(client, "7d")[0]["followers"]

    assert (before["basis"], after["basis"], after["previous_value"]) == ("follows_and_unfollows", "history", 1000)


def test_growth_of_a_year_is_counted_where_the_count_of_its_first_day_is_kept(client, wire, store):
    instagram = Instagram(wire, TRUTH, followers=1100)
    first = TODAY - timedelta(days=365)
    keep_counts(store, {day: 500 + number for number, day in enumerate(days(first, TODAY)) if number % 7 != 3})

    trend = ask(client, "365d")[0]["followers"]

    assert (trend["previous_value"], trend["growth_rate"], trend["approximate"]) == (500, 120, False)
    assert trend["coverage"]["gap_days"] == [
        day.isoformat() for number, day in enumerate(days(first, TODAY - timedelta(days=1))) if number % 7 == 3
    ]
    assert instagram.asked == []


# Engagement


def rated(day, likes):
    return post(day, f"{day}T12:00:00+0000", like_count=likes, comments_count=0)


POSTS = [rated("2026-06-13", 90), rated("2026-06-10", 60), rated("2026-06-03", 45)]


def test_each_window_is_divided_by_the_followers_at_its_own_end(client, wire, store):
    Instagram(wire, TRUTH, followers=1500, posts=POSTS)
    keep_counts(store, {date(2026, 6, 8): 900})

    trends, meta = ask(client, "7d")

    trend = trends["engagement_rate"]
    assert trend["basis"] == "followers_at_end"
    assert trend["current_value"] == pytest.approx((90 + 60) / 2 / 1500)
    assert trend["previous_value"] == pytest.approx(45 / 900)
    assert (trend["coverage"]["current"]["denominator"], trend["coverage"]["previous"]["denominator"]) == (1500, 900)
    assert trend["coverage"]["previous"]["counted_at"] == "2026-06-08T07:10:00Z"
    assert "current_followers" not in [warning["code"] for warning in meta["warnings"]]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, ("current_followers", 1500, 1500)),
        ({date(2026, 6, 6): 900}, ("current_followers", 1500, 1500)),  # The end of the window was not counted.
        ({date(2026, 6, 6): 900, date(2026, 6, 13): 1400}, ("followers_at_end", 1400, 900)),
    ],
)
def test_followers_of_different_times_are_compared_only_if_both_were_counted(client, wire, store, counts, expected):
    Instagram(wire, TRUTH, followers=1500, posts=POSTS)
    keep_counts(store, counts)

    trend = ask(client, "7d", until="complete")[0]["engagement_rate"]

    current, previous = trend["coverage"]["current"], trend["coverage"]["previous"]
    assert (trend["basis"], current["denominator"], previous["denominator"]) == expected
    assert ("counted_at" in current) is (trend["basis"] == "followers_at_end")


# Totals over long windows


@pytest.fixture
def truth():
    random = Random(11)
    names = ("views", "total_interactions", "gained", "lost")
    return {name: {day: random.randrange(1, 90) for day in days(date(2024, 6, 1), TODAY)} for name in names}


def keep_truth(store, truth, first, last=FINAL_UNTIL, *, without=()):
    kept = [day for day in days(first, last) if day not in without]
    for metric in ("views", "total_interactions"):
        keep(store, metric, {day: truth[metric][day] for day in kept})
    buckets = {day: {("FOLLOWER",): truth["gained"][day], ("NON_FOLLOWER",): truth["lost"][day]} for day in kept}
    keep(store, *FOLLOWS[:1], buckets, breakdown=FOLLOWS[1])


def test_kept_days_of_a_year_are_added_up_and_only_the_last_days_are_requested(client, wire, store, truth):
    instagram = Instagram(wire, truth, followers=50_000)
    keep_truth(store, truth, date(2024, 6, 1))

    trends, _ = ask(client, "365d", metrics="views,interactions,reach")

    year, before = Window(date(2025, 6, 15), date(2026, 6, 14)), Window(date(2024, 6, 15), date(2025, 6, 14))
    for key, metric in (("views", "views"), ("interactions", "total_interactions")):
        expected = tuple(sum(truth[metric][day] for day in window) for window in (year, before))
        assert (trends[key]["current_value"], trends[key]["previous_value"]) == expected
    gains = sum(truth["gained"][day] - truth["lost"][day] for day in [*year, TODAY])
    assert trends["followers"]["previous_value"] == 50_000 - gains
    assert trends["reach"]["reason"] == "window_too_long"
    rest = Window(date(2026, 6, 12), date(2026, 6, 14))
    assert sorted(instagram.asked) == sorted(
        [("views,total_interactions", rest), ("follows_and_unfollows", Window(rest.first, TODAY))]
    )


def test_days_that_are_missing_within_are_requested_and_nothing_is_interpolated(client, wire, store, truth):
    instagram = Instagram(wire, truth)
    gaps = [date(2026, 1, 4), date(2026, 1, 5), date(2026, 3, 1)]
    keep_truth(store, truth, date(2025, 6, 1), without=gaps)
    keep_counts(store, {date(2025, 12, 17): 800})

    trends, _ = ask(client, "180d", metrics="views")

    window = Window(date(2025, 12, 17), date(2026, 6, 14))
    assert trends["views"]["current_value"] == sum(truth["views"][day] for day in window)
    assert ("views", Window(*gaps[:2])) in instagram.asked
    assert ("views", Window(gaps[2], gaps[2])) in instagram.asked


def test_provisional_and_unknown_days_are_not_added_up_from_the_history(client, wire, store, truth):
    instagram = Instagram(wire, truth, followers=50_000)
    wrong = [date(2026, 5, 1), date(2026, 5, 2)]
    keep_truth(store, truth, date(2025, 12, 1), without=wrong)
    keep(store, "views", {wrong[0]: 1_000_000}, final=False)
    keep(store, "views", {wrong[1]: None}, reason="not_answered")
    keep(store, FOLLOWS[0], {wrong[1]: {("FOLLOWER",): 5, ("NON_FOLLOWER",): None}}, breakdown=FOLLOWS[1])

    trends, _ = ask(client, "90d", metrics="views")

    window = Window(date(2026, 3, 17), date(2026, 6, 14))
    gains = sum(truth["gained"][day] - truth["lost"][day] for day in [*window, TODAY])
    assert trends["followers"]["previous_value"] == 50_000 - gains
    assert trends["views"]["current_value"] == sum(truth["views"][day] for day in window)
    assert ("views", Window(*wrong)) in instagram.asked


def test_a_history_with_many_gaps_takes_no_more_calls_than_none(client, wire, store, truth):
    instagram = Instagram(wire, truth)
    keep_truth(store, truth, date(2026, 1, 1), without=days(date(2026, 1, 1), TODAY)[::2])
    keep_counts(store, {date(2026, 3, 17): 800})

    trends, _ = ask(client, "90d", metrics="views")

    window = Window(date(2026, 3, 17), date(2026, 6, 14))
    assert trends["views"]["current_value"] == sum(truth["views"][day] for day in window)
    assert len(instagram.asked) == len(window.pieces()) + len(window.before().pieces())


def test_days_between_that_cost_as_many_calls_as_the_window_are_requested_with_it(client, wire, store, truth):
    instagram = Instagram(wire, truth)
    keep_truth(store, truth, date(2026, 1, 1), TODAY, without=[date(2026, 5, 1), date(2026, 5, 20)])
    keep_counts(store, {date(2026, 4, 16): 800})

    trends, _ = ask(client, "60d", metrics="views")

    window = Window(date(2026, 4, 16), date(2026, 6, 14))
    assert trends["views"]["current_value"] == sum(truth["views"][day] for day in window)
    assert sorted(instagram.asked) == [("views", piece) for piece in window.pieces()]


@pytest.mark.parametrize("last_of_others", [date(2026, 6, 1), date(2025, 11, 30)], ids=["fewer days", "none"])
def test_of_metrics_that_are_kept_for_different_days_each_is_the_sum_of_its_own(
    client, wire, store, truth, last_of_others
):
    Instagram(wire, truth)
    for metric, last in (("views", FINAL_UNTIL), ("total_interactions", last_of_others)):
        keep(store, metric, {day: truth[metric][day] for day in days(date(2025, 12, 1), last)})

    trends, _ = ask(client, "90d", metrics="views,interactions")

    window = Window(date(2026, 3, 17), date(2026, 6, 14))
    for key, metric in (("views", "views"), ("interactions", "total_interactions")):
        assert trends[key]["current_value"] == sum(truth[metric][day] for day in window)


def test_a_year_whose_first_days_are_gone_is_unknown_without_a_call_for_the_rest(client, wire, store, truth):
    instagram = Instagram(wire, truth)
    keep_counts(store, {date(2025, 6, 15): 800})

    trends, meta = ask(client, "365d", metrics="views")

    year = Window(date(2025, 6, 15), date(2026, 6, 14))
    assert trends["views"]["current_value"] == sum(truth["views"][day] for day in year)
    assert (trends["views"]["previous_value"], trends["views"]["reason"]) == (None, "beyond_retention")
    assert len(instagram.asked) == len(year.pieces())
    assert [entry["reason"] for entry in meta["unavailable"]] == ["no_posts", "beyond_retention"]


def test_a_window_whose_first_days_are_gone_costs_no_call_for_other_days_that_are_missing(client, wire, store, truth):
    instagram = Instagram(wire, truth)
    keep_counts(store, {date(2025, 6, 15): 800})
    year = Window(date(2025, 6, 15), date(2026, 6, 14))
    before = days(date(2024, 7, 1), date(2025, 6, 14))
    keep(store, "views", {day: truth["views"][day] for day in before if day != date(2025, 3, 1)})

    trends, _ = ask(client, "365d", metrics="views")

    assert (trends["views"]["previous_value"], trends["views"]["reason"]) == (None, "beyond_retention")
    assert sorted(instagram.asked) == [("views", piece) for piece in year.pieces()]


@pytest.mark.usefixtures("down")
def test_where_all_is_kept_for_good_a_reply_is_as_old_as_the_oldest_day_of_any_metric(client, store, truth):
    kept = days(date(2025, 6, 1), date(2026, 6, 14))
    keep(store, "views", {day: truth["views"][day] for day in kept})
    interactions = {
        HistoryKey("total_interactions", (), str(day), str(day)): HistoryValue(
            truth["total_interactions"][day], None, 9.0
        )
        for day in kept
    }
    store.history.keep(ACCOUNT_ID, interactions)

    trends, meta = ask(client, "90d", until="complete", metrics="views,interactions")

    assert all(isinstance(trends[key]["growth_rate"], float) for key in ("views", "interactions"))
    assert meta["fetched_at"] == "1970-01-01T00:00:01Z"


def test_the_days_of_both_windows_and_of_all_metrics_are_read_by_one_statement(client, wire, store, truth, statements):
    instagram = Instagram(wire, truth)
    window = Window(date(2026, 3, 15), date(2026, 6, 12))
    keep_truth(store, truth, window.before().first, window.last)
    keep_counts(store, {window.first: 800, date(2026, 6, 13): 900})
    statements.clear()

    trends, _ = ask(client, "90d", until="complete", metrics="views,interactions")

    assert trends["views"]["current_value"] == sum(truth["views"][day] for day in window)
    assert trends["views"]["previous_value"] == sum(truth["views"][day] for day in window.before())
    assert instagram.asked == []
    assert len([each for each in statements if each.startswith("SELECT") and "FROM metric_values" in each]) == 1


def test_a_day_that_is_kept_while_a_long_window_is_read_counts_in_the_next_reply(
    client, wire, store, truth, monkeypatch
):
    Instagram(wire, truth)
    keep_truth(store, truth, date(2025, 12, 1))
    read, later = InsightsReader.read, Window(date(2026, 5, 1), date(2026, 5, 1))

    def read_during_a_change(*arguments, **options):
        found = read(*arguments, **options)
        key = HistoryKey("views", (), later.first.isoformat(), later.last.isoformat())
        store.history.keep(ACCOUNT_ID, {key: HistoryValue(truth["views"][later.first] + 1000, None, 2.0)})
        client.application.extensions["services"].cache.announce_change(ACCOUNT_ID)
        return found

    with monkeypatch.context() as changing:
        changing.setattr(InsightsReader, "read", read_during_a_change)
        before = ask(client, "90d", metrics="views")[0]["views"]["current_value"]
    after = ask(client, "90d", metrics="views")[0]["views"]["current_value"]

    assert after == before + 1000


def test_days_that_were_kept_moments_ago_are_not_requested_again_for_a_long_window(client, wire, truth):
    instagram = Instagram(wire, truth, followers=50_000)
    window = Window(date(2026, 4, 16), date(2026, 6, 12))
    query = {"period": "day", "metrics": FOLLOWS[0], "breakdown": FOLLOWS[1][0]}
    body_of(client, "/account-insights", **query, since=str(window.first), until=str(window.last))
    instagram.asked.clear()

    trends, _ = ask(client, "60d")

    gains = sum(truth["gained"][day] - truth["lost"][day] for day in days(window.first, TODAY))
    assert trends["followers"]["previous_value"] == 50_000 - gains
    assert [name for name, _ in instagram.asked] == [FOLLOWS[0]]


def test_values_of_long_windows_are_remembered_within_a_bound_that_counts_what_they_are_made_of(
    make_client, wire, truth, monkeypatch, statements
):
    Instagram(wire, truth)

    def is_read_again(most):
        monkeypatch.setattr(sums_of_kept_days, "MOST_RECENT", most)
        client = make_client(settings())
        keep_truth(client.application.extensions["services"].store, truth, date(2025, 12, 1))
        for query in ({}, {"format": "json"}):
            ask(client, "90d", metrics="views", **query)
        statements.clear()
        ask(client, "90d", metrics="views", er_method="median")
        return any("FROM metric_values" in statement for statement in statements)

    # Three values, which have more than two entries.
    assert [is_read_again(most) for most in (5, 1_000)] == [True, False]


def test_without_the_database_growth_is_worked_out_as_before(client, wire, store, monkeypatch):
    Instagram(wire, TRUTH, followers=1100)
    keep_counts(store, {date(2026, 6, 8): 1000})
    client.application.extensions["services"].accounts.find(None)
    monkeypatch.setattr(store.follower_counts._database, "_connections", NoConnections())

    trend = ask(client, "7d")[0]["followers"]

    assert (trend["previous_value"], trend["basis"]) == (1088, "follows_and_unfollows")
