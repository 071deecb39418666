"""A gateway whose clock ran hours ahead and was set back, on both engines: nothing waits until the wrong time comes."""

from __future__ import annotations

import time
from datetime import timedelta
from types import SimpleNamespace

import pytest

from services.background.job_handlers import handlers
from services.background.job_runner import Runner
from services.background.job_schedule import POSTS_OF, SNAPSHOT_OF, STORIES_OF, TOKEN_OF
from services.cache import recent_reads
from tests.world import NOW

HOURS_AHEAD = 15
REACH = "/account-insights?period=day&metrics=reach&since=2026-11-21&until=2026-11-21"
OF_ACCOUNT = {STORIES_OF, POSTS_OF, SNAPSHOT_OF, TOKEN_OF}


@pytest.fixture
def ahead(make_world, store_settings):
    """A world whose gateway runs ahead by some hours; what it asks for is answered as of now."""
    world = make_world(**store_settings)
    world.clock.set(NOW + timedelta(hours=HOURS_AHEAD))
    return world


def set_back(world):
    """Set the clock of the gateway back, and forget the calls until then."""
    world.settle()
    world.clock.set(NOW)
    world.clock.wait(1)
    world.calls()


def work(world):
    """Run what is due as a worker does; return the kinds of the jobs of accounts that ran."""
    services = world.services
    runner = Runner(services.store, handlers(services, services.store.clock), services.store.clock)
    runner.put_recurring()
    done = []
    for _ in range(3):
        for job in runner.claim("we", 20):
            runner.run(job)
            done.append(job.kind)
        world.clock.wait(61)
    return OF_ACCOUNT.intersection(done)


def test_the_jobs_of_an_account_run_again_at_once(ahead):
    assert work(ahead) == OF_ACCOUNT
    set_back(ahead)

    assert work(ahead) >= {STORIES_OF, POSTS_OF, SNAPSHOT_OF}
    calls = ahead.calls()
    assert [path for path in calls if "/stories" in path or "stories" in path]
    assert [path for path in calls if "/media" in path or "media" in path]
    assert [path for path in calls if "/insights" in path]


def test_after_that_the_jobs_are_due_at_their_usual_times(ahead):
    work(ahead)
    set_back(ahead)
    work(ahead)

    with ahead.services.store.databases[1].read() as connection:
        rows = connection.exec_driver_sql("SELECT kind, due_at FROM jobs WHERE kind <> '' AND key <> ''")
        due = {kind: (due_at - ahead.clock.timestamp()) / 3600 for kind, due_at in rows}

    assert due.keys() == OF_ACCOUNT
    assert all(-0.1 < hours <= 1.5 for kind, hours in due.items() if kind in {STORIES_OF, POSTS_OF}), due
    assert all(hours <= 28 for hours in due.values()), due


@pytest.mark.parametrize("restarted", [False, True])
def test_what_was_fetched_ahead_of_the_present_is_fetched_again(ahead, restarted, monkeypatch):
    ahead.body(REACH)
    set_back(ahead)
    if restarted:
        ahead.restart()
    # What was shown within the last minute, of the machine's own time, is shown again.
    monkeypatch.setattr(recent_reads, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 61))

    reply = ahead.body(REACH)
    assert ahead.calls("insights")
    again = ahead.body(REACH)

    assert ahead.calls("insights") == []
    assert not again["meta"]["stale"]
    assert again["meta"]["fetched_at"] <= reply["meta"]["expires_at"]
    assert again["meta"]["fetched_at"].startswith("2026-11-21T18:0")


def test_what_was_fetched_ahead_of_the_present_serves_stale_while_the_provider_is_down(ahead):
    before = ahead.body(REACH)
    set_back(ahead)
    ahead.restart()
    ahead.fault("server_error")

    reply = ahead.body(REACH)

    assert reply["meta"]["stale"]
    assert reply["data"] == before["data"]


def test_a_throttle_that_began_ahead_of_the_present_does_not_last_for_hours(ahead):
    ahead.fault("throttled")
    assert ahead.get(REACH).status_code == 429
    set_back(ahead)
    ahead.heal()
    ahead.restart()

    assert ahead.get(REACH).status_code == 200


def test_an_account_whose_token_was_rejected_ahead_of_the_present_is_well_once_it_answers(ahead):
    services, account = ahead.services, ahead.account["id"]
    with services.store.databases[1].write() as connection:
        later = ahead.clock.timestamp()
        connection.exec_driver_sql(
            "INSERT INTO account_health (mode, account, rejected_at, rejected_as)"
            f" VALUES ('live', '{account}', {later}, 'token_invalid')"
        )
    ahead.body(REACH)
    services.health_recorder.share()
    set_back(ahead)

    ahead.body("/top-posts?time_range=7d")
    services.health_recorder.share()

    (listed,) = ahead.body("/accounts")["accounts"]
    assert listed["health"]["answered_at"].startswith("2026-11-21T18:0")
    assert listed["health"]["state"] == "ok"
