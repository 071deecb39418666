"""Tokens at Meta: exchanged, refreshed and inspected, against the simulator; nothing of them in a URL that is shown."""

from __future__ import annotations

import logging
from urllib.parse import parse_qs

import pytest

from config import SANDBOX_CREDENTIALS, Config
from services.clients.graph.tokens import NEVER
from services.clock import Clock
from services.errors import (
    ProviderError,
    ProviderNotConfiguredError,
    ProviderRefusedError,
    TokenExpiredError,
    TokenInvalidError,
)
from services.redaction import Redaction
from services.wiring.provider_clients import token_client
from tests.support import live_settings

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
def test_a_wrong_secret_is_named_and_pauses_no_provider(make_tokens, login):
    wrong = make_tokens(APP_SECRET="wrong-secret-1", INSTAGRAM_APP_SECRET="wrong-secret-2")

    for _ in range(6):
        with pytest.raises(ProviderRefusedError) as caught:
            wrong.exchange_short(login, "IGAASHORTx" if login == "instagram" else "EAASHORTx")
        assert caught.value.message.endswith("Error validating client secret.")
        assert "APP_SECRET" in caught.value.hint


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
