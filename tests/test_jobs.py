"""Jobs: rows that many share; what becomes of one that is done, fails, is lost, or is put again meanwhile."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from services.background import Background
from services.clock import Clock
from services.errors import ProviderRateLimitedError
from services.jobs import TRIES, Later, Runner, next_pause
from services.store import Store
from services.store.jobs import Counts
from tests.stores import query
from tests.support import MovableClock, utc

NOW = 1_000_000.0
KINDS = ("report", "sweep")


@pytest.fixture
def store(store_settings):
    store = Store.open(store_settings.get("DATABASE_URL", ""), store_settings.get("INSTANCE_PATH", ""))
    yield store
    store.close()


@pytest.fixture
def jobs(store):
    return store.jobs


@pytest.fixture
def end_leases(store_settings):
    """Let the leases of everybody run out."""
    return lambda: query(store_settings, "gateway", "UPDATE jobs SET lease_until = 1 WHERE holder <> ''")


def take(jobs, holder="we", *, limit=10, now=NOW, kinds=KINDS):
    return jobs.take(holder, limit, now=now, kinds=kinds)


def keys(taken):
    return [job.key for job in taken]


# The table


def test_what_is_due_is_taken_the_one_due_first_first(jobs):
    jobs.put("report", "second", due_at=NOW - 5)
    jobs.put("report", "first", due_at=NOW - 9, payload={"why": "asked"})
    jobs.put("report", "not yet", due_at=NOW + 1)

    taken = take(jobs)

    assert keys(taken) == ["first", "second"]
    assert (taken[0].payload, taken[0].attempts) == ({"why": "asked"}, 1)


def test_what_is_held_is_taken_by_nobody_else(jobs):
    jobs.put("report", "nasa", due_at=NOW)

    assert keys(take(jobs, "we")) == ["nasa"]
    assert take(jobs, "they") == []


def test_nobody_takes_more_than_wanted(jobs):
    for number in range(5):
        jobs.put("report", str(number), due_at=NOW + number - 9)

    assert keys(take(jobs, limit=2)) == ["0", "1"]
    assert keys(take(jobs, limit=2)) == ["2", "3"]


def test_a_kind_that_is_not_known_here_is_left_to_others(jobs):
    jobs.put("of tomorrow", "x", due_at=NOW)

    assert take(jobs) == []
    assert keys(take(jobs, kinds=("of tomorrow",))) == ["x"]


def test_a_job_is_there_once_and_keeps_the_earlier_time(jobs):
    jobs.put("report", "nasa", due_at=NOW + 10, payload={"first": True})
    jobs.put("report", "nasa", due_at=NOW + 5, payload={"first": False})
    jobs.put("report", "nasa", due_at=NOW + 20)

    assert take(jobs, now=NOW + 4) == []
    (job,) = take(jobs, now=NOW + 5)
    assert job.payload == {"first": True}


def test_what_is_done_is_gone(jobs, end_leases):
    jobs.put("report", "nasa", due_at=NOW)
    (job,) = take(jobs)

    jobs.done(job)

    end_leases()
    assert take(jobs, now=NOW + 1e6) == []


def test_what_is_put_while_it_is_done_is_done_again(jobs):
    jobs.put("report", "nasa", due_at=NOW)
    (job,) = take(jobs)
    jobs.put("report", "nasa", due_at=NOW + 5)
    jobs.done(job)

    assert take(jobs, now=NOW + 4) == []
    assert [(job.key, job.attempts) for job in take(jobs, now=NOW + 5)] == [("nasa", 1)]


def test_what_a_lost_worker_held_is_taken_over(jobs, end_leases):
    jobs.put("report", "nasa", due_at=NOW)
    (lost,) = take(jobs, "lost")
    end_leases()

    (job,) = take(jobs, "we")
    jobs.done(lost)
    jobs.again(lost, NOW)
    jobs.give_up(lost, "late")

    assert (job.key, job.attempts) == ("nasa", 2)
    assert jobs.counts(now=NOW) == Counts(0, 1, 0, 0)


def test_a_lease_that_is_renewed_does_not_end(jobs, end_leases):
    jobs.put("report", "nasa", due_at=NOW)
    taken = take(jobs)
    end_leases()

    jobs.renew(taken)
    jobs.renew([])

    assert take(jobs, "they") == []


def test_what_is_to_be_done_again_waits_until_then(jobs):
    jobs.put("report", "nasa", due_at=NOW)
    (job,) = take(jobs)
    jobs.again(job, NOW + 300)

    assert take(jobs, now=NOW + 299) == []
    (again,) = take(jobs, now=NOW + 300)
    assert again.attempts == 2
    jobs.again(again, NOW + 400, anew=True)
    assert take(jobs, now=NOW + 400)[0].attempts == 1


def test_what_was_given_up_is_seen_and_can_be_put_again(jobs):
    jobs.put("report", "nasa", due_at=NOW)
    (job,) = take(jobs)
    jobs.give_up(job, "provider_unavailable")
    assert take(jobs, now=NOW + 1e6) == []
    assert jobs.counts(now=NOW) == Counts(waiting=0, running=0, late=0, given_up=1)

    jobs.put("report", "nasa", due_at=NOW, payload={"anew": True})

    (job,) = take(jobs)
    assert (job.attempts, job.payload) == (1, {"anew": True})


def test_what_is_given_back_can_be_taken_at_once(jobs):
    jobs.put("report", "nasa", due_at=NOW)
    jobs.give_back(take(jobs, "we"), now=NOW)

    assert keys(take(jobs, "they")) == ["nasa"]


def test_jobs_are_counted(jobs, end_leases):
    jobs.put("report", "running", due_at=NOW - 90)
    take(jobs)
    jobs.put("report", "waiting", due_at=NOW + 90)
    jobs.put("report", "due", due_at=NOW - 59)
    jobs.put("report", "late", due_at=NOW - 61)
    assert jobs.counts(now=NOW) == Counts(waiting=3, running=1, late=1, given_up=0)

    end_leases()

    assert jobs.counts(now=NOW).late == 2


def test_many_who_take_at_once_share_the_jobs(store):
    for number in range(60):
        store.jobs.put("report", f"{number:02}", due_at=NOW)
    taken = []

    def work(holder):
        while mine := take(store.jobs, holder, limit=3):
            taken.extend(keys(mine))
            for job in mine:
                store.jobs.done(job)

    threads = [threading.Thread(target=work, args=(f"worker{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Whoever finds every free row locked for a moment stops early; the last one does not.
    work("the last")

    assert sorted(taken) == [f"{number:02}" for number in range(60)]


# Workers


def test_workers_are_seen_while_they_live(store, store_settings):
    assert store.workers.seen() == (0, None)
    store.workers.beat("we", host="here", pid=1)
    store.workers.beat("we", host="here", pid=1)
    store.workers.beat("they", host="there", pid=1)
    alive, seconds_ago = store.workers.seen()
    assert alive == 2
    assert seconds_ago < 5

    query(store_settings, "gateway", "UPDATE workers SET seen_at = seen_at - 40")

    assert Background(store, Clock()).worker() == "last seen 40 s ago"
    store.workers.leave("we")
    query(store_settings, "gateway", "UPDATE workers SET seen_at = 0")
    assert Background(store, Clock()).worker() == "not seen"
    store.workers.sweep()
    assert query(store_settings, "gateway", "SELECT * FROM workers") == []


def test_without_the_store_nothing_is_known_and_nothing_breaks():
    store = Store.open("", "/nowhere/at/all")
    runner = Runner(store, {"sweep": lambda *_: None}, Clock())

    runner.plan()
    runner.hold("we", [], host="here", pid=1)

    assert runner.take("we", 4) == []
    assert Background(store, Clock()).worker() == "unknown"
    assert Background(store, Clock()).work() is None


def remembered(store_settings):
    return [key for (key,) in query(store_settings, "memory", "SELECT key FROM memories ORDER BY key")]


def test_a_gateway_tidies_up_only_where_no_worker_does(store, store_settings):
    insert = (
        "INSERT INTO memories (account, key, part, value, fetched_at, kept_until) VALUES ('a', :key, '', '', 0, :u)"
    )
    query(store_settings, "memory", insert, key="old", u=1)
    query(store_settings, "memory", insert, key="new", u=time.time() + 60)
    store.workers.beat("we", host="here", pid=1)
    store.sweep_alone()
    assert remembered(store_settings) == ["new", "old"]

    store.workers.leave("we")
    store.sweep_alone()

    assert remembered(store_settings) == ["new"]


# What is done


@pytest.fixture
def clock():
    return MovableClock(utc("2026-06-15T18:00:00"))


@pytest.fixture
def work(store, clock):
    """Do all that is due with a handler, and return how often it was asked."""

    def do(handler, *, seconds=0):
        clock.wait(seconds)
        runner = Runner(store, {"report": handler}, clock)
        taken = runner.take("we", 10)
        for job in taken:
            runner.run(job)
        return len(taken)

    return do


@pytest.fixture
def put(store, clock):
    return lambda key="nasa": store.jobs.put("report", key, due_at=clock.now().timestamp())


def lines(caplog):
    return [
        (record.kind, record.outcome, getattr(record, "failure", None))
        for record in caplog.records
        if record.message == "job"
    ]


def test_a_job_that_asks_for_later_is_done_later(work, put, caplog):
    caplog.set_level(logging.INFO)
    asked = []

    def handler(key, payload, attempts):
        asked.append((key, dict(payload), attempts))
        return Later(300) if attempts < 3 else None

    put()

    assert [work(handler), work(handler, seconds=299), work(handler, seconds=1), work(handler, seconds=300)] == [
        1,
        0,
        1,
        1,
    ]
    assert asked == [("nasa", {}, 1), ("nasa", {}, 2), ("nasa", {}, 3)]
    assert lines(caplog) == [("report", "later", None), ("report", "later", None), ("report", "done", None)]
    assert work(handler, seconds=1e6) == 0


def test_a_job_that_fails_is_tried_later_and_later_then_given_up(store_settings, work, put, clock, caplog):
    def handler(*_):
        raise RuntimeError("with anything in its words")

    put()
    pauses = []
    for _ in range(TRIES):
        started = clock.monotonic()
        while not work(handler):
            clock.wait(10)
        pauses.append(clock.monotonic() - started)

    assert pauses[:5] == [0, 30, 60, 120, 240]
    assert max(pauses) == 3600
    assert lines(caplog)[-2:] == [("report", "failed", "RuntimeError"), ("report", "given_up", "RuntimeError")]
    assert caplog.records[-1].exc_info
    assert work(handler, seconds=1e6) == 0
    assert query(store_settings, "gateway", "SELECT failure, due_at FROM jobs") == [("RuntimeError", None)]


def test_a_provider_that_asks_for_time_gets_it(work, put, caplog):
    def handler(*_):
        raise ProviderRateLimitedError("slow down", provider="modash", retry_after=700)

    put()

    assert [work(handler), work(handler, seconds=699), work(handler, seconds=1)] == [1, 0, 1]
    assert lines(caplog)[0] == ("report", "failed", "provider_rate_limited")
    assert not caplog.records[0].exc_info


def test_a_recurring_job_is_there_once_and_for_ever(store, clock):
    runner = Runner(store, {"sweep": lambda *_: Later(600, anew=True)}, clock)
    for _ in range(3):
        runner.plan()
    done = []
    for _ in range(40):
        taken = runner.take("we", 10)
        done += [job.attempts for job in taken]
        for job in taken:
            runner.run(job)
        runner.plan()
        clock.wait(60)

    assert done == [1, 1, 1]


@pytest.mark.parametrize(
    ("attempts", "first", "seconds"),
    [(0, 300, 300), (1, 300, 600), (3, 300, 2400), (4, 300, 3600), (10_000, 300, 3600), (5, 7200, 7200), (2, 1, 4)],
)
def test_pauses_grow_up_to_an_hour(attempts, first, seconds):
    assert next_pause(attempts, first=first) == seconds
