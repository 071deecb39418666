"""Ready replies on kept-alive connections: the same answers, checks and counts as on connections of their own."""

from __future__ import annotations

import json
import time

import pytest

from services.store.store import Store
from tests.support import add_key, bearer, local_session

PATH = "/top-posts?time_range=7d"
PAGE = {"Origin": "https://app.example"}
LIMIT = 8
ENDS_WITHIN = 2.0  # seconds after a revocation
MINUTE = 60.0
MOST_SECONDS = 4.0  # that some requests take on a loaded machine
A_MOMENT = 2.0  # seconds by which a loaded machine may be late
OF_THE_MOMENT = {"Date", "Age", "Cache-Control", "Cache-Status", "X-Request-Id"}
WARM_UP = 3  # requests that a spelling needs until its reply is found without being parsed


def session_of(gateway, headers, *, warm_up=WARM_UP):
    """A session with one kept-alive connection, whose next request of PATH is ready."""
    session = local_session()
    session.headers.update(headers)
    for _ in range(warm_up):
        assert session.get(gateway.url + PATH, timeout=30).status_code == 200
    return session


def until_refused(session, gateway):
    """Ask until the key is not accepted; return the seconds."""
    began = time.monotonic()
    while (status := session.get(gateway.url + PATH, timeout=30).status_code) == 200:
        assert time.monotonic() < began + 30
        time.sleep(0.02)
    assert status == 401
    return time.monotonic() - began


@pytest.fixture
def open_store(store_settings):
    store = Store.open(store_settings.get("DATABASE_URL", ""), store_settings.get("INSTANCE_PATH", ""), mode="sandbox")
    yield store
    store.close()


@pytest.mark.parametrize("store_settings", ["sqlite"], indirect=True)
def test_a_kept_alive_connection_is_answered_as_a_new_one(simulator, store_settings, open_store, start):
    port = simulator.url.rpartition(":")[2]
    gateway = start(store_settings | {"PROVIDERS": "sandbox", "SIMULATOR_PORT": port, "CORS_ORIGINS": PAGE["Origin"]})
    _, limited = add_key(open_store, requests_per_minute=LIMIT)
    revoked_id, revoked = add_key(open_store)
    with session_of(gateway, {}) as session:
        kept = session.get(gateway.url + PATH, timeout=30)
        new = local_session().get(gateway.url + PATH, timeout=30)
        to_page = session.get(gateway.url + PATH, headers=PAGE, timeout=30)
        tagged = session.get(gateway.url + PATH, headers={"If-None-Match": kept.headers["ETag"]}, timeout=30)
        named = session.get(gateway.url + PATH, headers={"X-Request-Id": "a-name.1"}, timeout=30)
        spelled = session.get(gateway.url + PATH, headers={"Accept": "text/csv"}, timeout=30)
        refused = {
            name: session.get(gateway.url + PATH, headers=headers, timeout=30)
            for name, headers in {
                "host_not_allowed": {"Host": "evil.example"},
                "origin_not_allowed": {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
                "unauthorized": bearer(revoked[:-4] + "AAAA"),
            }.items()
        }

    assert kept.content == new.content
    assert set(kept.headers) == set(new.headers)
    assert to_page.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
    for name in set(kept.headers) - OF_THE_MOMENT:
        assert kept.headers[name] == new.headers[name], name
    assert kept.headers["Cache-Status"].startswith("insights-gateway; hit")
    assert (tagged.status_code, tagged.content) == (304, b"")
    assert named.headers["X-Request-Id"] == "a-name.1"
    assert spelled.headers["Content-Type"].startswith("text/csv")
    for name, reply in refused.items():
        assert reply.json()["code"] == name

    if time.time() % MINUTE > MINUTE - MOST_SECONDS:  # The next minute begins with fewer of its requests counted.
        time.sleep(MINUTE - time.time() % MINUTE)
    with session_of(gateway, bearer(limited), warm_up=1) as session:
        replies = [session.get(gateway.url + PATH, timeout=30) for _ in range(LIMIT + 2)]
    left = [int(reply.headers["RateLimit"].partition("r=")[2].partition(";")[0]) for reply in replies]
    assert [reply.status_code for reply in replies] == [200] * (LIMIT - 1) + [429] * 3
    assert left == [*range(LIMIT - 2, -1, -1), 0, 0, 0]

    with session_of(gateway, bearer(revoked)) as session:
        open_store.api_keys.revoke(revoked_id, now=time.time())
        assert until_refused(session, gateway) <= ENDS_WITHIN + A_MOMENT
    expires_at = time.time() + MOST_SECONDS
    with session_of(gateway, bearer(add_key(open_store, expires_at=expires_at)[1])) as session:
        until_refused(session, gateway)
        assert expires_at <= time.time() <= expires_at + A_MOMENT

    lines = [json.loads(line) for line in gateway.output.read_text().splitlines()]
    requests = [line for line in lines if line["message"] == "request" and line["request_id"] == "a-name.1"]
    assert [(line["status"], line["cache"], line["bytes"]) for line in requests] == [(200, "hit", len(kept.content))]
    assert not [line for line in lines if line["level"] == "error"]
