"""Fifty accounts of both logins behind one gateway: five are broken, and the others are served as if alone."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from config import Config
from services.accounts.token_encryption import TokenEncryption, new_key
from services.store.accounts import AccountRow
from services.store.store import Store
from tests.support import ROOT, environment, leaks_in, live_settings, new_instance

KEY = new_key()
REQUESTS = [
    "/account-insights?period=day&metrics=reach,views,likes,profile_views,follower_count",
    "/growth-trends?period=7d&metrics=reach,posts",
    "/top-posts?time_range=7d",
]
# What is broken, by the place in the list: how, and what its callers get; the first one's token is invalid.
FAULTS = {
    10: ({"kind": "throttled", "code": 80002}, (429, "provider_rate_limited")),
    20: ({"kind": "permission", "code": 10}, (403, "permission_denied")),
    30: ({"kind": "html", "status": 200}, (502, "provider_response_invalid")),
}
DEAD, REMOVED = 1, 40
WORKERS = 2
COMPARED_EVERY = 3  # An odd number, so that accounts of both logins are compared.
OK = 200
EXPECTED = {number: shown for number, (_, shown) in FAULTS.items()} | {
    DEAD: (401, "token_invalid"),
    REMOVED: (404, "account_unknown"),
}


@pytest.fixture
def listed(simulator):
    simulator.post("/_simulator/clock", {"now": datetime.now(UTC).isoformat()})  # So that no count grows meanwhile.
    return simulator.get("/_simulator/accounts").json()


@pytest.fixture
def accounts(listed):
    """Fifty accounts, every second one by the Instagram login, without those that take long to read."""
    usual = [each for each in listed["accounts"] if each["kind"] not in {"flood"}][:50]
    return [
        {
            **each,
            "login": "instagram" if number % 2 else "facebook",
            "token": each["instagram_token"] if number % 2 else each["token"],
        }
        for number, each in enumerate(usual)
    ]


@pytest.fixture
def store_of():
    folder = new_instance()
    store = Store.open("", folder, mode="live")
    yield store, folder
    store.close()


@pytest.fixture
def settings_of(simulator, listed, store_of):
    """The environment of a gateway with the accounts of the table only."""
    return live_settings(simulator.url, {"token": "", "id": ""}, listed["app"], "") | {
        "TOKEN_KEY": KEY,
        "INSTANCE_PATH": store_of[1],
        "RETRY_BUDGET": "1",
        "LOG_LEVEL": "DEBUG",
    }


@pytest.fixture
def crowd(store_of, settings_of, start):
    """Start a gateway with many accounts in its table."""

    def begin(accounts):
        token_encryption = TokenEncryption([KEY], learn=lambda _: None)
        for number, each in enumerate(accounts):
            token = each["token"].replace("SIM", "SIMx") if number == DEAD else each["token"]
            row = AccountRow(
                each["id"], each["username"], each["login"], each["page_id"], token_encryption.seal(token), number
            )
            store_of[0].accounts.put(row)
        return start(settings_of)

    return begin


@pytest.fixture
def alone(simulator, listed, make_client):
    """Build a gateway with one account, of the environment."""

    def build(account):
        own = live_settings(simulator.url, account, listed["app"], listed["modash"]["key"])
        own |= {"GRAPH_BASE_URL": f"{simulator.url}/graph.{account['login']}.com", "LOG_LEVEL": "ERROR"}
        return make_client(Config.from_env(own))

    return build


def texts_of(gateway, folder, replies):
    """Everything that has left a gateway: replies, log, and its files as they are."""
    files = [file.read_bytes().decode("latin-1") for file in Path(folder).iterdir()]
    return [*(reply.text for reply in replies), gateway.output.read_text(), *files]


def without_times(body):
    # The username is null until another request has read the profile.
    varies = {"fetched_at", "expires_at", "time_range", "username"}
    meta = {name: value for name, value in body["meta"].items() if name not in varies}
    for trend in body.get("trends", []):
        trend["coverage"].pop("covered_until", None)
    return {**body, "meta": meta}


@pytest.fixture
def served(crowd):
    """Start a gateway whose workers have both served some of its accounts.

    A worker that was never answered cannot know whether a broken account or the provider is at fault, and stops all
    calls for a second.
    """

    def begin(accounts, some):
        gateway = crowd(accounts)
        deadline = time.monotonic() + 30
        while gateway.output.read_text().count("The gateway is ready") < WORKERS:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for each in some:
            for _ in range(WORKERS):  # Each on a connection of its own, so that it may reach either worker.
                path = f"/top-posts?time_range=7d&refresh=true&account={each['username']}"
                assert requests.get(f"{gateway.url}{path}", timeout=60).status_code == OK
        return gateway

    return begin


def test_five_broken_accounts_change_nothing_for_the_others(simulator, accounts, store_of, served, alone):
    store, folder = store_of
    gateway = served(accounts, accounts[2:10])
    for number, (fault, _) in FAULTS.items():
        simulator.post("/_simulator/faults", {"provider": "instagram", "path": accounts[number]["id"]} | fault)
    store.accounts.remove(accounts[REMOVED]["id"])

    def ask(number):
        return [gateway.get(f"{path}&account={accounts[number]['username']}") for path in REQUESTS]

    with ThreadPoolExecutor(12) as threads:
        for _ in range(3):  # Those that are broken are asked for again and again, among the others.
            answers = list(threads.map(ask, range(len(accounts))))
            broken = {number: answers[number] for number in EXPECTED}
            assert {
                (number, (each.status_code, each.json()["code"])) for number, of in broken.items() for each in of
            } == set(EXPECTED.items())

    simulator.session.delete(f"{simulator.url}/_simulator/faults", timeout=10)
    for number, account in enumerate(accounts):
        if number in EXPECTED:
            continue
        assert [answer.status_code for answer in answers[number]] == [200] * 3, answers[number][0].text
        if number % COMPARED_EVERY:
            continue
        client = alone(account)
        for path, answer in zip(REQUESTS, answers[number], strict=True):
            assert without_times(answer.json()) == without_times(client.get(path).get_json()), (number, path)

    texts = texts_of(gateway, folder, [answer for of in answers for answer in of])
    assert [leak for text in texts for leak in [*leaks_in(text), *([KEY] if KEY in text else [])]] == []


def test_an_account_that_echoes_its_token_puts_it_nowhere(simulator, accounts, store_of, crowd):
    gateway = crowd(accounts[:4])
    simulator.post("/_simulator/faults", {"provider": "instagram", "kind": "echo_token"})

    replies = [gateway.get(f"{path}&account={each['id']}") for path in REQUESTS for each in accounts[:4]]

    assert 500 not in {reply.status_code for reply in replies}
    assert [leak for text in texts_of(gateway, store_of[1], replies) for leak in leaks_in(text)] == []


def test_accounts_come_and_go_by_the_command_while_the_gateway_runs(simulator, accounts, settings_of, start):
    gateway = start(settings_of)
    path = f"/top-posts?time_range=7d&account={accounts[0]['username']}"

    def make_account(*arguments, token=""):
        return subprocess.run(
            [sys.executable, "-m", "commands.account", *arguments],
            cwd=ROOT,
            env=environment(settings_of),
            input=f"{token}\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def becomes(status):
        deadline = time.monotonic() + 10
        while gateway.get(path).status_code != status and time.monotonic() < deadline:
            time.sleep(0.1)
        return gateway.get(path).status_code == status

    assert gateway.get(path).json()["code"] == "provider_not_configured"
    added = make_account("add", "--page-id", accounts[0]["page_id"], token=accounts[0]["token"])
    assert (added.returncode, accounts[0]["username"] in added.stdout) == (0, True), added.stderr
    assert make_account("add", token=accounts[1]["token"]).returncode == 0
    assert make_account("check").returncode == 0
    assert becomes(200)
    assert make_account("remove", accounts[0]["id"]).returncode == 0
    assert becomes(404)
    assert leaks_in(make_account("list").stdout) == []
