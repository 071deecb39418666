"""Modash: reports, outcomes, charges, limits, and every switch of its fact sheet."""

from statistics import fmean, median

import pytest
import requests

from tests.simulator.caller import KEY, Caller

HOST = "/api.modash.io"


def credits_left(caller):
    return caller.get(f"{HOST}/v1/user/info", access_token=KEY).json()["billing"]["credits"]


def charges(caller):
    return caller.own("/calls")["charges"]


def sizes(points):
    return [point["numberOfItems"] for point in points]


def test_a_report_has_statistics_over_6_12_and_30_items(caller):
    truth = caller.own("/truth/creators/some.one")

    body = caller.modash("some.one").json()

    assert set(body) == {"posts", "reels"}
    for name in ("posts", "reels"):
        block, comments = body[name], [item["comments"] for item in truth[name]]
        assert block["total"] == 30
        assert block[f"{name}_with_hidden_likes"] == sum(item["likes"] is None for item in truth[name])
        for statistic, measure in (("mean", fmean), ("min", min), ("max", max), ("median", median)):
            expected = [{"numberOfItems": n, "value": round(measure(comments[:n]), 2)} for n in (6, 12, 30)]
            assert block["comments"][statistic] == expected
            assert sizes(block["likes"][statistic]) == sizes(block["views"][statistic]) == [6, 12, 30]
        assert sizes(block["engagement_rate"]) == [6, 12, 30]
        assert all(0 < point["value"] < 1 for point in block["engagement_rate"])
        assert set(block["posting_statistics"]) == {"weekDayHour", "daily"}
        assert isinstance(block["posting_statistics"]["weekDayHour"]["mean"]["value"], float)


def test_a_handle_its_at_form_and_its_id_are_one_creator(caller):
    number = caller.own("/truth/creators/some.one")["id"]
    by_handle = caller.modash("some.one").json()

    assert caller.modash("@Some.One").json() == by_handle
    assert caller.modash(number).json() == by_handle
    assert caller.modash("corner.bakery").json() == caller.modash("17841400000000000").json()


@pytest.mark.parametrize(
    ("handle", "status", "code"),
    [
        ("missing.person", 404, "handle_not_found"),
        ("absent.person", 404, "account_not_found"),
        ("removed.person", 404, "account_removed"),
        ("private.person", 400, "private_account"),
        ("", 400, "bad_request"),
        ("no such handle", 400, "bad_request"),
        ("https://instagram.com/some.one", 400, "bad_request"),
    ],
)
def test_outcomes_can_be_tried_by_handle(caller, handle, status, code):
    reply = caller.modash(handle)

    assert (reply.status_code, reply.json()["error"], reply.json()["code"]) == (status, True, code)
    assert credits_left(caller) == 3000


def test_a_short_account_has_windows_as_long_as_it_is(caller):
    posts = len(caller.own("/truth/creators/short.story")["posts"])

    body = caller.modash("short.story").json()

    assert posts < 12
    assert body["posts"]["total"] == posts
    assert sizes(body["posts"]["likes"]["mean"]) == sorted({min(6, posts), posts})


def test_an_account_without_reels_has_empty_statistics(caller):
    reels = caller.modash("noreels.here").json()["reels"]

    assert (reels["total"], reels["likes"]["mean"], reels["engagement_rate"]) == (0, [], [])


def test_a_success_costs_a_quarter_of_a_credit_each_time(caller):
    caller.modash("some.one")
    caller.modash("some.one")
    caller.modash("other.one")

    assert credits_left(caller) == 2999.25
    assert charges(caller) == {
        "some.one": {"calls": 2, "milli_credits": 500},
        "other.one": {"calls": 1, "milli_credits": 250},
    }


def test_prices_can_be_switched(caller):
    caller.switch(price=300, repeat_price=10, refusal_price=1)

    caller.modash("some.one")
    caller.modash("some.one")
    caller.modash("missing.one")

    assert credits_left(caller) == 2999.689


def test_later_handles_are_ready_at_the_third_call(caller):
    replies = [caller.modash("later.star") for _ in range(4)]

    assert [reply.status_code for reply in replies] == [400, 400, 200, 200]
    assert replies[0].json()["code"] == "retry_later"
    assert charges(caller) == {"later.star": {"calls": 4, "milli_credits": 500}}


def test_reports_can_need_calls_and_seconds(caller):
    caller.switch(report_ready_after_calls=1, report_ready_after_seconds=300)
    statuses = [caller.modash("some.one").status_code for _ in range(3)]
    caller.order("/clock", advance=300)

    assert statuses == [400, 400, 400]
    assert caller.modash("some.one").status_code == 200
    assert caller.modash("other.one").status_code == 400


def test_reports_can_be_never_ready(caller):
    caller.switch(report_ready_after_calls="never")

    assert {caller.modash("some.one").status_code for _ in range(5)} == {400}


@pytest.mark.parametrize(
    ("shape", "status", "keys"),
    [("vendor", 400, {"error", "code", "message"}), ("seed", 200, {"status", "message"})],
)
def test_retry_later_has_two_shapes(caller, shape, status, keys):
    caller.switch(retry_later_shape=shape)

    reply = caller.modash("later.star")

    assert (reply.status_code, set(reply.json())) == (status, keys)


@pytest.mark.parametrize("status", [200, 202, 400, 404, 409, 425, 429, 503])
def test_retry_later_can_have_any_status(caller, status):
    caller.switch(retry_later_status=status, retry_later_shape="mixed")

    reply = caller.modash("later.star")

    assert reply.status_code == status
    assert reply.json()["code"] == reply.json()["status"] == "retry_later"


@pytest.mark.parametrize(
    ("order", "expected", "short"),
    [("descending", [30, 12, 6], None), ("one", [30], None), ("truncated", [6, 12, 30], [6]), ("empty", [], [])],
)
def test_windows_can_be_switched(caller, order, expected, short):
    caller.switch(report_windows=order)

    assert sizes(caller.modash("some.one").json()["posts"]["likes"]["mean"]) == expected
    if short is not None and len(caller.own("/truth/creators/short.story")["posts"]) >= 6:
        assert sizes(caller.modash("short.story").json()["posts"]["likes"]["mean"]) == short


def test_other_shapes_can_be_switched(caller):
    caller.switch(week_day_hour="map", error_false=True)

    body = caller.modash("some.one").json()

    assert body["error"] is False
    assert "monday" in body["posts"]["posting_statistics"]["weekDayHour"]["mean"]["value"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_is_refused(caller, status):
    caller.switch(bad_token_status=status)

    reply = caller.modash("some.one", key="wrong")

    assert (reply.status_code, reply.json()["code"]) == (status, "api_token_invalid")
    assert caller.get(f"{HOST}/v1/user/info").status_code == status


def test_the_key_may_be_a_parameter(caller):
    assert caller.get(f"{HOST}/v1/instagram/performance-data", url="some.one", access_token=KEY).status_code == 200


def test_without_credits_nothing_is_given(caller):
    caller.switch(start_credits=0.4)

    replies = [caller.modash("some.one") for _ in range(2)]

    assert [reply.status_code for reply in replies] == [200, 403]
    assert replies[1].json()["code"] == "not_enough_credits"
    assert credits_left(caller) == 0.15


def test_the_balance_can_be_allowed_to_go_below_zero(caller):
    caller.switch(start_credits=0.4, negative_balance=True)

    statuses = [caller.modash("some.one").status_code for _ in range(3)]

    assert statuses == [200, 200, 403]
    assert credits_left(caller) == -0.1


def test_two_calls_a_second_are_the_limit_of_a_key(caller):
    caller.switch(modash_rate_limit=2)

    replies = [caller.modash("some.one") for _ in range(3)]

    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert replies[2].json()["error"] is True
    assert "Retry-After" not in replies[2].headers
    assert credits_left(caller) == 2999.5
    assert caller.get(f"{HOST}/v1/user/info", access_token=KEY).status_code == 200


def test_a_429_can_be_text_and_name_a_time(caller):
    caller.switch(modash_rate_limit=1, modash_rate_limit_json=False, modash_retry_after=3)
    caller.modash("some.one")

    reply = caller.modash("some.one")

    assert (reply.status_code, reply.text, reply.headers["Retry-After"]) == (429, "Too Many Requests\n", "3")


def test_user_info_has_both_pools(caller):
    body = caller.get(f"{HOST}/v1/user/info", access_token=KEY).json()

    assert body["error"] is False
    assert body["billing"] == {"credits": 3000, "rawRequests": 40000}
    assert isinstance(body["rateLimits"], dict)


@pytest.mark.parametrize("path", ["/health", "/v1/health"])
def test_health_needs_no_key_and_can_fail(caller, path):
    assert caller.get(f"{HOST}{path}").json() == {"status": "ok"}
    caller.switch(health_status=503)
    assert caller.get(f"{HOST}{path}").status_code == 503


def test_v1_credits_does_not_exist(caller):
    assert caller.get(f"{HOST}/v1/credits", access_token=KEY).status_code == 404


def test_a_reset_fills_the_balance_and_forgets_reports(caller):
    for _ in range(3):
        caller.modash("later.star")
    caller.order("/reset")
    caller.switch(modash_rate_limit=0)

    assert credits_left(caller) == 3000
    assert caller.modash("later.star").json()["code"] == "retry_later"


def test_another_seed_is_another_creator(caller, another_world):
    with requests.Session() as session:
        other = Caller(another_world, session)

        assert other.modash("some.one").json() != caller.modash("some.one").json()
