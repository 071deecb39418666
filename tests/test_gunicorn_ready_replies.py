"""A ready reply is sent without a thread of the pool; everything else is answered as if there was no such way."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from gunicorn_worker import GunicornWorker
from tests.ready_application import BIG
from tests.support import ROOT, environment, free_port

CLOSING = [
    b"close",
    b"Upgrade, HTTP2-Settings, close",
    b"keep-alive ,\tClose",
    b"keep-alive\r\nConnection: close",
    b"close, keep-alive",
]
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PLAIN = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def server():
    """The port of a server with three threads, and the file with its log."""
    port = free_port()
    output = Path(tempfile.mkstemp(prefix="insights-", suffix=".log")[1])
    command = [sys.executable, "-m", "gunicorn", "-c", "python:tests.ready_application", "-b", f"127.0.0.1:{port}"]
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*command, "tests.ready_application:app"], cwd=ROOT, env=environment({}), stdout=file, stderr=file
        )
    while True:
        assert process.poll() is None, output.read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=30):
            break
        time.sleep(0.05)
    yield port, output
    process.terminate()
    process.wait(60)


class Connection:
    """A kept-alive connection whose first request was answered."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.ask(PLAIN)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ask(self, *parts):
        """Send a request, in parts if there are several; return head and body of the answer."""
        for number, part in enumerate(parts):
            if number:
                time.sleep(0.05)
            self.socket.sendall(part)
        return self.answer()

    def answer(self):
        received = b""
        while b"\r\n\r\n" not in received:
            part = self.socket.recv(1)
            assert part, "The connection was closed."
            received += part
        head = received.decode().removesuffix("\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
        body = b""
        while len(body) < int(headers["Content-Length"]):
            body += self.socket.recv(int(headers["Content-Length"]) - len(body))
        return head, body


def test_the_requests_of_a_kept_alive_connection_need_no_thread(server):
    with Connection(server[0]) as connection:
        answers = [connection.ask(PLAIN) for _ in range(3)]

    for head, body in answers:
        assert head.startswith("HTTP/1.1 200 OK\r\nServer: gunicorn\r\nDate: ")
        assert "\r\nConnection: keep-alive\r\n" in head
        assert body == b"main"


@pytest.mark.parametrize(
    "parts",
    [
        [b"GET / HTTP/1.1\r\nHost: local", b"host\r\n\r\n"],
        [b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"],
        [b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n", b"{}"],
        [b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\n\r\n"],
        [b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\n\r\n"],
        [b"GET /unknown HTTP/1.1\r\nHost: localhost\r\n\r\n"],
        [b"GET /keyed HTTP/1.1\r\nHost: localhost\r\n\r\n"],
        [b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n"],
        [b"GET /other HTTP/1.1\r\nHost: localhost\r\nX-API-Key: x\r\n\r\n"],
        [b"GET /fails HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    ],
    ids=["in parts", "POST", "body", "chunks", "upgrade", "unknown", "no key", "not ready", "not ready, key", "fault"],
)
def test_what_is_not_one_whole_get_with_a_ready_reply_gets_a_thread(server, parts):
    with Connection(server[0]) as connection:
        head, body = connection.ask(*parts)
        after = connection.ask(PLAIN)[1]

    assert head.startswith("HTTP/1.1 200 ")
    assert body == b"pool"
    assert after == b"main"


def test_a_fault_is_logged_and_ends_nothing(server):
    port, output = server
    with Connection(port) as connection:
        connection.ask(b"GET /fails HTTP/1.1\r\nHost: localhost\r\n\r\n")

    assert "RuntimeError: a fault of the program" in output.read_text()
    assert "A ready reply could not be made" in output.read_text()


@pytest.mark.parametrize("header", [b"X-API-Key: x", b"x-api-key: x", b"Authorization: Bearer x"])
def test_a_request_with_a_key_is_looked_at_whatever_others_have_requested(server, header):
    with Connection(server[0]) as connection:
        assert connection.ask(b"GET /keyed HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n")[1] == b"main"


@pytest.mark.parametrize("first", [PLAIN, b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n"], ids=["ready", "not"])
def test_requests_that_come_together_are_answered_in_their_order(server, first):
    with Connection(server[0]) as connection:
        connection.socket.sendall(first + PLAIN)

        assert [connection.answer()[1], connection.answer()[1]] == [b"pool", b"pool"]
        assert connection.ask(PLAIN)[1] == b"main"


@pytest.mark.parametrize(
    "request_",
    [
        *(
            b"%s HTTP/1.1\r\nHost: localhost\r\nConnection: %s\r\n\r\n" % (asked, options)
            for asked in (b"GET /", b"GET /other", b"POST /")
            for options in CLOSING
        ),
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nNo colon\r\n\r\n",
    ],
)
def test_a_connection_that_ends_with_its_reply_is_closed(server, request_):
    with Connection(server[0]) as connection:
        head, _ = connection.ask(request_)

        assert "\r\nConnection: close" in head
        assert connection.socket.recv(1) == b""


@pytest.mark.parametrize("options", [b"keep-alive", b"Upgrade, HTTP2-Settings", b"closed", b"x-close, keep-alive", b""])
@pytest.mark.parametrize("path", [b"/", b"/other"])
def test_a_connection_whose_request_does_not_end_it_stays_open(server, path, options):
    with Connection(server[0]) as connection:
        connection.ask(b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: %s\r\n\r\n" % (path, options))

        assert connection.ask(PLAIN)[1] == b"main"


def test_a_reply_without_a_body_has_its_head(server):
    with Connection(server[0]) as connection:
        connection.socket.sendall(b"GET /known HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while not received.endswith(b"\r\n\r\n"):
            received += connection.socket.recv(1)

    assert received.startswith(b"HTTP/1.1 304 Not Modified\r\n")


def test_slow_readers_of_large_replies_hold_up_no_other_caller(server):
    """There are as many of them as threads: each has one for the rest of its reply, and others need none."""
    port = server[0]
    readers = [Connection(port) for _ in range(3)]
    with Connection(port) as quick:
        for reader in readers:
            reader.socket.sendall(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.2)

        assert [quick.ask(PLAIN)[1] for _ in range(3)] == [b"main"] * 3

        for reader in readers:
            assert reader.answer()[1] == BIG
            assert reader.ask(PLAIN)[1] == b"main"
            reader.socket.close()


def test_a_caller_that_has_gone_ends_nothing(server):
    port = server[0]
    for _ in range(5):
        gone = Connection(port)
        gone.socket.sendall(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        gone.socket.close()

    with Connection(port) as connection:
        assert connection.ask(PLAIN)[1] == b"main"


def test_a_caller_that_waits_for_100_gets_it_and_is_no_fault(server):
    port, output = server
    before = output.read_text().count("could not be made")
    with Connection(port) as connection:
        connection.socket.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n")
        received = connection.socket.recv(len(CONTINUE), socket.MSG_WAITALL)

        assert (received, connection.answer()[1]) == (CONTINUE, b"pool")
    assert output.read_text().count("could not be made") == before


def answered_here(client, *, kept=1, most=1, alive=True):
    """Whether a worker whose every reply is ready answers on its own thread, when it keeps that many connections."""
    worker = SimpleNamespace(
        alive=alive,
        keepalived_conns=[None] * kept,
        max_keepalived=most,
        _ready_replies=SimpleNamespace(reply_to=lambda *_: b"a reply"),
    )
    return GunicornWorker._answer_here(worker, None, client)


def test_a_request_whose_caller_goes_before_the_reply_is_not_answered_again():
    client, caller = socket.socketpair()
    with client:
        caller.sendall(PLAIN)
        caller.close()

        assert not answered_here(client, kept=1, most=1)
        assert client.recv(1) == b""


@pytest.mark.parametrize("reply", [b"a reply", b"x" * 1_000_000], ids=["sent at once", "sent in part"])
def test_an_answered_connection_is_the_last_to_time_out_or_none_while_a_thread_sends_the_rest(reply):
    client, caller = socket.socketpair()
    timeouts, unregistered, rest = [], [], []
    answered, other = SimpleNamespace(set_timeout=lambda: timeouts.append(1)), SimpleNamespace()

    def submit(_send, _client, part):
        rest.append(part)
        return SimpleNamespace(add_done_callback=lambda _: None)

    worker = SimpleNamespace(
        alive=True,
        keepalived_conns=deque([answered, other]),
        max_keepalived=2,
        poller=SimpleNamespace(unregister=unregistered.append),
        tpool=SimpleNamespace(submit=submit),
        _ready_replies=SimpleNamespace(reply_to=lambda *_: reply),
    )
    with client, caller:
        caller.sendall(PLAIN)
        assert GunicornWorker._answer_here(worker, answered, client)
        sent = caller.recv(len(reply) - len(b"".join(rest)), socket.MSG_WAITALL)

    assert sent + b"".join(rest) == reply
    if rest:
        assert (list(worker.keepalived_conns), unregistered) == ([other], [client])
    else:
        assert (list(worker.keepalived_conns), timeouts) == ([other, answered], [1])
    assert bool(rest) is (len(reply) > 1_000)


@pytest.mark.parametrize("worker", [{"kept": 2, "most": 1}, {"alive": False}], ids=["too many", "it stops"])
def test_a_worker_that_keeps_too_many_connections_or_stops_closes_them_with_their_next_replies(worker):
    client, caller = socket.socketpair()
    with client, caller:
        caller.sendall(PLAIN)

        assert not answered_here(client, **worker)
        assert client.recv(100) == PLAIN
