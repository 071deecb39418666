"""Limits of requests a minute: the headers, the 429 beyond them, and who has none."""

from __future__ import annotations

import re

import pytest
from werkzeug.test import EnvironBuilder

from services.access.rate_limits import FAILURES_PER_MINUTE
from tests.support import MODASH, add_key, bearer, settings

PATH = "/quota"
REPORT = "/performance-data?url=nasa"
WRONG = bearer("igw_aaaaaaaaaa_0123456789012345678901234567890123456789abc")
FIELDS = re.compile(r'"(\w+)";r=(\d+);t=(\d+)')


@pytest.fixture
def gateway(make_client, clock):
    """A live gateway that requires keys."""
    return make_client(settings(allow_anonymous=False, cors_origins=("https://dashboard.test",)), clock=clock)


@pytest.fixture
def key(gateway):
    """Add a key with so many requests a minute, and return the headers that send it."""

    def add(**more):
        return bearer(add_key(gateway.application.extensions["services"].store, **more)[1])

    return add


def send(client, headers=None, times=1, path=PATH, **options):
    """Send a request so many times, and return the statuses."""
    return [client.get(path, headers=headers or {}, **options).status_code for _ in range(times)]


def left(reply):
    """Return what `RateLimit` says: the policy, what remains, and the seconds."""
    policy, remaining, seconds = FIELDS.fullmatch(reply.headers["RateLimit"]).groups()
    return policy, int(remaining), int(seconds)


def test_each_reply_says_what_is_left_and_the_one_beyond_the_limit_is_429(gateway, key):
    headers = key(requests_per_minute=5)

    replies = [gateway.get(PATH, headers=headers) for _ in range(6)]

    assert [left(reply)[:2] for reply in replies] == [("key", rest) for rest in (4, 3, 2, 1, 0, 0)]
    assert {reply.headers["RateLimit-Policy"] for reply in replies} == {'"key";q=5;w=60'}
    assert [reply.status_code for reply in replies] == [200] * 5 + [429]
    error = replies[5].get_json()
    assert (error["error"], error["code"], error["provider"]) == (True, "rate_limited", None)
    assert error["retry_after"] == int(replies[5].headers["Retry-After"]) == left(replies[5])[2] > 0
    assert replies[5].headers["Cache-Control"] == "no-store"
    assert "Retry-After" not in replies[0].headers


def test_after_the_wait_the_next_request_is_answered(gateway, key, clock):
    headers = key(requests_per_minute=3)
    clock.wait(45)
    send(gateway, headers, 3)

    refused = gateway.get(PATH, headers=headers)
    clock.wait(refused.get_json()["retry_after"] - 1.001)
    early = send(gateway, headers)
    clock.wait(1.001)

    assert early == [429]
    assert send(gateway, headers) == [200]


def test_what_is_refused_is_not_counted(gateway, key, clock):
    headers = key(requests_per_minute=3)
    send(gateway, headers, 50)
    clock.wait(gateway.get(PATH, headers=headers).get_json()["retry_after"])

    assert send(gateway, headers) == [200]


def test_ready_replies_and_replies_without_a_body_count_too(gateway, key, wire):
    wire.get(f"{MODASH}/v1/instagram/performance-data", json={"posts": {"total": 1}, "reels": {"total": 1}})
    headers = key(requests_per_minute=5, scope="refresh")
    gateway.get(REPORT, headers=headers)
    first = gateway.get(REPORT, headers=headers)
    ready = gateway.get(REPORT, headers=headers)
    unchanged = gateway.get(REPORT, headers=headers | {"If-None-Match": first.headers["ETag"]})
    gateway.head(PATH, headers=headers)

    refused = gateway.get(REPORT, headers=headers | {"If-None-Match": first.headers["ETag"]})

    assert [left(reply)[1] for reply in (first, ready, unchanged)] == [3, 2, 1]
    assert (unchanged.status_code, ready.headers["ETag"]) == (304, first.headers["ETag"])
    assert ready.headers["X-Provider-Calls"] == "0"
    assert unchanged.headers["RateLimit-Policy"] == '"key";q=5;w=60'
    assert refused.status_code == 429
    assert "ETag" not in refused.headers
    environ = EnvironBuilder(REPORT, headers=headers).get_environ()
    assert gateway.application.extensions["front"].ready_reply(environ, lambda *_: None) is None


def test_a_key_without_a_limit_and_one_of_another_key_are_not_touched(gateway, key):
    limited, other, free = key(requests_per_minute=2), key(requests_per_minute=2), key()
    send(gateway, limited, 3)

    assert send(gateway, other, 3) == [200, 200, 429]
    assert send(gateway, free, 20) == [200] * 20
    assert "RateLimit" not in gateway.get(PATH, headers=free).headers


def test_a_key_has_one_limit_in_whichever_header_it_is_sent(gateway, key):
    headers = key(requests_per_minute=2)
    text = headers["Authorization"].split()[1]

    assert [*send(gateway, headers), *send(gateway, {"X-API-Key": text}, 2)] == [200, 200, 429]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_have_no_limit_whatever_they_send(make_client, clock, path):
    client = make_client(settings(requests_per_minute=1), clock=clock)
    send(client, times=3)

    statuses = {status for headers in ({}, WRONG) for status in send(client, headers, 100, path)}

    assert statuses == {200}
    assert "RateLimit" not in client.get(path).headers


def test_deliveries_of_the_webhook_have_no_limit(make_client, clock):
    client = make_client(settings(requests_per_minute=1), clock=clock)
    send(client, times=3)

    replies = [client.post("/webhooks/instagram", json={}) for _ in range(FAILURES_PER_MINUTE + 10)]

    assert {(reply.status_code, reply.get_json()["code"]) for reply in replies} == {(401, "signature_missing")}


def test_preflight_requests_are_not_counted(gateway, key):
    asked = {"Origin": "https://dashboard.test", "Access-Control-Request-Method": "GET"}
    headers = key(requests_per_minute=1)

    preflights = [gateway.options(PATH, headers=asked) for _ in range(100)]
    reply = gateway.get(PATH, headers=headers | {"Origin": "https://dashboard.test"})

    assert {preflight.status_code for preflight in preflights} == {204}
    assert reply.status_code == 200
    assert {"RateLimit", "RateLimit-Policy", "Retry-After"} <= {
        name.strip() for name in reply.headers["Access-Control-Expose-Headers"].split(",")
    }


def test_a_page_of_another_origin_can_read_why_it_is_refused(gateway, key):
    headers = key(requests_per_minute=1) | {"Origin": "https://dashboard.test"}
    send(gateway, headers)

    refused = gateway.get(PATH, headers=headers)

    assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (429, "https://dashboard.test")


def test_addresses_without_a_key_have_the_default_limit_each(make_client, clock):
    client = make_client(settings(requests_per_minute=2), clock=clock)

    def ask(forwarded, peer="127.0.0.1"):
        headers = {"X-Forwarded-For": forwarded} if forwarded else {}
        return send(client, headers, 3, environ_base={"REMOTE_ADDR": peer})

    assert ask("192.0.2.1") == [200, 200, 429]
    assert ask("198.51.100.7, 192.0.2.1") == [429, 429, 429]  # Only what the proxy on this machine added is believed.
    assert ask("192.0.2.2") == [200, 200, 429]
    assert ask("::ffff:192.0.2.2") == [429, 429, 429]  # The same address in the form of IPv6.
    assert ask("192.0.2.3", peer="203.0.113.1") == [200, 200, 429]
    assert ask("192.0.2.4", peer="203.0.113.1") == [429, 429, 429]
    assert ask("2001:db8:1:2::1") == [200, 200, 429]
    assert ask("2001:db8:1:2:ffff::9") == [429, 429, 429]  # The same network of 64 bits.
    assert ask("2001:db8:1:3::1") == [200, 200, 429]
    assert left(client.get(PATH, headers={"X-Forwarded-For": "192.0.2.9"})) == ("address", 1, 60)


def test_failed_authentications_of_an_address_are_limited_and_valid_keys_are_not(gateway, key, clock):
    valid = key()
    failures = [gateway.get(PATH, headers=[WRONG, {}][number % 2]) for number in range(FAILURES_PER_MINUTE + 5)]
    elsewhere = gateway.get(PATH, headers=WRONG | {"X-Forwarded-For": "192.0.2.1"})

    assert [reply.status_code for reply in failures] == [401] * FAILURES_PER_MINUTE + [429] * 5
    refused = failures[-1]
    assert (refused.get_json()["code"], "WWW-Authenticate" in refused.headers) == ("rate_limited", False)
    assert int(refused.headers["Retry-After"]) == refused.get_json()["retry_after"]
    assert elsewhere.status_code == 401
    assert send(gateway, valid, 3) == [200] * 3
    clock.wait(refused.get_json()["retry_after"])
    assert send(gateway, WRONG) == [401]


def test_a_request_with_two_keys_is_no_failed_authentication(gateway, key):
    both = key() | {"X-API-Key": "igw_another"}

    assert send(gateway, both, FAILURES_PER_MINUTE + 5) == [400] * (FAILURES_PER_MINUTE + 5)


def test_a_process_without_limits_starts_no_exchange(make_client, clock):
    client = make_client(settings(), clock=clock)
    services = client.application.extensions["services"]

    send(client, times=3)

    assert services.heartbeat._threads == ()


def test_a_limited_request_starts_the_exchange_in_its_process(make_client, clock):
    client = make_client(settings(requests_per_minute=10), clock=clock)
    services = client.application.extensions["services"]
    before = services.heartbeat._threads

    send(client)

    assert before == ()
    assert all(thread.is_alive() for thread in services.heartbeat._threads)
    assert services.heartbeat._threads
