"""Tokens: how they are sent, proved, described and exchanged."""

import hashlib
import hmac

import pytest

from tests.simulator.caller import ACCOUNT, PAGE, PAGE_TOKEN, TOKEN, error

APP, SECRET = "200000000000000", "sandbox-app-secret"


def test_a_missing_token_and_an_unknown_one_have_different_refusals(caller):
    missing = caller.get(f"/graph.facebook.com/v25.0/{ACCOUNT}")
    unknown = caller.graph("/me", access_token="IGAAsomething")

    assert (missing.status_code, error(missing)["code"]) == (400, 104)
    assert error(missing)["message"] == "An access token is required to request this resource."
    assert (unknown.status_code, error(unknown)["code"]) == (400, 190)
    assert error(unknown)["message"] == "Invalid OAuth access token - Cannot parse access token"


def test_a_token_may_come_in_the_header_unless_that_is_switched_off(caller):
    address = f"{caller.simulator.url}/graph.facebook.com/v25.0/{ACCOUNT}"
    header = {"Authorization": f"Bearer {TOKEN}"}
    allowed = caller.session.get(address, headers=header, timeout=5)
    caller.switch(bearer=False)

    refused = caller.session.get(address, headers=header, timeout=5)

    assert allowed.json() == {"id": ACCOUNT}
    assert error(refused)["code"] == 104


def test_a_proof_is_checked_when_it_is_sent(caller):
    proof = hmac.new(SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()

    wrong = caller.graph("/me", appsecret_proof="0" * 64)

    assert caller.graph("/me", appsecret_proof=proof).status_code == 200
    assert (error(wrong)["code"], error(wrong)["type"]) == (100, "GraphMethodException")
    assert error(wrong)["message"] == "Invalid appsecret_proof provided in the API argument"


def test_a_proof_can_be_required(caller):
    caller.switch(require_app_secret=True)

    reply = caller.graph("/me")

    assert error(reply)["message"] == "API calls from the server require an appsecret_proof argument"


def test_debug_token_describes_a_token(caller):
    data = caller.graph("/debug_token", input_token=TOKEN).json()["data"]
    page = caller.graph("/debug_token", input_token=PAGE_TOKEN, access_token=f"{APP}|{SECRET}").json()["data"]

    assert (data["app_id"], data["type"], data["is_valid"]) == (APP, "USER", True)
    assert data["expires_at"] > data["issued_at"]
    assert "instagram_manage_insights" in data["scopes"]
    assert {"scope": "instagram_basic", "target_ids": [ACCOUNT]} in data["granular_scopes"]
    assert (page["type"], page["expires_at"], page["profile_id"]) == ("PAGE", 0, PAGE)


def test_debug_token_says_with_200_that_a_token_is_invalid(caller):
    reply = caller.graph("/debug_token", input_token="EAAnonsense")

    # A user may ask about the own token only.
    assert error(reply)["code"] == 100

    reply = caller.graph("/debug_token", input_token="EAAnonsense", access_token=f"{APP}|{SECRET}")

    assert reply.status_code == 200
    assert reply.json()["data"]["is_valid"] is False
    assert reply.json()["data"]["error"]["code"] == 190


def exchange(caller, **changes):
    parameters = {
        "grant_type": "fb_exchange_token",
        "client_id": APP,
        "client_secret": SECRET,
        "fb_exchange_token": "EAASHORTsomething",
        **changes,
    }
    return caller.get("/graph.facebook.com/v25.0/oauth/access_token", **parameters)


def test_a_short_token_becomes_a_long_one(caller):
    assert exchange(caller).json() == {"access_token": TOKEN, "token_type": "bearer", "expires_in": 5183944}


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"grant_type": "nonsense"}, 1, "Invalid grant_type: nonsense"),
        ({"client_secret": "wrong"}, 1, "Error validating client secret."),
        ({"client_id": "1"}, 101, "Error validating application. Cannot get application info due to a system error."),
        ({"fb_exchange_token": "EAAnonsense"}, 190, "Invalid OAuth access token - Cannot parse access token"),
        ({"client_id": ""}, 101, "Missing client_id parameter."),
    ],
)
def test_an_exchange_that_cannot_be_is_refused(caller, changes, code, text):
    reply = exchange(caller, **changes)

    assert (reply.status_code, error(reply)["code"], error(reply)["message"]) == (400, code, text)
