"""The worker asks again for a report that was not ready, and the next caller finds it."""

from __future__ import annotations

import json
import time
from queue import SimpleQueue

import pytest
import responses

import worker
from services.background.heartbeat import Heartbeat
from services.background.job_handlers import OVERDUE_DELAY, handlers
from services.background.job_runner import Runner
from services.store.ledger import Order
from tests.support import MODASH, NoConnections

REPORT = f"{MODASH}/v1/instagram/performance-data"
POSTS = {"total": 6, "engagement_rate": [{"numberOfItems": 6, "value": 1.5}]}


@pytest.fixture
def runner(client, clock):
    services = client.application.extensions["services"]
    return Runner(services.store, handlers(services, clock), clock)


def work(runner):
    for job in runner.claim("we", 10):
        runner.run(job)


def test_the_worker_asks_again_when_that_is_due_and_the_next_caller_finds_the_report(client, clock, wire, runner):
    answers = iter([{"status": "retry_later"}, {"status": "retry_later"}, {"posts": POSTS, "reels": {}}])
    report = wire.add_callback(responses.GET, REPORT, callback=lambda _: (200, {}, json.dumps(next(answers))))
    assert client.get("/performance-data?url=nasa").status_code == 202

    work(runner)
    asked_too_early = report.call_count
    clock.wait(300)
    work(runner)
    still_pending = client.get("/performance-data?url=nasa").status_code
    clock.wait(600)
    work(runner)

    found = client.get("/performance-data?url=@NASA")
    assert (asked_too_early, still_pending, found.status_code) == (1, 202, 200)
    assert found.headers["X-Provider-Calls"] == "0"
    assert report.call_count == 3


def test_after_the_last_attempt_the_worker_asks_no_more(client, clock, wire, runner):
    report = wire.get(REPORT, json={"status": "retry_later"})
    client.get("/performance-data?url=nasa")

    for _ in range(12):
        clock.wait(3600)
        work(runner)

    assert report.call_count == 4


def test_a_report_that_is_not_waited_for_any_more_is_not_bought(client, clock, wire, runner):
    wire.assert_all_requests_are_fired = False
    report = wire.get(REPORT, json={"posts": POSTS, "reels": {}})
    jobs = client.application.extensions["services"].store.jobs
    jobs.put("report", "nasa", due_at=clock.timestamp(), payload={"caller": "anonymous"})

    work(runner)

    assert (jobs.keys("report"), report.call_count) == (set(), 0)


def test_after_a_worker_that_died_in_its_call_no_further_one_is_made_for_the_wait(client, clock, wire, runner):
    report = wire.get(REPORT, json={"status": "retry_later"})
    client.get("/performance-data?url=nasa")
    services = client.application.extensions["services"]
    clock.wait(300)
    order = Order("modash", "nasa", "anonymous", price=250, limit=100_000, longest_call=30, max_retries=3)
    services.store.ledger.open(order, lambda *_: None)  # the call of the worker that died

    clock.wait(60)
    work(runner)
    left = services.store.jobs.keys("report")
    assert services.store.ledger.record("modash", "nasa").pending is None
    clock.wait(86_400)
    work(runner)

    assert (left, report.call_count) == (set(), 1)
    assert client.get("/performance-data?url=nasa").status_code == 202
    assert report.call_count == 2


@pytest.mark.parametrize("key", ["anonymous", "revoked"])
def test_a_follow_up_without_the_database_is_due_again_and_not_over(client, clock, monkeypatch, key):
    services = client.application.extensions["services"]
    follow_up = handlers(services, clock)["report"]
    follow_up("another", {"caller": "revoked"}, 1)  # The keys are known from now on.
    monkeypatch.setattr(services.store.ledger._database, "_connections", NoConnections())

    again = follow_up("nasa", {"caller": key}, 1)

    assert (again.seconds, again.reset_attempts) == (OVERDUE_DELAY, False)


def test_a_refresh_that_is_not_ready_is_not_followed_up_while_the_kept_report_serves(client, clock, wire, runner):
    answers = iter([{"posts": POSTS, "reels": {}}, {"status": "retry_later"}])
    report = wire.add_callback(responses.GET, REPORT, callback=lambda _: (200, {}, json.dumps(next(answers))))
    client.get("/performance-data?url=nasa")
    clock.wait(10)
    client.get("/performance-data?url=nasa&refresh=true")

    clock.wait(300)
    work(runner)

    assert report.call_count == 2
    assert client.application.extensions["services"].store.jobs.keys("report") == set()


def test_a_worker_that_stops_lets_the_call_for_a_report_come_to_its_end(client, clock, wire, runner, monkeypatch):
    monkeypatch.setattr(worker, "STOP_TIMEOUT", 0.1)
    wire.add(responses.GET, REPORT, json={"status": "retry_later"})
    client.get("/performance-data?url=nasa")
    clock.wait(300)
    services, signals = client.application.extensions["services"], SimpleQueue()

    def answer(_request):
        signals.put(worker.STOP)
        time.sleep(0.5)
        return 200, {}, json.dumps({"posts": POSTS, "reels": {}})

    wire.remove(responses.GET, REPORT)
    wire.add_callback(responses.GET, REPORT, callback=answer)
    ends_within = worker.longer_ends(client.application.extensions["config"])
    finished = worker.Worker(runner, Heartbeat(), signals, ends_within=ends_within).run()

    assert finished
    assert services.store.jobs.keys("report") == set()
    assert client.get("/performance-data?url=nasa").status_code == 200
