"""GET and POST /webhooks/instagram: the handshake, signatures, limits, and what is kept of a delivery."""

from __future__ import annotations

import hashlib
import json
import logging
import random
import threading
import time
from pathlib import Path

import pytest

from services.accounts.token_encryption import new_key
from services.webhooks import receiving
from services.webhooks.errors import SignatureInvalidError, SignatureMissingError
from tests.deliveries import PATH, SIGNATURE, body, change, entry, signature, signed, story_insights
from tests.stores import query
from tests.support import (
    ACCOUNT_ID,
    APP_SECRET,
    INSTAGRAM_APP_SECRET,
    VERIFY_TOKEN,
    add_account,
    new_instance,
    settings,
)

OTHER_ID, THIRD_ID = "17841400000000011", "17841400000000012"
STORY = "18023345989012587"
BODY = body(entry(ACCOUNT_ID, story_insights(STORY)))
HANDSHAKE = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "1158201444"}
TOO_DEEP = b'{"object": "instagram", "entry": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.fixture
def gateway(make_client, clock, store_settings):
    """A gateway over each engine."""
    return make_client(settings(**{name.lower(): value for name, value in store_settings.items()}), clock=clock)


def store_of(client):
    return {"INSTANCE_PATH": client.application.extensions["config"].instance_path}


def deliver(client, sent=BODY, *, secret=APP_SECRET, **headers):
    return client.post(PATH, data=sent, headers=signed(sent, secret) | headers)


def kept(client, store=None):
    """The bodies that are kept."""
    rows = query(store or store_of(client), "gateway", "SELECT body FROM webhook_deliveries ORDER BY received_at")
    return [bytes(row[0]) for row in rows]


# The handshake


def test_a_handshake_is_answered_with_the_bare_challenge(client):
    response = client.get(PATH, query_string=HANDSHAKE)

    assert (response.status_code, response.text, response.mimetype) == (200, "1158201444", "text/plain")
    assert response.headers["Cache-Control"] == "no-store"


def test_a_handshake_may_have_more_parameters(client):
    assert client.get(PATH, query_string=HANDSHAKE | {"hub.version": "2", "x": "1"}).text == "1158201444"


@pytest.mark.parametrize("token", ["", "sandbox-verify-toke", "SANDBOX-VERIFY-TOKEN", "é", "\x00", "x" * 5000])
def test_another_verify_token_is_refused(client, token):
    response = client.get(PATH, query_string=HANDSHAKE | {"hub.verify_token": token})

    assert response.status_code == 403
    assert response.get_json()["code"] == "verify_token_invalid"
    assert "1158201444" not in response.text


@pytest.mark.parametrize(
    "wrong", [{"hub.mode": "unsubscribe"}, {"hub.challenge": ""}, {"hub.mode": None}, {"hub.challenge": None}]
)
def test_what_is_no_handshake_is_refused(client, wrong):
    given = {name: value for name, value in (HANDSHAKE | wrong).items() if value is not None}

    response = client.get(PATH, query_string=given)

    assert response.status_code == 400
    assert next(iter(wrong)) in json.dumps(response.get_json())


def test_a_handshake_without_a_setting_says_which_one_is_missing(make_client):
    response = make_client(settings(webhook_verify_token="")).get(PATH, query_string=HANDSHAKE)

    assert (response.status_code, response.get_json()["code"]) == (503, "webhook_not_configured")
    assert "WEBHOOK_VERIFY_TOKEN" in response.get_json()["hint"]


def test_a_challenge_is_no_page(client):
    response = client.get(PATH, query_string=HANDSHAKE | {"hub.challenge": "<script>alert(1)</script>"})

    assert response.mimetype == "text/plain"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


# Signatures


@pytest.mark.parametrize(
    ("secret", "login"), [(APP_SECRET, "facebook"), (INSTAGRAM_APP_SECRET, "instagram")], ids=["facebook", "instagram"]
)
def test_a_delivery_is_kept_that_either_secret_has_signed(gateway, store_settings, secret, login):
    response = deliver(gateway, secret=secret)

    assert (response.status_code, response.get_json()) == (200, {"status": "kept"})
    assert response.headers["Cache-Control"] == "no-store"
    rows = query(store_settings, "gateway", "SELECT mode, signed_by, read_at FROM webhook_deliveries")
    assert rows == [("live", login, None)]
    assert kept(gateway, store_settings) == [BODY]
    assert gateway.application.extensions["services"].readiness.work()["webhooks"] == {"waiting": 1, "failed": 0}


@pytest.mark.parametrize("given", [None, ""])
def test_a_delivery_without_a_signature_is_401(client, given):
    headers = {} if given is None else {SIGNATURE: given}

    response = client.post(PATH, data=BODY, headers=headers)

    assert (response.status_code, response.get_json()["code"]) == (401, "signature_missing")
    assert kept(client) == []


@pytest.mark.parametrize(
    "given",
    [
        signature(BODY, "another secret"),
        signature(BODY + b" ", APP_SECRET),
        signature(BODY, APP_SECRET).removeprefix("sha256="),
        signature(BODY, APP_SECRET)[:-1],
        signature(BODY, APP_SECRET) + "0",
        signature(BODY, APP_SECRET)[:-1] + f"{int(signature(BODY, APP_SECRET)[-1], 16) ^ 1:x}",
        signature(BODY, APP_SECRET).replace("sha256", "sha1"),
        "sha256=" + "é" * 64,
        "sha256=" + "0" * 64,
    ],
)
def test_a_delivery_with_another_signature_is_403(client, given):
    response = client.post(PATH, data=BODY, headers={SIGNATURE: given})

    assert (response.status_code, response.get_json()["code"]) == (403, "signature_invalid")
    assert kept(client) == []


def test_the_old_signature_alone_does_not_count(client):
    digest = hashlib.sha1(BODY).hexdigest()

    assert client.post(PATH, data=BODY, headers={"X-Hub-Signature": f"sha1={digest}"}).status_code == 401


@pytest.mark.parametrize("secrets", [{"app_secret": ""}, {"instagram_app_secret": ""}])
def test_an_empty_secret_signs_nothing(make_client, secrets):
    client = make_client(settings(**secrets))

    assert deliver(client, secret="").status_code == 403
    assert deliver(client, secret=INSTAGRAM_APP_SECRET if "app_secret" in secrets else APP_SECRET).status_code == 200


def test_without_any_secret_a_delivery_is_not_lost_but_sent_again(make_client):
    client = make_client(settings(app_secret="", instagram_app_secret=""))

    response = deliver(client, secret="")

    assert (response.status_code, response.get_json()["code"]) == (503, "webhook_not_configured")
    assert "APP_SECRET" in response.get_json()["hint"]


def test_the_signature_is_over_the_bytes_and_not_over_what_they_mean(client):
    escaped = body(entry(ACCOUNT_ID, change("comments", {"id": "1", "text": "schön 🎉"})))
    written = json.dumps(json.loads(escaped), ensure_ascii=False).encode()

    assert b"\\u00f6" in escaped
    assert deliver(client, escaped).status_code == 200
    assert client.post(PATH, data=written, headers=signed(escaped, APP_SECRET)).status_code == 403
    assert kept(client) == [escaped]


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; x"])
def test_the_type_of_a_body_does_not_matter(client, media_type):
    assert deliver(client, **{"Content-Type": media_type}).status_code == 200
    assert kept(client) == [BODY]


# What is kept


def test_the_same_delivery_is_kept_once_and_confirmed_each_time(gateway, store_settings):
    assert [deliver(gateway).status_code for _ in range(3)] == [200, 200, 200]
    assert kept(gateway, store_settings) == [BODY]


def test_what_is_signed_is_kept_and_confirmed_whatever_it_is(gateway, store_settings):
    sent = [b"", b"not JSON", b"[]", b'{"object": "page", "entry": []}', b"\xff\x00", TOO_DEEP, b'{"object": NaN}']

    assert [deliver(gateway, each).status_code for each in sent] == [200] * len(sent)
    assert sorted(kept(gateway, store_settings)) == sorted(sent)


def test_a_thousand_long_changes_fit(client):
    comments = [change("comments", {"id": str(number), "text": "ü" * 2200}) for number in range(1000)]
    sent = body(entry(ACCOUNT_ID, *comments))

    assert len(sent) > 13_000_000
    assert deliver(client, sent).status_code == 200
    assert kept(client) == [sent]


def test_a_larger_body_is_413_and_no_other_path_takes_a_large_one(client):
    assert deliver(client, b"x" * (16 * 1024 * 1024 + 1)).status_code == 413
    assert client.post("/healthz", data=b"x" * 70_000).status_code == 413
    assert client.put(PATH, data=b"x" * 70_000).status_code == 413
    assert client.get(PATH, query_string=HANDSHAKE, data=b"x" * 70_000).status_code == 413


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", [PATH, "/healthz", "/top-posts?time_range=7d", "/nowhere"])
def test_what_only_reads_takes_no_body_at_all(client, method, path):
    refused, empty = client.open(path, method=method, data=b"x"), client.open(path, method=method, data=b"")

    assert (refused.status_code, empty.status_code == 413) == (413, False)


def test_large_bodies_are_read_at_once_only_as_far_as_there_is_room(make_client, monkeypatch):
    monkeypatch.setattr(receiving, "ROOM_WAIT", 0.05)
    client = make_client()
    webhooks = client.application.extensions["services"].webhooks
    large = body(entry(ACCOUNT_ID, change("comments", {"id": "1", "text": "x" * 1024 * 1024})))
    held = [webhooks.room_for(signature(large, APP_SECRET), len(large)) for _ in range(receiving.ROOM // len(large))]
    for each in held:
        each.__enter__()

    refused, small = deliver(client, large), deliver(client)
    held.pop().__exit__(None, None, None)
    accepted = deliver(client, large)
    for each in held:
        each.__exit__(None, None, None)

    assert (refused.status_code, refused.get_json()["code"], refused.headers["Retry-After"]) == (503, "busy", "1")
    assert (small.status_code, accepted.status_code) == (200, 200)


def test_large_bodies_with_a_wrong_signature_leave_their_room_to_others(client, monkeypatch):
    monkeypatch.setattr(receiving, "ROOM_WAIT", 0.05)
    large = body(entry(ACCOUNT_ID, change("comments", {"id": "1", "text": "x" * 4 * 1024 * 1024})))

    refused = {deliver(client, large, secret="another-secret").status_code for _ in range(5)}

    assert (refused, deliver(client, large).status_code) == ({403}, 200)


@pytest.mark.parametrize(("given", "failure"), [(None, SignatureMissingError), ("sha256=0", SignatureInvalidError)])
def test_no_room_is_taken_for_a_large_body_without_a_signature_of_the_right_form(client, given, failure):
    webhooks = client.application.extensions["services"].webhooks

    with pytest.raises(failure), webhooks.room_for(given, receiving.ROOM):
        pytest.fail("The body would be read.")


def test_a_delivery_that_cannot_be_kept_is_503_so_that_it_is_sent_again(make_client):
    folder = Path(new_instance())
    client = make_client(settings(instance_path=str(folder)))
    (folder / "gateway.db").rename(folder / "away")

    response = deliver(client)

    assert (response.status_code, response.get_json()["code"]) == (503, "delivery_not_kept")
    assert int(response.headers["Retry-After"]) > 0
    (folder / "away").rename(folder / "gateway.db")
    assert kept(client) == []


def test_a_full_disk_is_503_and_what_was_confirmed_before_stays(make_client):
    client = make_client()
    confirmed = deliver(client)
    database = client.application.extensions["services"].store.databases[1]
    with database.write() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        # The limit of the only connection that writes: SQLite reports it as a full disk.
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    refused = deliver(client, body(entry(ACCOUNT_ID, change("comments", {"id": "1", "text": "x" * 100_000}))))

    assert confirmed.status_code == 200
    assert (refused.status_code, refused.get_json()["code"]) == (503, "delivery_not_kept")
    assert kept(client) == [BODY]


def test_deliveries_that_come_at_once_are_all_kept(gateway, store_settings):
    sent = [body(entry(ACCOUNT_ID, story_insights(str(number)))) for number in range(64)]
    statuses = []

    def send(some):
        own = gateway.application.test_client()
        statuses.extend(deliver(own, each).status_code for each in some)

    threads = [threading.Thread(target=send, args=(sent[start::16],)) for start in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [200] * 64
    assert sorted(kept(gateway, store_settings)) == sorted(sent)


# Around it


def test_no_browser_gets_a_header_for_the_webhook(make_client):
    client = make_client(settings(cors_origins=("*",)))
    origin = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}

    for response in (client.options(PATH, headers=origin), deliver(client, Origin="https://a.example")):
        assert not any(name.startswith("Access-Control") for name, _ in response.headers)


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_other_methods_are_405(client, method):
    assert getattr(client, method)(PATH).status_code == 405


def test_neither_token_nor_signature_nor_payload_is_logged(client, caplog):
    caplog.set_level(logging.DEBUG)
    client.get(PATH, query_string=HANDSHAKE)
    client.get(PATH, query_string=HANDSHAKE | {"hub.verify_token": "something-else"})
    deliver(client)
    deliver(client, secret="forged")

    logged = "\n".join(str(vars(record)) for record in caplog.records)

    assert [vars(record)["status"] for record in caplog.records if record.message == "request"] == [200, 403, 200, 403]
    for secret in (VERIFY_TOKEN, "something-else", signature(BODY, APP_SECRET)[7:], STORY, "story_insights"):
        assert secret not in logged


# What becomes of it


def test_the_newest_delivery_of_each_story_is_what_is_kept_of_it(gateway, store_settings):
    chance = random.Random(11)
    reports = [
        (str(number % 5), chance.choice([-1, 5, 6, 7]), 1_760_000_000 + number)  # story, reach, time
        for number in range(40)
    ]
    sent = [
        body(entry(ACCOUNT_ID, story_insights(f"1802334598901258{story}", reach=reach), time=time))
        for story, reach, time in reports
    ]
    sent += chance.sample(sent, 12)
    chance.shuffle(sent)

    for start in range(0, len(sent), 13):
        assert {deliver(gateway, each).status_code for each in sent[start : start + 13]} == {200}
        gateway.application.extensions["services"].webhook_application.run(seconds=30)

    kept = "SELECT story, value FROM story_numbers WHERE metric = 'reach' AND source = 'webhook'"
    known = {story: reach for story, reach, _ in reports if reach >= 0}  # -1 is unknown, which replaces no number
    assert {str(story)[-1]: value for story, value in query(store_settings, "gateway", kept)} == known


def applied(client, *accounts):
    """The accounts of which a story is kept, after a delivery of each."""
    for account in accounts:
        assert deliver(client, body(entry(account, story_insights(STORY)))).status_code == 200
    client.application.extensions["services"].webhook_application.run(seconds=30)
    return query(store_of(client), "gateway", "SELECT account FROM stories ORDER BY account")


def test_nothing_is_kept_of_a_story_whose_account_was_removed_or_never_added(make_client, clock):
    client = make_client(settings(token_key=new_key(), page_id=""), clock=clock)
    services = client.application.extensions["services"]
    key = client.application.extensions["config"].token_key
    add_account(services.store, key, OTHER_ID)
    clock.wait(2)
    assert applied(client, ACCOUNT_ID, OTHER_ID) == [(ACCOUNT_ID,), (OTHER_ID,)]

    services.store.accounts.remove(OTHER_ID)
    services.store.deletion.of_account(OTHER_ID)
    clock.wait(2)

    assert applied(client, OTHER_ID, "17841400000000099") == [(ACCOUNT_ID,)]


def test_a_story_of_an_account_that_is_added_later_is_kept_then(make_client, clock):
    client = make_client(settings(token_key=new_key(), page_id=""), clock=clock)
    services = client.application.extensions["services"]
    assert applied(client, ACCOUNT_ID, OTHER_ID, THIRD_ID) == [(ACCOUNT_ID,)]
    assert client.get("/status").json["work"]["webhooks"] == {"waiting": 0, "failed": 0}

    add_account(services.store, client.application.extensions["config"].token_key, OTHER_ID)
    services.webhook_application.resume(OTHER_ID)

    assert applied(client) == [(ACCOUNT_ID,), (OTHER_ID,)]
    states = query(store_of(client), "gateway", "SELECT account, state FROM webhook_changes ORDER BY account")
    assert states == [(ACCOUNT_ID, "applied"), (OTHER_ID, "applied"), (THIRD_ID, "kept")]


def test_a_story_is_kept_of_an_account_that_is_added_while_its_delivery_is_applied(make_client, clock, monkeypatch):
    client = make_client(settings(token_key=new_key(), page_id=""), clock=clock)
    services = client.application.extensions["services"]
    table, set_aside = services.store.webhooks, services.store.webhooks.set_aside

    def added_meanwhile(pending):
        add_account(services.store, client.application.extensions["config"].token_key, OTHER_ID)
        services.webhook_application.resume(OTHER_ID)
        set_aside(pending)

    monkeypatch.setattr(table, "set_aside", added_meanwhile)

    assert applied(client, OTHER_ID) == [(OTHER_ID,)]


def test_a_story_is_kept_while_the_id_of_the_account_of_the_settings_is_not_known(make_client, clock):
    client = make_client(settings(instagram_account_id="", page_id="555"), clock=clock)

    assert applied(client, OTHER_ID) == [(OTHER_ID,)]


def test_a_body_that_waits_for_room_is_read_as_soon_as_another_one_gives_it_back():
    room = receiving.Room(10)
    room.acquire(10, within=0)
    threading.Timer(0.05, room.give_back, (10,)).start()

    began = time.monotonic()
    assert room.acquire(10, within=30)
    assert time.monotonic() - began < 15
