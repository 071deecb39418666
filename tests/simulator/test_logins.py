"""Logins that went wrong: what Meta answers for each cause, and that it answers well once the cause is removed."""

import hashlib
import hmac

import pytest

from simulator.world.logins import STATES
from tests.simulator.caller import ACCOUNT, PAGE, error

APP, SECRET = "200000000000000", "sandbox-app-secret"
INSTAGRAM_APP, INSTAGRAM_SECRET = "200000000000001", "sandbox-instagram-app-secret"
SCOPES = ("instagram_basic", "instagram_manage_insights", "pages_show_list", "business_management")
RANGE = {"metric": "reach", "period": "day", "metric_type": "total_value"}
FIELDS = "id,instagram_business_account{id},access_token"


@pytest.fixture
def login(caller):
    """Exchange the short-lived token of a state by one login; return the long-lived one."""

    def exchanged(state, login="facebook"):
        if login == "instagram":
            given = {"grant_type": "ig_exchange_token", "client_secret": INSTAGRAM_SECRET}
            return caller.get("/graph.instagram.com/access_token", access_token=f"IGAASHORT-{state}", **given)
        given = {"grant_type": "fb_exchange_token", "client_id": APP, "client_secret": SECRET}
        return caller.get(
            "/graph.facebook.com/v25.0/oauth/access_token", fb_exchange_token=f"EAASHORT-{state}", **given
        )

    return exchanged


@pytest.fixture
def details(caller):
    """What debug_token says of a token."""

    def described(token):
        return caller.graph("/debug_token", access_token=f"{APP}|{SECRET}", input_token=token).json()["data"]

    return described


@pytest.fixture
def pages(caller):
    """The Pages that a token lists, each with the account that it shows."""

    def listed(token):
        found = caller.graph("/me/accounts", access_token=token, fields=FIELDS).json()["data"]
        return {page["id"]: page.get("instagram_business_account", {}).get("id") for page in found}

    return listed


SECOND = "100099901974044"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("granted", ({PAGE: ACCOUNT}, 200, set())),
        ("no-page", ({}, 400, set())),
        ("no-page-unclear", ({}, 400, {"business_management"})),
        ("page-not-ticked", ({SECOND: None}, 400, set())),
        ("portfolio", ({}, 200, {"business_management"})),
        ("portfolio-without-account", ({PAGE: None}, 200, {"business_management"})),
        ("personal", ({PAGE: None}, 400, set())),
        ("not-linked", ({PAGE: None}, 400, set())),
        ("linked-elsewhere", ({PAGE: None, SECOND: ACCOUNT}, 200, set())),
        ("no-pages-show-list", ({}, 400, {"pages_show_list"})),
        ("wrong-scopes", ({}, 400, set(SCOPES))),
        ("private", ({PAGE: ACCOUNT}, 400, set())),
    ],
)
def test_a_cause_shows_in_pages_scopes_and_reads(caller, details, pages, state, expected):
    token, (shown, reads, missing) = f"EAASIMLONG-{state}", expected

    assert pages(token) == shown
    assert caller.graph(f"/{ACCOUNT}", access_token=token, fields="username").status_code == reads
    assert set(SCOPES) - set(details(token)["scopes"]) == missing


def test_the_exchange_of_a_short_lived_token_keeps_its_state(login):
    assert login("portfolio").json()["access_token"] == "EAASIMLONG-portfolio"


def test_granular_scopes_name_what_was_ticked_and_nothing_where_all_is_granted(details):
    def targets(state):
        granted = details(f"EAASIMLONG-{state}")["granular_scopes"]
        return {entry["scope"]: entry.get("target_ids") for entry in granted}

    assert targets("page-not-ticked")["pages_show_list"] == [SECOND]
    assert targets("page-not-ticked")["instagram_basic"] == [ACCOUNT]
    assert targets("portfolio-ticked")["pages_show_list"] == [PAGE]
    assert targets("portfolio")["pages_show_list"] is None
    assert "pages_show_list" not in targets("no-pages-show-list")


def test_one_user_may_have_several_accounts(caller, pages):
    token = "EAASHORT-several"
    shown = pages(token)

    assert len(shown) == len(set(shown.values())) == 3
    names = [caller.graph(f"/{each}", access_token=token, fields="username").json() for each in shown.values()]
    assert [name["username"] for name in names] == ["corner.bakery", "ninety_nine", "was.personal"]
    second = list(shown.values())[1]
    posts = caller.graph(f"/{second}/media", access_token=token, limit=1).json()["data"]
    assert caller.graph(f"/{posts[0]['id']}", access_token=token, fields="username").status_code == 200


def test_the_token_of_a_page_reads_its_own_account(caller):
    listed = caller.graph("/me/accounts", access_token="EAASHORT-several", fields=FIELDS).json()["data"]
    page, other = listed[1], listed[0]
    token = page["access_token"]

    own = caller.graph("/me", access_token=token, fields=FIELDS).json()
    assert own["instagram_business_account"] == page["instagram_business_account"]
    linked = page["instagram_business_account"]["id"]
    assert caller.graph(f"/{linked}", access_token=token).json() == {"id": linked}
    refused = caller.graph(f"/{other['instagram_business_account']['id']}", access_token=token)
    assert error(refused)["error_subcode"] == 33


@pytest.mark.parametrize(
    ("state", "subcode"),
    [
        ("expired", 463),
        ("revoked", 458),
        ("checkpoint", 459),
        ("password-changed", 460),
        ("unconfirmed", 464),
        ("logged-out", 467),
    ],
)
def test_a_token_that_is_over_is_refused_everywhere_and_described(caller, login, details, state, subcode):
    for refused in (
        login(state),
        login(state, "instagram"),
        caller.graph("/me", access_token=f"EAASHORT-{state}"),
        caller.instagram("/me", access_token=f"IGAASHORT-{state}"),
    ):
        assert (error(refused)["code"], error(refused)["error_subcode"]) == (190, subcode)
    described = details(f"EAASIMLONG-{state}")
    assert (described["is_valid"], described["error"]["subcode"]) == (False, subcode)


@pytest.mark.parametrize(("state", "code"), [("personal", 100), ("private", 100), ("in-development", 10)])
def test_the_instagram_login_cannot_read_such_an_account(caller, login, state, code):
    token = login(state, "instagram").json()["access_token"]

    refused = caller.instagram("/me", access_token=token, fields="user_id")

    assert token == f"IGAASIMLONG-{state}"
    assert error(refused)["code"] == code


@pytest.mark.parametrize("host", ["facebook", "instagram"])
def test_insights_are_refused_or_empty_without_their_permission(caller, host):
    read = getattr(caller, "graph" if host == "facebook" else host)
    prefix, node = ("EAA", ACCOUNT) if host == "facebook" else ("IGAA", "me")

    def insights(state, edge):
        return read(edge, access_token=f"{prefix}SHORT-{state}", **RANGE)

    post = read(f"/{node}/media", access_token=f"{prefix}SHORT-granted", limit=1).json()["data"][0]["id"]
    assert insights("granted", f"/{node}/insights").json()["data"]
    assert error(insights("no-insights", f"/{node}/insights"))["code"] == 10
    assert insights("no-insights-empty", f"/{node}/insights").json()["data"] == []
    assert error(read(f"/{post}/insights", access_token=f"{prefix}SHORT-no-insights", metric="reach"))["code"] == 10
    assert read(f"/{node}", access_token=f"{prefix}SHORT-no-insights", fields="username").status_code == 200


def test_the_token_of_another_app_shows_in_its_proof_and_not_in_its_details(caller):
    token = "EAASHORT-other-app"
    proof = hmac.new(SECRET.encode(), token.encode(), hashlib.sha256).hexdigest()

    described = caller.graph("/debug_token", access_token=f"{APP}|{SECRET}", input_token=token)
    read = caller.graph(f"/{ACCOUNT}", access_token=token, appsecret_proof=proof)

    assert (error(described)["code"], error(read)["type"]) == (100, "GraphMethodException")
    assert "did not match" in error(described)["message"]


@pytest.mark.parametrize(
    ("state", "status", "words"),
    [
        ("granted", 200, "instagram_business_basic"),
        ("wrong-scopes", 200, "instagram_basic"),
        ("role-missing", 400, "role"),
    ],
)
def test_a_code_leads_to_the_state_that_it_names(caller, state, status, words):
    form = {
        "client_id": INSTAGRAM_APP,
        "client_secret": INSTAGRAM_SECRET,
        "grant_type": "authorization_code",
        "redirect_uri": "https://app.example/back",
        "code": f"AQSANDBOX-{state}",
    }

    reply = caller.session.post(f"{caller.simulator.url}/api.instagram.com/oauth/access_token", data=form, timeout=5)

    assert reply.status_code == status
    assert words in (reply.json()["data"][0]["permissions"] if status == 200 else reply.json()["error_message"])


def test_a_code_of_the_login_with_facebook_leads_to_the_state_that_it_names(caller):
    given = {"client_id": APP, "client_secret": SECRET, "redirect_uri": "https://app.example/back"}

    answer = caller.get("/graph.facebook.com/oauth/access_token", code="AQSANDBOX-no-page", **given)

    assert answer.json()["access_token"] == "EAASHORT-no-page"


def test_a_cause_that_is_removed_is_gone_until_the_reset(caller, pages):
    assert pages("EAASHORT-no-page") == {}

    answer = caller.order("/logins/no-page", repaired=True)

    assert answer.json()["repaired"] is True
    assert pages("EAASHORT-no-page") == pages("EAASIMLONG-no-page") == {PAGE: ACCOUNT}
    caller.simulator.reset()
    assert pages("EAASHORT-no-page") == {}


def test_the_logins_are_listed_with_their_tokens_and_a_wrong_order_is_refused(caller):
    listed = {each["state"]: each for each in caller.own("/logins")["logins"]}

    assert set(listed) == set(STATES)
    assert listed["private"]["instagram_token"] == "IGAASHORT-private"
    assert listed["no-page"]["instagram_token"] is None
    assert caller.order("/logins/nonsense", repaired=True).status_code == 404
    assert caller.order("/logins/no-page", repaired="yes").status_code == 400
