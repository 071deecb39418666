"""Who waits for whom: one call for all who want it, a bounded number of places to wait in, and none that is lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import pytest

from services.errors import BusyError
from services.memory.asking import Asking, Places
from services.parallel import Parallel
from services.store.memories import LEASE
from tests.stores import query

POSTS = "/top-posts?time_range=7d"
GROWTH = "/growth-trends?period=7d"
AT_ONCE = 3.0  # seconds; on a busy machine nothing is faster for certain


def day(number, metrics="views"):
    date = f"2026-11-{number:02}"
    return f"/account-insights?period=day&metrics={metrics}&since={date}&until={date}"


def together(world, paths):
    """Ask for several paths at the same moment."""
    gate = threading.Barrier(len(paths))

    def ask(path):
        gate.wait()
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
    """Take both places of a world with cold requests that wait for a slow Instagram."""

    def hold(world, seconds):
        world.fault("slow", delay_seconds=seconds)
        waiting = [threading.Thread(target=world.get, args=(day(number),)) for number in (10, 11)]
        for thread in waiting:
            thread.start()
        wait_for_calls(world, 2)
        return waiting

    return hold


def test_overlapping_requests_at_once_ask_for_no_metric_of_a_day_twice(make_world, store_settings):
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


def test_a_report_that_is_not_ready_is_asked_for_once_by_all_who_wait(world):
    world.switch(latency_ms=500)

    replies = [reply for reply, _ in together(world, ["/performance-data?url=later.one"] * 8)]

    assert {reply.status_code for reply in replies} == {202}
    assert len(world.calls("performance")) == 1


def test_an_unknown_creator_is_asked_for_once_by_all_who_wait(world):
    world.switch(latency_ms=300)

    replies = [reply for reply, _ in together(world, ["/performance-data?url=missing.one"] * 8)]

    assert {reply.status_code for reply in replies} == {404}
    assert len(world.calls("performance")) == 1


@pytest.mark.parametrize("fault", ["html", "server_error", "token"])
def test_a_failure_is_shared_by_all_who_wait(world, fault):
    world.switch(latency_ms=300)
    world.fault(fault)

    replies = [reply for reply, _ in together(world, [POSTS] * 8)]

    assert len({(reply.status_code, reply.get_json()["code"]) for reply in replies}) == 1
    assert replies[0].status_code >= 400
    assert len(world.calls()) <= 2


def test_the_third_cold_caller_of_two_places_is_told_at_once_to_come_again(make_world, held):
    world = make_world(WAITING_PLACES="2")
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
def test_a_busy_gateway_answers_what_is_old(make_world, held, hours):
    world = make_world(WAITING_PLACES="2")
    before = world.body(POSTS)
    world.advance(hours=hours)
    waiting = held(world, 3)

    old = world.body(POSTS)

    assert old["meta"]["stale"] is True
    assert old["top_posts"] == before["top_posts"]
    for thread in waiting:
        thread.join(60)


def test_a_busy_gateway_answers_a_forced_refresh_with_what_is_kept(make_world, held):
    world = make_world(WAITING_PLACES="2")
    before = world.body(POSTS)
    world.advance(minutes=1)
    waiting = held(world, 3)

    reply = world.get(f"{POSTS}&limit=5&refresh=true")

    assert reply.status_code == 200
    assert reply.get_json()["top_posts"] == before["top_posts"]
    for thread in waiting:
        thread.join(60)


def test_a_request_that_has_ended_takes_no_place(clock):
    places = Places(1)
    asking = Asking(places, clock)
    asking.end()

    with suppress(BusyError):
        asking.wait()

    assert places.take()


def test_nobody_is_left_waiting_for_a_call_that_will_not_begin_any_more():
    release = threading.Event()
    parallel = Parallel(1)
    parallel.start(release.wait, lane="first")
    second = parallel.start(dict, lane="second")

    parallel.close()
    release.set()

    with pytest.raises(CancelledError):
        second.result(10)


def test_no_place_is_lost_over_many_busy_requests(make_world):
    world = make_world(WAITING_PLACES="2")
    world.switch(latency_ms=5)
    for round_ in range(6):
        query_ = [f"/growth-trends?period={1 + 8 * round_ + number}d" for number in range(8)]
        together(world, query_)
        world.settle()
    places = world.services.places

    deadline = time.monotonic() + 10
    free = 0
    while time.monotonic() < deadline and free < 2:
        free = sum(places.take() for _ in range(2))
        for _ in range(free):
            places.leave()
        time.sleep(0.05)

    assert free == 2


def test_a_flight_of_a_dead_process_is_taken_over_when_its_lease_is_over(make_world, store_settings):
    world = make_world(**store_settings)
    dead = {"account": world.account["id"], "key": "media", "until": time.time() + LEASE}
    query(
        store_settings,
        "memory",
        "INSERT INTO flights (account, key, holder, fence, lease_until) VALUES (:account, :key, 'dead', 7, :until)",
        **dead,
    )

    began = time.monotonic()
    reply = world.get(POSTS)

    assert reply.status_code == 200
    assert time.monotonic() - began < LEASE + 10
    fences = query(store_settings, "memory", "SELECT fence FROM flights WHERE key = 'media'")
    assert fences == [(8,)]


def test_what_another_process_holds_for_too_long_is_given_up_without_asking_the_store_again_and_again(
    make_world, monkeypatch
):
    monkeypatch.setattr("services.memory.fetching.WAIT_AT_MOST", 1.0)
    world = make_world()
    query(
        {"INSTANCE_PATH": world.settings["INSTANCE_PATH"]},
        "memory",
        "INSERT INTO flights (account, key, holder, fence, lease_until) VALUES (:account, 'media', 'other', 7, :until)",
        account=world.account["id"],
        until=time.time() + 8,
    )

    began = time.monotonic()
    reply = world.get(POSTS)

    assert time.monotonic() - began < 6
    assert (reply.status_code, reply.get_json()["code"]) == (504, "provider_timeout")
