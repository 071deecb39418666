"""`make webhook`: what it says of a callback URL that works or not, and which accounts it subscribes."""

from __future__ import annotations

import threading

import pytest
import requests
from werkzeug.serving import make_server

from commands import webhook as command
from config import Config
from simulator.world.accounts import APP_SECRET, INSTAGRAM_APP_SECRET
from tests.support import (
    ACCOUNT_ID,
    GRAPH,
    MODASH_KEY,
    TOKEN,
    VERIFY_TOKEN,
    live_settings,
    local_session,
    new_instance,
    settings,
)

HOST = "https://gateway.example"
URL = f"{HOST}/webhooks/instagram"
SETTINGS = {"MODASH_API_KEY": MODASH_KEY, "WEBHOOK_VERIFY_TOKEN": VERIFY_TOKEN, "APP_SECRET": APP_SECRET}


@pytest.fixture
def run(run_command):
    """Run the command with some settings; return its exit status and what it said."""

    def run(*arguments, **environ):
        config = Config.from_env({"INSTANCE_PATH": new_instance(), "RETRY_BUDGET": "0"} | environ)
        status, *said = run_command(command, config, *arguments)
        return status, "".join(said)

    return run


@pytest.fixture
def gateway(make_client):
    """A gateway that listens, with the simulator's secrets."""
    client = make_client(settings(app_secret=APP_SECRET, instagram_app_secret=INSTAGRAM_APP_SECRET))
    server = make_server("127.0.0.1", 0, client.application, threaded=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def answer(wire, *, token=VERIFY_TOKEN, delivery=(200, {}, "")):
    """Let the callback URL answer handshakes as a gateway does."""

    def shake(request):
        if request.params["hub.verify_token"] == token:
            return 200, {}, request.params["hub.challenge"]
        return 403, {}, '{"error": true, "code": "verify_token_invalid"}'

    wire.add_callback("GET", URL, shake)
    if delivery is not None:
        wire.add_callback("POST", URL, lambda _: delivery)


# The callback URL


@pytest.mark.parametrize("given", [HOST, f"{HOST}/", URL])
def test_a_callback_that_works_passes_every_check(run, wire, given):
    answer(wire)

    status, said = run("check", given, **SETTINGS)

    assert (status, said.count("FAIL")) == (0, 0), said
    assert [line.split(":")[0] for line in said.splitlines()] == [
        *("ok   settings", "ok   address", "ok   handshake", "ok   other token", "ok   delivery (facebook login)"),
    ]
    posted = next(call.request for call in wire.calls if call.request.method == "POST")
    assert posted.body == b'{"object":"instagram","entry":[]}'


def test_the_gateway_passes_the_checks_of_both_logins_in_a_rehearsal(run, gateway):
    status, said = run("check", gateway)

    assert status == 0, said
    assert "-    address" in said
    assert said.count("a signed delivery was accepted") == 2


def test_http_alone_is_a_failure_in_live_mode(run, gateway):
    status, said = run("check", gateway, **SETTINGS)

    assert status == 1
    assert [line for line in said.splitlines() if line.startswith("FAIL")] == [
        f"FAIL address: {gateway}/webhooks/instagram is not HTTPS, and Meta takes no other address."
    ]


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (requests.ConnectTimeout("invented"), "cannot be reached"),
        (requests.ReadTimeout("invented"), "did not answer in time"),
    ],
)
def test_a_callback_that_is_not_reached_is_explained(run, wire, failure, words):
    wire.get(URL, body=failure)

    status, said = run("check", HOST, **SETTINGS)

    assert status == 1
    assert f"FAIL handshake: The callback URL {words}" in said
    assert VERIFY_TOKEN not in said


def test_a_port_without_tls_is_not_reached_securely(run, gateway):
    status, said = run("check", gateway.replace("http", "https"), **SETTINGS)

    assert status == 1
    assert "FAIL handshake: The callback URL cannot be reached securely." in said
    assert "certificate" in said


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ({"status": 200, "body": "<html>Welcome</html>"}, "something else than the challenge"),
        ({"status": 301, "headers": {"Location": "https://www.gateway.example/"}}, "redirects"),
        ({"status": 404, "body": "not found"}, "HTTP 404"),
        ({"status": 401, "body": "login"}, "A proxy asks for a login"),
        ({"status": 403, "json": {"error": True, "code": "verify_token_invalid"}}, "another WEBHOOK_VERIFY_TOKEN"),
        ({"status": 403, "json": {"error": True, "code": "host_not_allowed"}}, "ALLOWED_HOSTS"),
        ({"status": 503, "json": {"error": True, "code": "webhook_not_configured"}}, "without this setting"),
        ({"status": 502, "body": "[" * 100_000}, "HTTP 502"),
    ],
)
def test_an_answer_that_is_no_handshake_is_explained(run, wire, reply, words):
    wire.get(URL, **reply)

    status, said = run("check", HOST, **SETTINGS)

    assert status == 1
    assert words in said
    assert "next: " in said


def test_a_server_that_answers_every_handshake_is_not_the_gateway(run, wire):
    wire.add_callback("GET", URL, lambda request: (200, {}, request.params["hub.challenge"]))
    wire.add_callback("POST", URL, lambda _: (200, {}, ""))

    status, said = run("check", HOST, **SETTINGS)

    assert status == 1
    assert "FAIL other token" in said


def test_a_secret_that_is_not_the_gateways_is_found(run, wire):
    answer(wire, delivery=(403, {}, '{"error": true, "code": "signature_invalid"}'))

    status, said = run("check", HOST, **SETTINGS)

    assert status == 1
    assert "FAIL delivery (facebook login): The gateway there has another secret" in said


def test_a_missing_setting_is_named(run, wire):
    status, said = run("check", HOST, MODASH_API_KEY=MODASH_KEY)

    assert status == 1
    assert "FAIL settings: WEBHOOK_VERIFY_TOKEN and APP_SECRET or INSTAGRAM_APP_SECRET is not set." in said


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gateway.example",
        "ftp://gateway.example",
        f"{URL}?a=b",
        "https://",
        "https://[x",
        "https://me:word@gateway.example",
        "https://:word@gateway.example",
    ],
)
def test_what_is_no_address_is_refused(run, url):
    status, said = run("check", url, **SETTINGS)

    assert status == 2
    assert "Accepted: https://<host>/webhooks/instagram." in said
    assert "word" not in said


# Subscriptions


@pytest.fixture
def listed(simulator):
    return simulator.get("/_simulator/accounts").json()


def live(simulator, listed, account, **changes):
    return live_settings(simulator.url, account, listed["app"], listed["modash"]["key"]) | changes


def subscribed(simulator, host, path, token):
    session = local_session()
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{simulator.url}/{host}/v25.0/{path}/subscribed_apps"
    found = session.get(url, headers=headers, timeout=30).json()["data"]
    session.close()
    return [field for each in found for field in each["subscribed_fields"]]


@pytest.mark.parametrize("page_is_known", [True, False])
def test_an_account_of_the_login_with_facebook_is_subscribed_by_its_page(run, simulator, listed, page_is_known):
    account = listed["accounts"][3]
    known = {"PAGE_ID": account["page_id"]} if page_is_known else {}

    status, said = run("subscribe", **live(simulator, listed, account, **known))

    assert status == 0, said
    assert said.startswith(f"Subscribed: page {account['page_id']} of account {account['id']} (facebook) to feed.")
    assert "story_insights" in said
    params = {"fields": "access_token", "access_token": account["token"]}
    page = simulator.get(f"/graph.facebook.com/v25.0/{account['page_id']}", params=params).json()
    assert subscribed(simulator, "graph.facebook.com", account["page_id"], page["access_token"]) == ["feed"]
    assert page["access_token"] not in said


def test_an_account_of_the_instagram_login_is_subscribed_itself(run, simulator, listed):
    account = listed["accounts"][4]
    token = account["instagram_token"]
    changes = {"ACCESS_LONG_LIVED_TOKEN": token, "GRAPH_BASE_URL": f"{simulator.url}/graph.instagram.com"}

    status, said = run("subscribe", **live(simulator, listed, account, **changes))

    assert status == 0, said
    assert "has no story_insights" in said
    assert subscribed(simulator, "graph.instagram.com", "me", token) == ["comments", "mentions"]


def test_other_fields_replace_the_usual_ones_and_an_unknown_one_is_refused_in_metas_words(run, simulator, listed):
    account = listed["accounts"][5]
    environ = live(simulator, listed, account, PAGE_ID=account["page_id"])

    done, _ = run("subscribe", "--fields", "feed,mention", **environ)
    refused, said = run("subscribe", "--fields", "story_insights", **environ)

    assert (done, refused) == (0, 1)
    assert "subscribed_fields" in said


@pytest.mark.parametrize("login", ["facebook", "instagram"])
def test_a_token_of_another_app_is_found_because_its_deliveries_would_be_refused(run, simulator, listed, login):
    account = listed["accounts"][6]
    own = {"APP_ID": listed["app"]["id"], "INSTAGRAM_APP_ID": listed["instagram_app"]["id"]}
    environ = live(simulator, listed, account, PAGE_ID=account["page_id"]) | own
    if login == "instagram":
        host = f"{simulator.url}/graph.instagram.com"
        environ |= {"ACCESS_LONG_LIVED_TOKEN": account["instagram_token"], "GRAPH_BASE_URL": host}
    setting = "APP_ID" if login == "facebook" else "INSTAGRAM_APP_ID"

    assert run("subscribe", **environ)[0] == 0
    status, said = run("subscribe", **environ | {setting: "4444"})

    assert status == 1
    assert f"FAIL app: The token belongs to another app than {setting}: {own[setting]} is subscribed." in said


OWN = {"ACCESS_LONG_LIVED_TOKEN": TOKEN, "INSTAGRAM_ACCOUNT_ID": ACCOUNT_ID, "GRAPH_LOGIN": "facebook"}
PAGES = [
    "a page that cannot be read",
    {"id": "70"},
    {"id": "71", "instagram_business_account": {"id": "17841400000000071"}},
    {"id": "me/media", "instagram_business_account": {"id": ACCOUNT_ID}},
]


@pytest.mark.parametrize("kind", [str, int])
def test_of_many_pages_the_one_of_the_account_is_subscribed_with_the_token_that_there_is(run, wire, kind):
    own = {"id": kind("72"), "instagram_business_account": {"id": kind(ACCOUNT_ID)}}
    wire.get(f"{GRAPH}/v25.0/me/accounts", json={"data": [*PAGES, own]})
    wire.get(f"{GRAPH}/v25.0/72", json={"id": "72", "access_token": ""})  # The token is that of the page.
    subscription = wire.post(f"{GRAPH}/v25.0/72/subscribed_apps", json={"success": True})
    wire.get(f"{GRAPH}/v25.0/72/subscribed_apps", json={"data": [{"id": 4444, "subscribed_fields": ["feed"]}]})

    status, said = run("subscribe", **SETTINGS, **OWN, APP_ID="1234")

    assert [call.request.headers["Authorization"] for call in subscription.calls] == [f"Bearer {TOKEN}"]
    assert (status, "than APP_ID: 4444 is subscribed." in said) == (1, True), said


def test_an_account_without_a_page_among_those_of_its_token_is_not_subscribed(run, wire):
    wire.get(f"{GRAPH}/v25.0/me/accounts", json={"data": PAGES})

    status, said = run("subscribe", **SETTINGS, **OWN)

    assert status == 1
    assert "Set PAGE_ID" in said


@pytest.mark.parametrize("answered", [{}, {"success": False}, {"success": "no"}])
def test_a_subscription_that_meta_does_not_confirm_is_a_failure(run, wire, answered):
    wire.get(f"{GRAPH}/v25.0/72", json={"id": "72", "access_token": "EAAPAGEtestTOKEN0123456789"})
    wire.post(f"{GRAPH}/v25.0/72/subscribed_apps", json=answered)

    status, said = run("subscribe", **SETTINGS, **OWN, PAGE_ID="72")

    assert status == 1
    assert "Instagram sends no success." in said


def test_an_account_that_is_not_there_is_named_so(run, simulator, listed):
    status, said = run("subscribe", "nobody.here", **live(simulator, listed, listed["accounts"][0]))

    assert status == 2
    assert "There is no such account here." in said
