"""Events reach the receiver over real sockets, signed, at least once, and are given up in the end."""

from __future__ import annotations

import re
import signal
import time

import pytest
import responses

from config import Config
from services.clients.http import RECEIVER, Transport
from services.clients.notification_receiver import ReceiverClient
from services.clients.notification_signature import signature
from services.clock import Clock
from services.notifications.delivery import RETRY_DELAYS, NotificationDelivery
from services.notifications.events import EVENTS, Event
from services.notifications.notifications import Notifications
from services.store import notifications as outbox
from services.store.store import Store
from services.wiring.provider_clients import receiver_client
from tests.movable_clock import MovableClock
from tests.notifications.receiver import HIDDEN, KEY, SECRET
from tests.stores import new_store, query
from tests.support import ROOT, errors_of, free_port, new_instance, start_worker, utc

ACCOUNT = "17841400000000001"
HOUR = 3600.0


@pytest.fixture
def sandbox(store_settings):
    """The store as a sandbox sees it, and the settings of its workers without a simulator."""
    settings = store_settings | {"PROVIDERS": "sandbox", "SIMULATOR_PORT": str(free_port())}
    store = Store.open(settings.get("DATABASE_URL", ""), settings.get("INSTANCE_PATH", ""), mode="sandbox")
    yield store, settings
    store.close()


@pytest.fixture
def worker(watch):
    """Start workers; what they wrote is watched, and must not name the receiver's path or the secret."""
    started = []

    def start(settings):
        started.append(start_worker(settings))
        return started[-1]

    yield start
    for process in started:
        process.stop()
        written = process.output.read_text()
        watch.seen.append(written)
        assert HIDDEN not in written
        assert SECRET not in written
        assert errors_of(process) == []


def put(store, event=Event.TOKEN_EXPIRING, data=None, *, clock=None, **more):
    """Put an event about the account, unless it is about a creator."""
    notifications = Notifications(store.notifications, wanted=EVENTS, mode="sandbox", clock=clock or Clock())
    subject = {} if "creator" in more else {"account": ACCOUNT}
    notifications.put(event, data or {}, **subject, **more)


def wait_until(is_so, seconds=20):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_workers_share_the_events_and_one_that_is_killed_during_a_delivery_loses_none(sandbox, receiver, worker):
    store, settings = sandbox
    for number in range(40):
        put(store, data={"number": number, "text": "\u00e9\u4e16"})
    workers = [worker(settings | receiver.settings) for _ in range(2)]
    receiver.wait_for(40)

    wait_until(lambda: store.notifications.counts() == (0, 0))
    each_once = list(receiver.ids)
    receiver.holds.clear()
    put(store, Event.TOKEN_DEAD)
    receiver.wait_for(41)
    (holder,) = query(
        settings,
        "gateway",
        "SELECT pid FROM workers WHERE holder IN (SELECT holder FROM jobs WHERE kind = 'notifications')",
    )
    (killed,) = (process for process in workers if process.popen.pid == holder[0])
    killed.popen.send_signal(signal.SIGKILL)
    killed.popen.wait()
    receiver.holds.set()
    before = store.notifications.counts()
    query(settings, "gateway", "UPDATE jobs SET lease_until = 1")  # as if ten seconds had passed
    receiver.wait_for(42)
    wait_until(lambda: store.notifications.counts() == (0, 0))

    assert len(each_once) == len(set(each_once)) == 40
    first = receiver.events[0]
    assert first["data"] == {"account": ACCOUNT, "number": first["data"]["number"], "text": "\u00e9\u4e16"}
    assert (first["type"], first["mode"]) == ("token.expiring", "sandbox")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first["timestamp"])
    assert re.fullmatch(r"msg_[0-9a-f]{32}", each_once[0])
    assert receiver.seen[0]["Content-Type"] == "application/json"
    assert before == (1, 0)
    assert receiver.ids[40] == receiver.ids[41]


@pytest.fixture
def clock():
    return MovableClock(utc("2026-06-15T18:00:00"))


@pytest.fixture
def delivery(store, receiver, clock):
    return delivery_to(store, receiver, clock)


def delivery_to(store, receiver, clock):
    """What the worker's job does, with a receiver that has half a second to answer."""
    receiver.now = clock.timestamp
    transport = Transport(RECEIVER, connect_timeout=0.5, read_timeout=0.25, connections=1, clock=Clock())
    client = ReceiverClient(transport, receiver.url, [SECRET])
    return NotificationDelivery(store.notifications, client, clock=clock, randomness=lambda: 0.0)


def due_in(store, clock):
    (event,) = store.notifications.listed(2)
    return None if event.due_at is None else event.due_at - clock.timestamp()


def test_a_failed_delivery_is_repeated_with_growing_waits_for_three_days_and_then_given_up(
    store, receiver, clock, delivery
):
    put(store, clock=clock)
    receiver.answers = [(500, {}, b"")] * 20
    began, waits = clock.timestamp(), []

    while (wait := due_in(store, clock)) is not None:
        clock.wait(wait)
        assert delivery.run(seconds=5) == 1
        waits.append(wait)

    assert waits == [0.0, *RETRY_DELAYS]
    assert 3 * 24 * HOUR < clock.timestamp() - began < 4 * 24 * HOUR
    assert len(set(receiver.ids)) == 1
    assert delivery.run(seconds=5) == 0
    (event,) = store.notifications.listed(2)
    assert (event.failure, event.attempts) == ("http_500", 10)
    assert store.notifications.counts() == (0, 1)


def test_events_that_wait_or_were_given_up_are_delivered_when_they_are_sent_again(store, receiver, clock, delivery):
    put(store, clock=clock)
    put(store, clock=clock)
    receiver.answers = [(410, {}, b""), (500, {}, b"")]
    delivery.run(seconds=5)
    before = store.notifications.counts()

    resent = store.notifications.resend((), clock.timestamp())
    attempts = [event.attempts for event in store.notifications.listed(2)]
    delivery.run(seconds=5)

    assert (before, resent, attempts, store.notifications.counts()) == ((1, 1), 2, [0, 0], (0, 0))
    assert len(receiver.ids) == 2 * len(set(receiver.ids))


@pytest.mark.parametrize(
    "case",
    [
        ((300, {}, b""), "http_300"),
        ((302, {"Location": "/elsewhere"}, b""), "http_302"),
        ((404, {}, b"{}"), "http_404"),
        ((500, {}, b"x" * 10_000_000), "http_500"),
        ((200, {"X-Large": "x" * 60_000, "X-Larger": "x" * 60_000}, b""), "receiver_failed"),
    ],
    ids=["choices", "redirect", "not found", "error with a huge body", "huge head"],
)
def test_an_answer_that_is_no_acceptance_is_a_failure(store, receiver, clock, delivery, case):
    answer, failure = case
    put(store, clock=clock)
    receiver.answers = [answer]

    delivery.run(seconds=5)

    (event,) = store.notifications.listed(2)
    assert (event.failure, due_in(store, clock)) == (failure, RETRY_DELAYS[0])
    assert len(receiver.ids) == 1  # The redirect was not followed.


def test_an_acceptance_counts_whatever_its_body(store, receiver, clock, delivery):
    put(store, clock=clock)
    receiver.answers = [(200, {}, b"x" * 10_000_000)]
    began = time.monotonic()

    delivery.run(seconds=5)

    assert store.notifications.counts() == (0, 0)
    assert time.monotonic() - began < 2


def test_a_slow_receiver_is_not_waited_for(store, receiver, clock, delivery):
    put(store, clock=clock)
    receiver.waits = 1.0
    began = time.monotonic()

    delivery.run(seconds=5)

    assert time.monotonic() - began < 0.9
    assert store.notifications.listed(2)[0].failure == "receiver_timeout"


@responses.activate
def test_a_receiver_has_ten_seconds_to_answer():
    settings = {"NOTIFY_URL": "https://receiver.example/x", "NOTIFY_SECRET": SECRET, "INSTANCE_PATH": new_instance()}
    config = Config.from_env(settings)
    responses.add("POST", config.notify_url, status=204)

    outcome = receiver_client(config, Clock()).post_event("msg_1", "{}", at=1.0)

    assert outcome.status == 204
    assert responses.calls[0].request.req_kwargs["timeout"] == (3.05, 10.0)


def test_a_time_for_a_whole_answer_is_kept_to_whatever_the_time_for_a_read(store, receiver, clock):
    put(store, clock=clock)
    receiver.now = clock.timestamp
    receiver.holds.clear()
    transport = Transport(
        RECEIVER, connect_timeout=5, read_timeout=60, answer_timeout=0.25, connections=1, clock=Clock()
    )
    client = ReceiverClient(transport, receiver.url, [SECRET])

    NotificationDelivery(store.notifications, client, clock=clock, randomness=lambda: 0.0).run(seconds=5)

    assert store.notifications.listed(2)[0].failure == "receiver_timeout"


def test_a_receiver_that_is_down_gets_the_event_when_it_is_back(store, receiver, clock, delivery):
    put(store, clock=clock)
    down = f"http://127.0.0.1:{free_port()}/"
    transport = Transport(RECEIVER, connect_timeout=0.5, read_timeout=0.25, connections=1, clock=Clock())
    client = ReceiverClient(transport, down, [SECRET])
    NotificationDelivery(store.notifications, client, clock=clock, randomness=lambda: 0.0).run(seconds=5)
    failure = store.notifications.listed(2)[0].failure

    clock.wait(RETRY_DELAYS[0])
    delivery.run(seconds=5)

    assert (failure, len(receiver.ids), store.notifications.counts()) == ("receiver_unreachable", 1, (0, 0))


@pytest.mark.parametrize("case", [("3600", HOUR), ("1", RETRY_DELAYS[0])])
def test_a_receiver_may_name_a_longer_wait_but_no_shorter_one(store, receiver, clock, delivery, case):
    named, wait = case
    put(store, clock=clock)
    receiver.answers = [(503, {"Retry-After": named}, b"")]

    delivery.run(seconds=5)

    assert due_in(store, clock) == wait


def test_the_oldest_events_are_given_up_where_too_many_wait(store, clock, monkeypatch, caplog):
    monkeypatch.setattr(outbox, "MAX_WAITING", 3)
    monkeypatch.setattr(outbox, "MAX_GIVEN_UP", 4)
    for number in range(10):
        put(store, data={"number": number}, clock=clock)
        clock.wait(1)

    listed = store.notifications.listed(20)

    waiting = [event.body for event in listed if event.due_at is not None]
    assert [re.search(r'"number": (\d)', body)[1] for body in waiting] == ["9", "8", "7"]
    assert {event.failure for event in listed if event.due_at is None} == {"too_many_waiting"}
    assert store.notifications.counts() == (3, 4)
    assert caplog.text.count("Too many events wait") == 7


def test_a_body_that_is_too_large_is_a_mistake_and_nothing_is_kept(store, clock):
    with pytest.raises(ValueError, match="too large"):
        put(store, data={"text": "x" * 16 * 1024}, clock=clock)

    assert store.notifications.counts() == (0, 0)


def test_after_its_seconds_a_run_begins_no_further_delivery(store, receiver, clock, delivery):
    for _ in range(3):
        put(store, clock=clock)

    assert [delivery.run(seconds=0) for _ in range(4)] == [1, 1, 1, 0]


def test_a_worker_that_was_suspended_during_its_attempt_changes_nothing(store, clock):
    put(store, clock=clock)
    now = clock.timestamp()
    (event,) = store.notifications.due(now, 1)
    store.notifications.failed(event, "http_500", now, due_at=now + 5)

    store.notifications.failed(event, "receiver_timeout", now, due_at=None)

    (kept,) = store.notifications.listed(1)
    assert (kept.failure, kept.attempts, kept.due_at) == ("http_500", 1, now + 5)


def test_an_event_that_was_given_up_during_an_attempt_does_not_wait_again(store, clock, monkeypatch):
    monkeypatch.setattr(outbox, "MAX_WAITING", 1)
    put(store, clock=clock)
    now = clock.timestamp()
    (event,) = store.notifications.due(now, 1)
    clock.wait(1)
    put(store, clock=clock)

    store.notifications.failed(event, "http_500", now, due_at=now + 5)

    assert store.notifications.counts() == (1, 1)


def test_an_event_that_was_given_up_during_an_attempt_that_delivers_it_is_delivered(store, clock, monkeypatch):
    monkeypatch.setattr(outbox, "MAX_WAITING", 1)
    put(store, clock=clock)
    (event,) = store.notifications.due(clock.timestamp(), 1)
    clock.wait(1)
    put(store, clock=clock)
    assert store.notifications.counts() == (1, 1)

    store.notifications.delivered(event, clock.timestamp())

    assert store.notifications.counts() == (1, 0)
    assert event.id not in {each.id for each in store.notifications.listed(9)}


@pytest.mark.parametrize(("attempts", "status"), [(2**31 - 1, 204), (2**31 - 1, 500), (-100, 204), (-100, 500)])
def test_an_event_with_a_number_of_attempts_that_none_can_be_stands_before_no_other(
    store, receiver, clock, attempts, status
):
    delivery = delivery_to(store, receiver, clock)
    put(store, clock=clock)
    with store.databases[1].write() as connection:
        connection.exec_driver_sql(f"UPDATE notifications SET attempts = {attempts}")
    clock.wait(1)
    put(store, Event.TOKEN_DEAD, clock=clock)
    receiver.answers = [(status, {}, b"")]

    tried = [delivery.run(seconds=5), delivery.run(seconds=5)]

    assert tried == [2, 0]
    assert [event["type"] for event in receiver.events] == ["token.expiring", "token.dead"]


def test_an_event_whose_id_is_no_utf_8_is_not_delivered_again_and_again(receiver, clock):
    with new_store("sqlite") as settings:
        store = Store.open("", settings["INSTANCE_PATH"], mode="sandbox")
        put(store, clock=clock)
        query(settings, "gateway", "UPDATE notifications SET id = CAST(id || x'ff' AS TEXT)")
        put(store, Event.TOKEN_DEAD, clock=clock)
        delivery = delivery_to(store, receiver, clock)

        tried = [delivery.run(seconds=5), delivery.run(seconds=5)]
        store.close()

    assert tried == [1, 0]
    assert [event["type"] for event in receiver.events] == ["token.dead"]


def test_old_events_are_deleted(store, receiver, clock, delivery):
    put(store, clock=clock)
    delivery.run(seconds=5)
    put(store, clock=clock)
    receiver.answers = [(410, {}, b"")]
    delivery.run(seconds=5)
    put(store, clock=clock)

    kept = []
    for days in (6, 2, 21, 2):
        clock.wait(days * 24 * HOUR)
        store.notifications.sweep(clock.timestamp())
        with store.databases[1].read() as connection:
            kept.append(connection.exec_driver_sql("SELECT count(*) FROM notifications").scalar())

    assert kept == [3, 2, 2, 1]


def test_events_of_an_account_go_with_it(store, clock):
    put(store, clock=clock)
    put(store, Event.REPORT_READY, clock=clock, creator="nasa")

    store.deletion.of_account(ACCOUNT)

    assert [event.creator for event in store.notifications.listed(5)] == ["nasa"]


def test_the_verification_of_the_documents_accepts_what_is_sent_and_nothing_else():
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    namespace = {}
    exec(code, namespace)
    verify, now, body = namespace["verify"], int(time.time()), b'{"type": "test"}'

    def headers(at, key=KEY, id_="msg_1"):
        other = signature(bytes(24), id_, at, body)
        return {
            "webhook-id": id_,
            "webhook-timestamp": str(at),
            "webhook-signature": f"{other} {signature(key, id_, at, body)}",
        }

    assert verify(SECRET, headers(now), body)
    assert not verify(SECRET, headers(now), body + b" ")
    assert not verify(SECRET, headers(now) | {"webhook-id": "msg_2"}, body)
    assert not verify(SECRET, headers(now, key=bytes(32)), body)
    assert not verify(SECRET, headers(now - 301), body)
    assert not verify(SECRET, headers(now + 301), body)
    assert not verify(SECRET, headers(now) | {"webhook-timestamp": "soon"}, body)
