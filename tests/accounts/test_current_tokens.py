"""A token that Instagram does not accept: not tried again, in no process, and without touching another account."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.accounts.current_tokens import READ_ALL_EVERY, fingerprint
from services.accounts.needed_permissions import OF_FACEBOOK
from services.accounts.token_encryption import new_key
from services.errors import TokenInvalidError
from services.store.account_tokens import AccountTokens, TokenRow
from services.store.database import DatabaseUnavailableError
from tests.movable_clock import MovableClock
from tests.support import ACCOUNT_ID, GRAPH, TOKEN, add_account, graph_error, settings

KEY = new_key()
OTHER, OTHER_TOKEN = "17841400000000022", "EAAotherTOKENofANaccount000"
MEDIA, OTHER_MEDIA = f"{GRAPH}/v25.0/{ACCOUNT_ID}/media", f"{GRAPH}/v25.0/{OTHER}/media"
AFTER_EVERY_PAUSE = 120  # seconds; the circuit breaker of an account admits a call after 15 at most
DEAD = [(102, None), (104, None), (450, None), (452, None), *((190, each) for each in (None, 458, 459, 460, 463, 467))]
ALIVE = {
    "permission": (400, graph_error(10, message="no permission")),
    "another permission": (400, graph_error(200)),
    "a throttle": (400, graph_error(80002)),
    "a fault": (500, graph_error(2)),
    "a fault that looks like a bad token": (503, graph_error(190, 463)),
    "a bad proof": (400, graph_error(100, message="Invalid appsecret_proof provided in the API argument")),
}


@pytest.fixture
def config():
    return settings(token_key=KEY)


@pytest.fixture
def gateway(make_client, clock, config):
    """A gateway with an added account beside that of the settings."""
    client = make_client(config, clock=clock)
    add_account(client.application.extensions["services"].store, KEY, OTHER, username="other", token=OTHER_TOKEN)
    return client


def ask(client, account=ACCOUNT_ID):
    response = client.get(f"/top-posts?time_range=7d&account={account}")
    return response.status_code, response.get_json().get("code")


@pytest.mark.parametrize(("code", "subcode"), DEAD)
def test_a_refused_token_is_not_tried_again(gateway, wire, clock, code, subcode):
    wire.get(MEDIA, json=graph_error(code, subcode), status=400)
    first = ask(gateway)
    clock.wait(AFTER_EVERY_PAUSE)

    assert first[0] == 401
    assert ask(gateway) == first
    assert len(wire.calls) == 1


@pytest.mark.parametrize("what", ALIVE)
def test_any_other_failure_leaves_the_token_in_use(gateway, wire, clock, what):
    status, body = ALIVE[what]
    wire.get(MEDIA, json=body, status=status)
    ask(gateway)
    calls = len(wire.calls)
    clock.wait(3600)
    wire.replace("GET", MEDIA, json={"data": []})

    assert ask(gateway) == (200, None)
    assert len(wire.calls) == calls + 1


def test_no_other_process_tries_it_and_each_says_why(gateway, make_client, config, wire, clock):
    wire.get(MEDIA, json=graph_error(190, 460), status=400)
    ask(gateway)
    another = make_client(config, clock=clock)

    response = another.get("/top-posts?time_range=7d")

    assert (response.status_code, response.get_json()["code"]) == (401, "token_invalid")
    assert response.get_json()["message"] == "The user changed the password."
    assert len(wire.calls) == 1


def test_the_other_account_is_read_as_before(gateway, wire):
    wire.get(MEDIA, json=graph_error(190), status=400)
    wire.get(OTHER_MEDIA, json={"data": []})
    for _ in range(10):
        ask(gateway)

    assert ask(gateway, OTHER) == (200, None)
    assert [call.request.url.partition("?")[0] for call in wire.calls] == [MEDIA, OTHER_MEDIA]


def test_what_is_kept_is_still_answered_and_stale(gateway, wire, clock):
    wire.get(MEDIA, json={"data": []})
    assert ask(gateway) == (200, None)
    wire.replace("GET", MEDIA, json=graph_error(190), status=400)
    for _ in range(3):
        clock.wait(2 * 3600)
        assert gateway.get("/top-posts?time_range=7d").get_json()["meta"]["stale"]
        assert gateway.application.extensions["services"].wait_until_quiet(30)

    assert len(wire.calls) == 2


def test_it_is_logged_once_with_the_next_step_and_without_the_token(gateway, wire, watch, clock):
    wire.get(MEDIA, json=graph_error(190, 458), status=400)
    for _ in range(3):
        ask(gateway)
        clock.wait(AFTER_EVERY_PAUSE)

    (line,) = [line for line in watch.seen if line.startswith("Instagram does not accept the token of an account")]
    assert ACCOUNT_ID in line
    assert "app_removed" in line
    assert "set ACCESS_LONG_LIVED_TOKEN to it and restart" in line


def test_a_refusal_of_a_call_that_was_not_sent_says_nothing_of_the_token(gateway):
    services = gateway.application.extensions["services"]
    account, tokens = services.accounts.find(ACCOUNT_ID), services.token_refresh._tokens

    tokens.failed(account, TokenInvalidError("No.", provider="instagram", reached=False))

    assert tokens.refusal(account) is None


def test_without_the_database_it_is_logged_once_too(gateway, watch, monkeypatch):
    services = gateway.application.extensions["services"]
    account, tokens = services.accounts.find(ACCOUNT_ID), services.token_refresh._tokens
    error = TokenInvalidError("No.", provider="instagram", reason="app_removed")
    error.reached = True

    def unavailable(*_):
        raise DatabaseUnavailableError("It is away.")

    monkeypatch.setattr(AccountTokens, "note_failure", unavailable)
    for _ in range(2):  # calls that were under way at once
        tokens.failed(account, error)

    found = [line for line in watch.seen if line.startswith("Instagram does not accept the token of an account")]
    assert len(found) == 1


def test_a_call_that_is_refused_because_of_its_token_was_not_sent(gateway):
    services = gateway.application.extensions["services"]
    account, tokens = services.accounts.find(ACCOUNT_ID), services.token_refresh._tokens
    error = TokenInvalidError("No.", provider="instagram", reason="app_removed", retry_after=7)
    error.reached = True
    tokens.failed(account, error)

    refusals = [tokens.refusal(account) for _ in range(2)]

    assert [(each.reached, each.retry_after, each.reason) for each in refusals] == [(False, None, "app_removed")] * 2
    assert refusals[0] is not refusals[1]  # Each thread raises one of its own.


def test_the_reason_of_a_refusal_is_that_of_the_row(gateway):
    services = gateway.application.extensions["services"]
    account, tokens = services.accounts.find(ACCOUNT_ID), services.token_refresh._tokens
    error = TokenInvalidError("No.", provider="instagram")  # as written without a reason
    error.reached = True
    tokens.failed(account, error)
    (row,) = services.store.account_tokens.all()

    found = tokens.failure_of(row._replace(reason="app_removed"))

    assert (type(found), found.message, found.reason) == (TokenInvalidError, "No.", "app_removed")


def test_of_two_processes_that_find_it_at_once_one_says_so(gateway, make_client, config, watch, clock):
    processes = [each.application.extensions["services"] for each in (gateway, make_client(config, clock=clock))]
    accounts = [services.accounts.find(ACCOUNT_ID) for services in processes]  # Each has read the table by now.

    for services, account in zip(processes, accounts, strict=True):
        error = TokenInvalidError("No.", provider="instagram", reason="app_removed")
        error.reached = True
        services.token_refresh._tokens.failed(account, error)

    found = [line for line in watch.seen if line.startswith("Instagram does not accept the token of an account")]
    assert len(found) == 1


def test_what_a_process_whose_clock_is_behind_finds_is_known_at_the_next_look(gateway, make_client, config, clock):
    behind = MovableClock(clock.now() - timedelta(seconds=30))
    mine, other = (each.application.extensions["services"] for each in (gateway, make_client(config, clock=behind)))
    error = TokenInvalidError("No.", provider="instagram")
    error.reached = True
    mine.token_refresh._tokens.failed(mine.accounts.find(ACCOUNT_ID), error)
    mine.token_refresh._tokens.read()

    other.token_refresh._tokens.failed(other.accounts.find(OTHER), error)
    mine.token_refresh._tokens.read()

    assert mine.token_refresh._tokens.refusal(mine.accounts.find(OTHER)) is not None


def test_after_a_clock_was_set_back_what_another_process_finds_is_known_at_the_next_look(
    gateway, make_client, config, clock
):
    mine, other = (each.application.extensions["services"] for each in (gateway, make_client(config, clock=clock)))
    error = TokenInvalidError("No.", provider="instagram")
    error.reached = True
    now = clock.now()
    clock.set(now + timedelta(hours=6))
    mine.token_refresh._tokens.failed(mine.accounts.find(ACCOUNT_ID), error)
    mine.token_refresh._tokens.read()
    clock.set(now)
    mine.token_refresh._tokens.read()

    other.token_refresh._tokens.failed(other.accounts.find(OTHER), error)
    mine.token_refresh._tokens.read()

    assert mine.token_refresh._tokens.refusal(mine.accounts.find(OTHER)) is not None


@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize("is_listed", [True, False])
def test_a_refusal_that_is_found_while_the_table_is_read_is_not_lost(gateway, clock, monkeypatch, is_whole, is_listed):
    services = gateway.application.extensions["services"]
    tokens, account = services.token_refresh._tokens, services.accounts.find(ACCOUNT_ID)
    error = TokenInvalidError("No.", provider="instagram")
    error.reached = True
    mine, now = fingerprint(account.token), clock.timestamp()
    accepted = [TokenRow(ACCOUNT_ID, mine, mine, seen_at=now, written_at=now)] if is_listed else []

    def read(_table, _since):
        tokens.failed(account, error)
        return accepted  # as it was before

    tokens.read()
    clock.wait(READ_ALL_EVERY if is_whole else 1)
    monkeypatch.setattr(AccountTokens, "written_since", read)
    tokens.read()

    assert tokens.refusal(account) is not None


def test_a_token_that_is_accepted_again_is_used_from_the_next_look_on(gateway, clock, monkeypatch):
    services = gateway.application.extensions["services"]
    tokens, account = services.token_refresh._tokens, services.accounts.find(ACCOUNT_ID)
    error = TokenInvalidError("No.", provider="instagram")
    error.reached = True
    mine, now = fingerprint(account.token), clock.timestamp()
    tokens.read()
    tokens.failed(account, error)

    accepted = [TokenRow(ACCOUNT_ID, mine, mine, seen_at=now, written_at=now)]
    monkeypatch.setattr(AccountTokens, "written_since", lambda *_: accepted)
    tokens.read()

    assert tokens.refusal(account) is None


def test_the_worker_of_a_sandbox_tries_a_refused_token_again_because_it_cannot_be_replaced(make_client, wire, clock):
    client = make_client(settings(providers="sandbox", sandbox_despite_credentials=True), clock=clock)
    services = client.application.extensions["services"]
    inspection = f"{client.application.extensions['config'].graph_base_url}/v25.0/debug_token"
    refused = {"is_valid": False, "error": {"code": 190, "subcode": 460, "message": "Changed."}}
    for data in (refused, {"is_valid": True, "expires_at": 0, "scopes": OF_FACEBOOK}):
        wire.get(inspection, json={"data": data})
    found = []
    for _ in range(2):
        services.token_refresh.check(services.accounts.find(None).id)
        found += [each["health"]["reason"] for each in client.get("/accounts").get_json()["accounts"]]
        clock.wait(86_400)

    assert found == ["password_changed", "not_checked"]


def test_a_refusal_is_forgotten_with_what_is_kept_of_the_account(gateway, wire, clock):
    services = gateway.application.extensions["services"]
    wire.get(OTHER_MEDIA, json=graph_error(190), status=400)
    before = ask(gateway, OTHER)
    services.store.account_tokens.forget(OTHER)
    clock.wait(AFTER_EVERY_PAUSE)
    services.token_refresh._tokens.read()
    wire.replace("GET", OTHER_MEDIA, json={"data": []})

    assert (before, ask(gateway, OTHER)) == ((401, "token_invalid"), (200, None))


@pytest.mark.parametrize(
    "change", [{"access_long_lived_token": f"{TOKEN}2"}, {"app_secret": "another-secret-of-the-app"}]
)
def test_another_token_or_secret_in_the_settings_is_tried(gateway, make_client, config, wire, change):
    wire.get(MEDIA, json=graph_error(190), status=400)
    ask(gateway)
    wire.replace("GET", MEDIA, json={"data": []})
    changed = settings(token_key=KEY, instance_path=config.instance_path, **change)

    assert ask(make_client(changed)) == (200, None)


def test_a_token_that_a_caller_tests_concerns_no_account(gateway, wire):
    wire.get(f"{GRAPH}/v25.0/17900000000000001/insights", json=graph_error(190), status=400)
    header = {"X-Instagram-Access-Token": "EAAcallersOWNtoken0000000"}
    path = "/api/instagram/insights/test?media_id=17900000000000001"
    answers = [gateway.get(path, headers=header).get_json()["works"] for _ in range(2)]

    assert answers == [False, False]
    assert len(wire.calls) == 2
    assert gateway.application.extensions["services"].store.account_tokens.all() == []
