"""Waiting: one call for all concurrent requests, a bounded number of waiting slots, and no slot that is lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import pytest

from services.cache.policies import FixedTTL
from services.errors import BusyError, DeadlineExceededError, ProviderTimeoutError
from services.request_context import RequestContext
from services.store.cache_entries import CacheKey
from services.store.cache_leases import LEASE, LeaseTable
from services.waiting_slots import WaitingSlots
from tests.stores import query

POSTS = "/top-posts?time_range=7d"
GROWTH = "/growth-trends?period=7d"
AT_ONCE = 3.0  # seconds; on a busy machine nothing is faster for certain


def day(number, metrics="views"):
    date = f"2026-11-{number:02}"
    return f"/account-insights?period=day&metrics={metrics}&since={date}&until={date}"


def together(world, paths):
    """Request several paths at the same moment."""
    guard = threading.Barrier(len(paths))

    def ask(path):
        guard.wait()
        began = time.monotonic()
        reply = world.client.application.test_client().get(path)
        return reply, time.monotonic() - began

    with ThreadPoolExecutor(len(paths)) as callers:
        return list(callers.map(ask, paths))


def wait_for_calls(world, number):
    """Wait until so many calls of any account have arrived at the simulator, answered or not."""
    deadline = time.monotonic() + 30
    while world.simulator.get("/_simulator/faults").json()["faults"][0]["hits"] < number:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def held():
    """Take both waiting slots of a world with cold requests that wait for a slow Instagram."""

    def hold(world, seconds):
        world.fault("slow", delay_seconds=seconds)
        waiting = [threading.Thread(target=world.get, args=(day(number),)) for number in (10, 11)]
        for thread in waiting:
            thread.start()
        wait_for_calls(world, 2)
        return waiting

    return hold


def test_concurrent_overlapping_requests_fetch_no_metric_of_a_day_twice(make_world, store_settings):
    world = make_world(**store_settings)
    world.switch(latency_ms=150)
    days = "since=2026-11-01&until=2026-11-10"
    paths = [
        f"/account-insights?period=day&metrics={metrics}&{days}"
        for metrics in ("reach,views", "views,likes", "likes,reach,shares", "views", "shares,views")
    ]

    replies = [reply for reply, _ in together(world, paths)]

    assert [reply.status_code for reply in replies] == [200] * len(paths)
    asked = []
    for path in world.calls("insights"):
        parameters = parse_qs(urlsplit(path).query)
        asked += [(metric, parameters["since"][0]) for metric in parameters["metric"][0].split(",")]
    assert len(asked) == len(set(asked)) == 4 * 10
    values = {
        (item["name"], value["end_time"], value["value"])
        for reply in replies
        for item in reply.get_json()["data"]
        for value in item["values"]
    }
    assert len(values) == 4 * 10


def test_equal_requests_of_many_threads_cost_one_call(world):
    world.switch(latency_ms=200)

    replies = [reply for reply, _ in together(world, [POSTS] * 16)]

    assert {reply.data for reply in replies} == {replies[0].data}
    assert len(world.calls()) == 1


def test_equal_refreshes_of_many_threads_cost_two_calls_at_most(world):
    world.body(POSTS)
    world.calls()
    world.advance(minutes=1)
    world.switch(latency_ms=300)

    replies = [reply for reply, _ in together(world, [f"{POSTS}&refresh=true"] * 16)]

    assert {reply.status_code for reply in replies} == {200}
    assert 1 <= len(world.calls()) <= 2


def test_concurrent_requests_for_a_report_that_is_not_ready_cost_one_call(world):
    world.switch(latency_ms=500)

    replies = [reply for reply, _ in together(world, ["/performance-data?url=later.one"] * 8)]

    assert {reply.status_code for reply in replies} == {202}
    assert len(world.calls("performance")) == 1


def test_concurrent_requests_for_an_unknown_creator_cost_one_call(world):
    world.switch(latency_ms=300)

    replies = [reply for reply, _ in together(world, ["/performance-data?url=missing.one"] * 8)]

    assert {reply.status_code for reply in replies} == {404}
    assert len(world.calls("performance")) == 1


@pytest.mark.parametrize("fault", ["html", "server_error", "token"])
def test_a_failure_is_shared_by_all_waiting_requests(world, fault):
    world.switch(latency_ms=300)
    world.fault(fault)

    replies = [reply for reply, _ in together(world, [POSTS] * 8)]

    assert len({(reply.status_code, reply.get_json()["code"]) for reply in replies}) == 1
    assert replies[0].status_code >= 400
    assert len(world.calls()) <= 2


def test_a_third_cold_request_for_two_waiting_slots_is_refused_at_once(make_world, held):
    world = make_world(MAX_WAITING_REQUESTS="2")
    warm = world.get(POSTS)
    waiting = held(world, 3)

    began = time.monotonic()
    refused, ready = world.get(day(12)), world.get(POSTS)
    taken = time.monotonic() - began

    assert (refused.status_code, refused.get_json()["code"]) == (503, "busy")
    assert refused.headers["Retry-After"] == "1"
    assert refused.get_json()["retry_after"] == 1
    assert (ready.status_code, ready.data) == (200, warm.data)
    assert taken < AT_ONCE
    world.heal()
    for thread in waiting:
        thread.join(60)
    assert world.get(day(12)).status_code == 200


@pytest.mark.parametrize("hours", [2, 40])
def test_a_busy_gateway_serves_stale_values(make_world, held, hours):
    world = make_world(MAX_WAITING_REQUESTS="2")
    before = world.body(POSTS)
    world.advance(hours=hours)
    waiting = held(world, 3)

    old = world.body(POSTS)

    assert old["meta"]["stale"] is True
    assert old["top_posts"] == before["top_posts"]
    for thread in waiting:
        thread.join(60)


def test_a_busy_gateway_answers_a_forced_refresh_from_the_cache(make_world, held):
    world = make_world(MAX_WAITING_REQUESTS="2")
    before = world.body(POSTS)
    world.advance(minutes=1)
    waiting = held(world, 3)

    reply = world.get(f"{POSTS}&limit=5&refresh=true")

    assert reply.status_code == 200
    assert reply.get_json()["top_posts"] == before["top_posts"]
    for thread in waiting:
        thread.join(60)


def test_callers_who_wait_for_modash_never_make_cold_insights_busy(make_world):
    world = make_world(MAX_WAITING_REQUESTS="2")
    world.fault("slow", provider="modash", delay_seconds=3)
    paths = [f"/performance-data?url=creator{number}" for number in range(6)]
    with ThreadPoolExecutor(len(paths)) as callers:
        waiting = [callers.submit(world.client.application.test_client().get, path) for path in paths]
        wait_for_calls(world, 2)

        cold = [world.get(path).status_code for path in (POSTS, GROWTH, day(3))]
        reports = sorted(each.result().status_code for each in waiting)

    assert cold == [200, 200, 200]
    assert reports[:2] == [200, 200]
    assert set(reports) <= {200, 503}  # A thread that a busy machine starts late finds a slot that is free again.


def test_a_report_that_is_being_made_is_202_where_no_slot_to_wait_in_is_free(make_world):
    world = make_world(MAX_WAITING_REQUESTS="1", REPORT_RETRY_AFTER="10")
    assert world.get("/performance-data?url=later.nasa").status_code == 202
    world.advance(seconds=11)
    slots = world.services.waiting_slots
    assert slots.acquire("modash", "modash")

    busy = world.get("/performance-data?url=later.nasa")
    slots.release("modash", "modash")
    asked = world.get("/performance-data?url=later.nasa")

    assert (busy.status_code, busy.headers["Retry-After"], busy.headers["X-Provider-Calls"]) == (202, "1", "0")
    assert (asked.status_code, asked.headers["X-Provider-Calls"]) == (202, "1")


def test_a_request_is_not_held_open_for_a_report_where_no_slot_to_wait_in_is_free(make_world):
    world = make_world(MAX_WAITING_REQUESTS="1", REPORT_RETRY_AFTER="10")
    assert world.get("/performance-data?url=later.nasa").status_code == 202
    slots = world.services.waiting_slots
    assert slots.acquire("modash", "modash")

    busy = world.get("/performance-data?url=later.nasa&wait=20")

    assert (busy.status_code, busy.headers["Retry-After"], busy.headers["X-Provider-Calls"]) == (202, "10", "0")


def test_a_request_that_has_ended_takes_no_waiting_slot(clock):
    waiting_slots = WaitingSlots(1)
    asking = RequestContext(started_at=clock.now().timestamp(), waiting_slots=waiting_slots)
    asking.end()

    with suppress(BusyError):
        asking.wait("instagram", "1")

    assert waiting_slots.acquire("instagram", "1")


def test_no_waiting_slot_is_lost_over_many_busy_requests(make_world):
    world = make_world(MAX_WAITING_REQUESTS="2")
    world.switch(latency_ms=5)
    for round_ in range(6):
        query_ = [f"/growth-trends?period={1 + 8 * round_ + number}d" for number in range(8)]
        together(world, query_)
        world.settle()
    waiting_slots = world.services.waiting_slots

    deadline = time.monotonic() + 10
    free = 0
    while time.monotonic() < deadline and free < 2:
        free = sum(waiting_slots.acquire("instagram", world.account["id"]) for _ in range(2))
        for _ in range(free):
            waiting_slots.release("instagram", world.account["id"])
        time.sleep(0.05)

    assert free == 2


def test_a_key_of_a_dead_process_is_taken_over_when_its_lease_ends(make_world, store_settings):
    world = make_world(**store_settings)
    dead = {"account": world.account["id"], "key": "media", "until": time.time() + LEASE}
    query(
        store_settings,
        "memory",
        "INSERT INTO leases (mode, account, key, holder, fence, lease_until) "
        "VALUES ('live', :account, :key, 'dead', 7, :until)",
        **dead,
    )

    began = time.monotonic()
    reply = world.get(POSTS)

    assert reply.status_code == 200
    assert time.monotonic() - began < LEASE + 10
    fences = query(store_settings, "memory", "SELECT fence FROM leases WHERE key = 'media'")
    assert fences == [(8,)]


@pytest.fixture
def held_elsewhere(monkeypatch):
    """Let another process hold the lease of a key for longer than a caller waits."""
    monkeypatch.setattr("services.cache.cache.MAX_WAIT_FOR_FETCH", 0.5)

    def hold(settings_, account, key):
        query(
            settings_,
            "memory",
            "INSERT INTO leases (mode, account, key, holder, fence, lease_until) "
            "VALUES ('live', :account, :key, 'other', 7, :until)",
            account=account,
            key=key,
            until=time.time() + 30,
        )

    return hold


def test_a_caller_waits_for_another_process_for_a_bounded_time(make_world, held_elsewhere):
    world = make_world()
    held_elsewhere({"INSTANCE_PATH": world.settings["INSTANCE_PATH"]}, world.account["id"], "media")

    began = time.monotonic()
    reply = world.get(POSTS)

    assert time.monotonic() - began < 6
    body = reply.get_json()
    assert (reply.status_code, body["code"], body["provider"]) == (504, "deadline_exceeded", "instagram")
    assert body["message"] == "Timed out while waiting for another request that is fetching the same data."


def test_a_caller_that_is_delayed_after_its_look_up_finds_what_another_one_has_fetched_meanwhile(cache, monkeypatch):
    fetched, looked_up, go_on = [], threading.Event(), threading.Event()
    join = cache._single_flight.join

    def delayed_join(account, keys):
        if threading.current_thread().name == "late":
            looked_up.set()
            assert go_on.wait(10)
        return join(account, keys)

    monkeypatch.setattr(cache._single_flight, "join", delayed_join)

    def ask():
        cache.get_or_fetch("someone", "media", FixedTTL(60), lambda _cached: fetched.append(1) or {"value": 1})

    late = threading.Thread(target=ask, name="late")
    late.start()
    assert looked_up.wait(10)
    ask()
    go_on.set()
    late.join(10)

    assert fetched == [1]


def in_parts(*values, failure=None):
    """A fetch that keeps each value, then returns the last or fails; notes what it began with."""

    def fetch(cached, keep):
        fetch.began_with.append(None if cached is None else (cached.value["pages"], cached.stale))
        for value in values:
            keep({"pages": value, **({"end": True} if failure is None else {})})
        if failure is not None:
            raise failure
        return {"pages": values[-1], "end": True}

    fetch.began_with = []
    return fetch


def fetch_in_parts(cache, policy, fetch):
    """Return the value of one key that grows with each call of its fetch."""
    key = CacheKey("media")

    def of_many(_keys, cached, keep):
        return {key: fetch(cached.get(key), lambda value: keep({key: value}))}

    found = cache.get_or_fetch_many("someone", {key: policy}, of_many)[key]
    if isinstance(found, ProviderTimeoutError):
        raise found
    return found


def test_what_a_fetch_has_kept_before_it_failed_is_where_the_next_one_begins(cache):
    policy, failure = FixedTTL(60, needs=("end",)), ProviderTimeoutError("Late.", provider="instagram")

    with pytest.raises(ProviderTimeoutError):
        fetch_in_parts(cache, policy, in_parts(1, 2, failure=failure))
    second = in_parts(3)
    entry = fetch_in_parts(cache, policy, second)

    assert second.began_with == [(2, True)]
    assert (entry.value, entry.stale) == ({"pages": 3, "end": True}, False)


def test_a_kept_value_that_may_serve_is_the_answer_where_the_fetch_then_failed(cache):
    failure = ProviderTimeoutError("Late.", provider="instagram")

    entry = fetch_in_parts(cache, FixedTTL(60), in_parts(1, 2, failure=failure))

    assert entry.value == {"pages": 2}


def test_callers_that_wait_for_a_fetch_in_parts_get_its_value_when_it_ends(cache):
    begun, go_on, fetches = threading.Event(), threading.Event(), []

    def fetch(_cached, keep):
        fetches.append(1)
        keep({"pages": 1})
        begun.set()
        assert go_on.wait(10)
        return {"pages": 2, "end": True}

    def ask():
        return fetch_in_parts(cache, FixedTTL(60, needs=("end",)), fetch).value["pages"]

    with ThreadPoolExecutor(2) as callers:
        leader = callers.submit(ask)
        assert begun.wait(10)
        waiting = callers.submit(ask)
        time.sleep(0.05)
        assert not waiting.done()
        go_on.set()
        assert (leader.result(10), waiting.result(10)) == (2, 2)

    assert fetches == [1]


@pytest.mark.parametrize("provider", [None, "modash", "instagram"])
def test_a_timeout_names_the_provider_that_the_caller_of_the_cache_names(
    cache, store_settings, held_elsewhere, provider
):
    held_elsewhere(store_settings, "someone", "report/nasa")

    with pytest.raises(DeadlineExceededError) as raised:
        cache.get_or_fetch("someone", "report/nasa", FixedTTL(60), lambda _cached: {}, provider=provider)

    assert (raised.value.provider, raised.value.reached) == (provider, False)


def test_a_caller_whose_time_is_over_fails_at_once_and_does_not_poll_the_database_in_a_loop(
    cache, store_settings, held_elsewhere, monkeypatch
):
    held_elsewhere(store_settings, "someone", "report/nasa")
    monkeypatch.setattr("services.cache.cache.MAX_WAIT_FOR_FETCH", 0.0)
    leases = []
    acquire = LeaseTable.acquire
    monkeypatch.setattr(LeaseTable, "acquire", lambda *arguments: leases.append(1) or acquire(*arguments))

    with pytest.raises(DeadlineExceededError):
        cache.get_or_fetch("someone", "report/nasa", FixedTTL(60), lambda _cached: {})

    assert len(leases) == 1
