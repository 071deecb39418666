"""Deliveries repeated, shuffled and forged while gateway and worker are killed: each genuine change is applied once.

`DELIVERIES=10000 KILLS=5` is the full measure.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import replace
from queue import Empty, SimpleQueue

import pytest
import requests

from config import SANDBOX_CREDENTIALS
from services.store.webhooks import Change
from services.webhooks.application import APPLIED_AT_ONCE
from simulator.webhooks.changes import Change as SentChange
from simulator.webhooks.packing import Packing, packed
from tests.end_to_end.test_kills import workers_of
from tests.stores import query
from tests.support import errors_of, free_port, local_session, start_gateway, start_worker, wait_until

DELIVERIES, KILLS = int(os.environ.get("DELIVERIES", "400")), int(os.environ.get("KILLS", "5"))
ACCOUNT = SANDBOX_CREDENTIALS["instagram_account_id"]
SENDERS = 8
WITHIN = 120 + DELIVERIES / 20  # seconds
KEPT, REFUSED = 200, (401, 403)


class Crew:
    """A gateway and a worker that are killed and started again."""

    def __init__(self, settings, book):
        self.settings = settings | {"PORT": str(free_port()), "BOOK": str(book)}
        self.started = []
        self.gateway = self._gateway()
        self.worker = self._worker()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.settings['PORT']}"

    def kill(self, number):
        """Kill in turn a process of the gateway, the whole gateway, and the worker."""
        what = ("process", "worker", "gateway")[number % 3]
        if what == "process":
            if found := workers_of(self.gateway.popen.pid):
                os.kill(random.choice(found), signal.SIGKILL)
        elif what == "worker":
            self.worker.popen.kill()
            self.worker = self._worker()
        else:
            children = workers_of(self.gateway.popen.pid)
            for pid in (self.gateway.popen.pid, *children):
                os.kill(pid, signal.SIGKILL)
            self.gateway.popen.wait(10)
            self.gateway = self._gateway()

    def stop(self):
        for process in self.started:
            if process.popen.poll() is None:
                process.stop()

    def _gateway(self):
        self.started.append(start_gateway(self.settings))
        return self.started[-1]

    def _worker(self):
        self.started.append(start_worker(self.settings, module="tests.end_to_end.webhook_worker"))
        return self.started[-1]


class Sender(threading.Thread):
    """Sends deliveries as Meta does: what is not confirmed is sent again."""

    def __init__(self, url, waiting):
        super().__init__(daemon=True)
        self._url = f"{url}/webhooks/instagram"
        self._waiting = waiting
        self.answers = []
        self.cut = 0

    def run(self):
        session = local_session()
        while True:
            try:
                delivery = self._waiting.get_nowait()
            except Empty:
                break
            try:
                status = session.post(self._url, data=delivery.body, headers=delivery.headers, timeout=30).status_code
            except requests.RequestException:
                status = None
            if status == KEPT or status in REFUSED:
                self.answers.append((delivery, status))
            else:
                self.cut += 1
                self._waiting.put(delivery)
                time.sleep(0.05)
        session.close()


@pytest.fixture
def crew(store_settings, tmp_path):
    book = tmp_path / "book"
    book.touch()
    crew = Crew(store_settings, book)
    yield crew
    crew.stop()


def change(field, number, **value):
    return SentChange(ACCOUNT, field, value, 1_795_291_200 + number)


def expected(changes):
    return {Change(each.account, each.field, each.value, each.time).digest for each in changes}


def test_each_genuine_change_is_applied_once_and_no_forged_one_whatever_is_killed(crew, store_settings, tmp_path):
    count = DELIVERIES * 2 // 3  # and a third of repeated and forged ones
    stories = [change("story_insights", number, media_id=f"180{number:014d}", reach=-1) for number in range(count)]
    comments = [change("comments", number, id=f"178{number:014d}", text="Très bon 🥐") for number in range(count // 5)]
    packing = Packing(batch=1, duplicates=0.3, forged=0.05, shuffle=True)
    sent = packed([*stories, *comments], SANDBOX_CREDENTIALS["app_secret"], packing)
    sent += packed(stories[::4], SANDBOX_CREDENTIALS["instagram_app_secret"], replace(packing, batch=3))
    random.shuffle(sent)
    waiting = SimpleQueue()
    for each in sent:
        waiting.put(each)
    senders = [Sender(crew.url, waiting) for _ in range(SENDERS)]

    for sender in senders:
        sender.start()
    for number in range(KILLS):
        wait_until(lambda so_far=number: waiting.qsize() < len(sent) * (KILLS - so_far) // (KILLS + 1), seconds=WITHIN)
        time.sleep(random.uniform(0, 0.1))
        crew.kill(number)
    for sender in senders:
        sender.join(WITHIN)
    unread = "SELECT COUNT(*) FROM webhook_deliveries WHERE read_at IS NULL"
    due = "SELECT COUNT(*) FROM webhook_changes WHERE due_at IS NOT NULL"
    wait_until(
        lambda: query(store_settings, "gateway", unread) == query(store_settings, "gateway", due) == [(0,)],
        seconds=WITHIN,
    )

    answers = [answer for sender in senders for answer in sender.answers]
    assert len(answers) == len(sent)
    assert all((status == KEPT) is (delivery.forgery is None) for delivery, status in answers)
    kept = {row[0] for row in query(store_settings, "gateway", "SELECT digest FROM webhook_deliveries")}
    assert kept == {hashlib.sha256(delivery.body).hexdigest() for delivery, status in answers if status == KEPT}
    rows = query(store_settings, "gateway", "SELECT digest, state FROM webhook_changes")
    assert {digest for digest, state in rows if state == "applied"} == expected(stories)
    assert {digest for digest, state in rows if state == "kept"} == expected(comments)
    assert len(rows) == len(stories) + len(comments)
    applied = Counter((tmp_path / "book").read_text().split())
    assert set(applied) == expected(stories)
    # A change is handed over twice only if a worker was killed after it was applied and before that was noted.
    assert len([digest for digest, times in applied.items() if times > 1]) <= KILLS * APPLIED_AT_ONCE
    assert max(applied.values()) <= 1 + KILLS
    for process in crew.started:
        assert errors_of(process, kills=KILLS) == []
