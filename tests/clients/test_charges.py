"""A call may have been charged only if it left this machine and no readable refusal came back.

The ledger is compared with what reached the provider, over real sockets: the class of an exception shows too little.
"""

from __future__ import annotations

import json
import socket

import pytest

from tests.clients import wire_peers as peers
from tests.clients.wire_peers import Peer, after_the_request, answer, make_certificate, proxy
from tests.stores import query
from tests.support import MODASH, settings

REPORT = {"posts": {"total": 6}, "reels": {"total": 0}}
READY = answer(json.dumps(REPORT).encode())
ENDPOINT = f"{MODASH}/v1/instagram/performance-data"
BRIEF = {"connect_timeout": 0.5, "read_timeout": 0.5}  # for a peer that does not answer; others need no haste
FREE, UNCERTAIN, CHARGED = "free", "uncertain", "charged"
NO_PROXY = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in NO_PROXY:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def start_peer(certificate):
    started = []

    def start_one(serve):
        started.append(Peer(serve, certificate))
        return started[-1]

    yield start_one
    for peer in started:
        peer.stop()


@pytest.fixture
def make_buyer(make_client, certificate, monkeypatch):
    """A gateway whose Modash is at an address, and which trusts the certificate of the tests or not."""

    def make(base_url, *, is_trusted=True, is_brief=False, clock=None, **changes):
        if is_trusted:
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate)
        changes = (BRIEF if is_brief else {"connect_timeout": 10, "read_timeout": 10}) | changes
        return make_client(settings(modash_base_url=base_url, **changes), **({"clock": clock} if clock else {}))

    return make


def buy(client, creator="nasa"):
    return client.get("/performance-data", query_string={"url": creator})


def booked(client):
    """The state of each creator's call in the ledger; a call that was never sent has none."""
    store = {"INSTANCE_PATH": client.application.extensions["config"].instance_path}
    return dict(query(store, "gateway", "SELECT creator, state FROM ledger"))


def spent(client):
    store = {"INSTANCE_PATH": client.application.extensions["config"].instance_path}
    return sum(amount for (amount,) in query(store, "gateway", "SELECT milli_credits FROM ledger_months"))


def assert_nothing_was_charged(client, response):
    body = response.get_json()
    assert (response.status_code, body["code"]) == (503, "provider_unavailable"), body
    assert "cannot be reached" in body["message"]
    assert "may have been charged" not in body["hint"]
    assert (booked(client), spent(client)) == ({}, 0)


# What never left this machine

NOTHING_BEHIND = proxy(200, peers.never_answers)


@pytest.mark.parametrize(
    ("serve", "words"),
    [
        (proxy(407), "the proxy refuses"),
        (proxy(503, body=b"<html>no</html>"), "the proxy refuses"),
        (proxy(302), "the proxy refuses"),
        (peers.closes_at_once, "the proxy"),
        (peers.proxy_that_hangs_up, "the proxy"),
        (peers.proxy_of_nonsense, "the proxy"),
        (peers.never_answers, "the proxy"),
        (proxy(200, peers.closes_at_once), "Modash cannot be reached"),
        (proxy(200, peers.breaks_the_handshake), "Modash cannot be reached securely"),
        (NOTHING_BEHIND, "Modash cannot be reached"),
    ],
    ids=[
        "407",
        "503",
        "302",
        "closes",
        "hangs up",
        "nonsense",
        "never answers",
        "closes the tunnel",
        "no TLS behind",
        "nothing behind",
    ],
)
def test_a_call_that_a_proxy_does_not_pass_on_costs_nothing(start_peer, make_buyer, monkeypatch, serve, words):
    peer = start_peer(serve)
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret@127.0.0.1:{peer.port}")
    client = make_buyer(f"https://{peers.HOST}", is_brief=serve in (peers.never_answers, NOTHING_BEHIND))

    response = buy(client)

    assert_nothing_was_charged(client, response)
    assert words in response.get_json()["message"]
    assert "secret" not in response.get_data(as_text=True)
    assert (peer.connections, peer.requests) == (1, [])


@pytest.mark.parametrize(
    ("name", "address", "words"),
    [
        ("HTTPS_PROXY", "http://127.0.0.1:1", "the proxy cannot be reached"),
        ("https_proxy", "127.0.0.1:1", "the proxy cannot be reached"),
        ("ALL_PROXY", "https://127.0.0.1:1", "the proxy cannot be reached"),
        ("HTTPS_PROXY", "http://proxy.invalid:3128", "the proxy cannot be reached"),
        ("ALL_PROXY", "http://.proxy.invalid:3128", "the proxy"),
        ("HTTPS_PROXY", "http://", "the address of the proxy cannot be used"),
        ("ALL_PROXY", "http://:3128", "the address of the proxy cannot be used"),
        ("HTTPS_PROXY", "http://127.0.0.1:port", "the address of the proxy cannot be used"),
        ("HTTPS_PROXY", "http://127.0.0.1:99999", "the address of the proxy cannot be used"),
        ("HTTPS_PROXY", "http://[::1", "the address of the proxy cannot be used"),
        ("https_proxy", "foo://127.0.0.1:1", "the address of the proxy cannot be used"),
        ("ALL_PROXY", "socks5://127.0.0.1:1", "the address of the proxy cannot be used"),
        ("HTTPS_PROXY", "socks5h://127.0.0.1:1", "the address of the proxy cannot be used"),
    ],
)
def test_a_proxy_without_a_usable_address_costs_nothing(make_buyer, monkeypatch, name, address, words):
    find = socket.getaddrinfo

    def offline(host, *more, **options):
        if "invalid" in str(host):
            raise socket.gaierror(-2, "Name or service not known")
        return find(host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    monkeypatch.setenv(name, address)
    client = make_buyer(f"https://{peers.HOST}")

    response = buy(client)

    assert_nothing_was_charged(client, response)
    assert words in response.get_json()["message"]


@pytest.mark.parametrize(
    ("serve", "is_trusted"),
    [
        (peers.closes_at_once, True),
        (peers.never_answers, True),
        (peers.speaks_plain_http, True),
        (peers.breaks_the_handshake, True),
        (peers.closes_in_the_handshake, True),
        (after_the_request(peers.sends(READY)), False),
    ],
    ids=["closes", "silent", "plain HTTP", "broken", "reset in the middle", "unknown certificate"],
)
def test_a_tls_handshake_that_fails_costs_nothing(start_peer, make_buyer, serve, is_trusted):
    peer = start_peer(serve)
    client = make_buyer(f"https://localhost:{peer.port}", is_trusted=is_trusted, is_brief=serve is peers.never_answers)

    response = buy(client)

    assert_nothing_was_charged(client, response)
    assert peer.requests == []


def test_certificates_that_are_not_there_cost_nothing(start_peer, make_buyer, monkeypatch):
    peer = start_peer(after_the_request(peers.sends(READY)))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/to/be/found.pem")
    client = make_buyer(f"https://localhost:{peer.port}", is_trusted=False)

    assert_nothing_was_charged(client, buy(client))


def test_the_proxy_is_named_for_instagram_as_well(make_client, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    client = make_client(settings(graph_base_url="https://graph.example/graph.facebook.com"))

    body = client.get("/account-insights?period=day&metrics=reach").get_json()

    assert (body["code"], body["provider"]) == ("provider_unavailable", "instagram")
    assert "the proxy cannot be reached" in body["message"]


def test_a_connection_that_is_refused_costs_nothing(make_buyer):
    client = make_buyer("http://127.0.0.1:1")

    assert_nothing_was_charged(client, buy(client))


# What was sent and not answered


BREAKS = {
    "a broken record": peers.breaks_the_record,
    "bytes without TLS": peers.sends_plain_bytes,
    "a broken record in the body": peers.breaks_the_record_in_the_body,
    "reset": peers.resets,
    "closed": peers.ends_in_silence,
    "late": peers.waits_too_long,
    "half a head": peers.sends(b"HTTP/1.1 200 OK\r\nContent-"),
    "no head": peers.sends(b"nonsense\r\n\r\n"),
    "half a body": peers.sends(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"posts": {'),
    "half a chunk": peers.sends(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"a":'),
    "broken gzip": peers.sends(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"),
    "HTML": peers.sends(answer(b"<html>the report is lost</html>")),
    "HTML of a gateway": peers.sends(answer(b"<html>the report is lost</html>", 502)),
    "half of it": peers.sends(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 1000\r\n\r\n<html>"),
}


def assert_it_is_uncertain(client, peer):
    response, held = buy(client), buy(client)

    assert "may have been charged" in response.get_json()["hint"], response.get_json()
    assert (booked(client), spent(client)) == ({"nasa": UNCERTAIN}, 250)
    assert held.get_json()["code"] == "report_uncertain"
    assert len(peer.requests) == 1


@pytest.mark.parametrize("then", BREAKS.values(), ids=BREAKS)
def test_what_breaks_after_the_request_was_sent_is_uncertain(start_peer, make_buyer, then):
    peer = start_peer(after_the_request(then))

    client = make_buyer(f"https://localhost:{peer.port}", read_timeout=0.5 if then is BREAKS["late"] else 10)

    assert_it_is_uncertain(client, peer)


@pytest.mark.parametrize("then", [BREAKS["a broken record"], BREAKS["closed"]], ids=["a broken record", "closed"])
def test_what_breaks_in_a_tunnel_after_the_request_was_sent_is_uncertain(start_peer, make_buyer, monkeypatch, then):
    peer = start_peer(proxy(200, after_the_request(then)))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{peer.port}")

    assert_it_is_uncertain(make_buyer(f"https://{peers.HOST}"), peer)


@pytest.mark.parametrize(("status", "state"), [(407, FREE), (503, UNCERTAIN)])
def test_a_proxy_without_a_tunnel_is_judged_like_any_answer(start_peer, make_buyer, monkeypatch, status, state):
    def serve(peer, connection):
        if peer.request(connection) is not None:
            connection.sendall(answer(b"<html>no</html>", status))

    peer = start_peer(serve)
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{peer.port}")
    client = make_buyer(f"http://{peers.HOST}")

    assert buy(client).status_code == 502
    assert booked(client) == {"nasa": state}


# A refusal needs no body; a report is complete with its last brace


@pytest.mark.parametrize(
    "then",
    [
        peers.sends(b"HTTP/1.1 404 Not Found\r\nContent-Length: 1000\r\n\r\n<html>"),
        peers.sends(b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n", pause=1.2),
        peers.sends(b"HTTP/1.1 413 Too Large\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"),
        peers.sends(b"HTTP/1.1 301 Moved\r\nLocation: https://elsewhere.example/\r\nContent-Length: 10\r\n\r\n"),
    ],
    ids=["cut off", "late", "broken gzip", "redirect"],
)
def test_a_refusal_whose_body_is_lost_costs_nothing(start_peer, make_buyer, then):
    peer = start_peer(after_the_request(then))
    client = make_buyer(f"https://localhost:{peer.port}", read_timeout=1)

    response = buy(client)

    assert (response.status_code, response.get_json()["code"]) == (502, "provider_response_invalid")
    assert "MODASH_BASE_URL" in response.get_json()["hint"]
    assert (booked(client), spent(client)) == ({"nasa": FREE}, 0)


BODY = json.dumps(REPORT).encode()
CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(BODY), BODY)


def assert_the_report_is_kept(client):
    response = buy(client)

    assert response.status_code == 200, response.get_json()
    assert response.get_json()["posts"] == REPORT["posts"]
    assert (booked(client), spent(client)) == ({"nasa": CHARGED}, 250)


@pytest.mark.parametrize(
    "then",
    [
        peers.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + BODY),
        peers.sends(CHUNK),
        peers.sends(CHUNK, pause=1.2),
        peers.sends(b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n", READY),
    ],
    ids=["a length that is wrong", "without a last chunk", "never ending", "after interim answers"],
)
def test_a_report_that_came_whole_is_kept_however_it_came(start_peer, make_buyer, then):
    peer = start_peer(after_the_request(then))

    assert_the_report_is_kept(make_buyer(f"https://localhost:{peer.port}", read_timeout=1))


@pytest.mark.parametrize("in_time", [0, 1, 2], ids=["nothing", "its status", "its head"])
@pytest.mark.parametrize("head", [b"Content-Length: %d\r\n" % len(BODY), b""], ids=["with a length", "without one"])
def test_a_report_that_comes_late_is_kept(start_peer, make_buyer, clock, head, in_time):
    pieces = [b"HTTP/1.1 200 OK\r\n", head + b"\r\n", BODY[:10], BODY[10:20], BODY[20:]]

    def then(secure):
        for number, piece in enumerate(pieces):
            if number == in_time:
                clock.wait(70)  # Each piece comes in time for itself; the whole is later than an answer may be.
            secure.sendall(piece)  # a record of TLS, so each piece is read by itself

    peer = start_peer(after_the_request(then))

    assert_the_report_is_kept(make_buyer(f"https://localhost:{peer.port}", read_timeout=30, clock=clock))


@pytest.mark.parametrize("half", [b"\\ud800", b"\\uDFFF", b"\xed\xa0\x80", b"\xed\xbf\xbf"])
def test_a_report_with_half_a_surrogate_pair_is_kept_however_it_is_written(client, wire, half):
    wire.get(ENDPOINT, body=BODY[:-1] + b', "name": "' + half + b'"}')

    assert_the_report_is_kept(client)

    assert buy(client).get_json()["name"] == "?"


# Connections


def test_a_paid_call_never_uses_a_connection_that_another_call_has_used(start_peer, make_buyer):
    def serve(peer, connection):
        # As a server that drops what sat idle: each connection answers one request, and resets at the second.
        with peer.secured(connection) as secure:
            if (creator := peer.request(secure)) is not None:
                secure.sendall(READY if creator else answer(b'{"billing": {"credits": 7}}'))
                if peer.request(secure) is not None:
                    peers.reset(secure)

    peer = start_peer(serve)
    client = make_buyer(f"https://localhost:{peer.port}", read_timeout=5)
    balance = client.application.extensions["services"].credit_balance

    statuses = [buy(client, f"creator{number}").status_code for number in range(3)]
    balance.read()
    statuses.append(buy(client, "creator3").status_code)

    assert statuses == [200] * 4
    assert set(booked(client).values()) == {CHARGED}
    assert (peer.connections, len(peer.requests)) == (5, 5)


# Every status


STATUSES = [
    200,
    201,
    203,
    204,
    300,
    301,
    304,
    308,
    400,
    401,
    402,
    403,
    404,
    405,
    407,
    408,
    422,
    429,
    500,
    502,
    503,
    522,
]
BODIES = {
    "": UNCERTAIN,
    "<html>no</html>": UNCERTAIN,
    "[]": UNCERTAIN,
    '"x"': UNCERTAIN,
    '{"posts": {"total"': UNCERTAIN,
    '{"error": true}': UNCERTAIN,
    '{"statusCode": 404, "message": "Cannot GET /", "error": "Not Found"}': UNCERTAIN,
    '{"error": true, "code": "of_tomorrow", "message": "No."}': FREE,
    '{"error": true, "message": "No."}': FREE,
    "{}": CHARGED,  # Whatever object comes with status 200 was paid for, unless it says that it is an error.
    '{"message": "no"}': CHARGED,
}


@pytest.mark.parametrize(("body", "with_200"), BODIES.items())
def test_the_status_and_the_form_of_an_answer_decide_what_is_booked(client, clock, wire, body, with_200):
    expected, answered = {}, {}
    for status in STATUSES:
        name = f"creator{status}"
        is_refused = 300 <= status < 500 or with_200 == FREE
        expected[name] = with_200 if status == 200 else FREE if is_refused else UNCERTAIN
        wire.upsert("GET", ENDPOINT, body=body, status=status)
        clock.wait(10)  # beyond every pause of the circuit breaker
        answered[status] = buy(client, name).status_code

    assert booked(client) == expected
    assert 404 not in answered.values()
    assert {answered[status] for status in (301, 400, 404, 405, 407, 422)} == {502}


@pytest.mark.parametrize("part", ["posts", "reels"])
def test_a_report_whose_status_a_proxy_has_changed_was_paid_for(client, wire, part):
    wire.get(ENDPOINT, json={part: {"total": 1}}, status=203)

    assert buy(client).status_code == 200
    assert booked(client) == {"nasa": CHARGED}


@pytest.mark.parametrize("status", [200, 400, 404, 410, 422])
@pytest.mark.parametrize("words", ["User not found or invalid URL parameter", "user not found.", "User Not Found"])
def test_the_documented_words_without_a_code_are_an_unknown_creator(client, wire, status, words):
    wire.get(ENDPOINT, json={"error": True, "message": words}, status=status)

    outcomes = [(each.status_code, each.get_json()["code"]) for each in (buy(client), buy(client))]

    assert outcomes == [(404, "creator_not_found")] * 2
    assert len(wire.calls) == 1
    assert booked(client) == {"nasa": FREE}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, "<!DOCTYPE html><html><body><pre>Cannot GET /v1/v1/instagram/performance-data</pre></body></html>"),
        (404, '{"statusCode": 404, "message": "Cannot GET /v1/v1/instagram/performance-data", "error": "Not Found"}'),
        (404, '{"error": true, "message": "Cannot GET /v1/v1/instagram/performance-data"}'),
        (404, '{"error": true, "code": "not_found", "message": "Cannot GET /v1/v1/instagram/performance-data"}'),
        (404, '{"error": {"code": 404, "message": "User not found"}}'),
        (404, '{"message": "User not found"}'),
        (404, "{}"),
        (400, "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>"),
        (405, "Method Not Allowed"),
    ],
)
def test_a_refusal_that_is_not_modashs_says_where_to_look_and_is_not_remembered(client, clock, wire, status, body):
    wire.get(ENDPOINT, body=body, status=status)
    first = buy(client)
    clock.wait(10)
    second = buy(client)

    assert {each.status_code for each in (first, second)} == {502}
    assert "MODASH_BASE_URL" in first.get_json()["hint"]
    assert len(wire.calls) == 2
    assert set(booked(client).values()) == {FREE}


def test_an_unknown_code_is_never_about_the_creator(client, clock, wire):
    wire.get(ENDPOINT, json={"error": True, "code": "of_tomorrow", "message": "User not found"}, status=404)
    first = buy(client)
    clock.wait(10)
    buy(client)

    assert (first.status_code, first.get_json()["code"]) == (502, "provider_refused")
    assert len(wire.calls) == 2
