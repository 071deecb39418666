"""The transport against a socket that misbehaves in ways no library would."""

from __future__ import annotations

import gc
import socket
import threading
import time
import weakref
from contextlib import suppress
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import requests

from services.clients.connections import Attempt, Stage
from services.clients.http import HEADERS, Bearer, Transport
from services.clock import Clock
from services.errors import Charge, ProviderError, ProviderTimeoutError
from tests.clients.wire_peers import answer, read_head

LARGER_THAN_ANY_BUFFER = 50_000_000  # bytes


@pytest.fixture
def trickle():
    """A server that answers with a head at once, and then with one byte every 50 ms, for ever."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()

    def serve(head):
        def run():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(head)
                while not stopped.wait(0.05):
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield serve
    stopped.set()
    listener.close()


@pytest.fixture
def transport():
    return Transport("modash", connect_timeout=1, read_timeout=0.2, connections=2, clock=Clock())


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["with a length", "one long chunk", "until it closes"],
)
def test_an_answer_that_trickles_in_ends(trickle, transport, head):
    url = trickle(head)
    started = time.monotonic()

    with pytest.raises(ProviderTimeoutError):
        transport.get(url, params={}, auth=Bearer("x"))

    assert time.monotonic() - started < 5  # It would have been 5,000 seconds.


def test_an_answer_that_stops_in_the_middle_ends_with_the_time_of_the_call():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection, _ = listener.accept()
            with connection:
                read_head(connection)
                connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a"')
                connection.recv(1)  # until the caller has gone

        threading.Thread(target=serve, daemon=True).start()
        transport = Transport(
            "modash", connect_timeout=5, read_timeout=30, answer_timeout=0.3, connections=1, clock=Clock()
        )
        started = time.monotonic()

        with pytest.raises(ProviderTimeoutError):
            transport.get(f"http://127.0.0.1:{listener.getsockname()[1]}/", params={}, auth=Bearer("x"))

    assert time.monotonic() - started < 10


def test_what_comes_late_of_an_answer_that_was_not_paid_for_is_not_waited_for(clock):
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        with connection, suppress(ConnectionError):
            connection.recv(65536)
            connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a"')
            clock.wait(61)  # Twice the read timeout has passed then, although each piece comes in time for itself.
            connection.sendall(b": ")
            connection.settimeout(10)
            with suppress(TimeoutError):
                connection.recv(1)  # until the caller has gone
                return
            connection.sendall(b"1}")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    transport = Transport("modash", connect_timeout=5, read_timeout=30, connections=1, clock=clock)

    with listener, pytest.raises(ProviderTimeoutError):
        transport.get(f"http://127.0.0.1:{listener.getsockname()[1]}/", params={}, auth=None)

    thread.join(10)


def test_a_compressed_answer_that_takes_too_long_to_decode_ends(clock):
    pieces = iter([b" ", b" ", b" ", b""])

    def decode(_amount, **_):
        clock.wait(20)  # The socket is not read, so it notices nothing.
        return next(pieces)

    transport = Transport("modash", connect_timeout=5, read_timeout=30, connections=1, clock=clock)
    raw = SimpleNamespace(read1=Mock(side_effect=decode))
    until = clock.monotonic() + 30
    attempt = Attempt(Stage.SENT, remaining=lambda: until - clock.monotonic())

    with pytest.raises(ProviderTimeoutError):
        transport._body(SimpleNamespace(raw=raw), attempt)

    assert raw.read1.call_count == 2


@pytest.mark.parametrize("head", [b"nonsense\r\n\r\n", b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n"])
def test_what_is_no_answer_is_reported_as_such(trickle, transport, head):
    url = trickle(head)

    with pytest.raises(ProviderError) as failure:
        transport.get(url, params={}, auth=Bearer("x"))

    assert failure.value.code in {"provider_response_invalid", "provider_unavailable"}


def test_proxies_of_the_environment_are_used_but_not_for_this_machine(trickle, transport, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    url = trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    assert transport.get(url, params={}, auth=Bearer("x")).status == 200


@pytest.mark.parametrize("order", [("excepted", "proxied"), ("proxied", "excepted")])
def test_no_proxy_counts_for_each_host_of_a_provider(monkeypatch, order):
    def serve(listener, name):
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    read_head(connection)
                    connection.sendall(answer(name, 200, "Connection: close"))

    for name in ("HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    transport = Transport("instagram", connect_timeout=10, read_timeout=10, connections=2, clock=Clock())
    with socket.create_server(("127.0.0.1", 0)) as proxy, socket.create_server(("127.0.0.2", 0)) as excepted:
        for listener, name in ((proxy, b"proxy"), (excepted, b"excepted")):
            threading.Thread(target=serve, args=(listener, name), daemon=True).start()
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.2")
        urls = {
            "excepted": f"http://127.0.0.2:{excepted.getsockname()[1]}/",
            "proxied": "http://graph.example/",
        }
        answered_by = {name: transport.get(urls[name], params={}, auth=None).body for name in order}
        for listener in (proxy, excepted):
            listener.shutdown(socket.SHUT_RDWR)

    assert answered_by == {"excepted": b"excepted", "proxied": b"proxy"}


def test_a_request_that_breaks_off_while_it_is_sent_may_have_arrived():
    def take_a_part():
        connection, _ = listener.accept()
        connection.recv(1)
        connection.close()  # What was not read resets the connection.

    with socket.create_server(("127.0.0.1", 0)) as listener:
        taking = threading.Thread(target=take_a_part, daemon=True)
        taking.start()
        transport = Transport("modash", connect_timeout=10, read_timeout=10, connections=2, clock=Clock())
        with pytest.raises(ProviderError) as failure:
            transport.get(
                f"http://127.0.0.1:{listener.getsockname()[1]}/", params={}, auth=Bearer("x" * LARGER_THAN_ANY_BUFFER)
            )
        taking.join(30)

    assert (failure.value.reached, failure.value.charge) == (True, Charge.UNKNOWN)


def test_the_rest_of_a_late_answer_has_its_time_from_when_it_was_found_to_be_late():
    left = iter([3.0, -5.0, -5.5, -7.5])
    attempt = Attempt(Stage.SENT, remaining=lambda: next(left), grace=2.0)

    assert [attempt.time_left() for _ in range(4)] == [3.0, 2.0, 1.5, -0.5]


def test_an_idle_connection_keeps_nothing_of_its_last_call():
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection, _ = listener.accept()
            with connection:
                read_head(connection)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                if connection.recv(1) == b"":
                    ended.set()

        threading.Thread(target=serve, daemon=True).start()
        transport = Transport("modash", connect_timeout=5, read_timeout=5, connections=2, clock=Clock())
        reply = transport.get(f"http://127.0.0.1:{listener.getsockname()[1]}/", params={}, auth=None)
        assert reply.body == b"{}"
        assert not ended.wait(0.2)  # The connection stays open for the next call.

        known = weakref.ref(transport)
        del transport, reply
        gc.collect()

        assert known() is None
        assert ended.wait(30)


@pytest.fixture
def heads():
    """A URL whose server answers `{}` to each request, and the heads that it has received."""
    listener, received = socket.create_server(("127.0.0.1", 0)), []

    def serve():
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    received.append(read_head(connection))
                    connection.sendall(answer(b"{}", 200, "Connection: close"))

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", received
    listener.close()


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/v24.0/1/insights", {"metric": "reach,views", "since": "1", "after": "QVFI=="}),
        ("/v24.0/1", {}),
        ("", {"url": "ünï+ ço/de&=?#%41"}),
        ("/a path/ü/%41/%zz", {"a": "", "b": "1"}),
    ],
    ids=["usual", "no parameter", "odd values, no path", "odd path"],
)
def test_a_read_of_a_provider_is_the_request_that_the_library_would_send(heads, transport, path, params):
    url, received = heads

    assert transport.get(f"{url}{path}", params=params, auth=Bearer("a token")).json() == {}
    with requests.Session() as session:
        session.trust_env = False
        session.get(f"{url}{path}", params=params, headers={**HEADERS, "Authorization": "Bearer a token"})

    ours, theirs = (sorted(head.lower().splitlines()) for head in received)
    assert ours == [line for line in theirs if not line.startswith(b"connection:")]
