"""Jobs: claimed by one worker at a time; completed, failed, lost with a worker, or put again while they run."""

from __future__ import annotations

import logging
import re
import threading
import time
from contextlib import suppress
from queue import SimpleQueue

import pytest

from services import request_context
from services.background.heartbeat import Heartbeat
from services.background.job_runner import MAX_JOB_ATTEMPTS, Reschedule, Runner, retry_delay
from services.background.job_schedule import BACKFILL_OF, RETENTION_INTERVAL, SWEEP_INTERVAL
from services.clock import Clock
from services.errors import BusyError, ProviderRateLimitedError
from services.monitoring.readiness import Readiness
from services.quota import Quota
from services.request_context import RequestContext
from services.store.database import DatabaseUnavailableError, StatementRefusedError
from services.store.jobs import Job, JobCounts
from services.store.sqlite_texts import TextTolerantConnection
from services.store.store import Store
from tests.stores import new_store, query
from worker import STOP, Worker

NOW = 1_000_000.0
KINDS = ("report", "sweep")


def readiness(store):
    return Readiness(store, Quota({}, store.quota_usage), clock=Clock())


@pytest.fixture
def jobs(store):
    return store.jobs


@pytest.fixture
def end_leases(store_settings):
    """End the leases of all held jobs."""
    return lambda: query(store_settings, "gateway", "UPDATE jobs SET lease_until = 1 WHERE holder <> ''")


def claim(jobs, holder="we", *, limit=10, now=NOW, kinds=KINDS):
    return jobs.claim(holder, limit, now=now, kinds=kinds)


def keys(taken):
    return [job.key for job in taken]


# The table


def test_due_jobs_are_claimed_the_longest_overdue_first(jobs):
    jobs.put("report", "second", due_at=NOW - 5)
    jobs.put("report", "first", due_at=NOW - 9, payload={"why": "asked"})
    jobs.put("report", "not yet", due_at=NOW + 1)

    taken = claim(jobs)

    assert keys(taken) == ["first", "second"]
    assert (taken[0].payload, taken[0].attempts) == ({"why": "asked"}, 1)


def test_a_job_of_a_lost_worker_waits_for_its_turn_among_those_that_are_due(jobs, store_settings):
    jobs.put("report", "lost", due_at=NOW)
    claim(jobs)
    for number in (5, 1):
        jobs.put("report", f"due {number} s ago", due_at=NOW - number)
    query(store_settings, "gateway", f"UPDATE jobs SET lease_until = {NOW - 3} WHERE holder <> ''")

    assert keys(claim(jobs)) == ["due 5 s ago", "lost", "due 1 s ago"]


def test_a_held_job_is_not_claimed_by_another_worker(jobs):
    jobs.put("report", "nasa", due_at=NOW)

    assert keys(claim(jobs, "we")) == ["nasa"]
    assert claim(jobs, "they") == []


def test_no_more_jobs_are_claimed_than_the_limit(jobs):
    for number in range(5):
        jobs.put("report", str(number), due_at=NOW + number - 9)

    assert keys(claim(jobs, limit=2)) == ["0", "1"]
    assert keys(claim(jobs, limit=2)) == ["2", "3"]


def test_a_kind_without_a_handler_is_not_claimed(jobs):
    jobs.put("of tomorrow", "x", due_at=NOW)

    assert claim(jobs) == []
    assert keys(claim(jobs, kinds=("of tomorrow",))) == ["x"]


def test_a_job_exists_once_and_keeps_the_earlier_due_time(jobs):
    jobs.put("report", "nasa", due_at=NOW + 10, payload={"first": True})
    jobs.put("report", "nasa", due_at=NOW + 5, payload={"first": False})
    jobs.put("report", "nasa", due_at=NOW + 20)

    assert claim(jobs, now=NOW + 4) == []
    (job,) = claim(jobs, now=NOW + 5)
    assert job.payload == {"first": True}


def test_a_completed_job_is_deleted(jobs, end_leases):
    jobs.put("report", "nasa", due_at=NOW)
    (job,) = claim(jobs)

    jobs.complete(job)

    end_leases()
    assert claim(jobs, now=NOW + 1e6) == []


def test_a_job_that_is_put_while_it_runs_runs_again(jobs):
    jobs.put("report", "nasa", due_at=NOW)
    (job,) = claim(jobs)
    jobs.put("report", "nasa", due_at=NOW + 5)
    jobs.complete(job)

    assert claim(jobs, now=NOW + 4) == []
    assert [(job.key, job.attempts) for job in claim(jobs, now=NOW + 5)] == [("nasa", 1)]


def test_a_job_that_is_done_and_was_put_meanwhile_has_no_failure_any_more(jobs, store_settings):
    jobs.put("report", "nasa", due_at=NOW)
    (first,) = claim(jobs)
    jobs.reschedule(first, NOW, failure="provider_timeout")
    (second,) = claim(jobs)
    jobs.put("report", "nasa", due_at=NOW)

    jobs.complete(second)

    assert query(store_settings, "gateway", "SELECT failure, attempts FROM jobs") == [(None, 0)]


@pytest.mark.parametrize(("seconds", "claimed"), [(-1, ["nasa"]), (5, [])])
def test_a_job_is_claimed_again_as_soon_as_its_lease_has_ended(jobs, store_settings, seconds, claimed):
    jobs.put("report", "nasa", due_at=NOW)
    claim(jobs, "lost")
    query(store_settings, "gateway", "UPDATE jobs SET lease_until = :until", until=time.time() + seconds)

    assert keys(claim(jobs)) == claimed


def test_a_claim_of_another_worker_is_not_ended_although_its_attempts_are_as_many(jobs, end_leases):
    jobs.put("report", "nasa", due_at=NOW)
    (lost,) = claim(jobs, "lost")
    end_leases()
    (second,) = claim(jobs, "second")
    jobs.reschedule(second, NOW, reset_attempts=True)
    (third,) = claim(jobs, "third")

    jobs.complete(lost)

    assert (lost.attempts, third.attempts) == (1, 1)
    assert jobs.counts(now=NOW) == JobCounts(0, 1, 0, 0)


def test_a_job_of_a_lost_worker_is_claimed_by_another(jobs, end_leases):
    jobs.put("report", "nasa", due_at=NOW)
    (lost,) = claim(jobs, "lost")
    end_leases()

    (job,) = claim(jobs, "we")
    jobs.complete(lost)
    jobs.reschedule(lost, NOW)
    jobs.dead_letter(lost, "late")

    assert (job.key, job.attempts) == ("nasa", 2)
    assert jobs.counts(now=NOW) == JobCounts(0, 1, 0, 0)


def test_a_worker_that_claims_a_job_again_cannot_end_it_by_its_first_claim(jobs, end_leases):
    jobs.put("report", "nasa", due_at=NOW)
    (first,) = claim(jobs, "we")
    end_leases()
    (second,) = claim(jobs, "we")

    jobs.complete(first)
    jobs.reschedule(first, NOW)
    jobs.dead_letter(first, "late")
    assert jobs.counts(now=NOW) == JobCounts(0, 1, 0, 0)

    jobs.complete(second)
    assert jobs.counts(now=NOW) == JobCounts(0, 0, 0, 0)


@pytest.mark.parametrize(("put_at", "claimed_at"), [(NOW + 5, NOW + 5), (NOW + 500, NOW + 300)])
def test_a_job_that_was_put_while_it_ran_runs_at_the_earlier_time(jobs, put_at, claimed_at):
    jobs.put("report", "nasa", due_at=NOW)
    (job,) = claim(jobs)
    jobs.put("report", "nasa", due_at=put_at)

    jobs.reschedule(job, NOW + 300)

    assert claim(jobs, now=claimed_at - 1) == []
    assert keys(claim(jobs, now=claimed_at)) == ["nasa"]


def test_an_extended_lease_does_not_end(jobs, end_leases):
    for name in ("nasa", "esa"):
        jobs.put("report", name, due_at=NOW)
    taken = claim(jobs)
    end_leases()

    jobs.extend(taken)
    jobs.extend([])

    assert claim(jobs, "they") == []


def test_a_worker_that_has_lost_a_job_does_not_extend_the_lease_of_the_next_one(jobs, end_leases):
    jobs.put("report", "nasa", due_at=NOW)
    lost = claim(jobs)
    for holder in ("they", "we"):
        end_leases()
        claim(jobs, holder)
        end_leases()

        jobs.extend(lost)

        assert len(claim(jobs, "the last")) == 1


def test_a_rescheduled_job_is_not_claimed_before_its_due_time(jobs):
    jobs.put("report", "nasa", due_at=NOW)
    (job,) = claim(jobs)
    jobs.reschedule(job, NOW + 300)

    assert claim(jobs, now=NOW + 299) == []
    (again,) = claim(jobs, now=NOW + 300)
    assert again.attempts == 2
    jobs.reschedule(again, NOW + 400, reset_attempts=True)
    assert claim(jobs, now=NOW + 400)[0].attempts == 1


def test_a_job_that_was_given_up_is_counted_and_can_be_put_again(jobs):
    jobs.put("report", "nasa", due_at=NOW)
    (job,) = claim(jobs)
    jobs.dead_letter(job, "provider_unavailable")
    assert claim(jobs, now=NOW + 1e6) == []
    assert jobs.counts(now=NOW) == JobCounts(waiting=0, running=0, late=0, given_up=1)

    jobs.put("report", "nasa", due_at=NOW, payload={"refreshed": True})

    (job,) = claim(jobs)
    assert (job.attempts, job.payload) == (1, {"refreshed": True})


def test_a_job_that_was_put_again_before_it_was_given_up_begins_again(jobs):
    jobs.put("report", "nasa", due_at=NOW)
    (job,) = claim(jobs)
    jobs.put("report", "nasa", due_at=NOW + 5)

    jobs.dead_letter(job, "provider_unavailable")

    assert [each.attempts for each in claim(jobs, now=NOW + 5)] == [1]


def test_a_job_that_was_given_up_is_none_of_its_kind(jobs):
    for key in ("nasa", "esa"):
        jobs.put("report", key, due_at=NOW)
    jobs.dead_letter(claim(jobs, limit=1)[0], "provider_unavailable")

    assert len(jobs.keys("report")) == 1


def test_a_released_job_can_be_claimed_at_once(jobs):
    jobs.put("report", "nasa", due_at=NOW)
    jobs.release(claim(jobs, "we"), now=NOW)

    assert keys(claim(jobs, "they")) == ["nasa"]


def test_jobs_are_counted(jobs, store_settings, end_leases):
    jobs.put("report", "running", due_at=NOW - 90)
    claim(jobs)
    jobs.put("report", "waiting", due_at=NOW + 90)
    jobs.put("report", "due", due_at=NOW - 59)
    jobs.put("report", "late", due_at=NOW - 61)
    assert jobs.counts(now=NOW) == JobCounts(waiting=3, running=1, late=1, given_up=0)

    end_leases()
    assert jobs.counts(now=NOW).late == 2

    ended = time.time() - 30
    query(store_settings, "gateway", f"UPDATE jobs SET lease_until = {ended} WHERE holder <> ''")
    assert jobs.counts(now=NOW).late == 1


# Damaged rows


@pytest.mark.parametrize("damage", ["due_at = 1e300", "due_at = -1e300", "holder = 'they', lease_until = 1e300"])
def test_a_job_with_a_moment_that_none_can_be_runs_now(jobs, store_settings, damage):
    jobs.put("report", "nasa", due_at=NOW + 60)
    query(store_settings, "gateway", f"UPDATE jobs SET {damage}")

    assert keys(claim(jobs)) == ["nasa"]


@pytest.mark.parametrize("attempts", [2**31 - 1, -5])
def test_a_number_of_attempts_that_none_can_be_begins_again(jobs, store_settings, attempts):
    jobs.put("report", "nasa", due_at=NOW)
    query(store_settings, "gateway", f"UPDATE jobs SET attempts = {attempts}")

    (job,) = claim(jobs)
    jobs.complete(job)

    assert job.attempts == 1
    assert jobs.keys("report") == set()


@pytest.fixture
def odd_jobs():
    """The jobs of a SQLite file, and a change of its rows."""
    with new_store("sqlite") as settings:
        store = Store.open("", settings["INSTANCE_PATH"], mode="live")
        yield store.jobs, lambda statement: query(settings, "gateway", statement)
        store.close()


@pytest.mark.parametrize("damage", ["due_at = 'words'", "due_at = x'00ff'", "holder = 'they', lease_until = 'words'"])
def test_a_job_with_no_moment_at_all_runs_now(odd_jobs, damage):
    jobs, change = odd_jobs
    jobs.put("report", "nasa", due_at=NOW + 60)
    change(f"UPDATE jobs SET {damage}")

    assert keys(claim(jobs)) == ["nasa"]


@pytest.mark.parametrize("payload", ["'{'", "'[]'", "'7'", "'null'", "x'00ff'", "CAST(x'7bff' AS TEXT)"])
def test_a_job_whose_payload_is_damaged_runs_without_one(odd_jobs, monkeypatch, payload):
    monkeypatch.setattr(TextTolerantConnection, "replaces", False)
    jobs, change = odd_jobs
    jobs.put("report", "nasa", due_at=NOW, payload={"caller": "x"})
    change(f"UPDATE jobs SET payload = {payload}")

    claimed = []
    for _ in range(2):  # From the first text that is no UTF-8 on, this process replaces them.
        with suppress(StatementRefusedError):
            claimed += claim(jobs)

    assert [job.payload for job in claimed] == [{}]


def test_jobs_whose_key_is_no_utf_8_keep_no_worker_from_the_others(odd_jobs, monkeypatch):
    monkeypatch.setattr(TextTolerantConnection, "replaces", False)
    jobs, change = odd_jobs
    for number in range(3):
        jobs.put("report", f"damaged {number}", due_at=NOW - 9)
    change("UPDATE jobs SET key = CAST(key || x'ff' AS TEXT)")
    jobs.put("report", "nasa", due_at=NOW)

    assert keys(claim(jobs, limit=2)) == ["nasa"]


def test_concurrent_workers_share_the_jobs(store):
    for number in range(60):
        store.jobs.put("report", f"{number:02}", due_at=NOW)
    taken = []

    def work(holder):
        while mine := claim(store.jobs, holder, limit=3):
            taken.extend(keys(mine))
            for job in mine:
                store.jobs.complete(job)

    threads = [threading.Thread(target=work, args=(f"worker{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A worker that finds every free row locked for a moment stops early; the last one does not.
    work("the last")

    assert sorted(taken) == [f"{number:02}" for number in range(60)]


# Workers


def test_workers_are_counted_while_they_are_alive(store, store_settings):
    assert store.workers.seen() == (0, None)
    store.workers.heartbeat("we", host="here", pid=1)
    query(store_settings, "gateway", "UPDATE workers SET started_at = 1")
    store.workers.heartbeat("we", host="here", pid=1)
    assert query(store_settings, "gateway", "SELECT started_at FROM workers") == [(1.0,)]
    store.workers.heartbeat("they", host="there", pid=1)
    alive, seconds_ago = store.workers.seen()
    assert alive == 2
    assert seconds_ago < 5

    query(store_settings, "gateway", "UPDATE workers SET seen_at = seen_at - 40")

    assert re.fullmatch("last seen (4[0-9]|[5-9][0-9]) s ago", readiness(store).worker())  # more on a slow machine
    store.workers.deregister("we")
    query(store_settings, "gateway", "UPDATE workers SET seen_at = 0")
    assert readiness(store).worker() == "not seen"
    store.workers.sweep()
    assert query(store_settings, "gateway", "SELECT * FROM workers") == []


def test_the_heartbeat_of_a_worker_extends_the_leases_of_the_jobs_that_it_runs(jobs, store, end_leases):
    jobs.put("report", "nasa", due_at=NOW)
    taken = claim(jobs)
    end_leases()

    Runner(store, {}, Clock()).heartbeat("we", taken, host="here", pid=1)

    assert claim(jobs, "they") == []
    assert store.workers.seen().alive == 1


@pytest.mark.parametrize("has_heartbeat", [True, False])
def test_a_worker_for_whose_jobs_the_system_has_no_thread_leaves_them_for_later(
    store, clock, no_thread, monkeypatch, has_heartbeat
):
    signals, heartbeat = SimpleQueue(), Heartbeat()
    signals.put(STOP)  # It works for one round.
    runner = Runner(store, {"report": lambda *_: None}, clock)
    store.jobs.put("report", "nasa", due_at=clock.timestamp())
    if has_heartbeat:
        monkeypatch.setattr(heartbeat, "start", lambda: True)  # Its threads were started before.

    with no_thread():
        finished = Worker(runner, heartbeat, signals).run()
    at_once = store.jobs.claim("another", 10, now=clock.timestamp(), kinds=["report"])
    clock.wait(60)
    later = store.jobs.claim("another", 10, now=clock.timestamp(), kinds=["report"])

    assert finished
    assert len(at_once) == (0 if has_heartbeat else 1)
    assert [(job.key, job.attempts) for job in (*at_once, *later)] == [("nasa", 1)]


def test_a_worker_that_stops_leaves_its_jobs_to_the_others_at_once(jobs, store):
    for number, name in enumerate(("nasa", "esa")):
        jobs.put("report", name, due_at=NOW - number)
    runner = Runner(store, {}, Clock())
    taken = claim(jobs)
    runner.heartbeat("we", taken, host="here", pid=1)

    runner.release("we", taken)

    assert sorted(keys(claim(jobs, "they", now=Clock().timestamp()))) == ["esa", "nasa"]
    assert store.workers.seen().alive == 0


def test_without_a_database_nothing_is_claimed_and_nothing_fails():
    store = Store.open("", "/nowhere/at/all", mode="live")
    runner = Runner(store, {"sweep": lambda *_: None}, Clock())

    runner.put_recurring()
    runner.heartbeat("we", [Job("sweep", "", {}, 1, "we")], host="here", pid=1)

    assert runner.claim("we", 4) == []
    assert readiness(store).worker() == "unknown"
    assert readiness(store).work() is None


def remembered(store_settings):
    return [key for (key,) in query(store_settings, "memory", "SELECT key FROM cache_entries ORDER BY key")]


def test_a_gateway_sweeps_only_while_no_worker_is_alive(store, store_settings):
    insert = (
        "INSERT INTO cache_entries (mode, account, key, part, value, fetched_at, kept_until) "
        "VALUES ('live', 'a', :key, '', '', 0, :u)"
    )
    query(store_settings, "memory", insert, key="old", u=1)
    query(store_settings, "memory", insert, key="new", u=time.time() + 60)
    store.workers.heartbeat("we", host="here", pid=1)
    store.sweep_without_worker()
    assert remembered(store_settings) == ["new", "old"]

    store.workers.deregister("we")
    store.sweep_without_worker()

    assert remembered(store_settings) == ["new"]


# Running


@pytest.fixture
def work(store, clock):
    """Run all due jobs with a handler, and return how many there were."""

    def do(handler, *, seconds=0):
        clock.wait(seconds)
        runner = Runner(store, {"report": handler}, clock)
        taken = runner.claim("we", 10)
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


def test_what_was_claimed_is_run_although_the_claim_of_long_work_then_failed(store, clock, put, monkeypatch):
    put()
    claim_any = store.jobs.claim

    def claim_short(holder, limit, *, now, kinds):
        if BACKFILL_OF in kinds:
            raise DatabaseUnavailableError("gateway", "it is away")
        return claim_any(holder, limit, now=now, kinds=kinds)

    monkeypatch.setattr(store.jobs, "claim", claim_short)

    claimed = Runner(store, {"report": None, BACKFILL_OF: None}, clock).claim("we", 10)

    assert keys(claimed) == ["nasa"]


def test_long_work_leaves_a_place_of_each_worker_to_other_jobs(store, clock, put):
    for number in range(5):
        store.jobs.put(BACKFILL_OF, str(number), due_at=clock.timestamp())
    runner = Runner(store, {"report": None, BACKFILL_OF: None}, clock)

    assert len(runner.claim("we", 4)) == 3
    assert runner.claim("we", 1) == []
    put()
    assert keys(runner.claim("we", 1)) == ["nasa"]


def test_a_job_is_background_work_and_no_part_of_the_request_of_its_thread(work, put):
    served, during = RequestContext(started_at=NOW), []
    token = request_context.current.set(served)
    try:
        put()
        work(lambda *_: during.append(request_context.current.get()))
        after = request_context.current.get()
    finally:
        request_context.current.reset(token)

    assert [context.is_background for context in during] == [True]
    assert after is served


def test_a_job_that_reschedules_itself_runs_at_that_time(work, put, caplog):
    caplog.set_level(logging.INFO)
    asked = []

    def handler(key, payload, attempts):
        asked.append((key, dict(payload), attempts))
        return Reschedule(300) if attempts < 3 else None

    put()

    assert [work(handler), work(handler, seconds=299), work(handler, seconds=1), work(handler, seconds=300)] == [
        1,
        0,
        1,
        1,
    ]
    assert asked == [("nasa", {}, 1), ("nasa", {}, 2), ("nasa", {}, 3)]
    assert lines(caplog) == [("report", "rescheduled", None), ("report", "rescheduled", None), ("report", "done", None)]
    assert work(handler, seconds=1e6) == 0


def test_a_failing_job_is_retried_with_growing_delays_then_given_up(store_settings, work, put, clock, caplog):
    def handler(*_):
        raise RuntimeError("with anything in its words")

    put()
    pauses = []
    for _ in range(MAX_JOB_ATTEMPTS):
        started = clock.monotonic()
        while not work(handler):
            clock.wait(10)
        pauses.append(clock.monotonic() - started)

    assert pauses[:5] == [0, 30, 60, 120, 240]
    assert max(pauses) == 3600
    assert lines(caplog)[-2:] == [("report", "failed", "RuntimeError"), ("report", "gave_up", "RuntimeError")]
    assert caplog.records[-1].exc_info
    assert work(handler, seconds=1e6) == 0
    assert query(store_settings, "gateway", "SELECT failure, due_at FROM jobs") == [("RuntimeError", None)]


@pytest.mark.parametrize(("retry_after", "seconds"), [(700, 700), (5, 30)])
def test_a_retry_waits_for_a_longer_retry_after_of_the_provider(work, put, caplog, retry_after, seconds):
    def handler(*_):
        raise ProviderRateLimitedError("slow down", provider="modash", retry_after=retry_after)

    put()

    assert [work(handler), work(handler, seconds=seconds - 1), work(handler, seconds=1)] == [1, 0, 1]
    assert lines(caplog)[0] == ("report", "failed", "provider_rate_limited")
    assert not caplog.records[0].exc_info


def test_a_job_for_which_there_is_no_place_is_tried_again_without_a_traceback(work, put, caplog):
    def handler(*_):
        raise BusyError("The gateway is shutting down.")

    put()
    work(handler)

    assert lines(caplog) == [("report", "failed", "busy")]
    assert (caplog.records[-1].levelname, caplog.records[-1].exc_info) == ("WARNING", None)


def test_the_line_of_a_job_of_an_account_names_it(store, clock, put, caplog):
    caplog.set_level(logging.INFO)
    runner = Runner(store, {"report": lambda *_: None, BACKFILL_OF: lambda *_: None}, clock)
    put()
    store.jobs.put(BACKFILL_OF, "17841400000000001", due_at=clock.timestamp())

    for job in runner.claim("we", 3):
        runner.run(job)

    found = {record.kind: getattr(record, "account", None) for record in caplog.records if record.message == "job"}
    assert found == {"report": None, BACKFILL_OF: "17841400000000001"}


def test_a_recurring_job_exists_once_and_never_ends(store, clock):
    runner = Runner(store, {"sweep": lambda *_: Reschedule(600, reset_attempts=True)}, clock)
    for _ in range(3):
        runner.put_recurring()
    done = []
    for _ in range(40):
        taken = runner.claim("we", 10)
        done += [job.attempts for job in taken]
        for job in taken:
            runner.run(job)
        runner.put_recurring()
        clock.wait(60)

    assert done == [1, 1, 1]


def test_what_is_due_once_a_day_runs_once_a_day_however_often_its_job_is_put(store, clock):
    runner = Runner(store, {"retention": lambda *_: Reschedule(RETENTION_INTERVAL, reset_attempts=True)}, clock)
    started, ran_at = clock.timestamp(), []
    for _ in range(2 * 24 * 6):
        runner.put_recurring()
        clock.wait(600)
        for job in runner.claim("we", 10):
            ran_at.append(clock.timestamp() - started)
            runner.run(job)

    assert ran_at == [600, 600 + RETENTION_INTERVAL]


def test_a_recurring_job_that_was_put_before_the_clock_was_set_back_is_not_late_for_longer_than_its_interval(
    store, clock
):
    for kind in ("sweep", "retention"):
        store.jobs.put(kind, "", due_at=clock.timestamp() + 7 * RETENTION_INTERVAL)
    runner = Runner(store, dict.fromkeys(("sweep", "retention"), lambda *_: None), clock)

    runner.put_recurring()

    clock.wait(SWEEP_INTERVAL)
    assert [job.kind for job in runner.claim("we", 10)] == ["sweep"]
    clock.wait(RETENTION_INTERVAL - SWEEP_INTERVAL)
    assert "retention" in [job.kind for job in runner.claim("we", 10)]


@pytest.mark.parametrize(
    ("attempts", "first", "seconds"),
    [(0, 300, 300), (1, 300, 600), (3, 300, 2400), (4, 300, 3600), (10_000, 300, 3600), (5, 7200, 7200), (2, 1, 4)],
)
def test_retry_delays_grow_up_to_an_hour(attempts, first, seconds):
    assert retry_delay(attempts, first=first) == seconds
