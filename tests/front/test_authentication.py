"""API keys: who is answered, with which headers, and what is said to all others."""

from __future__ import annotations

import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import pytest

import logs
from routes.access import WITHOUT_KEY
from services.access.key_text import new_id, new_text
from services.access.keys import CHECK_AFTER, USE_EVERY, AccessKeys
from services.redaction import Redaction
from services.store.database import DatabaseUnavailableError
from tests.support import NoConnections, add_key, bearer, settings

POSTS = "/top-posts?time_range=7d&limit=3"
UNKNOWN = "igw_aaaaaaaaaa_0123456789012345678901234567890123456789abc"


@pytest.fixture
def client(make_client, clock):
    """A live gateway that requires keys."""
    return make_client(settings(allow_anonymous=False), clock=clock)


@pytest.fixture
def store(client):
    return client.application.extensions["services"].store


@pytest.fixture
def break_database(store, monkeypatch):
    """Make the database unavailable from then on."""
    return lambda: monkeypatch.setattr(store.api_keys._database, "_connections", NoConnections())


def answer(client, headers=None, path="/quota"):
    return client.get(path, headers=headers or {})


def refused(reply):
    """The part of a 401 that may differ by nothing but the id of the request."""
    body = reply.get_json()
    assert (reply.status_code, body["code"]) == (401, "unauthorized")
    assert reply.headers["Cache-Control"] == "no-store"
    assert body.pop("request_id") == reply.headers["X-Request-Id"]
    return body, reply.headers["WWW-Authenticate"]


def test_a_key_is_accepted_in_both_headers(client, store):
    _, text = add_key(store)

    assert answer(client, bearer(text)).status_code == 200
    assert answer(client, {"Authorization": f"bearer  {text} "}).status_code == 200
    assert answer(client, {"X-API-Key": text}).status_code == 200
    assert answer(client, {"X-API-Key": text} | bearer(text)).status_code == 200


def test_a_live_gateway_answers_no_request_without_a_key(client):
    body, challenge = refused(answer(client))

    assert "X-API-Key" in body["hint"]
    assert challenge == 'Bearer realm="insights-gateway"'


def test_the_document_shows_how_a_key_is_sent_and_what_comes_without(client):
    document = client.get("/openapi.json").get_json()

    found = client.get("/quota", headers={"X-Request-Id": "an-example"})
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path in WITHOUT_KEY:
                assert operation["security"] == []
                continue
            assert operation["security"] == [{"bearer": []}, {"header": []}]
            response = operation["responses"]["401"]["content"]["application/json"]
            assert response["examples"]["unauthorized"]["value"] == found.get_json()
            assert "insufficient_scope" in operation["responses"]["403"]["description"]


def test_each_path_that_needs_no_key_exists(client):
    paths = {rule.rule for rule in client.application.url_map.iter_rules()}

    assert WITHOUT_KEY - paths == set()


@pytest.mark.parametrize("path", sorted(WITHOUT_KEY - {"/webhooks/instagram"}))
def test_an_endpoint_that_needs_no_key_looks_at_none(client, path):
    assert answer(client, path=path).status_code == 200
    assert answer(client, bearer(UNKNOWN), path).status_code == 200


def test_the_webhook_needs_no_key(client):
    handshake = "/webhooks/instagram?hub.mode=subscribe&hub.verify_token=sandbox-verify-token&hub.challenge=42"

    assert client.get(handshake, headers=bearer(UNKNOWN)).get_data(as_text=True) == "42"
    assert client.post("/webhooks/instagram", data=b"{}").get_json()["code"] == "signature_missing"


def test_every_key_that_is_not_valid_gets_one_answer(client, store, clock):
    _, expired = add_key(store, expires_at=clock.timestamp())
    key, revoked = add_key(store)
    store.api_keys.revoke(key, clock.timestamp())
    _, valid = add_key(store)
    wrong = (UNKNOWN, expired, revoked, valid[:-1], valid.upper(), "x", "", "\u00e9".encode().decode("latin-1"))

    answers = {json.dumps(refused(answer(client, bearer(text)))) for text in wrong}
    assert len(answers) == 1
    assert answers == {json.dumps(refused(answer(client, {"X-API-Key": text}))) for text in wrong}
    assert 'error=\\"invalid_token\\"' in answers.pop()


def test_a_wrong_key_is_refused_in_the_sandbox_too_and_none_is_needed_there(make_world):
    world = make_world(PROVIDERS="sandbox", SANDBOX_DESPITE_CREDENTIALS="true")

    assert world.get("/quota").status_code == 200
    refused(world.get("/quota", headers=bearer(UNKNOWN)))


def test_a_wrong_key_is_refused_where_requests_without_one_are_answered(make_client, clock):
    client = make_client(settings(allow_anonymous=True), clock=clock)

    assert answer(client).status_code == 200
    refused(answer(client, bearer(UNKNOWN)))


@pytest.mark.parametrize(
    "value",
    [UNKNOWN, f"Token {UNKNOWN}", f"ApiKey {UNKNOWN}", f"Bearer\t{UNKNOWN}", "Bearer:igw_wrong", "Bearer",
     "bearer other", "ApiKey IGW_WRONG"],
)  # fmt: skip
def test_a_wrong_key_is_refused_in_whatever_form_it_is_given(make_client, clock, value):
    client = make_client(settings(allow_anonymous=True), clock=clock)

    refused(answer(client, {"Authorization": value}))
    refused(answer(client, {"Authorization": "Basic dXNlcjpwYXNz", "X-API-Key": value}))
    assert answer(client, {"Authorization": "Basic dXNlcjpwYXNz"}).status_code == 200


def test_no_reply_repeats_a_key_that_a_caller_sent(client, store):
    _, text = add_key(store)

    for path in (f"/top-posts?time_range={text}", f"/top-posts?{text}=1", f"/api/instagram/insights/1?metrics={text}"):
        reply = answer(client, bearer(text) | {"X-Request-Id": text}, path)
        assert reply.status_code == 400
        assert text not in f"{reply.get_data(as_text=True)} {reply.headers}", path
    assert answer(client, bearer(text) | {"X-Request-Id": "mine"}).headers["X-Request-Id"] == "mine"


@pytest.mark.parametrize(
    ("column", "number"),
    [("requests_per_minute", "9e999"), ("requests_per_minute", "0"), ("requests_per_minute", "1.5"),
     ("milli_credits", "9e999"), ("milli_credits", "1e300"), ("milli_credits", "4611686018427387904"),
     ("milli_credits", "-1")],
)  # fmt: skip
def test_a_key_with_a_number_that_no_command_stores_is_not_accepted(client, store, caplog, column, number):
    key, text = add_key(store)
    with store.api_keys._database.write() as connection:
        connection.exec_driver_sql(f"UPDATE api_keys SET {column} = {number} WHERE id = '{key}'")

    refused(answer(client, bearer(text)))

    errors = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    is_no_integer = number in {"9e999", "1e300", "1.5"}
    of_row, of_key = "A damaged row is treated as absent", "An API key of the table cannot be read, and is not accepted"
    assert errors == [of_row if is_no_integer else of_key]


def test_two_different_keys_are_refused_and_the_password_of_a_proxy_is_no_key(client, store):
    _, text = add_key(store)
    _, other = add_key(store)

    twice = answer(client, bearer(text) | {"X-API-Key": other})
    assert (twice.status_code, twice.get_json()["code"]) == (400, "bad_request")
    assert answer(client, bearer(f" {text}") | {"X-API-Key": f"{text} "}).status_code == 200
    assert answer(client, {"Authorization": "Basic dXNlcjpwYXNz", "X-API-Key": text}).status_code == 200
    refused(answer(client, {"Authorization": "Basic dXNlcjpwYXNz"}))


def test_a_key_is_valid_until_it_expires(client, store, clock):
    _, text = add_key(store, expires_at=clock.timestamp() + 60)

    assert answer(client, bearer(text)).status_code == 200
    clock.wait(59)
    assert answer(client, bearer(text)).status_code == 200
    clock.wait(1)
    refused(answer(client, bearer(text)))


def test_both_texts_of_a_rotated_key_are_valid_for_the_overlap(client, store, clock):
    key, text = add_key(store)
    _, after = add_key(store)  # Only to have another text with a digest.
    (row,) = [each for each in store.api_keys.rows() if each.id != key]
    assert store.api_keys.rotate(
        key, row.digest[::-1], now=clock.timestamp(), former_until=clock.timestamp() + 10, expires_at=None
    )

    assert answer(client, bearer(text)).status_code == 200
    clock.wait(10)
    refused(answer(client, bearer(text)))
    assert answer(client, bearer(after)).status_code == 200


def test_the_former_text_of_a_rotated_key_expires_with_it(client, store, clock):
    key, text = add_key(store)
    now = clock.timestamp()
    assert store.api_keys.rotate(key, "ab" * 32, now=now, former_until=now + 100, expires_at=now + 50)

    clock.wait(49)
    assert answer(client, bearer(text)).status_code == 200
    clock.wait(1)
    refused(answer(client, bearer(text)))


def test_a_revoked_key_ends_in_two_seconds_without_a_heartbeat(client, store, clock):
    key, text = add_key(store)
    assert answer(client, bearer(text)).status_code == 200

    store.api_keys.revoke(key, clock.timestamp())

    clock.wait(2)
    refused(answer(client, bearer(text)))


def test_without_reading_a_key_is_known_only_where_the_keys_were_checked_moments_ago(store, clock):
    key, text = add_key(store)
    keys, now = AccessKeys(store.api_keys, clock), clock.timestamp()
    before = keys.known_caller_of(text, now)
    keys.caller_of(text, now)
    known = keys.known_caller_of(text, now)

    clock.wait(CHECK_AFTER)

    assert (before, known.name, keys.known_caller_of(text, now)) == (None, key, None)


def test_a_new_key_works_at_once_and_wrong_keys_cost_few_looks(client, store, clock, monkeypatch):
    looks = []
    changes = store.api_keys.changes
    monkeypatch.setattr(type(store.api_keys), "changes", lambda _: looks.append(1) or changes())
    refused(answer(client, bearer(UNKNOWN)))
    clock.wait(1)
    _, text = add_key(store)

    assert answer(client, bearer(text)).status_code == 200
    looks.clear()
    for _ in range(20):
        refused(answer(client, bearer(UNKNOWN)))
    assert len(looks) <= 1
    looks.clear()
    for number in range(20):
        answer(client, bearer(f"{UNKNOWN}{number}"))
    assert len(looks) <= 5


def test_where_the_system_has_no_thread_left_keys_are_checked_by_the_next_request(client, store, clock, no_thread):
    key, text = add_key(store)
    assert answer(client, bearer(text)).status_code == 200
    store.api_keys.revoke(key, clock.timestamp())
    clock.wait(5)

    with no_thread():
        assert answer(client, bearer(text)).status_code == 200

    clock.wait(5)
    refused(answer(client, bearer(text)))
    refused(answer(client, bearer(UNKNOWN)))


def test_the_last_known_keys_go_on_without_the_database(client, store, clock, break_database):
    _, text = add_key(store)
    assert answer(client, bearer(text)).status_code == 200

    break_database()

    clock.wait(5)
    assert answer(client, bearer(text)).status_code == 200


def test_an_unknown_key_is_busy_and_no_failure_while_it_cannot_be_looked_for(client, store, clock, break_database):
    _, text = add_key(store)
    assert answer(client, bearer(text)).status_code == 200
    refused(answer(client, bearer(UNKNOWN)))  # Known to be wrong; it may be added meanwhile.
    break_database()
    clock.wait(5)

    replies = [answer(client, bearer(f"{UNKNOWN}{number}" if number else UNKNOWN)) for number in range(40)]

    assert {(reply.status_code, reply.get_json()["code"]) for reply in replies} == {(503, "busy")}
    assert all(reply.headers["Retry-After"] for reply in replies)


def test_keys_that_were_never_read_make_a_503(client, store, break_database):
    _, text = add_key(store)
    break_database()

    reply = answer(client, bearer(text))

    assert (reply.status_code, reply.get_json()["code"]) == (503, "busy")
    assert reply.headers["Retry-After"] == str(reply.get_json()["retry_after"])
    refused(answer(client))


def test_the_log_names_the_key_and_never_its_text(client, store, watch, caplog):
    key, text = add_key(store)
    caplog.set_level(logging.INFO)

    answer(client, bearer(text))
    answer(client, bearer(UNKNOWN))
    client.get("/healthz", headers={"X-Request-Id": "abc"})

    written = [logs.JsonFormatter(Redaction()).format(record) for record in caplog.records]
    lines = [json.loads(line) for line in written if '"request"' in line]
    assert [line["key"] for line in lines] == [key, None, "anonymous"]
    assert not [line for line in written if text in line or UNKNOWN in line]


@pytest.mark.parametrize(
    "written", ["{}", "a path /quota/{}?x", '{{"key": "{}"}}', "Authorization: Bearer {},", "X{}-"]
)
def test_a_key_is_redacted_wherever_it_is_written(written):
    text = new_text(new_id())

    redacted = Redaction()(written.format(text))

    assert "[redacted]" in redacted
    assert text[14:] not in redacted
    assert text[:14] not in redacted


def test_a_browser_may_ask_with_a_key_and_its_preflight_needs_none(make_client, clock):
    page = "https://dashboard.example"
    client = make_client(settings(allow_anonymous=False, cors_origins=(page,)), clock=clock)
    _, text = add_key(client.application.extensions["services"].store)
    asks = {
        "Origin": page,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization,x-api-key",
    }

    preflight = client.options("/quota", headers=asks)
    assert preflight.status_code == 204
    assert {"Authorization", "X-API-Key"} <= set(preflight.headers["Access-Control-Allow-Headers"].split(", "))
    with_key = client.get("/quota", headers={"Origin": page} | bearer(text))
    assert (with_key.status_code, with_key.headers["Access-Control-Allow-Origin"]) == (200, page)
    # The page can read why it was refused.
    without = client.get("/quota", headers={"Origin": page})
    refused(without)
    assert without.headers["Access-Control-Allow-Origin"] == page
    # What is no preflight of an allowed page needs a key.
    refused(client.options("/quota"))
    refused(client.get("/quota", headers=asks))
    other = client.options("/quota", headers=asks | {"Origin": "https://evil.example"})
    assert other.get_json()["code"] == "origin_not_allowed"


def test_keys_are_read_again_after_every_change_also_where_a_backup_has_counted_fewer(clock):
    counter, reads = [5], []
    keys = AccessKeys(SimpleNamespace(changes=lambda: counter[0], rows=lambda: reads.append(counter[0]) or []), clock)

    for counter[0] in (5, 5, 3, 3, 4):
        keys.check()

    assert reads == [5, 3, 4]


def test_a_change_while_the_keys_are_read_is_not_missed(clock):
    changes = iter([1, 2, 2, 2])
    reads = []
    keys = AccessKeys(SimpleNamespace(changes=lambda: next(changes), rows=lambda: reads.append(1) or []), clock)

    for _ in range(3):
        keys.check()

    assert len(reads) == 2


def test_wrong_keys_are_remembered_up_to_a_bound_and_until_the_next_change(clock, monkeypatch):
    monkeypatch.setattr("services.access.keys.MAX_ABSENT", 1)
    counter, looks = [0], []
    table = SimpleNamespace(changes=lambda: looks.append(1) or counter[0], rows=list)
    keys = AccessKeys(table, clock)
    found = []
    for key in ("first", "first", "second", "second"):
        keys.caller_of(key, clock.timestamp())
        found.append(len(looks))
    counter[0] = 1
    keys.check()
    clock.wait(1)
    looks.clear()

    for _ in range(3):
        keys.caller_of("second", clock.timestamp())

    assert (found, len(looks)) == ([2, 2, 3, 4], 1)


def test_a_wrong_key_of_several_requests_at_once_is_looked_for_once(clock):
    begun, looks = threading.Barrier(4), []

    def changes():
        looks.append(1)
        time.sleep(0.1)
        return 0

    keys = AccessKeys(SimpleNamespace(changes=changes, rows=list), clock)
    keys.check()
    looks.clear()

    def caller(_):
        begun.wait()
        return keys.caller_of("wrong", clock.timestamp())

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(caller, range(4)))

    assert (found, len(looks)) == ([None] * 4, 1)


def test_the_last_use_of_a_key_is_kept_without_a_write_for_each_request(client, store, clock, statements):
    services = client.application.extensions["services"]
    key, text = add_key(store)
    other, _ = add_key(store)

    def used():
        return {row.id: row.last_used_at for row in store.api_keys.rows()}

    first = clock.timestamp()
    answer(client, bearer(text))
    answer(client, bearer(text[:-1]))
    services.access_keys.note_use()
    assert used() == {key: first, other: None}
    clock.wait(60)
    answer(client, bearer(text))
    statements.clear()
    services.access_keys.note_use()
    assert (used()[key], [each for each in statements if "UPDATE" in each]) == (first, [])
    clock.wait(USE_EVERY)
    services.access_keys.note_use()
    assert used()[key] == first + 60
    store.api_keys.note_use({key: first})  # Of another process, later than it was.
    assert used()[key] == first + 60
    clock.wait(1)
    services.access_keys.check()
    assert services.access_keys.known_caller_of(text, clock.timestamp())  # As a ready reply asks for it.
    clock.wait(USE_EVERY)
    services.access_keys.note_use()
    assert used()[key] == clock.timestamp() - USE_EVERY


def test_after_a_clock_was_set_back_the_last_use_of_a_key_is_the_present_one(client, store, clock):
    services = client.application.extensions["services"]
    _, text = add_key(store)
    now = clock.now()
    for moment in (now + timedelta(hours=6), now):
        clock.set(moment)
        answer(client, bearer(text))
        services.access_keys.note_use()

    assert [row.last_used_at for row in services.store.api_keys.rows()] == [now.timestamp()]


def test_a_use_that_cannot_be_written_is_written_later(client, store, clock, monkeypatch):
    services = client.application.extensions["services"]
    _, text = add_key(store)
    answer(client, bearer(text))
    services.access_keys.note_use()
    clock.wait(USE_EVERY)

    with monkeypatch.context() as broken:
        broken.setattr(store.api_keys._database, "_connections", NoConnections())
        assert services.access_keys.caller_of(text, clock.timestamp())
        with pytest.raises(DatabaseUnavailableError):
            services.access_keys.note_use()
    services.access_keys.note_use()

    assert [row.last_used_at for row in store.api_keys.rows()] == [clock.timestamp()]
