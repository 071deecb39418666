"""How far it is from the front to the wire: frames of this project in one cold request, and files it comes back to."""

from __future__ import annotations

import json
import re
import sys
import threading
from pathlib import Path

import pytest
import responses

from services.executors import Executor
from tests.support import GRAPH, MODASH, ROOT, MovableClock, settings, total_value, utc

POST = {"id": "1", "timestamp": "2026-06-14T12:00:00+0000", "like_count": 3, "comments_count": 1}
PROFILE = {"id": "1", "username": "someone", "followers_count": 5_000}
REPORT = {"error": False, "posts": {}, "reels": {}}


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
        path = request.url.partition("?")[0]
        if path.endswith("/media"):
            return 200, {}, json.dumps({"data": [POST]})
        if path.endswith("/insights"):
            names = request.params["metric"].split(",")
            return 200, {}, json.dumps({"data": [total_value(name, 7) for name in names]})
        return 200, {}, json.dumps(REPORT if path.startswith(MODASH) else PROFILE)

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

    def traced_gather(executor, calls, *, fatal, on_result=None):
        carried = [tracer.carried(call, "gather") for call in calls]
        return gather(executor, carried, fatal=fatal, on_result=on_result)

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


MAX_FRAMES = 18  # from the front to the transport, both included
MAX_RETURNS = 1  # to a file that the request had left: the callback of the cache


@pytest.mark.parametrize(
    ("path", "calls"),
    [
        ("/account-insights?period=day&metrics=views&since=2026-06-10&until=2026-06-10", 1),
        ("/account-insights?period=day&metrics=views,reach&since=2026-06-01&until=2026-06-05", 5),
        ("/top-posts?time_range=7d", 1),
        ("/growth-trends?period=7d&metrics=reach,views", 5),
        ("/performance-data?url=someone", 1),
    ],
)
def test_a_cold_request_is_short_on_its_way_to_the_wire(make_client, tracer, path, calls):
    client = make_client(settings(), clock=MovableClock(utc("2026-06-15T18:00:00")))

    reply = client.get(path)

    assert reply.status_code == 200, reply.get_json()
    assert len(tracer.stacks) >= calls
    for stack in tracer.stacks:
        assert stack[0] == "front/middleware.py:__call__", stack
        assert stack[-1].startswith("services/clients/http.py:"), stack
        assert len(stack) <= MAX_FRAMES, stack
        assert returns(stack) <= MAX_RETURNS, stack
