"""What only processes can show of the memory: a provider that dies and returns, a refresh that the others hear of."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from tests.stores import query
from tests.support import errors_of, free_port, leaks_in, live_settings, local_session, start_simulator

POSTS, GROWTH = "/top-posts?time_range=7d", "/growth-trends?period=7d"
TODAY = "/account-insights?period=day&metrics=views,reach"
HEALED_WITHIN = 30.0  # seconds
HEARD_WITHIN = 10.0  # seconds; about one on a machine that has nothing else to do
HOUR = 3600
PASSWORD = "databasePASSWORDthatMUSTneverLEAK77"


class Provider:
    """A simulator of its own, which can be stopped and started again on its port."""

    def __init__(self):
        self.port = free_port()
        self.process = None

    def start(self):
        self.process = start_simulator("--seed", "7", port=self.port)

    def stop(self):
        if self.process is not None:
            self.process.stop()
        self.process = None


@pytest.fixture
def provider():
    provider = Provider()
    provider.start()
    yield provider
    provider.stop()


def make_old(store, hours):
    """Have everything in the memory be fetched some hours ago."""
    query(
        store,
        "memory",
        "UPDATE cache_entries SET fetched_at = fetched_at - :seconds, kept_until = kept_until - :seconds",
        seconds=hours * HOUR,
    )
    for account, text in query(store, "memory", "SELECT account, value FROM cache_entries WHERE key = 'media'"):
        posts = json.loads(bytes(text))  # A list of posts has readings of its own, which are not those of the row.
        posts["read_at"] -= hours * HOUR
        posts["tail"] = [[first, read_at - hours * HOUR] for first, read_at in posts["tail"]]
        changed = "UPDATE cache_entries SET value = :value WHERE key = 'media' AND account = :account"
        query(store, "memory", changed, value=json.dumps(posts).encode(), account=account)


def until(ask, is_so, seconds):
    """Ask until it is so; return how long that took."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if is_so(ask()):
            return time.monotonic() - began
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


@pytest.mark.parametrize("hours", [2, 40])
def test_a_provider_that_dies_and_returns_is_read_again_within_half_a_minute(
    provider, store_settings, start, record_property, hours
):
    first = start(store_settings | {"SIMULATOR_PORT": str(provider.port)})
    bodies = {path: first.get(path).json() for path in (POSTS, GROWTH)}
    first.stop()
    make_old(store_settings, hours)
    provider.stop()
    gateway = start(store_settings | {"SIMULATOR_PORT": str(provider.port)})

    taken = []
    for _ in range(30):
        for path in (POSTS, GROWTH):
            began = time.monotonic()
            reply = gateway.get(path)
            taken.append(time.monotonic() - began)
            assert reply.status_code == 200
            assert reply.json()["meta"]["stale"] is True
            time.sleep(0.05)
    old = gateway.get(GROWTH).json()
    cold = gateway.get("/account-insights?period=day&metrics=views&since=2026-11-01&until=2026-11-01")
    provider.start()
    healed = [
        until(lambda path=path: gateway.get(path).json(), lambda body: not body["meta"]["stale"], HEALED_WITHIN)
        for path in (POSTS, GROWTH)
    ]

    ordered = sorted(taken)
    shown = f"p50 {ordered[30] * 1000:.1f} ms, max {ordered[-1] * 1000:.0f} ms, healed in {max(healed):.1f} s"
    record_property("provider away", shown)
    print(shown)  # noqa: T201  # For `-s`.
    assert old["trends"][0]["current_value"] == bodies[GROWTH]["trends"][0]["current_value"]
    assert (cold.status_code, cold.json()["code"]) == (503, "provider_unavailable")
    assert ordered[30] < 0.5


def test_a_refresh_in_one_process_is_heard_by_all_others(simulator, store_settings, start, record_property):
    settings = store_settings | {"SIMULATOR_PORT": simulator.url.rpartition(":")[2]}
    here, there = start(settings), start(settings)

    def ask_there():
        # A new connection each time, so that both workers are met.
        with local_session() as session:
            return session.get(f"{there.url}{POSTS}", timeout=60)

    first = here.get(POSTS)
    for _ in range(20):
        assert ask_there().content == first.content
    time.sleep(1.1)  # `fetched_at` has whole seconds.
    simulator.post("/_simulator/calls/reset")

    forced = here.get(f"{POSTS}&limit=5&refresh=true")
    new = {"in_row": 0}

    def heard(reply):
        new["in_row"] = new["in_row"] + 1 if reply.json()["meta"] == forced.json()["meta"] else 0
        return new["in_row"] >= 12

    seconds = until(ask_there, heard, HEARD_WITHIN)

    record_property("refresh", f"heard by all after {seconds:.1f} s")
    print(f"heard after {seconds:.2f} s")  # noqa: T201  # For `-s`.
    assert forced.json()["meta"]["fetched_at"] > first.json()["meta"]["fetched_at"]
    assert simulator.get("/_simulator/calls").json()["total"] == 1


def test_what_one_process_has_read_the_others_need_not_ask_for(simulator, store_settings, start):
    settings = store_settings | {"SIMULATOR_PORT": simulator.url.rpartition(":")[2]}
    here, there = start(settings), start(settings)
    # Growth reads the profile, so that `username` is known to all that follow.
    paths = (GROWTH, POSTS, TODAY, "/performance-data?url=nasa")
    for path in paths:
        here.get(path)
    first = [here.get(path) for path in paths]  # A report's first reply says what it has cost, later ones that nothing.
    simulator.post("/_simulator/calls/reset")

    second = [there.get(path) for path in paths]

    assert [reply.content for reply in second] == [reply.content for reply in first]
    assert [reply.headers["ETag"] for reply in second] == [reply.headers["ETag"] for reply in first]
    assert simulator.get("/_simulator/calls").json()["total"] == 0


def test_no_credential_is_kept_in_the_store_or_logged(simulator, store_settings, start, watch):
    listed = simulator.get("/_simulator/accounts").json()
    account = listed["accounts"][2]
    store = {name: with_password(value) for name, value in store_settings.items()}
    live = live_settings(simulator.url, account, listed["app"], listed["modash"]["key"])
    gateway = start(store | live | {"INSTAGRAM_ACCOUNT_ID": "", "PAGE_ID": account["page_id"], "LOG_LEVEL": "DEBUG"})
    paths = (POSTS, GROWTH, TODAY, f"{TODAY}&breakdown=follow_type", "/performance-data?url=nasa", "/status", "/quota")
    secrets = (account["token"], listed["app"]["secret"], listed["modash"]["key"], PASSWORD)

    gateway.get(POSTS)
    for provider in ("instagram", "modash"):
        simulator.post("/_simulator/faults", {"provider": provider, "kind": "echo_token", "times": 12})
    replies = [gateway.get(path) for _ in range(3) for path in paths]
    simulator.session.delete(f"{simulator.url}/_simulator/faults", timeout=60)
    replies += [gateway.get(path) for path in paths]
    kept = "".join(raw(store_settings))
    gateway.stop()
    kept += "".join(raw(store_settings))

    shown = gateway.output.read_text() + "".join(f"{reply.headers}{reply.text}" for reply in replies)
    assert len(kept) > 10_000
    assert [secret[:4] for secret in secrets if secret in kept] == []
    assert [secret[:4] for secret in secrets if secret in shown] == []
    assert leaks_in(kept) == []
    assert errors_of(gateway) == []


def with_password(url):
    """An address with a password; the server trusts every client, and asks none for it."""
    return re.sub(r"//(\w+)(:[^@]*)?@", rf"//\1:{PASSWORD}@", url)


def raw(store):
    """All that a store holds, as text: the bytes of its files, or every row."""
    if "INSTANCE_PATH" in store:
        return [path.read_bytes().decode("latin-1") for path in Path(store["INSTANCE_PATH"]).iterdir()]
    found = []
    for table in ("cache_entries", "leases", "cache_versions", "quota_usage", "metric_values"):
        for row in query(store, "memory", f"SELECT * FROM {table}"):
            found += [bytes(each).decode() if isinstance(each, bytes | memoryview) else str(each) for each in row]
    return found
