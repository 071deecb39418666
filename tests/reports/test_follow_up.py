"""The worker asks again for a report that was not ready, and the next caller finds it."""

from __future__ import annotations

import json

import pytest
import responses

from services.background.jobs import handlers
from services.background.runner import Runner
from tests.support import MODASH

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
