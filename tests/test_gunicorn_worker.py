"""A socket that is about to close takes no new connection, so that none is reset; a slow request is ended."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from gunicorn.workers.gthread import ThreadWorker

import gunicorn_worker
from gunicorn_worker import FreeMemory, GunicornWorker, UnreadRequest, ignore_new_connections
from tests.support import ROOT, environment, free_port

CALLERS = 24


def listen(port=0):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


def call(port, answers):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(b"?")
            answers.append(connection.recv(1))
    except OSError as error:
        answers.append(repr(error))


def answer(listener):
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # It was shut down.
            return
        with connection:
            connection.recv(1)
            connection.sendall(b"!")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such filters")
def test_connections_that_come_while_a_worker_stops_reach_its_successor():
    old, answers = listen(), []
    port = old.getsockname()[1]
    new = listen(port)
    successor = threading.Thread(target=answer, args=(new,))
    callers = [threading.Thread(target=call, args=(port, answers)) for _ in range(CALLERS)]

    ignore_new_connections(old)
    successor.start()
    for caller in callers:
        caller.start()
    time.sleep(0.1)  # Half of them have met the new socket; the others' kernels try again after a second.
    old.close()
    for caller in callers:
        caller.join()

    new.shutdown(socket.SHUT_RDWR)
    successor.join()
    new.close()
    assert answers == [b"!"] * CALLERS


class SlowCaller:
    """Sends one byte every 50 ms, until the server ends the connection."""

    def __init__(self, port, begins_with):
        self.answer = b""
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._thread = threading.Thread(target=self._run, args=(begins_with,))
        self._thread.start()

    def result(self):
        self._thread.join()
        return self.answer

    def _run(self, begins_with):
        with self._connection as connection:
            connection.sendall(begins_with)
            readable = select.poll()  # `select.select` takes no file descriptor beyond 1023.
            readable.register(connection, select.POLLIN)
            with suppress(ConnectionError):
                connection.sendall(b"x")
                while not readable.poll(50):
                    connection.sendall(b"x")
                while piece := connection.recv(65536):
                    self.answer += piece


@pytest.fixture(scope="module")
def impatient():
    """The port of a server with three threads that gives a request one second."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "python:tests.slow_readings", "-b", f"127.0.0.1:{port}"]
    process = subprocess.Popen([*command, "tests.slow_readings:app"], cwd=ROOT, env=environment({}))
    while True:
        assert process.poll() is None
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=30):
            break
        time.sleep(0.05)
    yield port
    process.terminate()
    process.wait(60)


HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize("begins_with", [b"GET /", HEAD, POST % 5_000], ids=["request line", "header", "body"])
def test_a_request_that_does_not_come_in_time_is_ended_and_others_are_answered(impatient, begins_with):
    slow = [SlowCaller(impatient, begins_with) for _ in range(6)]  # twice as many as there are threads

    with socket.create_connection(("127.0.0.1", impatient), timeout=60) as quick:
        quick.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = quick.recv(65536)

    assert answer.startswith(b"HTTP/1.1 200 ")
    for caller in slow:
        head, _, body = caller.result().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert json.loads(body)["code"] == "request_timeout"


@pytest.mark.parametrize(("missing", "seconds"), [(0, None), (5_000, gunicorn_worker.BODY_WITHIN)])
def test_a_request_that_has_come_is_watched_no_longer_and_its_body_for_a_time_of_its_own(monkeypatch, missing, seconds):
    watched = []
    monkeypatch.setattr(
        ThreadWorker, "handle_request", lambda worker, _, conn: watched.append(worker._unread.get(conn))
    )
    worker = object.__new__(GunicornWorker)
    worker._unread = {"conn": UnreadRequest(0.0)}
    body = SimpleNamespace(reader=SimpleNamespace(length=missing))

    worker.handle_request(SimpleNamespace(body=body, headers=[]), "conn")

    if seconds is None:
        assert watched == [None]
    else:
        assert seconds - 5 < watched[0].deadline - time.monotonic() <= seconds
        assert [watched[0].is_late(watched[0].deadline + after) for after in (0, 0.1)] == [False, True]
        body.reader.length = 0
        assert not watched[0].is_late(watched[0].deadline + 0.1)


GAPS = """
from gunicorn_worker import FreeMemory, resident_bytes, return_large_blocks
return_large_blocks()
blocks = [bytes(4000) for _ in range(10_000)]
kept = blocks[::100]
del blocks
before = resident_bytes()
FreeMemory().look(now=100.0)
print(before - resident_bytes())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="only glibc keeps such gaps")
def test_free_memory_between_used_blocks_is_given_back():
    said = subprocess.run(
        [sys.executable, "-c", GAPS], cwd=ROOT, env=environment({}), capture_output=True, text=True, check=True
    )

    assert int(said.stdout) > 30_000_000


def test_memory_is_given_back_only_by_a_worker_that_has_grown_and_not_at_every_look(monkeypatch):
    sizes = iter([100_000_000, 90_000_000, 93_000_000, 95_000_000, 91_000_000, 92_000_000])
    monkeypatch.setattr(gunicorn_worker, "resident_bytes", lambda: next(sizes))
    memory, trims = FreeMemory(), []
    monkeypatch.setattr(memory, "_trim", trims.append)

    for now in (0.0, 4.9, 5.0, 9.0, 14.0):  # 100 MB, too early, 93 MB, 95 MB, 92 MB
        memory.look(now)

    assert trims == [0, 0]


def test_a_worker_that_serves_collects_no_garbage_among_its_code(monkeypatch):
    before, while_it_serves = gc.get_freeze_count(), []
    monkeypatch.setattr(gunicorn_worker, "return_large_blocks", lambda: None)
    monkeypatch.setattr(ThreadWorker, "run", lambda _: while_it_serves.append(gc.get_freeze_count()))
    worker = GunicornWorker.__new__(GunicornWorker)
    worker.wsgi = SimpleNamespace(extensions={})

    worker.run()

    assert while_it_serves[0] > before


@pytest.fixture
def worker():
    """A worker that was not started."""
    worker = GunicornWorker.__new__(GunicornWorker)
    worker._ready_replies = worker.core = None
    return worker


@pytest.mark.parametrize(
    ("is_ssl", "proxy_protocol", "replies"), [(False, "off", True), (True, "off", False), (False, "auto", False)]
)
def test_a_worker_has_its_heartbeat_while_it_serves_and_closes_all_however_that_ends(
    monkeypatch, worker, is_ssl, proxy_protocol, replies
):
    done = []

    def serve(_):
        done.append(worker._ready_replies is not None)  # They read requests as they are on a plain connection.
        raise OSError("The socket is gone.")

    monkeypatch.setattr(gunicorn_worker, "return_large_blocks", lambda: None)
    monkeypatch.setattr(gunicorn_worker, "exempt_code_from_collection", lambda: None)
    monkeypatch.setattr(ThreadWorker, "run", serve)
    heartbeat = SimpleNamespace(start=lambda: done.append("started"))
    services = SimpleNamespace(heartbeat=heartbeat, close=lambda: done.append("closed"))
    worker.cfg = SimpleNamespace(is_ssl=is_ssl, proxy_protocol=proxy_protocol)
    worker.wsgi = SimpleNamespace(extensions={"services": services, "front": None})

    with pytest.raises(OSError, match="The socket is gone"):
        worker.run()

    assert done == ["started", replies, "closed"]


def test_of_the_signals_before_its_handlers_a_worker_follows_those_to_stop(monkeypatch, worker):
    followed = []
    monkeypatch.setattr(ThreadWorker, "init_signals", lambda _: None)
    monkeypatch.setattr(os, "kill", lambda pid, number: followed.append((pid, number)))
    worker.signals_since_fork = queue.SimpleQueue()
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGQUIT):
        worker.signals_since_fork.put(number)

    worker.init_signals()

    assert followed == [(os.getpid(), signal.SIGTERM), (os.getpid(), signal.SIGQUIT)]


def test_a_worker_that_cannot_start_takes_no_connection_and_does_not_end_the_others(monkeypatch, worker):
    def load(_):
        raise ImportError("half of the next release")

    monkeypatch.setattr(ThreadWorker, "load_wsgi", load)
    monkeypatch.setattr(gunicorn_worker, "START_AGAIN_AFTER", 0.0)
    worker.cfg, worker.log = SimpleNamespace(workers=2), SimpleNamespace(error=lambda *_: None)

    for age, ends_as, is_open in ((2, ImportError, True), (3, SystemExit, False)):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            worker.age, worker.sockets = age, [listener]
            with pytest.raises(ends_as):
                worker.load_wsgi()
            assert (listener.fileno() >= 0) is is_open


def test_a_request_that_was_answered_is_watched_no_longer(monkeypatch, worker):
    watched = []
    monkeypatch.setattr(ThreadWorker, "handle", lambda _, conn: watched.append(conn in worker._unread))
    worker._unread = {}

    worker.handle("conn")

    assert (watched, worker._unread) == ([True], {})


@pytest.mark.parametrize(("goes_on", "is_ended"), [(False, True), (True, False)])
def test_a_late_request_is_ended_unless_its_thread_goes_on_in_this_moment(monkeypatch, worker, goes_on, is_ended):
    ended, connection = [], Mock()

    class Body:
        @property
        def length(self):
            if goes_on:
                worker._unread.pop(connection)
            return 1

    monkeypatch.setattr(ThreadWorker, "notify", lambda _: None)
    monkeypatch.setattr(gunicorn_worker, "_end_unread", ended.append)
    worker._look_at, worker._free_memory = 0.0, Mock()
    worker._unread = {connection: UnreadRequest(0.0, Body())}

    worker.notify()

    assert (ended == [connection.sock], worker._unread) == (is_ended, {})


def test_where_the_system_has_no_thread_left_a_request_waits_for_one_that_the_worker_has(no_thread):
    worker = SimpleNamespace(cfg=SimpleNamespace(threads=4))
    released = threading.Event()

    with GunicornWorker.get_thread_pool(worker) as threads, GunicornWorker.get_thread_pool(worker) as none:
        first = threads.submit(released.wait, 30)
        with no_thread():
            others = [threads.submit(str, number) for number in range(3)]
            with pytest.raises(RuntimeError):
                none.submit(str, 1)
        released.set()
        answers = [other.result(30) for other in others]

    assert first.result(30)
    assert answers == ["0", "1", "2"]
