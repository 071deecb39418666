"""The exchange of an authorization code for a token, by both logins."""

import pytest

from tests.simulator.caller import ACCOUNT, error

APP, SECRET = "200000000000000", "sandbox-app-secret"
INSTAGRAM_APP, INSTAGRAM_SECRET = "200000000000001", "sandbox-instagram-app-secret"
CODE = "AQSANDBOX123"
BACK = "https://app.example/back"


@pytest.fixture
def exchange(caller):
    """Exchange a code at a host."""

    def send(host, *, method="POST", path="/oauth/access_token", **changes):
        given = {"client_id": APP, "client_secret": SECRET, "redirect_uri": BACK, "code": CODE}
        if host == "api.instagram.com":
            given |= {"client_id": INSTAGRAM_APP, "client_secret": INSTAGRAM_SECRET}
            given["grant_type"] = "authorization_code"
        given = {name: value for name, value in (given | changes).items() if value is not None}
        where = {"data": given} if method == "POST" else {"params": given}
        return caller.session.request(method, f"{caller.simulator.url}/{host}{path}", timeout=10, **where)

    return send


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/oauth/access_token", "/v25.0/oauth/access_token"])
def test_a_facebook_login_gives_a_token_that_reads(caller, exchange, method, path):
    answer = exchange("graph.facebook.com", method=method, path=path).json()

    assert (answer["token_type"], answer["expires_in"]) == ("bearer", 3600)
    assert caller.graph(f"/{ACCOUNT}", access_token=answer["access_token"]).json() == {"id": ACCOUNT}
    longer = {"client_id": APP, "client_secret": SECRET, "grant_type": "fb_exchange_token"}
    longer = caller.get(
        "/graph.facebook.com/oauth/access_token", fb_exchange_token=answer["access_token"], **longer
    ).json()
    assert longer["expires_in"] > 50 * 86_400


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"client_id": None}, 101, "client_id"),
        ({"client_id": "1"}, 101, "application"),
        ({"client_secret": "wrong"}, 1, "secret"),
        ({"redirect_uri": None}, 191, "redirect_uri"),
        ({"code": "AQOTHER"}, 100, "Invalid verification code"),
        ({"code": f"{CODE}#_"}, 100, "Invalid verification code"),
    ],
)
def test_a_facebook_login_refuses_what_is_wrong(exchange, changes, code, words):
    reply = exchange("graph.facebook.com", **changes)

    assert (reply.status_code, error(reply)["code"]) == (400, code)
    assert words in error(reply)["message"]


def test_a_code_is_exchanged_once(caller, exchange):
    for host in ("graph.facebook.com", "api.instagram.com"):
        assert exchange(host).status_code == 200
    facebook, instagram = exchange("graph.facebook.com"), exchange("api.instagram.com")

    assert (error(facebook)["code"], error(facebook)["error_subcode"]) == (100, 36009)
    assert instagram.json() == {
        "error_type": "OAuthException",
        "code": 400,
        "error_message": "Matching code was not found or was already used",
    }
    caller.simulator.reset()
    assert exchange("api.instagram.com").status_code == 200


@pytest.mark.parametrize("shape", ["list", "flat"])
def test_an_instagram_login_gives_a_short_lived_token_that_can_be_exchanged(caller, exchange, shape):
    caller.switch(igl_code_answer=shape)

    answer = exchange("api.instagram.com").json()
    granted = answer["data"][0] if shape == "list" else answer
    token = granted["access_token"]
    longer = caller.get(
        "/graph.instagram.com/access_token",
        grant_type="ig_exchange_token",
        client_secret=INSTAGRAM_SECRET,
        access_token=token,
    )

    assert str(granted["user_id"]) == ACCOUNT
    assert "instagram_business_basic" in granted["permissions"]
    assert caller.instagram("/me", access_token=token, fields="user_id").json()["user_id"] == ACCOUNT
    assert longer.json()["expires_in"] > 50 * 86_400
    caller.simulator.clock.advance(3601)
    assert error(caller.instagram("/me", access_token=token))["error_subcode"] == 463


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"client_id": "1"}, 400, "Invalid platform app"),
        ({"client_id": APP}, 400, "Invalid platform app"),
        ({"client_secret": SECRET}, 400, "secret"),
        ({"client_secret": "wrong"}, 400, "secret"),
        ({"redirect_uri": None}, 400, "redirect_uri"),
        ({"grant_type": "other"}, 400, "grant_type"),
        ({"code": f"{CODE}#_"}, 400, "Matching code"),
        ({"method": "GET"}, 405, "POST"),
        ({"path": "/other"}, 404, "Unknown path"),
    ],
)
def test_an_instagram_login_refuses_what_is_wrong(exchange, changes, status, words):
    reply = exchange("api.instagram.com", **changes)

    assert (reply.status_code, reply.json()["code"]) == (status, status)
    assert words in reply.json()["error_message"]


def test_no_code_and_no_secret_is_listed_among_the_calls(caller, exchange):
    exchange("graph.facebook.com", method="GET")
    exchange("api.instagram.com")

    listed = str(caller.own("/calls"))

    assert CODE not in listed
    assert SECRET not in listed
    assert INSTAGRAM_SECRET not in listed
