"""nginx as the operations guide configures it: slow callers, its cache, headers that it passes on."""

from __future__ import annotations

import json
import socket
import time
from contextlib import ExitStack
from itertools import cycle, islice

import pytest
import requests

from benchmarks.nginx import in_front, program
from commands import key as key_command
from config import Config

POSTS = "/top-posts?time_range=7d"
PAGE, FOREIGN = "https://dashboard.example", "https://elsewhere.example"
ACCEPTED = {
    None: "application/json",
    "*/*": "application/json",
    "application/json": "application/json",
    "text/csv": "text/csv; charset=utf-8",
    "text/csv;q=0.5, application/json": "application/json",
    "text/csv, application/json;q=0.1": "text/csv; charset=utf-8",
    "text/html": "application/json",
}
SLOW_CALLERS = 100


@pytest.fixture(scope="module")
def nginx():
    installed = program()
    if installed is None:
        pytest.skip("nginx is not installed")
    return installed


@pytest.fixture
def gateway(simulator, start):
    return start({"SIMULATOR_PORT": simulator.url.rpartition(":")[2], "CORS_ORIGINS": PAGE})


@pytest.fixture
def cached(nginx, gateway, tmp_path):
    """Send a request to the cache in front of the gateway."""
    port = int(gateway.url.rpartition(":")[2])
    with in_front(nginx, port, tmp_path, cached=True) as front, requests.Session() as session:
        session.headers.clear()

        def send(path=POSTS, method="GET", **headers):
            named = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
            return session.request(method, f"http://127.0.0.1:{front}{path}", headers=named)

        yield send


def hit(cached, **headers):
    """What the cache answers, which keeps a reply for a second."""
    for _ in range(20):
        reply = cached(**headers)
        if reply.headers["X-Cache"] == "HIT":
            return reply
    raise AssertionError("The cache never answers.")


def test_the_cache_never_mixes_formats(cached):
    kinds, answered_by = list(ACCEPTED.items()), set()
    for accept, type_ in islice(cycle(kinds), 20 * len(kinds)):
        reply = cached(Accept=accept)
        assert (reply.status_code, reply.headers["Content-Type"]) == (200, type_), accept
        answered_by.add(reply.headers["X-Cache"])
    for format_, type_ in (("json", "application/json"), ("csv", "text/csv; charset=utf-8")) * 3:
        assert cached(f"{POSTS}&format={format_}").headers["Content-Type"] == type_

    assert "HIT" in answered_by


def test_the_cache_answers_what_the_gateway_would(cached, gateway):
    direct = requests.get(gateway.url + POSTS)
    first, second = cached(), hit(cached)

    assert first.content == second.content == direct.content
    etag = second.headers["ETag"]
    assert cached(If_None_Match=etag).status_code == 304
    assert cached(If_None_Match=etag, Accept="text/csv").status_code == 200
    head = cached(method="HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert cached().content == direct.content
    assert "no-store" in cached("/status").headers["Cache-Control"]
    assert [cached("/status").headers["X-Cache"] for _ in range(2)] == ["MISS", "MISS"]
    assert [cached("/nothing").status_code for _ in range(2)] == [404, 404]


def test_pages_get_from_the_cache_what_the_gateway_decides(cached):
    for _ in range(2):
        assert cached().status_code == 200

    for headers in ({"Sec_Fetch_Site": "cross-site"}, {"Origin": FOREIGN}):
        refused = cached(**headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "origin_not_allowed")
    refused = cached(Host="elsewhere.example")
    assert (refused.status_code, refused.json()["code"]) == (403, "host_not_allowed")
    assert cached(Origin=PAGE).headers["Access-Control-Allow-Origin"] == PAGE
    assert "Access-Control-Allow-Origin" not in cached().headers


def test_each_key_has_replies_of_its_own_in_the_cache(cached, gateway, tmp_path, run_command):
    config = Config.from_env({"INSTANCE_PATH": gateway.instance})
    made = [run_command(key_command, config, "create", label, "--json") for label in ("one", "two")]
    keys = [json.loads(out)["key"] for _, out, _ in made]
    for key in keys:
        first = cached(Authorization=f"Bearer {key}")
        assert (first.status_code, first.headers["X-Cache"]) == (200, "MISS")
        assert hit(cached, X_API_Key=key).status_code == 200
    wrong = f"{keys[0][:-4]}aaaa"
    assert [cached(X_API_Key=wrong).status_code for _ in range(2)] == [401, 401]
    files = [each for each in (tmp_path / "cache").rglob("*") if each.is_file()]
    assert files
    assert not [each for each in files for key in keys if key.encode() in each.read_bytes()]


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", b"x"),
        (b"POST /webhooks/instagram HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n", b"x"),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b""),
        (b"", b""),
    ],
    ids=["headers", "body", "idle", "nothing"],
)
def test_100_slow_callers_change_nothing(nginx, gateway, tmp_path, begun, more):
    with in_front(nginx, int(gateway.url.rpartition(":")[2]), tmp_path) as port, ExitStack() as stack:
        callers = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(SLOW_CALLERS)
        ]
        for caller in callers:
            caller.sendall(begun)
        for _ in range(5):
            for caller in callers:
                caller.sendall(more)
            began = time.monotonic()
            assert requests.get(f"http://127.0.0.1:{port}/healthz", timeout=10).status_code == 200
            assert requests.get(f"http://127.0.0.1:{port}{POSTS}", timeout=10).status_code == 200
            assert time.monotonic() - began < 10
