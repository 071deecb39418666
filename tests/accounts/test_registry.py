"""Accounts that were added: found by id and name, of both logins, without touching each other."""

from __future__ import annotations

import gc
import json
import time
from dataclasses import replace

import pytest

from commands import account as command
from commands import key as key_command
from config import Config
from services.accounts.token_encryption import TokenEncryption, new_key
from services.clients.graph.models import Account
from services.store.accounts import AccountRow
from services.store.store import Store
from tests.stores import query
from tests.support import ACCOUNT_ID, GRAPH, TOKEN, Watch, graph_error, settings

INSTAGRAM = "https://graph.instagram.com"
KEY = new_key()
SECRET = {"bakery": "EAAbakeryTOKENofANaccount000", "cafe": "IGAAcafeTOKENofANaccount000"}
BAKERY, CAFE = "17841400000000011", "17841400000000022"
UNKNOWN = (404, "account_unknown", "There is no such account here.")


@pytest.fixture(autouse=True)
def no_leak(watch: Watch):
    yield
    text = "\n".join(watch.seen)
    assert [name for name, secret in SECRET.items() if secret in text] == []
    assert KEY not in text


@pytest.fixture
def add(clock):
    """Put accounts into the table of a gateway's store."""

    def put(client, *names, key=KEY):
        table = client.application.extensions["services"].store.accounts
        token_encryption = TokenEncryption([key], learn=lambda _: None)
        for name in names:
            id_, login = (BAKERY, "facebook") if name == "bakery" else (CAFE, "instagram")
            table.put(AccountRow(id_, name, login, "", token_encryption.seal(SECRET[name]), 1.0))
        clock.wait(2)

    return put


@pytest.fixture
def gateway(make_client, clock, add):
    """Build a gateway with some accounts in its table, beside that of the settings by default."""

    def build(*names, **changes):
        client = make_client(settings(token_key=KEY, **changes), clock=clock)
        add(client, *names)
        return client

    return build


NO_OTHER = {"access_long_lived_token": "", "instagram_account_id": "", "page_id": "", "modash_api_key": ""}


def ask(client, account=None):
    query_ = {"time_range": "7d"} | ({"account": account} if account else {})
    return client.get("/top-posts", query_string=query_)


def outcome(response):
    body = response.get_json()
    return response.status_code, body["code"], body["message"]


def plan(wire, *urls):
    return [wire.get(url, json={"data": []}) for url in urls]


@pytest.mark.parametrize("name", [BAKERY, "bakery", "@bakery", "Bakery"])
def test_an_added_account_is_found_without_a_call_and_read_with_its_own_token(gateway, wire, name):
    client = gateway("bakery", "cafe")
    plan(wire, f"{GRAPH}/v25.0/{BAKERY}/media")

    response = ask(client, name)

    assert response.get_json()["meta"]["account"] == BAKERY
    assert [call.request.headers["Authorization"] for call in wire.calls] == [f"Bearer {SECRET['bakery']}"]


def test_both_logins_are_behind_one_gateway(gateway, wire):
    client = gateway("bakery", "cafe")
    plan(wire, f"{GRAPH}/v25.0/{ACCOUNT_ID}/media", f"{GRAPH}/v25.0/{BAKERY}/media", f"{INSTAGRAM}/v25.0/me/media")

    answers = [ask(client, name).get_json()["meta"]["account"] for name in (None, "bakery", "cafe")]

    assert answers == [ACCOUNT_ID, BAKERY, CAFE]
    tokens = [TOKEN, SECRET["bakery"], SECRET["cafe"]]
    assert [call.request.headers["Authorization"] for call in wire.calls] == [f"Bearer {each}" for each in tokens]


def test_what_a_login_does_not_answer_is_reported_for_its_accounts_only(gateway, wire):
    client = gateway("bakery", "cafe")
    wire.get(f"{GRAPH}/v25.0/{BAKERY}/insights", json={"data": []})
    path = "/account-insights?period=day&metrics=profile_views&account="

    reasons = [client.get(path + name).get_json()["data"][0]["values"][0]["reason"] for name in ("bakery", "cafe")]

    assert reasons == ["not_answered", "not_by_login"]


def test_every_unknown_account_gets_one_and_the_same_answer(gateway, wire):
    client = gateway("bakery", **NO_OTHER)

    assert {outcome(ask(client, name)) for name in ("cafe", CAFE, ACCOUNT_ID, "none", "@x")} == {UNKNOWN}
    assert len(wire.calls) == 0


def test_where_the_system_has_no_thread_left_the_next_request_reads_the_accounts(gateway, add, clock, no_thread):
    client = gateway("bakery", **NO_OTHER)
    registry = client.application.extensions["services"].accounts
    assert registry.find("bakery").id == BAKERY
    add(client, "cafe")

    with no_thread():
        assert registry.find("bakery").id == BAKERY

    clock.wait(2)
    assert registry.find("cafe").id == CAFE


# Which one, where none is named


def test_the_only_account_need_not_be_named(gateway, wire):
    client = gateway("cafe", **NO_OTHER)
    plan(wire, f"{INSTAGRAM}/v25.0/me/media")

    assert ask(client).get_json()["meta"]["account"] == CAFE
    assert client.get("/healthz").get_json()["instagram"] == "configured"


def test_of_several_one_must_be_named_and_none_is_given_away(gateway, wire):
    client = gateway("bakery", "cafe", **NO_OTHER)

    body = ask(client).get_json()

    assert (body["code"], body["message"]) == ("bad_request", "account is missing: there are several here.")
    assert "GET /accounts" in body["hint"]
    assert not {"bakery", "cafe", BAKERY, CAFE} & set(body["hint"].replace("`", " ").split())


def test_without_any_account_instagram_is_not_configured(gateway, wire):
    client = gateway(**NO_OTHER)

    assert outcome(ask(client))[:2] == outcome(ask(client, "bakery"))[:2] == (503, "provider_not_configured")
    assert client.get("/healthz").get_json()["instagram"] == "not_configured"


# Comings and goings


def test_an_account_is_known_two_seconds_after_it_was_added(gateway, add, wire):
    client = gateway("cafe", **NO_OTHER)
    plan(wire, f"{INSTAGRAM}/v25.0/me/media", f"{GRAPH}/v25.0/{BAKERY}/media")
    assert outcome(ask(client, "bakery")) == UNKNOWN
    assert ask(client).status_code == 200

    add(client, "bakery")

    assert ask(client, "bakery").status_code == 200
    assert ask(client).status_code == 400


def test_an_account_vanishes_two_seconds_after_it_was_removed_with_its_cached_values(gateway, wire):
    client = gateway("bakery", "cafe")
    services = client.application.extensions["services"]
    plan(wire, f"{GRAPH}/v25.0/{BAKERY}/media", f"{INSTAGRAM}/v25.0/me/media")
    assert [ask(client, name).status_code for name in ("bakery", "cafe")] == [200, 200]

    services.store.accounts.remove(BAKERY)
    deadline = time.monotonic() + 10
    while ask(client, BAKERY).status_code == 200 and time.monotonic() < deadline:
        time.sleep(0.1)  # What is ready is dropped by a thread that looks once a second.
    wire.get(f"{GRAPH}/v25.0/{ACCOUNT_ID}", json={"id": ACCOUNT_ID, "username": "our.account"})

    assert outcome(ask(client, "bakery")) == UNKNOWN
    assert services.store.cache_entries.read(BAKERY, ["media"]) == {}
    assert services.store.cache_entries.read(CAFE, ["media"])
    assert ask(client, "cafe").status_code == 200


def test_the_token_of_an_account_leaves_the_process_with_it_and_a_new_page_is_used(gateway, clock, monkeypatch):
    monkeypatch.setitem(SECRET, "bakery", "EAAbakeryTOKENofTHISgateway0")  # Other tests may have left theirs.
    services = gateway("bakery", "cafe").application.extensions["services"]
    find, table = services.accounts.find, services.store.accounts
    row = next(row for row in table.rows() if row.id == BAKERY)

    def is_held():
        clock.wait(2)
        find(CAFE)
        gc.collect()
        return any(isinstance(each, Account) and each.token == SECRET["bakery"] for each in gc.get_objects())

    before = find(BAKERY).page_id
    table.put(replace(row, page_id="555"))
    held = [is_held()]
    after = find(BAKERY).page_id
    table.remove(BAKERY)
    held.append(is_held())

    assert (before, after, held) == ("", "555", [True, False])


def test_a_new_token_is_used_without_a_restart(gateway, add, wire, clock, monkeypatch):
    client = gateway("bakery")
    wire.get(f"{GRAPH}/v25.0/{BAKERY}/media", json=graph_error(190, 463), status=400)
    assert outcome(ask(client, "bakery"))[:2] == (401, "token_expired")
    monkeypatch.setitem(SECRET, "bakery", "EAAbakerySECONDtokenOFanACCOUNT")
    add(client, "bakery")
    clock.wait(15)
    wire.reset()
    plan(wire, f"{GRAPH}/v25.0/{BAKERY}/media")

    assert ask(client, "bakery").status_code == 200
    assert wire.calls[-1].request.headers["Authorization"] == f"Bearer {SECRET['bakery']}"


def test_a_renamed_account_is_found_by_its_new_name_once_its_profile_was_read(gateway, wire, clock):
    client = gateway("bakery", "cafe", **NO_OTHER)
    wire.get(f"{GRAPH}/v25.0/{BAKERY}", json={"id": BAKERY, "username": "Cafe", "followers_count": 5})
    wire.get(f"{GRAPH}/v25.0/{BAKERY}/insights", json={"data": []})
    plan(wire, f"{GRAPH}/v25.0/{BAKERY}/media")
    assert client.get(f"/growth-trends?period=7d&account={BAKERY}").status_code == 200
    clock.wait(2)

    assert ask(client, "cafe").get_json()["meta"]["account"] == BAKERY
    assert outcome(ask(client, "bakery")) == UNKNOWN
    assert ask(client, CAFE).status_code == 503  # It is still here, by its id.


@pytest.mark.parametrize("username", ["", "bakery"])
def test_a_profile_without_a_new_name_renames_nothing(gateway, wire, username):
    client = gateway("bakery", "cafe", **NO_OTHER)
    plan(wire, f"{GRAPH}/v25.0/{BAKERY}/media")
    assert ask(client, "bakery").status_code == 200
    services, renamed = client.application.extensions["services"], []
    services.store.accounts.rename = lambda *names: renamed.append(names)

    services.accounts._registry.saw_username(BAKERY, username)

    assert renamed == []


# One that is broken


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"json": graph_error(190, 460), "status": 400}, (401, "token_invalid")),
        ({"json": graph_error(10), "status": 400}, (403, "permission_denied")),
        ({"json": graph_error(80002), "status": 400}, (429, "provider_rate_limited")),
        ({"json": graph_error(368), "status": 400}, (503, "provider_blocked")),
        ({"body": "<html>"}, (502, "provider_response_invalid")),
    ],
)
def test_one_broken_account_changes_nothing_for_the_others(gateway, wire, answer, expected):
    client = gateway("bakery", "cafe")
    wire.get(f"{GRAPH}/v25.0/{BAKERY}/media", **answer)
    plan(wire, f"{GRAPH}/v25.0/{ACCOUNT_ID}/media", f"{INSTAGRAM}/v25.0/me/media")

    codes = [outcome(ask(client, "bakery"))[:2] for _ in range(4)]

    assert codes == [expected] * 4
    assert [ask(client, name).status_code for name in (None, "cafe")] == [200, 200]


def test_a_configured_account_that_cannot_be_found_stops_no_other(gateway, wire):
    client = gateway("bakery", instagram_account_id="")
    wire.get(f"{GRAPH}/v25.0/555", json=graph_error(190, 463), status=400)
    plan(wire, f"{GRAPH}/v25.0/{BAKERY}/media")

    assert ask(client).status_code == 401
    assert [ask(client, name).status_code for name in ("bakery", BAKERY)] == [200, 200]


def test_with_a_wrong_key_the_account_says_so_and_the_others_are_served(gateway, add, wire):
    client = gateway("cafe")
    add(client, "bakery", key=new_key())
    plan(wire, f"{INSTAGRAM}/v25.0/me/media", f"{GRAPH}/v25.0/{ACCOUNT_ID}/media")

    body = ask(client, "bakery").get_json()

    assert body["code"] == "provider_not_configured"
    assert "TOKEN_KEY" in body["hint"]
    assert [ask(client, name).status_code for name in (None, "cafe")] == [200, 200]


def test_the_status_counts_accounts_and_tokens_that_cannot_be_opened(gateway, add, wire, clock):
    client = gateway("cafe", **NO_OTHER)
    checks = {check["name"]: check for check in client.get("/status").get_json()["checks"]}
    add(client, "bakery", key=new_key())
    closed = client.application.extensions["services"].account_list.overview().check

    assert (checks["added accounts"]["ok"], checks["added accounts"]["message"][:2]) == (True, "1;")
    assert "token" not in checks
    assert (closed.ok, closed.message[:6]) == (False, "1 of 2")
    assert "TOKEN_KEY" in closed.next_step


def test_all_that_can_be_read_are_listed_the_configured_one_first(gateway, add, wire):
    client = gateway("cafe")
    add(client, "bakery", key=new_key())

    found = client.application.extensions["services"].accounts.all()

    assert [(account.id, account.login) for account in found] == [(ACCOUNT_ID, "facebook"), (CAFE, "instagram")]


# The command


@pytest.fixture
def make_account(store_settings, run_command):
    """Run `make account` over a store of its own; return what it ended with and what it said."""

    def run(*arguments, token="", **changes):
        given = {"PROVIDERS": "live", "TOKEN_KEY": KEY, "APP_ID": "1", "APP_SECRET": "s" * 20} | store_settings
        config = Config.from_env({**given, **changes})
        ended, wrote, said = run_command(command, config, *arguments, typed=f"{token}\n")
        assert not {*SECRET.values(), KEY} & set(f"{wrote} {said}".split())
        return ended, wrote + said

    run.store = store_settings
    return run


@pytest.fixture
def wired(wire):
    wire.get(f"{GRAPH}/v25.0/555", json={"id": "555", "instagram_business_account": {"id": BAKERY}})
    wire.get(f"{GRAPH}/v25.0/{BAKERY}", json={"id": BAKERY, "username": "bakery"})
    wire.get(f"{INSTAGRAM}/v25.0/me", json={"user_id": CAFE, "username": "cafe"})
    return wire


def test_a_username_of_digits_is_taken_for_no_other_account(make_account, run_command):
    store = Store.open(
        make_account.store.get("DATABASE_URL", ""), make_account.store.get("INSTANCE_PATH", ""), mode="live"
    )
    store.accounts.put(AccountRow(BAKERY, "12345", "facebook", "", b"sealed", 1.0))
    before = make_account("list")

    ended, said = make_account("forget", "12345", "--yes")

    assert (ended, said) == (2, f"12345 is the username of account {BAKERY}. Give that id, or @12345.\n")
    assert make_account("list") == before
    config = Config.from_env({"PROVIDERS": "live", "TOKEN_KEY": KEY} | make_account.store)
    assert run_command(key_command, config, "create", "shop", "--accounts", "12345,67890")[0] == 0
    assert store.api_keys.rows()[0].accounts == {BAKERY, "67890"}
    assert make_account("forget", "@12345", "--yes")[0] == 0
    assert store.accounts.rows() == []
    store.close()


def test_accounts_are_added_found_out_listed_and_removed(make_account, wired):
    added = make_account("add", "--page-id", "555", token=SECRET["bakery"])
    assert added == (0, f"Added: bakery ({BAKERY}, facebook). Running gateways use it after 2 seconds.\n")
    assert make_account("add", token=SECRET["cafe"])[0] == 0
    assert make_account("add", token=SECRET["cafe"])[1].startswith(f"Replaced: cafe ({CAFE}, instagram).")

    ended, said = make_account("list")
    assert (ended, [line.split()[:3] for line in said.splitlines()[:2]]) == (
        0,
        [[BAKERY, "bakery", "facebook"], [CAFE, "cafe", "instagram"]],
    )
    listed = json.loads(make_account("list", "--json")[1])
    assert [(each["id"], each["username"], each["page_id"]) for each in listed] == [
        (BAKERY, "bakery", "555"),
        (CAFE, "cafe", None),
    ]
    stored = query(make_account.store, "gateway", "SELECT token FROM accounts")
    assert not any(secret.encode() in bytes(token) for (token,) in stored for secret in SECRET.values())

    assert make_account("remove", "@Bakery")[0] == 0
    assert make_account("remove", "bakery")[0] == 2
    assert query(make_account.store, "gateway", "SELECT id FROM accounts") == [(CAFE,)]


@pytest.mark.parametrize("purge", [True, False])
def test_history_is_kept_unless_it_is_purged(make_account, purge):
    make_account("add", "--id", BAKERY, "--username", "bakery", token=SECRET["bakery"])
    reading = "VALUES ('live', :a, 'reach', '', '2026-01-01', '2026-01-01', 7, 1, 1, 'instagram')"
    columns = "mode, account, metric, breakdown, first_day, last_day, value, read_at, final, source"
    insert = f"INSERT INTO metric_values ({columns}) {reading}"
    trouble = "INSERT INTO account_troubles (mode, account, kind, code, began_at) VALUES ('live', :a, 'x', 'x', 1)"
    for account in (BAKERY, CAFE):
        query(make_account.store, "gateway", insert, a=account)
        query(make_account.store, "gateway", trouble, a=account)

    make_account("remove", BAKERY, *(["--purge"] if purge else []))

    kept = {account for (account,) in query(make_account.store, "gateway", "SELECT account FROM metric_values")}
    assert kept == ({CAFE} if purge else {BAKERY, CAFE})
    assert query(make_account.store, "gateway", "SELECT account FROM account_troubles") == [(CAFE,)]


def test_an_account_is_forgotten_also_after_it_was_removed(make_account):
    make_account("add", "--id", BAKERY, "--username", "bakery", token=SECRET["bakery"])
    columns = "mode, account, day, followers, read_at, source"
    counted = f"INSERT INTO follower_counts ({columns}) VALUES ('live', :a, '2026-01-01', 7, 1, 'instagram')"
    for account in (BAKERY, CAFE):
        query(make_account.store, "gateway", counted, a=account)
    make_account("remove", BAKERY)

    assert make_account("forget", BAKERY)[0] == 2
    ended, said = make_account("forget", BAKERY, "--yes")

    assert ended == 0
    assert said.startswith("Deleted permanently: 1 follower_counts.")
    assert query(make_account.store, "gateway", "SELECT account FROM follower_counts") == [(CAFE,)]


def test_check_says_for_each_account_what_to_do_next(make_account, wire):
    for name, id_ in (("bakery", BAKERY), ("cafe", CAFE)):
        make_account("add", "--id", id_, "--username", name, token=SECRET[name])
    wire.get(f"{GRAPH}/v25.0/debug_token", json={"data": {"is_valid": False}})
    wire.get(f"{GRAPH}/v25.0/{BAKERY}", json=graph_error(190, 463), status=400)
    wire.get(f"{INSTAGRAM}/v25.0/me", json={"user_id": CAFE, "username": "cafe"})
    wire.get(f"{INSTAGRAM}/v25.0/me/insights", json={"data": [{"name": "reach", "values": []}]})

    ended, said = make_account("check")

    bakery, cafe = said.split(f"cafe ({CAFE}, instagram):")
    assert ended == 1
    assert "FAIL token" in bakery
    assert "make connect" in bakery
    assert "FAIL" not in cafe
    assert make_account("check", "cafe")[0] == 0


@pytest.mark.parametrize("arguments", [["check"], ["rekey"]])
def test_a_wrong_key_is_named_without_a_traceback(make_account, arguments):
    make_account("add", "--id", BAKERY, "--username", "bakery", token=SECRET["bakery"])

    ended, said = make_account(*arguments, TOKEN_KEY=new_key())

    assert ended == 1
    assert "TOKEN_KEY" in said


def test_tokens_are_encrypted_again_with_the_first_key(make_account):
    make_account("add", "--id", BAKERY, "--username", "bakery", token=SECRET["bakery"])
    new = new_key()

    assert make_account("rekey", TOKEN_KEY=f"{new},{KEY}")[0] == 0

    [(sealed,)] = query(make_account.store, "gateway", "SELECT token FROM accounts")
    assert TokenEncryption([new], learn=lambda _: None).open(bytes(sealed)) == SECRET["bakery"]


@pytest.mark.parametrize(
    ("arguments", "token", "changes", "words"),
    [
        (["add"], SECRET["cafe"], {"TOKEN_KEY": "", "MODASH_API_KEY": "x"}, "ARGS=key"),
        (["add"], "", {}, "Not a token"),
        (["add"], SECRET["bakery"], {}, "--page-id"),
        (["add", "--login", "instagram"], SECRET["bakery"], {}, "facebook"),
        (["add"], "anotherKINDofTOKEN", {}, "--login"),
        (["check", "nobody"], "", {}, "no account nobody"),
    ],
)
def test_what_is_missing_is_said_and_nothing_is_stored(make_account, arguments, token, changes, words):
    ended, said = make_account(*arguments, token=token, **changes)

    assert ended == 2
    assert words in said
    assert query(make_account.store, "gateway", "SELECT id FROM accounts") == []


def test_a_token_that_does_not_read_the_account_is_not_stored(make_account, wire):
    wire.get(f"{GRAPH}/v25.0/{BAKERY}", json=graph_error(190, 463), status=400)

    ended, said = make_account("add", "--id", BAKERY, token=SECRET["bakery"])

    assert (ended, "has expired" in said) == (1, True)
    assert query(make_account.store, "gateway", "SELECT id FROM accounts") == []


def test_a_token_of_another_account_is_not_stored_under_the_id_that_was_given(make_account, wire):
    wire.get(f"{INSTAGRAM}/v25.0/me", json={"user_id": CAFE, "username": "cafe"})

    ended, said = make_account("add", "--id", BAKERY, token=SECRET["cafe"])

    assert (ended, f"The token is of account {CAFE}, not of {BAKERY}." in said) == (2, True)
    assert query(make_account.store, "gateway", "SELECT id FROM accounts") == []


def test_an_account_that_was_added_without_a_call_was_not_read_yet(make_account):
    assert make_account("add", "--id", BAKERY, "--username", "bakery", token=SECRET["bakery"])[0] == 0

    assert query(make_account.store, "gateway", "SELECT answered_at FROM account_health") == []


def test_a_new_key_is_printed_without_any_setting(capsys):
    assert command.main(["key"]) == 0
    assert len(capsys.readouterr().out.strip().removeprefix("TOKEN_KEY=")) == 44
