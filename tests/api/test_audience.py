"""GET /audience: demographics and followers online, read by name, each failure its own."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
import responses

from services.days import EndTime, midnight, provider_time
from tests.planners import NOTHING, body_of, plan_insights, plan_profile, totals
from tests.support import graph_error, table_rows, total_value, utc

PATH = "/audience"
FOLLOWERS, ENGAGED, ONLINE = "follower_demographics", "engaged_audience_demographics", "online_followers"
ONE = f"{PATH}?metrics={FOLLOWERS}&breakdown=country"
TODAY = date(2026, 6, 15)
NAMES = {
    "age": ["25-34", "18-24"],
    "gender": ["F", "M"],
    "city": ["Lisboa, Lisboa", "=Oporto"],
    "country": ["PT", "br"],
}
HOURS = {str(hour): 10 + hour for hour in range(24)}


def table(name, breakdown, values=(30, 70)):
    return total_value(
        name, None, [([breakdown], [([each], count) for each, count in zip(NAMES[breakdown], values, strict=True)])]
    )


def days_online(query, hours=HOURS):
    """A point for each day whose end_time lies in the range of a query."""
    days = [TODAY - timedelta(days=back) for back in range(40, 0, -1)]
    points = [(day, EndTime.DAY_END.of(day)) for day in days]
    values = [
        {"value": dict(hours), "end_time": provider_time(end_time)}
        for day, end_time in points
        if int(query["since"]) <= end_time <= int(query["until"])
    ]
    return {"name": ONLINE, "period": "lifetime", "values": values}


class Provider:
    """Answers the audience, and keeps the queries."""

    def __init__(self):
        self.queries = []
        self.special = {}  # by metric: the answer to each query that names it

    def __call__(self, query):
        self.queries.append(query)
        names = query["metric"].split(",")
        for name in names:
            if name in self.special:
                answer = self.special[name](query) if callable(self.special[name]) else self.special[name]
                if answer is not None:
                    return answer
        if names == [ONLINE]:
            return 200, {"data": [days_online(query)]}
        if names == ["reach"]:
            return totals(query, 7)
        return 200, {"data": [table(name, query["breakdown"]) for name in names]}


@pytest.fixture
def provider():
    provider = Provider()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as provider.wire:
        plan_insights(provider.wire, provider)
        yield provider


def results_of(body, metric=FOLLOWERS, breakdown="country"):
    [found] = [each for each in body["demographics"] if (each["metric"], each["breakdown"]) == (metric, breakdown)]
    rows = found["results"]
    return (None if rows is None else {row["key"]: row["value"] for row in rows}), found.get("reason")


def reasons_of(body):
    return {(each["metric"], each["reason"]) for each in body["meta"]["unavailable"]}


# What is asked for


def test_everything_takes_five_calls_and_a_second_request_none(client, provider):
    body = body_of(client, PATH)
    again = body_of(client, PATH)

    assert body == again
    assert len(provider.queries) == 5
    tables = [query for query in provider.queries if query["metric"] != ONLINE]
    assert sorted(query["breakdown"] for query in tables) == ["age", "city", "country", "gender"]
    for query in tables:
        assert (query["metric"], query["period"], query["metric_type"]) == (
            f"{FOLLOWERS},{ENGAGED}",
            "lifetime",
            "total_value",
        )
        assert query["timeframe"] == "this_month"
        assert not {"since", "until"} & query.keys()
    assert [
        (each["metric"], each["breakdown"], each["timeframe"], each["days"]) for each in body["demographics"][:2]
    ] == [
        (FOLLOWERS, "age", "this_month", 30),
        (FOLLOWERS, "gender", "this_month", 30),
    ]
    assert [day["date"] for day in body["online_followers"]] == [f"2026-06-{day:02}" for day in range(8, 15)]
    assert all(day["hours"] == list(range(10, 34)) for day in body["online_followers"])
    assert (body["meta"]["tz"], body["meta"]["minimum_followers"], body["meta"]["most_results"]) == (
        "America/Los_Angeles",
        100,
        45,
    )
    assert (body["meta"]["unavailable"], body["meta"]["warnings"], body["meta"]["stale"]) == ([], [], False)


def test_a_request_asks_for_what_it_names_only(client, provider):
    body = body_of(client, f"{PATH}?metrics={ENGAGED}&breakdowns=age&breakdown=gender&timeframe=this_week")

    assert sorted((query["metric"], query["breakdown"], query["timeframe"]) for query in provider.queries) == [
        (ENGAGED, "age", "this_week"),
        (ENGAGED, "gender", "this_week"),
    ]
    assert {each["days"] for each in body["demographics"]} == {7}
    assert "this_week means the last 7 days" in body["demographics"][0]["description"]
    assert body["online_followers"] == []


def test_a_later_request_fetches_only_what_is_missing(client, provider):
    body_of(client, ONE)
    body_of(client, f"{PATH}?metrics={FOLLOWERS},{ENGAGED}&breakdowns=country,age")

    assert sorted((query["metric"], query["breakdown"]) for query in provider.queries[1:]) == [
        (ENGAGED, "country"),
        (f"{FOLLOWERS},{ENGAGED}", "age"),
    ]


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("metrics=reached_audience", "metrics"),
        ("breakdowns=ages", "age"),
        ("timeframe=last_90_days", "this_week, this_month"),
        ("days=31", "1 to 30"),
        ("days=0", "1 to 30"),
        ("day=7", "Did you mean days?"),
    ],
)
def test_a_wrong_parameter_is_refused_with_what_is_accepted(client, query, word):
    response = client.get(f"{PATH}?{query}")

    assert response.status_code == 400
    assert word in f"{response.get_json()['message']} {response.get_json()['hint']}"


# How answers are read


def parts(keys, rows):
    return 200, {"data": [total_value(FOLLOWERS, None, [(keys, rows)])]}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (parts(["timeframe", "country"], [(["LAST_90_DAYS", "BE"], 10)]), {"BE": 10}),
        (parts(["country", "timeframe"], [(["BE", "THIS_MONTH"], 10), (["BE", "THIS_WEEK"], 3)]), {"BE": 10}),
        (parts(["Country"], [(["BE"], 10), (["xx"], 1)]), {"BE": 10, "xx": 1}),
        (parts(["country"], [(["BE"], 10), (["BE"], 11), (["NL"], 5)]), {"NL": 5, "BE": None}),
        (parts(["country"], [(["BE"], "many"), (["NL"], 5), (["X", "Y"], 5)]), {"NL": 5, "BE": None}),
        (parts(["country"], [(["BE"], 0)]), {"BE": 0}),
    ],
)
def test_keys_are_read_by_the_name_of_their_dimension(client, provider, answer, expected):
    provider.special[FOLLOWERS] = answer

    assert results_of(body_of(client, ONE)) == (expected, None)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (NOTHING, "not_answered"),
        ((200, {"data": [{"name": FOLLOWERS}]}), "not_answered"),
        (
            (200, {"data": [{"name": FOLLOWERS, "total_value": {"breakdowns": [{"dimension_keys": ["country"]}]}}]}),
            "not_answered",
        ),
        (parts(["country"], []), "not_answered"),
        (parts(["city"], [(["BE"], 10)]), "not_answered"),
        (parts(["country"], [(["BE"], "many")]), "unreadable"),
        ((200, {"data": [{"name": FOLLOWERS, "total_value": 7}]}), "unreadable"),
    ],
)
def test_empty_is_unknown_and_never_zero(client, provider, answer, reason):
    provider.special[FOLLOWERS] = answer
    plan_profile(provider.wire)

    body = body_of(client, ONE)

    assert results_of(body) == (None, reason)
    assert reasons_of(body) == {(FOLLOWERS, reason)}


@pytest.mark.parametrize(
    ("followers", "reason"), [(99, "few_followers"), (100, "not_answered"), (None, "not_answered")]
)
def test_a_small_account_is_the_reason_where_it_is_one(client, provider, followers, reason):
    provider.special = dict.fromkeys((FOLLOWERS, ENGAGED, ONLINE), NOTHING)
    plan_profile(provider.wire, followers=followers)

    body = body_of(client, PATH)

    assert reasons_of(body) == {(FOLLOWERS, reason), (ENGAGED, "not_answered"), (ONLINE, reason)}
    (engaged,) = (each for each in body["meta"]["unavailable"] if each["metric"] == ENGAGED)
    assert "100 engagements" in engaged["message"]
    assert "100" in body["meta"]["unavailable"][0]["message"]
    assert {day["reason"] for day in body["online_followers"]} == {reason}


def test_a_reason_that_rests_on_the_followers_is_as_old_as_their_number(client, provider, clock):
    provider.special[FOLLOWERS] = NOTHING
    plan_profile(provider.wire, followers=99)
    first = body_of(client, ONE)["meta"]
    clock.wait(600)

    later = body_of(client, ONE.replace("country", "city"))

    assert reasons_of(later) == {(FOLLOWERS, "few_followers")}
    assert later["meta"]["fetched_at"] == first["fetched_at"]


def test_a_full_list_says_that_it_may_be_cut(client, provider):
    rows = [([f"City {number}"], 100 - number) for number in range(45)]
    provider.special[FOLLOWERS] = 200, {"data": [total_value(FOLLOWERS, None, [(["city"], rows)])]}

    body = body_of(client, f"{PATH}?metrics={FOLLOWERS}&breakdown=city")

    assert len(body["demographics"][0]["results"]) == 45
    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["top_45_only"]


def online(client, days=1):
    body = body_of(client, f"{PATH}?metrics={ONLINE}&days={days}")
    return body, {day["date"]: (day["hours"], day.get("reason")) for day in body["online_followers"]}


@pytest.mark.parametrize(
    ("hours", "expected", "reason"),
    [
        (HOURS, list(range(10, 34)), None),
        (dict(reversed(HOURS.items())), list(range(10, 34)), None),
        ({f"{hour:02}": hour for hour in range(24)}, list(range(24)), None),
        (
            {name: count for name, count in HOURS.items() if name != "3"},
            [10, 11, 12, None, *range(14, 34)],
            "not_answered",
        ),
        ({**HOURS, "3": "many"}, [10, 11, 12, None, *range(14, 34)], "not_answered"),
        ({}, [None] * 24, "not_answered"),
        (None, [None] * 24, "not_answered"),
        ([1, 2], [None] * 24, "unreadable"),
        (17, [None] * 24, "unreadable"),
    ],
)
def test_hours_are_read_by_name_and_an_empty_day_is_unknown(client, provider, hours, expected, reason):
    point = {"value": hours, "end_time": provider_time(EndTime.DAY_END.of(TODAY - timedelta(days=1)))}
    provider.special[ONLINE] = 200, {"data": [{"name": ONLINE, "values": [point]}]}
    plan_profile(provider.wire)

    _, found = online(client)

    assert found == {"2026-06-14": (expected, reason)}


def test_an_hour_that_no_day_has_is_named(client, provider):
    provider.special[ONLINE] = lambda query: (200, {"data": [days_online(query, {**HOURS, "24": 5})]})

    body, found = online(client)

    assert found["2026-06-14"] == (list(range(10, 34)), None)
    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["hours_unknown"]


def test_the_last_two_days_may_be_refused_without_the_others(client, provider):
    def refuse_late_days(query):
        return (400, graph_error(100)) if int(query["until"]) > EndTime.DAY_END.of(date(2026, 6, 12)) else None

    provider.special[ONLINE] = refuse_late_days
    plan_profile(provider.wire)

    _, found = online(client, days=4)

    assert [(day, hours[0], reason) for day, (hours, reason) in found.items()] == [
        ("2026-06-11", 10, None),
        ("2026-06-12", 10, None),
        ("2026-06-13", None, "not_answered"),
        ("2026-06-14", None, "not_answered"),
    ]
    assert len(provider.queries) == 2


def test_a_refusal_of_days_that_are_not_reported_yet_is_none_of_the_metric(client, provider):
    provider.special[ONLINE] = lambda query: (
        (400, graph_error(100)) if int(query["until"]) > EndTime.DAY_END.of(date(2026, 6, 12)) else None
    )
    plan_profile(provider.wire)

    _, yesterday = online(client, days=1)
    _, found = online(client, days=3)

    assert yesterday == {"2026-06-14": ([None] * 24, "not_answered")}
    assert found["2026-06-12"] == (list(range(10, 34)), None)


# Failures


def test_a_refusal_of_all_is_checked_with_the_day_before_in_california(client, provider, clock):
    clock.set(utc("2026-06-15T05:00:00"))
    provider.special |= dict.fromkeys((FOLLOWERS, "reach"), (400, graph_error(100)))

    client.get(ONE)

    (check,) = [query for query in provider.queries if query["metric"] == "reach"]
    assert int(check["since"]) == midnight(date(2026, 6, 13))


def test_what_is_unavailable_is_listed_in_the_order_of_the_request(client, provider):
    empty = {"country": 7, "age": {}}
    provider.special = {
        ENGAGED: (400, graph_error(100, message="no such metric")),
        FOLLOWERS: lambda query: (200, {"data": [{"name": FOLLOWERS, "total_value": empty[query["breakdown"]]}]}),
    }
    plan_profile(provider.wire)
    client.get(f"{PATH}?metrics={ENGAGED}&breakdown=age")  # Its refusal is known before the rest is fetched.

    body = body_of(client, f"{PATH}?metrics={FOLLOWERS},{ENGAGED}&breakdown=country,age")

    assert [(each["metric"], each["reason"]) for each in body["meta"]["unavailable"]] == [
        (FOLLOWERS, "unreadable"),
        (FOLLOWERS, "not_answered"),
        (ENGAGED, "not_answered"),
        (ENGAGED, "refused"),
    ]


def test_a_refused_metric_does_not_affect_the_other_and_is_remembered(client, provider, clock):
    provider.special[ENGAGED] = 400, graph_error(100, message="no such metric")
    path = f"{PATH}?metrics={FOLLOWERS},{ENGAGED}&breakdown=age"

    first = body_of(client, path)
    clock.wait(700)
    later = body_of(client, path)
    clock.wait(3000)
    del provider.special[ENGAGED]
    last = body_of(client, path)

    for body in (first, later):
        assert results_of(body, breakdown="age") == ({"18-24": 70, "25-34": 30}, None)
        assert results_of(body, ENGAGED, "age") == (None, "refused")
        assert reasons_of(body) == {(ENGAGED, "refused")}
        assert "no such metric" in body["meta"]["unavailable"][0]["message"]
    assert results_of(last, ENGAGED, "age")[0] is not None
    assert [query["metric"] for query in provider.queries] == [f"{FOLLOWERS},{ENGAGED}", FOLLOWERS, ENGAGED, ENGAGED]


@pytest.mark.parametrize("path", [PATH, ONE, f"{PATH}?metrics={ONLINE}&days=20"])
def test_a_refusal_of_all_is_one_of_the_request_where_other_metrics_are_refused_as_well(client, provider, clock, path):
    provider.special = dict.fromkeys((FOLLOWERS, ENGAGED, ONLINE, "reach"), (400, graph_error(100)))

    replies = [client.get(path) for _ in range(2)]
    checks = [query for query in provider.queries if query["metric"] == "reach"]
    provider.special = {}
    clock.wait(11)
    cured = body_of(client, path)

    assert [(reply.status_code, reply.get_json()["code"]) for reply in replies] == [(502, "provider_refused")] * 2
    assert len(checks) == 1
    assert not {reason for _, reason in reasons_of(cured)} & {"refused", "provider_refused"}


def test_a_refusal_of_all_is_one_of_the_metrics_where_others_are_answered(client, provider):
    provider.special = dict.fromkeys((FOLLOWERS, ENGAGED, ONLINE), (400, graph_error(100)))

    bodies = [body_of(client, PATH) for _ in range(2)]

    refused = {(name, "refused") for name in (FOLLOWERS, ENGAGED, ONLINE)}
    assert [reasons_of(body) - {(ONLINE, "not_answered")} for body in bodies] == [refused] * 2
    assert len([query for query in provider.queries if query["metric"] == "reach"]) == 1


def test_a_call_that_fails_leaves_the_others(client, provider):
    provider.special[FOLLOWERS] = lambda query: (500, graph_error(2)) if query["breakdown"] == "city" else None

    body = body_of(client, f"{PATH}?metrics={FOLLOWERS},{ONLINE}&breakdowns=city,country")

    assert results_of(body, breakdown="city") == (None, "provider_unavailable")
    assert results_of(body) == ({"PT": 30, "br": 70}, None)
    assert body["online_followers"][0]["hours"][0] == 10
    assert body["meta"]["expires_at"] == "2026-06-15T18:00:05Z"
    assert [entry["retry_after"] > 0 for entry in body["meta"]["unavailable"]] == [True]


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ((400, graph_error(190)), 401, "token_invalid"),
        ((400, graph_error(10)), 403, "permission_denied"),
        ((400, graph_error(80002)), 429, "provider_rate_limited"),
        ((500, graph_error(2)), 503, "provider_unavailable"),
    ],
)
def test_where_nothing_is_known_the_failure_is_the_reply(client, provider, answer, status, code):
    provider.special = dict.fromkeys((FOLLOWERS, ENGAGED, ONLINE), answer)

    response = client.get(PATH)

    assert (response.status_code, response.get_json()["code"]) == (status, code)


UNKNOWN = {
    "empty": NOTHING,
    "no rows": parts(["country"], []),
    "unreadable": parts(["country"], [(["PT"], "many")]),
    "fault": (500, graph_error(2)),
    "refused": (400, graph_error(100)),
    "throttled": (400, graph_error(80002)),
    "token": (400, graph_error(190)),
}


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_a_known_table_stays_when_it_is_newly_unknown(client, provider, clock, unknown):
    first = body_of(client, ONE)
    provider.special[FOLLOWERS] = UNKNOWN[unknown]
    clock.wait(31 * 3600)

    answers = [body_of(client, f"{ONE}&refresh=true"), body_of(client, ONE)]

    for body in answers:
        assert results_of(body) == ({"PT": 30, "br": 70}, None)
        assert (body["meta"]["stale"], body["meta"]["fetched_at"]) == (True, first["meta"]["fetched_at"])


@pytest.mark.parametrize(
    ("answer", "shown"), [(None, ("no_total", True, True)), (NOTHING, ("not_answered", False, False))]
)
def test_a_table_is_kept_as_that_of_the_day_in_california(client, provider, clock, answer, shown):
    clock.set(utc("2026-06-16T03:00"))
    provider.special[FOLLOWERS] = answer
    plan_profile(provider.wire)
    body_of(client, ONE)

    query = {"metrics": FOLLOWERS, "breakdown": "country", "since": "2026-06-14", "until": "2026-06-16"}
    (series,) = body_of(client, "/history", **query)["series"]

    found = {point["date"]: (point["reason"], "results" in point, point["final"]) for point in series["points"]}
    assert {day: each for day, each in found.items() if each[0] != "not_kept"} == {"2026-06-15": shown}


def test_a_row_that_leaves_the_list_is_gone_and_one_that_cannot_be_read_stays(client, provider, clock):
    body_of(client, ONE)
    provider.special[FOLLOWERS] = parts(["country"], [(["PT"], "many"), (["ES"], 4)])
    clock.wait(600)

    body = body_of(client, f"{ONE}&refresh=true")

    assert results_of(body) == ({"PT": 30, "ES": 4}, None)
    assert body["meta"]["stale"] is True


def test_known_hours_stay_and_a_final_day_is_never_asked_for_again(make_client, provider, clock):
    client = make_client(clock=clock)
    online(client, days=5)
    provider.special[ONLINE] = lambda query: (200, {"data": [days_online(query, {})]})
    clock.wait(7 * 3600)
    body, found = online(client, days=5)
    client.application.extensions["services"].wait_until_quiet(10)
    body, found = online(client, days=5)

    assert all(hours == list(range(10, 34)) for hours, _ in found.values())
    assert body["meta"]["stale"] is True
    assert [int(query["since"]) for query in provider.queries[1:]] == [EndTime.DAY_START.of(date(2026, 6, 13))]

    # Without its cache the gateway still has the three days that were final.
    again = make_client(client.application.extensions["config"], clock=clock)
    services = again.application.extensions["services"]
    services.store.cache_entries.forget("17841400000000001")
    plan_profile(provider.wire)
    _, found = online(again, days=5)
    assert [hours[0] for hours, _ in found.values()] == [10, 10, 10, None, None]


def test_the_table_has_a_row_for_each_number(client, provider):
    rows = table_rows(client.get(f"{PATH}?metrics={FOLLOWERS},{ONLINE}&breakdown=city&days=1&format=csv"))

    assert rows[0] == {
        "metric": FOLLOWERS,
        "breakdown": "city",
        "timeframe": "this_month",
        "date": "",
        "key": "'=Oporto",
        "value": "70",
        "reason": "",
    }
    assert [row["key"] for row in rows[2:]] == [str(hour) for hour in range(24)]
    assert (rows[-1]["date"], rows[-1]["value"]) == ("2026-06-14", "33")


def test_the_table_gives_a_reason_for_an_hour_that_is_unknown_and_for_no_other(client, provider):
    without_last = dict(list(HOURS.items())[:-1])
    provider.special[ONLINE] = lambda query: (200, {"data": [days_online(query, without_last)]})

    rows = table_rows(client.get(f"{PATH}?metrics={ONLINE}&days=1&format=csv"))

    assert [(row["value"], row["reason"]) for row in rows[-2:]] == [("32", ""), ("", "not_answered")]


SWITCHES = [{}, {"demographics_keys": "timeframe_first", "online_followers_recent": "refused"}]


@pytest.mark.parametrize("switches", SWITCHES)
@pytest.mark.parametrize(("kind", "timeframe"), [("prolific", "this_month"), ("ninety_nine", "this_week")])
def test_the_simulated_audience_is_answered_as_it_is(make_world, kind, timeframe, switches):
    world = make_world(kind)
    world.switch(**switches)

    body = world.body(f"{PATH}?timeframe={timeframe}&days=30")

    made = world.calls("/insights")
    truth = world.simulator.get(f"/_simulator/truth/{world.account['id']}/audience").json()
    for each in body["demographics"]:
        table = truth[each["metric"]] if each["metric"] == FOLLOWERS else truth[each["metric"]][timeframe]
        expected = (table or {}).get(each["breakdown"])
        assert results_of(body, each["metric"], each["breakdown"])[0] == (expected or None)
    online = {day["date"]: day["hours"] for day in body["online_followers"] if day["hours"] != [None] * 24}
    known = {day: [hours[str(hour)] for hour in range(24)] for day, hours in truth["online_followers"].items() if hours}
    if switches:
        # Then no range can end with the last day that is known.
        known.pop("2026-11-18", None)
    assert online == known
    assert len(body["online_followers"]) == 30
    # Thirty days across the clock change of autumn do not fit one call.
    assert len(made) <= (6 if not switches else 8)
