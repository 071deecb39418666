"""A provider's answer is bounded in time and size, whatever part of it does not end; for both providers, over sockets.

Times are short here, so that what would never end shows as a test that does not end.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
import tracemalloc

import pytest

from services.clients.http import MAX_BODY_BYTES, MEGABYTE, Bearer, Transport
from services.clock import Clock
from services.errors import Charge, ProviderError
from tests.stores import query
from tests.support import settings

OK = b"HTTP/1.1 200 OK\r\n"
LONG_LINE = b"X-Header: " + b"x" * 60_000 + b"\r\n"
MANY = 1_000_000  # times that a flood repeats its piece, unless its reader leaves


def chunked(piece):
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def bomb(size):
    packed = gzip.compress(bytes(size), compresslevel=9)
    return OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed


# What comes at first, what then comes again and again, and the seconds between
FLOODS = {
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0),
    "103 Early Hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 0),
    "headers of an interim answer": (b"HTTP/1.1 100 Continue\r\n", LONG_LINE, 0),
    "long header lines": (OK, LONG_LINE, 0),
    "short header lines": (OK, b"X: y\r\n", 0),
    "one header line": (OK + b"X: ", b"y" * 1_000, 0),
    "a status line": (b"HTTP/1.1 200 ", b"O" * 1_000, 0),
    "a body": (OK + b"\r\n", b"x" * 60_000, 0),
    "the size of a chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n5;", b"x" * 1_000, 0),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 1_000, 0),
}
DRIPS = {
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.03),
    "a status line": (b"HTTP/1.1 200 O", b"O", 0.03),
    "header lines": (OK, b"X: y\r\n", 0.03),
    "one header line": (OK + b"X: ", b"y", 0.03),
    "a body": (OK + b"Content-Length: 100000\r\n\r\n", b"x", 0.03),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", chunked(b"x"), 0.03),
    "the size of a chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n5;", b"x", 0.03),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n", 0.03),
    "a compressed body": (
        OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"")[:10],
        b"\x00\x01\x00\xfe\xffx",
        0.05,
    ),
    "tiny chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", chunked(b" ") * 2_000, 0),
}


@pytest.fixture
def provider():
    """A provider that answers every request with `first`, and then with `piece` again and again; counts its threads."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()
    served = []

    def serve(first, piece=b"", pause=0.0):
        def answer(connection):
            with connection, contextlib.suppress(OSError):
                connection.settimeout(10)
                connection.recv(65536)
                connection.sendall(first)
                for _ in range(MANY if piece else 0):
                    connection.sendall(piece)
                    if stopped.wait(pause) if pause else stopped.is_set():
                        return

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    served.append(threading.Thread(target=answer, args=[listener.accept()[0]], daemon=True))
                    served[-1].start()

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    serve.connections = served
    yield serve
    stopped.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def call(name, url, *, read_timeout=5.0, is_paid=False):
    transport = Transport(name, connect_timeout=5, read_timeout=read_timeout, connections=1, clock=Clock())
    with pytest.raises(ProviderError) as failure:
        transport.get(url, params={}, auth=Bearer("x"), is_paid=is_paid)
    return failure.value


def assert_connections_are_closed(provider):
    """A flood ends only when its reader closes the connection."""
    for thread in provider.connections:
        thread.join(30)
    assert not any(thread.is_alive() for thread in provider.connections)


@pytest.mark.parametrize("name", ["instagram", "modash"])
@pytest.mark.parametrize("kind", FLOODS)
def test_what_floods_is_refused_by_its_size(provider, name, kind):
    url = provider(*FLOODS[kind])

    failure = call(name, url, is_paid=name == "modash")

    assert (failure.code, failure.charge) == ("provider_response_invalid", Charge.UNKNOWN)
    assert_connections_are_closed(provider)


@pytest.mark.parametrize("name", ["instagram", "modash"])
@pytest.mark.parametrize("kind", DRIPS)
def test_what_drips_is_late(provider, name, kind):
    url = provider(*DRIPS[kind])

    failure = call(name, url, read_timeout=0.1, is_paid=name == "modash")

    assert (failure.code, failure.charge) == ("provider_timeout", Charge.UNKNOWN)
    assert_connections_are_closed(provider)


@pytest.mark.parametrize("name", ["instagram", "modash"])
def test_a_compressed_answer_is_never_unpacked_beyond_the_bound(provider, name):
    url = provider(bomb(40 * MEGABYTE))
    tracemalloc.start()
    try:
        failure = call(name, url)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert f"sends more than {MAX_BODY_BYTES[name] // MEGABYTE} MB" in failure.message
    assert peak < 4 * MAX_BODY_BYTES[name]


@pytest.mark.parametrize("status", [400, 503])
@pytest.mark.parametrize("kind", ["a body", "the size of a chunk", "trailers"])
def test_a_refusal_counts_although_its_body_does_not_end(provider, status, kind):
    first, piece, _ = FLOODS[kind]
    url = provider(first.replace(b"200 OK", b"%d Whatever" % status), piece)
    transport = Transport("modash", connect_timeout=5, read_timeout=5, connections=1, clock=Clock())

    reply = transport.get(url, params={}, auth=Bearer("x"), is_paid=True)

    assert (reply.status, reply.body) == (status, b"")
    assert_connections_are_closed(provider)


@pytest.mark.parametrize("size", [0.9, 1.1])
def test_a_report_may_have_a_megabyte(provider, make_client, size):
    report = {"posts": {"total": 1}, "reels": {"total": 0, "more": "x" * int(size * MEGABYTE)}}
    body = json.dumps(report).encode()
    url = provider(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    client = make_client(settings(modash_base_url=url))

    response = client.get("/performance-data?url=nasa")

    store = {"INSTANCE_PATH": client.application.extensions["config"].instance_path}
    states = query(store, "gateway", "SELECT state FROM ledger")
    if size < 1:
        assert (response.status_code, states) == (200, [("charged",)])
    else:
        assert (response.status_code, states) == (502, [("uncertain",)])
        assert response.get_json()["message"] == "Modash sends more than 1 MB."


@pytest.mark.parametrize(
    ("flood", "status"), [(FLOODS["100 Continue"], 502), (FLOODS["trailers"], 502), (DRIPS["header lines"], 504)]
)
def test_a_paid_call_with_an_endless_answer_is_uncertain_and_not_repeated(provider, make_client, flood, status):
    url = provider(*flood)
    client = make_client(settings(modash_base_url=url, read_timeout=0.5 if status == 504 else 5.0))

    first, second = (client.get("/performance-data?url=nasa") for _ in range(2))

    store = {"INSTANCE_PATH": client.application.extensions["config"].instance_path}
    assert first.status_code == status
    assert "may have been charged" in first.get_json()["hint"]
    assert second.get_json()["code"] == "report_uncertain"
    assert query(store, "gateway", "SELECT state FROM ledger") == [("uncertain",)]


@pytest.mark.parametrize(("flood", "status"), [(FLOODS["short header lines"], 502), (DRIPS["chunks"], 504)])
def test_an_endless_answer_of_instagram_is_its_failure(provider, make_client, flood, status):
    url = provider(*flood)
    client = make_client(settings(graph_base_url=url, read_timeout=0.5 if status == 504 else 5.0))

    response = client.get("/top-posts?time_range=7d")

    assert (response.status_code, response.get_json()["provider"]) == (status, "instagram")
