"""Tokens at Meta: exchanged, refreshed and inspected, against the simulator; nothing of them in a URL that is shown."""

from __future__ import annotations

import json
import logging
from urllib.parse import parse_qs

import pytest

from config import SANDBOX_CREDENTIALS, Config
from services.clients.graph.errors import INSTAGRAM
from services.clients.graph.tokens import MOST_LISTS, NEVER
from services.clients.guard.guard import Guard
from services.clock import Clock
from services.errors import (
    MAX_TRIES,
    ProviderError,
    ProviderNotConfiguredError,
    ProviderRefusedError,
    ProviderResponseError,
    ProviderUnavailableError,
    TokenExpiredError,
    TokenInvalidError,
)
from services.redaction import Redaction
from services.wiring.provider_clients import token_client
from tests.support import GRAPH, graph_error, live_settings, settings

LIFETIME = 5_183_944  # seconds
REDIRECT = "https://example.com/login"


@pytest.fixture
def listed(simulator):
    return simulator.get("/_simulator/accounts").json()


@pytest.fixture
def redaction():
    return Redaction()


@pytest.fixture
def make_tokens(simulator, listed, redaction):
    def make(**changes):
        live = live_settings(simulator.url, listed["accounts"][0], listed["app"], listed["modash"]["key"])
        instagram = {name.upper(): SANDBOX_CREDENTIALS[name] for name in ("instagram_app_id", "instagram_app_secret")}
        return token_client(Config.from_env(live | instagram | changes), Clock(), redaction=redaction)

    return make


@pytest.fixture
def tokens(make_tokens):
    return make_tokens()


@pytest.fixture
def account(listed):
    return listed["accounts"][1]


@pytest.mark.parametrize(("login", "short"), [("facebook", "EAASHORTsomething"), ("instagram", "IGAASHORTsomething")])
def test_a_short_token_becomes_a_long_one_of_60_days(tokens, redaction, login, short):
    before = Clock().timestamp()

    new = tokens.exchange_short(login, short)

    assert new.expires_at == pytest.approx(before + LIFETIME, abs=60)
    assert new.token not in repr(new)
    assert redaction(f"{short} {new.token}") == "[redacted] [redacted]"
    assert tokens.owner(login, new.token).id


@pytest.mark.parametrize("login", ["facebook", "instagram"])
def test_without_the_apps_id_or_secret_nothing_is_sent(make_tokens, simulator, login):
    prefix = "INSTAGRAM_" if login == "instagram" else ""
    simulator.post("/_simulator/calls/reset")

    with pytest.raises(ProviderNotConfiguredError, match=f"^{prefix}APP_ID and {prefix}APP_SECRET are missing"):
        make_tokens(**{f"{prefix}APP_SECRET": ""}).exchange_short(login, "EAASHORTsomething")

    assert simulator.get("/_simulator/calls").json()["instagram"]["calls"] == []


@pytest.mark.parametrize("login", ["facebook", "instagram"])
def test_a_wrong_secret_is_named_and_pauses_no_provider(make_tokens, simulator, login):
    wrong = make_tokens(APP_SECRET="wrong-secret-1", INSTAGRAM_APP_SECRET="wrong-secret-2")
    simulator.post("/_simulator/calls/reset")

    for _ in range(6):
        with pytest.raises(ProviderRefusedError) as caught:
            wrong.exchange_short(login, "IGAASHORTx" if login == "instagram" else "EAASHORTx")
        assert caught.value.message.endswith("Error validating client secret.")
        assert "APP_SECRET" in caught.value.hint
    assert simulator.get("/_simulator/calls").json()["instagram"]["total"] == 6  # The breaker of five faults is closed.


@pytest.mark.parametrize("shape", ["list", "flat"])
def test_a_code_is_exchanged_once_in_either_shape_of_the_answer(tokens, simulator, shape):
    simulator.post("/_simulator/switches", {"igl_code_answer": shape})
    code = "AQSANDBOX1"

    new = tokens.exchange_code(f"{code}#_", redirect_uri=REDIRECT)

    assert new.account_id == SANDBOX_CREDENTIALS["instagram_account_id"]
    assert new.expires_at == pytest.approx(Clock().timestamp() + 3600, abs=60)
    assert "instagram_business_manage_insights" in new.scopes
    calls = simulator.get("/_simulator/calls").json()["instagram"]["calls"]
    assert [call["path"] for call in calls if code in call["path"]] == []
    with pytest.raises(ProviderRefusedError, match="not found or was already used"):
        tokens.exchange_code(code, redirect_uri=REDIRECT)


def test_a_code_is_sent_once_whatever_comes_back(make_tokens, simulator):
    simulator.post("/_simulator/faults", {"provider": "instagram", "kind": "server_error"})
    simulator.post("/_simulator/calls/reset")

    with pytest.raises(ProviderError):
        make_tokens(RETRY_BUDGET="5").exchange_code("AQSANDBOX2", redirect_uri=REDIRECT)

    assert len(simulator.get("/_simulator/calls").json()["instagram"]["calls"]) == 1


def test_a_refresh_gives_60_days_more(tokens, account, redaction):
    new = tokens.refresh(account["instagram_token"])

    assert new.expires_at == pytest.approx(Clock().timestamp() + LIFETIME, abs=60)
    assert "instagram_business_basic" in new.scopes
    assert new.token != account["instagram_token"]
    assert redaction(f"{new.token} {account['instagram_token']}") == "[redacted] [redacted]"


def test_a_token_that_is_over_cannot_be_refreshed(tokens, listed):
    expired = next(each for each in listed["accounts"] if each["kind"] == "expired_token")

    with pytest.raises(TokenExpiredError) as caught:
        tokens.refresh(expired["instagram_token"])

    assert caught.value.reason == "expired"


def test_what_meta_reports_of_tokens(tokens, account):
    user, page = tokens.details(account["token"]), tokens.details(account["page_token"])

    assert (user.is_valid, user.type, user.app_id) == (True, "USER", SANDBOX_CREDENTIALS["app_id"])
    assert user.expires_at > Clock().timestamp()
    assert "instagram_manage_insights" in user.scopes
    assert user.granular_scopes["instagram_basic"] == (account["id"],)
    assert (page.type, page.expires_at, page.profile_id) == ("PAGE", NEVER, account["page_id"])
    assert page.data_access_expires_at > Clock().timestamp()


def test_of_an_invalid_token_it_is_said_why(tokens):
    details = tokens.details("EAAnosuchtokenatall0000")

    assert not details.is_valid
    assert (type(details.failure), details.failure.reason) == (TokenInvalidError, "revoked")


def test_the_owner_pages_and_permissions_of_a_token(tokens, account):
    assert tokens.owner("instagram", account["instagram_token"]).id == account["id"]
    assert tokens.owner("facebook", account["page_token"]).id == account["page_id"]
    assert tokens.permissions(account["token"])["instagram_basic"] == "granted"
    (page,) = tokens.pages(account["token"]).pages
    assert (page.id, page.account_id, page.username) == (account["page_id"], account["id"], account["username"])
    assert page.token == account["page_token"]
    assert page.token not in repr(page)


def test_every_list_of_pages_is_read_by_its_cursor(make_tokens, wire):
    pages = {"data": [{"id": "1", "name": "One"}], "paging": {"cursors": {"after": "C1"}, "next": "https://x/y"}}
    url = "https://graph.facebook.com/v25.0/me/accounts"
    wire.get(url, json=pages)
    wire.get(url, json={"data": [{"id": "2"}, {"id": "1"}], "paging": {"cursors": {"after": "C2"}}})

    found = make_tokens(GRAPH_BASE_URL="").pages("EAAanything0000000000")

    assert [page.id for page in found.pages] == ["1", "2"]
    assert found.is_complete
    assert [parse_qs(call.request.url.partition("?")[2]).get("after") for call in wire.calls] == [None, ["C1"]]


def test_no_token_or_secret_is_in_a_log_line(tokens, listed, watch, account):
    logging.getLogger().setLevel(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.WARNING)  # as in the gateway

    tokens.refresh(account["instagram_token"])
    tokens.exchange_short("facebook", "EAASHORTsomething")
    with pytest.raises(ProviderError) as caught:
        tokens.refresh("IGAASIMnosuchtoken0000000000")

    assert "IGAASIMnosuch" not in str(caught.value)
    assert any(line.startswith("provider call") for line in watch.seen)


# What Meta answers in other ways than its documentation has it. These tokens look like no token, so that only what was
# learned of them takes them out of a text.

OWN, NEW = "0000ownTOKENwithoutAprefix0000", "1111newTOKENwithoutAprefix1111"
EXCHANGE, REFRESH = f"{GRAPH}/v25.0/oauth/access_token", "https://graph.instagram.com/refresh_access_token"
CODE, LISTS = "https://api.instagram.com/oauth/access_token", f"{GRAPH}/v25.0/me/accounts"
INSPECTION, ME = f"{GRAPH}/v25.0/debug_token", f"{GRAPH}/v25.0/me"


@pytest.fixture
def guard(clock):
    return Guard(INSTAGRAM, clock, places=4)


@pytest.fixture
def planned(clock, guard, redaction):
    """The client where a test plans what Meta answers."""
    config = settings(instagram_app_id="5678", instagram_app_secret="another-secret-of-the-app", retry_budget=5.0)
    return token_client(config, clock, guard=guard, redaction=redaction)


def test_each_token_and_code_that_is_sent_or_comes_is_a_secret_from_then_on(planned, redaction, wire):
    texts = {name: f"2222{name}TOKENwithoutAprefix2222" for name in ("short", "refreshed", "code", "inspected", "page")}
    wire.get(EXCHANGE, json={"access_token": NEW})
    wire.get(REFRESH, json={"access_token": NEW})
    wire.post(CODE, json={"access_token": NEW})
    wire.get(INSPECTION, json={"data": {}})
    wire.get(LISTS, json={"data": [{"id": "1", "access_token": texts["page"]}]})

    planned.exchange_short("facebook", texts["short"])
    planned.refresh(texts["refreshed"])
    planned.exchange_code(texts["code"], redirect_uri=REDIRECT)
    planned.details(texts["inspected"])
    planned.pages(OWN)

    assert {redaction(text) for text in (*texts.values(), OWN, NEW)} == {"[redacted]"}


def test_a_new_token_is_described_as_far_as_the_answer_can_be_read(planned, clock, wire):
    odd = {"access_token": NEW, "user_id": "me/media", "permissions": "basic, insights ,comments", "expires_in": -5}
    wire.post(CODE, json=odd)
    wire.get(EXCHANGE, json={"access_token": NEW, "user_id": True, "permissions": 7, "expires_in": True})

    of_a_code, of_a_short_one = (
        planned.exchange_code(" AQtheCODE0123456789#_ ", redirect_uri=REDIRECT),
        planned.exchange_short("facebook", OWN),
    )

    assert (of_a_code.account_id, of_a_code.scopes) == (None, ("basic", "insights", "comments"))
    assert of_a_code.expires_at == clock.timestamp() + 3600  # A code gives a token for an hour at least.
    assert (of_a_short_one.account_id, of_a_short_one.scopes, of_a_short_one.expires_at) == (None, None, None)
    assert parse_qs(wire.calls[0].request.body.decode())["code"] == ["AQtheCODE0123456789"]


@pytest.mark.parametrize("token", ["", None, 7, [NEW]])
def test_an_answer_without_a_token_is_none(planned, wire, token):
    wire.get(REFRESH, json={"access_token": token})

    with pytest.raises(ProviderResponseError):
        planned.refresh(OWN)


def test_a_fault_that_passes_is_tried_again_and_is_no_wrong_secret(planned, wire):
    for code in (2, 1):
        wire.get(EXCHANGE, json=graph_error(code, message="An unknown error has occurred."), status=500)

    with pytest.raises(ProviderUnavailableError):
        planned.exchange_short("facebook", OWN)

    assert len(wire.calls) == 2


@pytest.mark.parametrize(
    "refusal", [{"code": 2, "status": 500}, {"code": 190, "status": 503}, {"code": 2, "status": 400}]
)
def test_a_fault_that_speaks_of_a_client_is_no_wrong_secret(planned, wire, refusal):
    answer = graph_error(refusal["code"], message="The client could not be reached.")
    for _ in range(MAX_TRIES):
        wire.get(EXCHANGE, json=answer, status=refusal["status"])

    with pytest.raises(ProviderUnavailableError):
        planned.exchange_short("facebook", OWN)

    assert len(wire.calls) == MAX_TRIES


def test_no_refused_token_stands_in_the_way_of_another_and_the_apps_usage_is_noted(planned, guard, wire):
    wire.get(REFRESH, json=graph_error(190, 463), status=400)
    wire.get(REFRESH, json={"access_token": NEW}, headers={"X-App-Usage": '{"call_count": 28}'})

    with pytest.raises(TokenExpiredError):
        planned.refresh(OWN)
    assert planned.refresh(OWN).token == NEW

    assert [(usage.account, usage.percent) for usage in guard.usages()] == [("", 28.0)]


def test_what_meta_does_not_report_of_a_token_is_unknown(planned, wire):
    scopes = [{"scope": "basic"}, {"scope": "pages", "target_ids": [1, "2"]}, {"scope": 7}, "x"]
    wire.get(INSPECTION, json={"data": {"issued_at": 0, "expires_at": 4_102_444_800, "granular_scopes": scopes}})
    wire.get(INSPECTION, json={"data": {"is_valid": "yes", "issued_at": -1, "expires_at": -1, "scopes": 7}})

    first, second = planned.details(OWN), planned.details(OWN)

    assert (first.is_valid, first.issued_at, first.expires_at, first.scopes) == (False, None, NEVER, None)
    assert first.granular_scopes == {"basic": (), "pages": ("1", "2")}
    assert (second.is_valid, second.issued_at, second.expires_at) == (False, None, None)


@pytest.mark.parametrize("own", [{}, {"id": True}, {"id": "me/media"}])
def test_a_token_without_an_id_has_no_owner(planned, wire, own):
    wire.get(ME, json=own | {"name": "One"})

    with pytest.raises(ProviderResponseError):
        planned.owner("facebook", OWN)


def test_of_a_page_only_what_can_be_read_is_listed_and_the_first_time_counts(planned, wire):
    linked = {"instagram_business_account": {"id": "media/7", "username": "bakery"}}
    pages = [{"id": "1", "name": "One", **linked}, {"id": "me/media"}, {}, {"id": 2}, {"id": "1", "name": "Again"}]
    wire.get(LISTS, json={"data": pages})

    found = planned.pages(OWN).pages

    assert [(page.id, page.name, page.account_id, page.username) for page in found] == [
        ("1", "One", None, "bakery"),
        ("2", None, None, None),
    ]


@pytest.mark.parametrize(("cursor", "calls", "is_complete"), [("C{}", MOST_LISTS, False), ("the same", 2, True)])
def test_lists_of_pages_without_an_end_are_read_so_far(planned, wire, cursor, calls, is_complete):
    def answer(_):
        number = str(len(wire.calls))
        paging = {"cursors": {"after": cursor.format(number)}, "next": "https://x/y"}
        return 200, {}, json.dumps({"data": [{"id": number}], "paging": paging})

    wire.add_callback("GET", LISTS, answer)

    found = planned.pages(OWN)

    assert (len(wire.calls), len(found.pages), found.is_complete) == (calls, calls, is_complete)
