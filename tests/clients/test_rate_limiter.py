"""The pace of Modash: turns over all processes, patience, and what happens while the database is unavailable."""

from __future__ import annotations

import threading
import time

import pytest

from config import Config
from services.clients.rate_limiter import MAX_BACKGROUND_WAIT, SLACK, RateLimiter
from services.clock import Clock
from services.errors import Charge, ProviderRateLimitedError
from services.quota import shared_rate_limit
from services.reports.purchase_policy import longest_call
from services.store.store import Store
from tests.stores import query
from tests.support import MODASH, settings

BUSY = "UPDATE rate_limits SET next_at = next_at + :seconds"
REPORT, BALANCE = f"{MODASH}/v1/instagram/performance-data", f"{MODASH}/v1/user/info"


def test_turns_are_apart(store):
    waits = [store.provider_turns.acquire("modash", 20.0, 300.0) for _ in range(4)]

    assert waits == pytest.approx([0, 20, 40, 60], abs=5)


def test_threads_get_turns_of_their_own(store):
    waits = []

    def take():
        waits.append(store.provider_turns.acquire("modash", 20.0, 300.0))

    threads = [threading.Thread(target=take) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(waits) == pytest.approx(range(0, 240, 20), abs=8)


def test_a_turn_that_is_too_far_is_not_taken(store):
    store.provider_turns.acquire("modash", 10.0, 60.0)

    refused = [store.provider_turns.acquire("modash", 10.0, 3.0) for _ in range(3)]

    assert refused == pytest.approx([10.0] * 3, abs=3)
    assert store.provider_turns.acquire("modash", 10.0, 60.0) == pytest.approx(10.0, abs=3)


def test_providers_have_turns_of_their_own(store):
    store.provider_turns.acquire("modash", 10.0, 60.0)

    assert store.provider_turns.acquire("instagram", 10.0, 3.0) == 0.0


def test_a_clock_that_was_put_back_delays_no_call(store, store_settings):
    store.provider_turns.acquire("modash", 20.0, 30.0)
    query(store_settings, "memory", BUSY, seconds=86_400)

    assert store.provider_turns.acquire("modash", 20.0, 30.0) == 0.0
    assert store.provider_turns.acquire("modash", 20.0, 30.0) == pytest.approx(20, abs=5)


def test_a_request_waits_for_a_turn_that_is_near(clock):
    rate_limiter = RateLimiter("modash", 2.0, clock, patience=lambda: 1.0)

    for _ in range(3):
        rate_limiter.acquire()

    assert clock.waits == pytest.approx([0.6, 0.6])


def test_a_request_does_not_wait_for_one_that_is_far(clock):
    rate_limiter = RateLimiter("modash", 2.0, clock, shared=lambda _spacing, _most: 6.2, patience=lambda: 1.0)

    with pytest.raises(ProviderRateLimitedError) as refused:
        rate_limiter.acquire()

    assert clock.waits == []
    assert (refused.value.reached, refused.value.retry_after) == (False, 7)


def test_background_work_waits_as_long_as_it_takes(clock):
    waits = iter([7.0, 0.5])
    rate_limiter = RateLimiter("modash", 2.0, clock, shared=lambda _spacing, _most: next(waits))

    rate_limiter.acquire()

    assert clock.waits == pytest.approx([6.4, 0.5])


def test_without_the_store_a_process_keeps_to_the_pace_alone():
    store = Store.open("", "/nowhere/at/all", mode="live")
    rate_limiter = RateLimiter("modash", 10.0, Clock(), shared=shared_rate_limit("modash", store.provider_turns))
    started = time.monotonic()

    for _ in range(4):
        rate_limiter.acquire()

    assert 0.35 < time.monotonic() - started < 5


def test_a_refusal_says_when_the_turn_would_come(make_client):
    client = make_client(settings(modash_rate=2.0))
    store = client.application.extensions["services"].store
    store.provider_turns.acquire("modash", 20.0, 3.0)

    response = client.get("/performance-data?url=nasa")

    body = response.get_json()
    assert (response.status_code, body["code"], body["provider"]) == (429, "provider_rate_limited", "modash")
    assert 18 <= int(response.headers["Retry-After"]) <= 20
    assert "nothing was charged" in body["hint"]
    assert response.headers["X-Provider-Calls"] == "0"
    assert client.get("/quota").get_json()["breakers"][1]["state"] == "closed"


def test_a_call_refused_by_the_guard_takes_no_turn(make_client, wire):
    wire.get(REPORT, json={"error": True, "code": "rate_limit_exceeded", "message": "no"}, status=429)
    client = make_client(settings(modash_rate=2.0))
    assert client.get("/performance-data?url=nasa").status_code == 429

    started = time.monotonic()
    statuses = [client.get(f"/performance-data?url=nasa{number}").status_code for number in range(8)]

    assert statuses == [429] * 8
    assert time.monotonic() - started < 3  # Turns would take four.
    assert len(wire.calls) == 1


def test_the_rate_is_a_setting():
    assert Config.from_env({"MODASH_RATE": "12.5"}).modash_rate == 12.5


def test_background_work_gives_up_its_turn_after_a_bounded_time(clock):
    limiter = RateLimiter("modash", 0.1, clock, shared=lambda _spacing, _most: 3600.0)
    begun = clock.monotonic()

    with pytest.raises(ProviderRateLimitedError) as raised:
        limiter.acquire()

    assert raised.value.charge is Charge.NONE
    assert (
        MAX_BACKGROUND_WAIT
        <= clock.monotonic() - begun
        < longest_call(
            connect_timeout=Config.connect_timeout, read_timeout=Config.read_timeout, retry_budget=Config.retry_budget
        )
    )


def test_without_the_store_a_turn_that_is_refused_is_not_taken(clock):
    limiter = RateLimiter("modash", 1.0, clock, patience=lambda: SLACK)  # So far is the next turn, which is too far.
    limiter.acquire()

    for _ in range(3):
        with pytest.raises(ProviderRateLimitedError):
            limiter.acquire()
    clock.wait(SLACK)

    limiter.acquire()
    assert clock.waits == [SLACK]


def test_background_work_looks_for_a_turn_that_is_near_no_more_than_ten_times_a_second(clock):
    looks = []

    def shared(spacing, _most):
        looks.append(clock.monotonic())
        assert len(looks) < 1000
        return spacing  # Others take each turn before.

    with pytest.raises(ProviderRateLimitedError):
        RateLimiter("modash", 2.0, clock, shared=shared).acquire()

    assert len(looks) <= 10 * MAX_BACKGROUND_WAIT + 2
