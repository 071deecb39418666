"""How far it is from the front to the wire: frames of this project in one cold request, and files it comes back to."""

from __future__ import annotations

import json
import re
import sys
import threading
from pathlib import Path

import pytest
import responses

from services.accounts.needed_permissions import OF_FACEBOOK
from services.accounts.token_encryption import TokenEncryption, new_key
from services.executors import Executor
from services.store.accounts import AccountRow
from tests.movable_clock import MovableClock
from tests.support import ACCOUNT_ID, GRAPH, MODASH, ROOT, settings, total_value, utc

POST = {
    "id": "98",
    "timestamp": "2026-06-14T12:00:00+0000",
    "like_count": 3,
    "comments_count": 1,
    "media_type": "IMAGE",
    "media_product_type": "FEED",
}
STORY = POST | {"id": "99", "timestamp": "2026-06-15T12:00:00+0000", "media_product_type": "STORY"}
PROFILE = {"id": ACCOUNT_ID, "username": "someone", "followers_count": 5_000}
NODES = {node["id"]: node for node in (POST, STORY)}
ADDED_ID = "17841400000000011"
REPORT = {"error": False, "posts": {}, "reels": {}}
EXPANSION = re.compile(r"insights\.metric\(([\w,]+)\)")


class Tracer:
    """Records the project's frames above each provider call, over the threads of the executor."""

    def __init__(self):
        self.stacks = []
        self._started_from = threading.local()

    def stack(self):
        """Return the project's frames from the front to here, the outermost first."""
        frames, frame = [], sys._getframe(1)
        while frame is not None:
            path = Path(frame.f_code.co_filename)
            if path.is_relative_to(ROOT) and not path.is_relative_to(ROOT / "tests") and ".venv" not in path.parts:
                frames.append(f"{path.relative_to(ROOT)}:{frame.f_code.co_name}")
            frame = frame.f_back
        return [*getattr(self._started_from, "stack", ()), *reversed(frames)]

    def wire(self, request):
        """Answer a provider call."""
        self.stacks.append(self.stack())
        path, names = request.url.partition("?")[0], request.params.get("metric", "").split(",")
        if (expansion := EXPANSION.search(request.params.get("fields", ""))) is not None:
            names = expansion[1].split(",")
        insights = {"data": [total_value(name, 7) for name in names]}
        if path.endswith("/insights"):
            answer = insights
        elif path.endswith(("/media", "/stories")):
            answer = {"data": [(POST if path.endswith("/media") else STORY) | {"insights": insights}]}
        elif path.endswith("/debug_token"):
            answer = {"data": {"is_valid": True, "app_id": "1234", "scopes": OF_FACEBOOK}}
        elif path.startswith(MODASH):
            answer = REPORT
        else:
            answer = NODES.get(path.rpartition("/")[2], PROFILE)
        return 200, {}, json.dumps(answer)

    def carried(self, call, method):
        """Have a call remember from where it was started, if it runs on another thread."""
        stack, thread = [*self.stack(), f"services/executors.py:{method}"], threading.current_thread()

        def run():
            if threading.current_thread() is thread:
                return call()
            self._started_from.stack = stack
            try:
                return call()
            finally:
                del self._started_from.stack

        return run


@pytest.fixture
def tracer(monkeypatch):
    tracer = Tracer()
    gather, start = Executor.gather, Executor.start

    def traced_gather(executor, calls, **options):
        return gather(executor, [tracer.carried(call, "gather") for call in calls], **options)

    def traced_start(executor, call):
        return start(executor, tracer.carried(call, "start"))

    monkeypatch.setattr(Executor, "gather", traced_gather)
    monkeypatch.setattr(Executor, "start", traced_start)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        for base in (GRAPH, MODASH):
            wire.add_callback(responses.GET, re.compile(rf"{base}/.*"), callback=tracer.wire)
        yield tracer


def returns(stack):
    """Count how often a call comes back to a file that it had left."""
    files = [frame.partition(":")[0] for frame in stack]
    entered = [file for file, before in zip(files, [None, *files[:-1]], strict=True) if file != before]
    return len(entered) - len(set(entered))


MEDIA = "/api/instagram/insights"
MAX_FRAMES = 18  # from the front to the transport, both included
MAX_RETURNS = 1  # to a file that the request had left: the callback of the cache


@pytest.mark.parametrize(
    ("path", "calls"),
    [
        ("/account-insights?period=day&metrics=views&since=2026-06-10&until=2026-06-10", 1),
        ("/account-insights?period=day&metrics=views,reach&since=2026-06-01&until=2026-06-05", 5),
        ("/top-posts?time_range=7d", 1),
        ("/top-posts?time_range=7d&include=collaborations", 2),
        ("/top-posts?time_range=7d&by=reach", 2),
        ("/growth-trends?period=7d&metrics=reach,views", 5),
        ("/growth-trends?period=7d&er_basis=reach", 4),
        ("/performance-data?url=someone", 1),
        ("/audience", 5),
        ("/stories", 2),
        (f"/stories/{STORY['id']}", 2),
        (f"{MEDIA}/{POST['id']}", 2),
        (f"{MEDIA}/{POST['id']}/profile-activity", 2),
        (f"{MEDIA}/{STORY['id']}/navigation", 2),
        (f"{MEDIA}/test?media_id={POST['id']}", 1),
        ("/status", 5),
        ("/compare?accounts=someone&period=7d", 6),
        (f"/compare?accounts=someone,{ADDED_ID}&period=7d", 12),
    ],
)
def test_a_cold_request_is_short_on_its_way_to_the_wire(make_client, tracer, path, calls):
    stacks = stacks_of(make_client, tracer, path, calls)

    assert [stack for stack in stacks if len(stack) > MAX_FRAMES or returns(stack) > MAX_RETURNS] == []


def stacks_of(make_client, tracer, path, calls):
    key, clock = new_key(), MovableClock(utc("2026-06-15T18:00:00"))
    client = make_client(settings(token_key=key), clock=clock)
    if ADDED_ID in path:
        sealed = TokenEncryption([key], learn=lambda _: None).seal("EAAaddedTOKENofANaccount000")
        row = AccountRow(ADDED_ID, "added", "facebook", "", sealed, 1.0)
        client.application.extensions["services"].store.accounts.put(row)
        clock.wait(2)

    reply = client.get(path)

    assert reply.status_code == 200, reply.get_json()
    assert len(tracer.stacks) >= calls
    for stack in tracer.stacks:
        assert stack[0] == "front/middleware.py:__call__", stack
        assert stack[-1].startswith("services/clients/http.py:"), stack
    return tracer.stacks
