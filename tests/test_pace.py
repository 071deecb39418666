"""The pace of Modash: turns over all processes, patience, and what happens while the store is away."""

from __future__ import annotations

import threading
import time

import pytest

from config import Config
from services.clients.pace import Pace
from services.clock import Clock
from services.errors import ProviderRateLimitedError
from services.limits import shared_turns
from services.store import Store
from tests.stores import query
from tests.support import MODASH, MovableClock, settings, utc

BUSY = "UPDATE paces SET next_at = next_at + :seconds"
REPORT, BALANCE = f"{MODASH}/v1/instagram/performance-data", f"{MODASH}/v1/user/info"


@pytest.fixture
def store(store_settings):
    store = Store.open(store_settings.get("DATABASE_URL", ""), store_settings.get("INSTANCE_PATH", ""))
    yield store
    store.close()


def test_turns_are_apart(store):
    waits = [store.paces.take("modash", 20.0, 300.0) for _ in range(4)]

    assert waits == pytest.approx([0, 20, 40, 60], abs=5)


def test_threads_get_turns_of_their_own(store):
    waits = []

    def take():
        waits.append(store.paces.take("modash", 20.0, 300.0))

    threads = [threading.Thread(target=take) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(waits) == pytest.approx(range(0, 240, 20), abs=8)


def test_a_turn_that_is_too_far_is_not_taken(store):
    store.paces.take("modash", 10.0, 60.0)

    refused = [store.paces.take("modash", 10.0, 3.0) for _ in range(3)]

    assert refused == pytest.approx([10.0] * 3, abs=3)
    assert store.paces.take("modash", 10.0, 60.0) == pytest.approx(10.0, abs=3)


def test_providers_have_turns_of_their_own(store):
    store.paces.take("modash", 10.0, 60.0)

    assert store.paces.take("instagram", 10.0, 3.0) == 0.0


def test_a_clock_that_was_put_back_holds_nobody_up(store, store_settings):
    store.paces.take("modash", 20.0, 30.0)
    query(store_settings, "memory", BUSY, seconds=86_400)

    assert store.paces.take("modash", 20.0, 30.0) == 0.0
    assert store.paces.take("modash", 20.0, 30.0) == pytest.approx(20, abs=5)


@pytest.fixture
def clock():
    return MovableClock(utc("2026-06-15T18:00:00"))


def test_a_request_waits_for_a_turn_that_is_near(clock):
    pace = Pace("modash", 2.0, clock, patience=lambda: 1.0)

    for _ in range(3):
        pace.wait_turn()

    assert clock.waits == pytest.approx([0.6, 0.6])


def test_a_request_does_not_wait_for_one_that_is_far(clock):
    pace = Pace("modash", 2.0, clock, shared=lambda _spacing, _most: 6.2, patience=lambda: 1.0)

    with pytest.raises(ProviderRateLimitedError) as refused:
        pace.wait_turn()

    assert clock.waits == []
    assert (refused.value.reached, refused.value.retry_after) == (False, 7)


def test_who_has_time_waits_as_long_as_it_takes(clock):
    waits = iter([7.0, 0.5])
    pace = Pace("modash", 2.0, clock, shared=lambda _spacing, _most: next(waits))

    pace.wait_turn()

    assert clock.waits == pytest.approx([6.4, 0.5])


def test_without_the_store_a_process_keeps_to_the_pace_alone():
    store = Store.open("", "/nowhere/at/all")
    pace = Pace("modash", 10.0, Clock(), shared=shared_turns("modash", store.paces))
    started = time.monotonic()

    for _ in range(4):
        pace.wait_turn()

    assert 0.35 < time.monotonic() - started < 5


def test_a_caller_is_told_when_the_turn_would_come(make_client):
    client = make_client(settings(modash_rate=2.0))
    store = client.application.extensions["services"].store
    store.paces.take("modash", 20.0, 3.0)

    response = client.get("/performance-data?url=nasa")

    body = response.get_json()
    assert (response.status_code, body["code"], body["provider"]) == (429, "provider_rate_limited", "modash")
    assert 18 <= int(response.headers["Retry-After"]) <= 20
    assert "nothing was charged" in body["hint"]
    assert response.headers["X-Provider-Calls"] == "0"
    assert client.get("/quota").get_json()["breakers"][1]["state"] == "closed"


def test_who_is_refused_by_the_gate_takes_no_turn(make_client, wire):
    wire.get(REPORT, json={"error": True, "code": "rate_limit_exceeded", "message": "no"}, status=429)
    client = make_client(settings(modash_rate=2.0))
    assert client.get("/performance-data?url=nasa").status_code == 429

    started = time.monotonic()
    told = [client.get(f"/performance-data?url=nasa{number}").status_code for number in range(8)]

    assert told == [429] * 8
    assert time.monotonic() - started < 1.5
    assert len(wire.calls) == 1


def test_the_rate_is_a_setting():
    assert Config.from_env({"MODASH_RATE": "12.5"}).modash_rate == 12.5
