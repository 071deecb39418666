"""API keys over real sockets: starts without one, two workers, two callers at once, on both databases."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from commands import key as key_command
from config import Config
from services.access.key_text import digest_of
from services.accounts.token_encryption import TokenEncryption, new_key
from services.store.accounts import AccountRow
from tests.stores import query
from tests.support import (
    ROOT,
    bearer,
    environment,
    free_port,
    live_settings,
    local_session,
    new_instance,
    start_gateway,
)

KEY = new_key()
POSTS, GROWTH = "/top-posts?time_range=7d", "/growth-trends?period=7d"
ENDS_WITHIN = 2.0  # seconds after a revocation


def run(settings, *arguments):
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def listed(simulator):
    return simulator.get("/_simulator/accounts").json()


@pytest.fixture
def accounts(listed):
    return [each for each in listed["accounts"] if each["kind"] == "prolific"][:2]


@pytest.fixture
def live(simulator, listed, accounts, store_settings, store):
    """Settings of a live gateway with two accounts, one of them in the table, that requires keys."""
    own, added = accounts
    sealed = TokenEncryption([KEY], learn=lambda _: None).seal(added["token"])
    store.accounts.put(AccountRow(added["id"], added["username"], "facebook", added["page_id"], sealed, 1.0))
    settings = live_settings(simulator.url, own, listed["app"], listed["modash"]["key"])
    ports = {"PORT": str(free_port()), "INSTANCE_PATH": new_instance(), "TOKEN_KEY": KEY}
    return settings | ports | store_settings | {"ALLOW_ANONYMOUS": "false"}


@pytest.fixture
def make_key(live, run_command):
    def make(*arguments):
        ended, out, said = run_command(key_command, Config.from_env(live), *arguments, "--json")
        assert ended == 0, said
        return json.loads(out)

    return make


def statuses(gateway, key, number, path="/quota"):
    """The statuses of some requests, each on a connection of its own: the kernel gives them to both workers."""
    found = []
    for _ in range(number):
        with local_session() as session:
            found.append(session.get(f"{gateway.url}{path}", headers=bearer(key), timeout=30).status_code)
    return found


@pytest.mark.parametrize(
    ("program", "more", "advice"),
    [
        (["gunicorn", "app:create_app()"], {}, "make key"),
        (["commands.run"], {"ALLOW_ANONYMOUS": "true", "HOST": "0.0.0.0"}, "HOST=127.0.0.1"),
    ],
)
def test_a_live_gateway_does_not_start_without_a_key(program, more, advice):
    settings = {"PROVIDERS": "live", "TOKEN_KEY": KEY, "INSTANCE_PATH": new_instance(), "PORT": str(free_port())}

    ended = run(settings | more, *program)

    assert (ended.returncode, advice in ended.stderr, "Traceback" in ended.stderr) == (1, True, False)


def test_two_workers_notice_new_and_revoked_keys_and_mix_up_no_callers(live, store_settings, accounts, make_key):
    keys = [make_key("create", each["username"], "--accounts", each["username"]) for each in accounts]
    gateway = start_gateway(live)
    try:
        asked = [
            (each["key"], account["id"], path)
            for each, account in zip(keys, accounts, strict=True)
            for path in (POSTS, GROWTH)
        ]

        def ask(each):
            key, account, path = each
            with local_session() as session:
                reply = session.get(f"{gateway.url}{path}", headers=bearer(key), timeout=60)
            return reply.status_code, reply.json()["meta"]["account"] == account

        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(ask, asked * 8)) == {(200, True)}

        new = make_key("create", "new")
        assert statuses(gateway, new["key"], 8) == [200] * 8

        make_key("revoke", new["id"])
        (stored,) = query(store_settings, "gateway", "SELECT revoked_at FROM api_keys WHERE id = :id", id=new["id"])[0]
        while time.time() < stored + ENDS_WITHIN:
            time.sleep(0.02)
        assert statuses(gateway, new["key"], 8) == [401] * 8

        rotated = make_key("rotate", keys[0]["id"], "--overlap", "1h")
        assert statuses(gateway, rotated["key"], 2) + statuses(gateway, keys[0]["key"], 2) == [200] * 4
    finally:
        gateway.stop()
    written = gateway.output.read_text()
    assert f'"key": "{keys[0]["id"]}"' in written
    for text in (*(each["key"] for each in keys), new["key"], rotated["key"]):
        assert text not in written
        assert digest_of(text).hex() not in written
