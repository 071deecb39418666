"""Tokens of the second login: exchanged, refreshed, too young, about to end, over."""

import pytest

from tests.simulator.caller import INSTAGRAM_TOKEN, TOKEN, error
from tests.support import start_simulator

SECRET = "sandbox-instagram-app-secret"
LIFETIME = 5_183_944
DAY = 86_400


def refresh(caller, token=None, **changes):
    given = {"grant_type": "ig_refresh_token", "access_token": token or caller.instagram_token, **changes}
    return caller.get("/graph.instagram.com/refresh_access_token", **given)


def exchange(caller, **changes):
    given = {
        "grant_type": "ig_exchange_token",
        "client_secret": SECRET,
        "access_token": "IGAASHORTsomething",
        **changes,
    }
    return caller.get("/graph.instagram.com/access_token", **given)


def test_a_short_token_becomes_a_long_one(caller):
    answer = exchange(caller).json()

    assert (answer["token_type"], answer["expires_in"]) == ("bearer", LIFETIME)
    me = caller.instagram("/me", fields="username", access_token=answer["access_token"]).json()
    assert me["username"] == "corner.bakery"


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"grant_type": "fb_exchange_token"}, 100, "Unsupported request - method type: get"),
        ({"client_secret": ""}, 1, "Missing client_secret parameter."),
        ({"client_secret": "wrong"}, 1, "Error validating client secret."),
        ({"access_token": TOKEN}, 190, "Invalid OAuth access token - Cannot parse access token"),
        ({"access_token": INSTAGRAM_TOKEN}, 452, "Session key invalid."),
    ],
)
def test_an_exchange_that_cannot_be_is_refused(caller, changes, code, text):
    reply = exchange(caller, **changes)

    assert (reply.status_code, error(reply)["code"], error(reply)["type"]) == (400, code, "IGApiException")
    assert error(reply)["message"].startswith(text)


def test_a_refresh_gives_a_new_token_for_60_days(caller):
    answer = refresh(caller).json()

    assert (answer["token_type"], answer["expires_in"]) == ("bearer", LIFETIME)
    assert "instagram_business_manage_insights" in answer["permissions"]
    assert answer["access_token"] not in (INSTAGRAM_TOKEN, refresh(caller).json()["access_token"])
    caller.order("/clock", advance=58 * DAY)
    assert caller.instagram("/me", access_token=answer["access_token"]).status_code == 200
    assert error(caller.instagram("/me"))["error_subcode"] == 463


def test_a_refresh_may_give_the_same_token_back(caller):
    caller.switch(igl_refresh_new_token=False)

    assert refresh(caller).json()["access_token"] == INSTAGRAM_TOKEN
    caller.order("/clock", advance=58 * DAY)
    assert caller.instagram("/me").status_code == 200


def test_a_token_younger_than_24_hours_is_not_refreshed(caller):
    caller.become("young_token")
    young = refresh(caller)
    caller.order("/clock", advance=DAY)
    old = refresh(caller)
    new = refresh(caller, old.json()["access_token"])

    assert (young.status_code, error(young)["code"]) == (400, 100)
    assert old.status_code == 200
    assert error(new)["message"] == "The access token must be at least 24 hours old to be refreshed"


def test_a_token_that_is_over_is_refused_everywhere(caller):
    caller.become("expired_token")

    for reply in (caller.instagram("/me"), refresh(caller)):
        assert (reply.status_code, error(reply)["code"], error(reply)["error_subcode"]) == (400, 190, 463)
        assert error(reply)["message"] == (
            "Error validating access token: Session has expired on Friday, 20-Nov-26 11:59:04 PST."
        )
    assert caller.graph(f"/{caller.account}").status_code == 200


def test_a_token_ends_to_the_second(caller):
    caller.become("expiring_token")
    left = LIFETIME - 55 * DAY
    caller.order("/clock", advance=left - 1)
    before = caller.instagram("/me")
    caller.order("/clock", advance=1)

    assert (before.status_code, caller.instagram("/me").status_code) == (200, 400)


def test_how_long_tokens_live_is_a_switch(caller):
    caller.switch(igl_token_seconds=6 * DAY)
    caller.order("/clock", advance=DAY - 60)
    assert caller.instagram("/me").status_code == 200
    assert refresh(caller).json()["expires_in"] == 6 * DAY

    caller.order("/clock", advance=60)

    assert error(caller.instagram("/me"))["error_subcode"] == 463


def test_before_the_start_tokens_are_as_old_as_at_the_start(caller):
    caller.order("/clock", now="2025-06-15T00:00:00Z")

    assert caller.instagram("/me").status_code == 200
    assert refresh(caller).status_code == 200


def test_a_reset_forgets_the_tokens_that_were_given(caller):
    token = refresh(caller).json()["access_token"]
    caller.simulator.reset()

    assert error(caller.instagram("/me", access_token=token))["code"] == 190


@pytest.mark.parametrize("path", ["/debug_token", "/oauth/access_token", "/refresh_access_token", "/access_token"])
def test_what_the_other_host_has_for_tokens_is_not_here(caller, path):
    reply = caller.instagram(path, input_token=INSTAGRAM_TOKEN, grant_type="fb_exchange_token")

    assert (reply.status_code, error(reply)["code"]) == (400, 100)
    assert error(reply)["message"] == "Unsupported request - method type: get"


def test_a_token_call_must_be_a_get(caller):
    reply = caller.session.post(f"{caller.simulator.url}/graph.instagram.com/refresh_access_token", timeout=5)

    assert error(reply)["message"] == "Unsupported request - method type: post"


def test_no_token_is_remembered_in_the_calls(caller):
    given = refresh(caller).json()["access_token"]
    exchange(caller)

    shown = str(caller.own("/calls"))

    assert not any(secret in shown for secret in (INSTAGRAM_TOKEN, given, SECRET, "IGAASHORT"))


def test_the_tokens_of_a_world_that_began_long_ago_can_be_used():
    simulator = start_simulator("--accounts", "1", "--started", "2025-01-01")
    try:
        token = simulator.get("/_simulator/accounts").json()["accounts"][0]["instagram_token"]

        answer = simulator.get(f"/graph.instagram.com/v25.0/me?fields=user_id&access_token={token}")
    finally:
        simulator.stop()

    assert answer.status_code == 200, answer.text
