"""Workers as processes: they share the work, and one that is killed at any moment loses nothing."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from functools import partial

import pytest

from services.background.job_schedule import RECURRING
from tests import support
from tests.stores import query
from tests.support import lines_of, start_worker
from worker import MAX_RUNNING

JOBS, KILLS = 120, 4
WITHIN = 120  # seconds
wait_until = partial(support.wait_until, seconds=WITHIN)


@pytest.fixture
def hire():
    """Start workers, and end those that are still there."""
    hired = []

    def start(settings, **options):
        hired.append(start_worker(settings, **options))
        return hired[-1]

    yield start
    for process in hired:
        if process.popen.poll() is None:
            process.popen.kill()
        process.popen.wait(10)


def test_what_killed_workers_leave_is_done_by_others(store, store_settings, hire, tmp_path):
    book = tmp_path / "book"
    book.touch()
    settings = store_settings | {"BOOK": str(book)}
    for number in range(JOBS):
        store.jobs.put("count", f"job{number:03}", due_at=time.time(), payload={"seconds": 0.1})

    crew = {}

    def hire_one():
        process = hire(settings, module="tests.end_to_end.counting_worker")
        crew[process.popen.pid] = process

    def at_work():
        """The living workers that have begun a job; a new one needs seconds to start on a busy machine."""
        return sorted({int(line.split()[2]) for line in book.read_text().splitlines()} & crew.keys())

    for _ in range(3):
        hire_one()
    killed = set()
    for kill in range(KILLS):
        wait_until(lambda so_far=kill: book.read_text().count("done") > (so_far + 1) * JOBS // (KILLS + 2))
        victim = random.choice(wait_until(at_work))
        time.sleep(random.uniform(0, 0.2))
        crew.pop(victim).popen.send_signal(signal.SIGKILL)
        killed.add(victim)
        hire_one()
    wait_until(lambda: not query(store_settings, "gateway", "SELECT key FROM jobs"))

    lines = [line.split() for line in book.read_text().splitlines()]
    done = Counter(key for what, key, _ in lines if what == "done")
    twice = {key for key, times in done.items() if times > 1}
    workers = {int(pid) for _, _, pid in lines}
    assert len(done) == JOBS
    # A job is done twice only if a worker was killed after it was done and before that was noted.
    assert all(any(key == each and int(pid) in killed for _, each, pid in lines) for key in twice)
    assert len(twice) <= KILLS * MAX_RUNNING
    assert killed < workers


def test_a_worker_that_has_to_stop_finishes_what_it_does(store, store_settings, hire, tmp_path):
    book = tmp_path / "book"
    book.touch()
    store.jobs.put("count", "slow", due_at=time.time(), payload={"seconds": 2.0})
    worker = hire(store_settings | {"BOOK": str(book)}, module="tests.end_to_end.counting_worker")
    wait_until(lambda: "begun" in book.read_text())
    seen = store.workers.seen()

    worker.popen.send_signal(signal.SIGTERM)
    code = worker.popen.wait(20)

    assert code == 0
    assert "done slow" in book.read_text()
    assert seen.alive == 1
    assert store.workers.seen() == (0, None)
    assert query(store_settings, "gateway", "SELECT key FROM jobs") == []


def test_the_gateway_shows_whether_there_is_a_worker(store_settings, hire, start, simulator):
    settings = {"SIMULATOR_PORT": simulator.url.rpartition(":")[2], **store_settings}
    gateway = start(settings)

    def readiness():
        return gateway.get("/readyz").json()

    assert (readiness()["worker"], readiness()["status"]) == ("not seen", "ok")
    worker = hire(settings)
    wait_until(lambda: readiness()["worker"] == "ok")

    def jobs():
        return [kind for (kind,) in query(store_settings, "gateway", "SELECT kind FROM jobs")]

    without_receiver = RECURRING.keys() - {"notifications"}
    wait_until(lambda: without_receiver <= set(jobs()))
    before = len(jobs())
    work = gateway.get("/status").json()["work"]
    assert before <= work.pop("waiting") + work.pop("running") <= len(jobs())  # Those of accounts are added meanwhile.
    assert work == {
        **{"workers": 1, "late": 0, "given_up": 0, "set_apart": 0},
        "webhooks": {"waiting": 0, "failed": 0},
        "notifications": {"waiting": 0, "given_up": 0},
    }
    worker.popen.kill()
    wait_until(lambda: readiness()["worker"].startswith("last seen "))
    assert readiness()["status"] == "ok"

    query(store_settings, "gateway", "UPDATE jobs SET due_at = :due", due=time.time() - 61)

    assert readiness()["status"] == "degraded"
    assert gateway.get("/account-insights?period=day&metrics=reach").ok


def test_a_worker_sweeps_and_says_so_in_one_line(store_settings, hire):
    query(
        store_settings,
        "memory",
        "INSERT INTO cache_entries (mode, account, key, part, value, fetched_at, kept_until) "
        "VALUES ('sandbox', 'a', 'k', '', '', 0, 1)",
    )
    worker = hire(store_settings)
    wait_until(lambda: query(store_settings, "gateway", "SELECT key FROM jobs WHERE kind = 'sweep'"))

    query(store_settings, "gateway", "UPDATE jobs SET due_at = 0 WHERE kind = 'sweep'")

    wait_until(lambda: not query(store_settings, "memory", "SELECT * FROM cache_entries"))
    (line,) = wait_until(lambda: [line for line in lines_of(worker) if line["message"] == "job"])
    assert (line["kind"], line["outcome"], line["level"]) == ("sweep", "rescheduled", "info")
    assert line["milliseconds"] >= 0
    ((due_at,),) = query(store_settings, "gateway", "SELECT due_at FROM jobs WHERE kind = 'sweep'")
    assert due_at == pytest.approx(time.time() + 600, abs=60)


def test_a_worker_that_cannot_start_says_why(hire, tmp_path):
    worker = hire({"INSTANCE_PATH": str(tmp_path)})

    assert worker.popen.wait(60) == 1
    assert "Run `make migrate`" in worker.output.read_text()
    assert "Traceback" not in worker.output.read_text()
