"""Deliveries become changes, each of which is applied once, whatever order, shape and faults they come with."""

from __future__ import annotations

import json
import random
import re
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from services.cache.policies import WEBHOOK_KEPT_FOR
from services.store import webhooks
from services.store.database import DatabaseUnavailableError, StatementRefusedError
from services.store.store import Store
from services.webhooks.application import (
    APPLIED_AT_ONCE,
    FIRST_RETRY_DELAY,
    MAX_CHANGE_ATTEMPTS,
    AccountGoneError,
    WebhookApplication,
)
from services.webhooks.parsing import read
from tests.deliveries import body, change, entry, story_insights
from tests.movable_clock import MovableClock
from tests.stores import query
from tests.support import new_instance, utc

ACCOUNT, OTHER = "17841400000000001", "17841400000000002"
T = 1_760_000_000
NOW = utc("2026-06-15T18:00:00").timestamp()


class Book:
    """A handler that keeps the newest value of each media, and notes every call."""

    def __init__(self):
        self.calls = []
        self.newest = {}
        self.failure = None

    def __call__(self, change):
        self.calls.append(change)
        if self.failure is not None:
            raise self.failure
        key = change.account, change.value["media_id"]
        if key not in self.newest or self.newest[key][0] <= change.time:
            self.newest[key] = change.time, change.value["reach"]


class Bench:
    """A table, a handler for story insights, and a clock that a test moves."""

    def __init__(self, store, settings):
        self.settings = settings
        self.table = store.webhooks
        self.clock = MovableClock(datetime.fromtimestamp(NOW, UTC))
        self.book = Book()
        self.application = WebhookApplication(self.table, {"story_insights": self.book}, clock=self.clock)

    def bring(self, *bodies):
        for each in bodies:
            self.clock.wait(0.001)
            self.table.keep(each, signed_by="facebook", received_at=self.clock.timestamp())
        return self.application.run(seconds=60)

    def rows(self, columns="account, field, state", where="1 = 1"):
        return query(self.settings, "gateway", f"SELECT {columns} FROM webhook_changes WHERE {where} ORDER BY time")

    def failures(self):
        return [row[0] for row in query(self.settings, "gateway", "SELECT failure FROM webhook_deliveries")]


@pytest.fixture
def on_each_engine(store, store_settings):
    return Bench(store, store_settings)


@pytest.fixture
def bench():
    folder = new_instance()
    store = Store.open("", folder, mode="live")
    yield Bench(store, {"INSTANCE_PATH": folder})
    store.close()


def reach(number, *, media="5", time=T, account=ACCOUNT):
    return body(entry(account, story_insights(media, reach=number), time=time))


# Once


def test_a_change_is_applied_once(on_each_engine):
    bench = on_each_engine

    assert bench.bring(reach(17), reach(17), reach(17)) == 2
    assert bench.application.run(seconds=60) == 0
    assert bench.bring(reach(17) + b" ") == 1

    (call,) = bench.book.calls
    assert (call.account, call.field, call.value["reach"], call.time) == (ACCOUNT, "story_insights", 17, T)
    assert bench.rows("state, attempts, failure") == [("applied", 0, None)]


def test_a_duplicate_in_another_delivery_or_another_order_of_keys_is_one(bench):
    value = story_insights("5", reach=3)["value"]
    turned = dict(reversed(value.items()))
    both = entry(ACCOUNT, change("story_insights", turned), change("story_insights", value), change("comments", {}))

    bench.bring(body(entry(ACCOUNT, change("story_insights", value))), body(both))

    assert len(bench.book.calls) == 1


def test_account_field_and_value_tell_changes_apart(bench):
    bench.bring(reach(1), reach(2), reach(1, account=OTHER), body(entry(ACCOUNT, change("else", {"media_id": "5"}))))

    assert len(bench.book.calls) == 3
    assert len(bench.rows()) == 4


def test_a_thousand_changes_of_one_delivery_are_applied(on_each_engine):
    changes = [story_insights(str(number), reach=number) for number in range(1000)]

    on_each_engine.bring(body(entry(ACCOUNT, *changes[:400]), entry(OTHER, *changes[400:])))

    assert sorted(call.value["reach"] for call in on_each_engine.book.calls) == list(range(1000))


def test_a_run_ends_after_its_time_and_the_next_one_goes_on(bench):
    changes = [story_insights(str(number), reach=number) for number in range(APPLIED_AT_ONCE + 10)]
    bench.table.keep(body(entry(ACCOUNT, *changes)), signed_by="facebook", received_at=bench.clock.timestamp())

    assert [bench.application.run(seconds=0) for _ in range(3)] == [1 + APPLIED_AT_ONCE, 10, 0]


# Disorder


def test_the_newest_time_wins_in_every_order(bench):
    deliveries = [reach(number, media=str(number % 7), time=T + number) for number in range(60)]
    random.Random(5).shuffle(deliveries)

    for start in range(0, 60, 9):
        bench.bring(*deliveries[start : start + 9])
        times = [call.time for call in bench.book.calls[start:]]
        assert times == sorted(times)

    assert {media: value for (_, media), (_, value) in bench.book.newest.items()} == {
        str(number % 7): number for number in range(53, 60)
    }
    assert len(bench.book.calls) == 60


def test_of_equal_changes_that_are_read_at_once_the_newest_time_counts(bench):
    bench.bring(reach(10, time=T + 9), reach(10, time=T))

    assert bench.rows("time, state") == [(T + 9, "applied")]
    assert [call.time for call in bench.book.calls] == [T + 9]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1), (2, 0, 1), (1, 0, 2)])
def test_a_value_that_comes_back_wins_by_its_newer_time(bench, order):
    deliveries = [reach(10, time=T), reach(20, time=T + 5), reach(10, time=T + 9)]

    for number in order:
        bench.bring(deliveries[number])

    assert bench.book.newest == {(ACCOUNT, "5"): (T + 9, 10)}


def test_a_change_that_becomes_newer_while_it_is_applied_is_applied_again(bench):
    times = []

    def apply(change):
        if not times:
            bench.table.keep(reach(10, time=T + 5), signed_by="facebook", received_at=T + 5)
            arrived = [read(delivery) for delivery in bench.table.unread(9)]
            bench.table.enter(arrived, applicable={"story_insights"}, now=bench.clock.timestamp())
        times.append(change.time)

    bench.application = WebhookApplication(bench.table, {"story_insights": apply}, clock=bench.clock)
    bench.bring(reach(10, time=T))

    assert times == [T, T + 5]
    assert bench.rows("state, time") == [("applied", T + 5)]


def test_a_change_that_becomes_newer_during_the_last_attempt_of_the_older_one_is_not_given_up_with_it(bench):
    times = []

    def fail(change):
        times.append(change.time)
        if len(times) == MAX_CHANGE_ATTEMPTS:
            bench.table.keep(reach(10, time=T + 5), signed_by="facebook", received_at=T + 5)
            arrived = [read(delivery) for delivery in bench.table.unread(9)]
            bench.table.enter(arrived, applicable={"story_insights"}, now=bench.clock.timestamp())
        if change.time == T:
            raise ValueError("odd")

    bench.application = WebhookApplication(bench.table, {"story_insights": fail}, clock=bench.clock)
    bench.bring(reach(10, time=T))
    for _ in range(2 * MAX_CHANGE_ATTEMPTS):
        bench.clock.wait(86_400 / MAX_CHANGE_ATTEMPTS)
        bench.application.run(seconds=60)

    assert times == [T] * MAX_CHANGE_ATTEMPTS + [T + 5]
    assert bench.rows("state, time") == [("applied", T + 5)]


def test_a_failed_change_that_comes_again_has_all_its_attempts(bench):
    bench.book.failure = ValueError("odd")
    bench.bring(reach(10, time=T))
    bench.bring(reach(10, time=T + 5))

    assert bench.rows("state, attempts, time") == [("pending", 1, T + 5)]


def test_a_duplicate_with_an_older_time_changes_nothing_and_one_with_a_newer_time_is_applied(bench):
    bench.bring(reach(10, time=T))
    bench.bring(reach(10, time=T - 5))
    assert [call.time for call in bench.book.calls] == [T]

    bench.bring(reach(10, time=T + 5))
    assert [call.time for call in bench.book.calls] == [T, T + 5]
    assert bench.rows("time, state") == [(T + 5, "applied")]


# Shapes


def test_field_and_value_may_be_in_the_entry_itself(bench):
    bench.bring(body({"id": ACCOUNT, "time": T, **story_insights("5", reach=4)}))

    (call,) = bench.book.calls
    assert (call.account, call.value["media_id"], call.time) == (ACCOUNT, "5", T)


def test_both_shapes_in_one_entry_are_both_read(bench):
    bench.bring(body(entry(ACCOUNT, story_insights("5")) | story_insights("6")))

    assert [call.value["media_id"] for call in bench.book.calls] in (["5", "6"], ["6", "5"])


@pytest.mark.parametrize("depth", [60, 100_000])
def test_what_is_nested_too_deep_is_cut_out_and_the_rest_is_applied(bench, depth):
    deep = b'{"media_id": "6", "text": "}]{[ \\"", "deep": ' + b'[{"a":' * depth + b"1" + b"}]" * depth + b', "n": 2}'
    sent = body(entry(ACCOUNT, change("x", "DEEP"), story_insights("5", reach=4))).replace(b'"DEEP"', deep)

    bench.bring(sent)

    assert [call.value["reach"] for call in bench.book.calls] == [4]
    ((value,),) = bench.rows("value", "field = 'x'")
    kept = json.loads(value)
    assert (kept["media_id"], kept["text"], kept["n"]) == ("6", '}]{[ "', 2)
    assert bench.failures() == ["1 x A part is nested too deep."]


def test_a_number_of_thousands_of_digits_is_kept_and_takes_no_other_change_with_it(bench):
    sent = body(entry(ACCOUNT, change("x", "MANY"), story_insights("5", reach=4))).replace(b'"MANY"', b"9" * 5000)

    bench.bring(sent)

    assert [call.value["reach"] for call in bench.book.calls] == [4]
    assert json.loads(bench.rows("value", "field = 'x'")[0][0]) == "9" * 5000


def test_what_is_unknown_is_kept_as_it_is(bench):
    value = {"text": "sch\u00f6n \U0001f389", "half": "\ud83d", "zero": "a\x00b", "deep": [[{"x": None}]], "n": -1.5}
    bench.bring(body(entry(ACCOUNT, change("a_field_of_tomorrow", value), change("x", None), change("y" * 500, [1]))))

    found = {row[0][:19]: json.loads(row[1]) for row in bench.rows("field, value")}
    assert found == {"a_field_of_tomorrow": value, "x": None, "y" * 19: [1]}
    assert {row[2] for row in bench.rows()} == {"kept"}
    assert bench.book.calls == []


def test_odd_texts_are_kept_on_each_engine(on_each_engine):
    odd = {"half": "\ud83d", "zero": "a\x00b", "id": "\x00\ud83d"}

    on_each_engine.bring(body(entry(ACCOUNT, change("\x00\ud83d", odd), story_insights("5"))))

    assert len(on_each_engine.book.calls) == 1
    assert len(on_each_engine.rows()) == 2


@pytest.mark.parametrize(
    "broken",
    [
        None,
        7,
        "entry",
        [],
        {},
        {"id": ACCOUNT},
        {"id": ACCOUNT, "changes": None},
        {"id": ACCOUNT, "changes": "none"},
        {"id": ACCOUNT, "changes": [None, 3, [], {}, {"field": "story_insights"}, {"field": 3, "value": 1}]},
        {"id": None, "changes": [story_insights("6")]},
        {"id": True, "changes": [story_insights("6")]},
        {"id": "../x", "changes": [story_insights("6")]},
        {"changes": [story_insights("6")]},
        {"id": ACCOUNT, "field": "", "value": 1},
        json.loads('{"a": ' * 60 + "1" + "}" * 60),
        {"id": ACCOUNT, "field": "story_insights"},
    ],
)
def test_a_malformed_entry_does_not_take_its_siblings(bench, broken):
    bench.bring(body(entry(ACCOUNT, story_insights("5", reach=1)), broken, entry(OTHER, story_insights("5", reach=2))))

    assert [call.value["reach"] for call in bench.book.calls] in ([1, 2], [2, 1])
    assert bench.failures()[0]


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"not JSON",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"object": "instagram"}',
        b'{"object": "instagram", "entry": {}}',
        b'{"object": "instagram", "entry": ' + b"[" * 100_000,
        b'{"object": "instagram", "entry": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"object": "instagram", "entry": [' + b"9" * 5000 + b"]}",
        body(entry(ACCOUNT, story_insights("6")), object_="page"),
        body(entry(ACCOUNT, story_insights("6")), object_=None),
    ],
)
def test_a_delivery_that_is_none_delays_no_other(bench, sent):
    bench.bring(sent, reach(17))

    assert len(bench.book.calls) == 1
    assert len([failure for failure in bench.failures() if failure]) == 1
    assert bench.table.unread(10) == []


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        *((T, T), (T + 0.5, T + 0.5), (str(T), T), (T * 1000, T), (f"{T * 1000}", T)),
        *((each, None) for each in (0, -5, None, True, "soon", 1e300, 10**400, [], float("nan"))),
        *((each, None) for each in (1, "86400", 1_262_303_999, NOW + 86_401, 4_000_000_000, 4_000_000_000_000)),
        *((each, each) for each in (1_262_304_000, NOW + 86_400)),
    ],
)
def test_a_time_is_read_in_seconds_and_milliseconds_and_else_is_that_of_the_delivery(bench, time, seconds):
    bench.bring(reach(17, time=time))

    (call,) = bench.book.calls
    assert call.time == (bench.clock.timestamp() if seconds is None else seconds)


def test_what_waits_and_what_failed_is_counted_without_reading_what_is_only_kept(bench):
    statements, plans = [], []

    def note(_connection, _cursor, statement, parameters, *_):
        statements.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        bench.table.counts()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    with closing(sqlite3.connect(Path(bench.settings["INSTANCE_PATH"]) / "gateway.db")) as database:
        for statement, parameters in statements:
            plans += [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]

    used = [re.search(r"^SEARCH .* INDEX (\w+) \(mode=\?.*\)$", plan)[1] for plan in plans]
    assert used == ["webhook_deliveries_by_read_at", "webhook_changes_by_due_at", "webhook_changes_failed"]


def test_a_change_is_resumed_whose_account_is_added_while_it_is_being_set_aside(on_each_engine):
    bench = on_each_engine
    bench.book.failure = AccountGoneError()
    resume = threading.Thread(target=bench.application.resume, args=(ACCOUNT,))

    def add_account(_connection, _cursor, statement, *_):
        if "FROM accounts" in statement and resume.ident is None:
            bench.book.failure = None
            resume.start()  # Its row is locked now, so it waits until the change is set aside, longer than here.
            resume.join(0.3)

    event.listen(Engine, "after_cursor_execute", add_account)
    try:
        bench.bring(reach(17))
    finally:
        event.remove(Engine, "after_cursor_execute", add_account)
    resume.join(10)
    bench.application.run(seconds=60)

    assert bench.rows("state") == [("applied",)]


def test_an_id_may_be_a_number(bench):
    bench.bring(reach(17, account=int(ACCOUNT)))

    assert bench.book.calls[0].account == ACCOUNT


# Failures


def test_a_change_that_fails_is_applied_later_and_delays_no_other(bench):
    failing = Book()
    failing.failure = KeyError("reach")
    bench.application = WebhookApplication(
        bench.table, {"story_insights": bench.book, "broken": failing}, clock=bench.clock
    )

    bench.bring(body(entry(ACCOUNT, change("broken", {"media_id": "5", "reach": 1}), story_insights("5"))))
    bench.application.run(seconds=60)

    assert (len(failing.calls), len(bench.book.calls)) == (1, 1)
    assert bench.rows("state, attempts, failure", "field = 'broken'") == [("pending", 1, "KeyError")]
    failing.failure = None
    bench.clock.wait(FIRST_RETRY_DELAY - 1)
    bench.application.run(seconds=60)
    assert len(failing.calls) == 1
    bench.clock.wait(1)
    bench.application.run(seconds=60)
    assert bench.rows("state, failure", "field = 'broken'") == [("applied", None)]


@pytest.mark.parametrize("failure", [ValueError("odd"), StatementRefusedError("too long")])
def test_a_change_that_never_works_is_given_up_and_counted(bench, failure):
    bench.book.failure = failure
    bench.bring(reach(17))
    for _ in range(2 * MAX_CHANGE_ATTEMPTS):
        bench.clock.wait(86_400 / MAX_CHANGE_ATTEMPTS)
        bench.application.run(seconds=60)

    assert len(bench.book.calls) == MAX_CHANGE_ATTEMPTS
    assert bench.table.counts() == (0, 1)


def test_a_change_that_fails_is_tried_again_later_and_later_up_to_six_hours(bench):
    bench.book.failure = ValueError("refused")
    bench.bring(reach(17))
    waits = []
    while bench.table.counts().waiting:
        [(due_at,)] = bench.rows("due_at")
        waits.append(due_at - bench.clock.timestamp())
        bench.clock.wait(waits[-1] + 0.001)
        bench.application.run(seconds=60)

    assert waits == pytest.approx([120, 240, 480, 960, 1920, 3840, 7680, 15360, 6 * 3600], abs=0.01)


def test_a_database_that_is_unavailable_costs_no_attempt(bench):
    bench.book.failure = DatabaseUnavailableError("away")
    for _ in range(2 * MAX_CHANGE_ATTEMPTS):
        with pytest.raises(DatabaseUnavailableError):
            bench.bring(reach(17))

    bench.book.failure = None
    bench.application.run(seconds=60)

    assert bench.book.newest
    assert bench.rows("state, attempts") == [("applied", 0)]


# Retention


def test_what_is_applied_or_kept_is_deleted_after_its_time_and_what_waits_is_not(on_each_engine):
    bench = on_each_engine
    bench.book.failure = ValueError("odd")
    bench.bring(reach(18))
    bench.book.failure = None
    bench.bring(reach(17), body(entry(ACCOUNT, change("comments", {"id": "1"}))))
    bench.clock.wait(WEBHOOK_KEPT_FOR - 60)
    bench.application.sweep()
    assert query(bench.settings, "gateway", "SELECT COUNT(*) FROM webhook_deliveries") == [(3,)]
    assert len(bench.rows()) == 3

    bench.clock.wait(120)
    for received_at in (T - 10 * WEBHOOK_KEPT_FOR, bench.clock.timestamp()):
        bench.table.keep(f"unread of {received_at}".encode(), signed_by="facebook", received_at=received_at)

    bench.application.sweep()

    assert bench.rows("field, state, attempts") == [("story_insights", "pending", 1)]
    assert len(bench.table.unread(9)) == 2
    assert query(bench.settings, "gateway", "SELECT COUNT(*) FROM webhook_deliveries") == [(2,)]


def test_old_deliveries_and_changes_are_listed_and_deleted_part_by_part(on_each_engine, monkeypatch):
    bench = on_each_engine
    monkeypatch.setattr(webhooks, "LISTED_AT_ONCE", 2)
    bench.bring(*(reach(number) for number in range(5)))
    bench.clock.wait(WEBHOOK_KEPT_FOR + 60)
    listed = []
    whole = webhooks.chunks

    def counted(values):
        values = list(values)
        listed.append(len(values))
        return whole(values)

    monkeypatch.setattr(webhooks, "chunks", counted)
    bench.application.sweep()

    assert listed == [2, 2, 1, 2, 2, 1]
    assert bench.rows() == []
    assert query(bench.settings, "gateway", "SELECT COUNT(*) FROM webhook_deliveries") == [(0,)]


def test_old_rows_that_cannot_be_deleted_are_not_listed_for_ever(bench, monkeypatch):
    monkeypatch.setattr(webhooks, "LISTED_AT_ONCE", 2)
    bench.bring(reach(1), reach(2))
    with closing(sqlite3.connect(Path(bench.settings["INSTANCE_PATH"]) / "gateway.db")) as database, database:
        database.execute("UPDATE webhook_changes SET digest = CAST(x'ff' || digest AS TEXT)")
    bench.clock.wait(WEBHOOK_KEPT_FOR + 60)
    whole, rounds = webhooks.chunks, iter(range(10))

    def counted(values):
        next(rounds)  # Raises where the sweep does not end.
        return whole(values)

    monkeypatch.setattr(webhooks, "chunks", counted)
    bench.application.sweep()

    assert query(bench.settings, "gateway", "SELECT COUNT(*) FROM webhook_changes") == [(2,)]
    assert query(bench.settings, "gateway", "SELECT COUNT(*) FROM webhook_deliveries") == [(0,)]


def test_a_change_that_comes_again_while_old_ones_are_deleted_stays(bench, monkeypatch):
    bench.bring(reach(17, time=T))
    bench.clock.wait(WEBHOOK_KEPT_FOR + 60)

    parts = []

    def come_again(values):
        values = list(values)
        parts.append(values)
        if len(parts) == 2:  # The first are deliveries.
            bench.table.keep(reach(17, time=T + 5), signed_by="facebook", received_at=bench.clock.timestamp())
            arrived = [read(delivery) for delivery in bench.table.unread(9)]
            bench.table.enter(arrived, applicable={"story_insights"}, now=bench.clock.timestamp())
        return [values]

    monkeypatch.setattr(webhooks, "chunks", come_again)
    bench.application.sweep()

    assert bench.rows("state, time") == [("pending", T + 5)]


def test_what_is_deleted_of_an_account_are_deliveries_that_were_read(bench, monkeypatch):
    monkeypatch.setattr(webhooks, "FORGOTTEN_AT_ONCE", 2)
    bench.bring(reach(18, account="another"), *(reach(number) for number in range(6)))
    bench.table.keep(reach(19), signed_by="facebook", received_at=bench.clock.timestamp())

    assert bench.table.forget(ACCOUNT) == 6

    assert [delivery.body for delivery in bench.table.unread(9)] == [reach(19)]
    assert query(bench.settings, "gateway", "SELECT COUNT(*) FROM webhook_deliveries") == [(2,)]


def test_as_many_bodies_are_read_at_once_as_there_is_memory_for_and_always_one(bench, monkeypatch):
    monkeypatch.setattr(webhooks, "MAX_READ_BYTES", 10)
    for number, size in enumerate((20, 5, 5, 1)):
        bench.table.keep(b"x" * size, signed_by="facebook", received_at=T + number)
        bench.table.keep(b"y" * size, signed_by="facebook", received_at=T + number + 0.5)

    sizes = []
    while some := bench.table.unread(9):
        sizes.append([len(delivery.body) for delivery in some])
        bench.table.enter([read(delivery) for delivery in some], applicable=(), now=T)

    assert sizes == [[20], [20], [5, 5], [1, 1]]


def test_the_modes_do_not_see_each_others_deliveries(store, store_settings):
    other = Store.open(store_settings.get("DATABASE_URL", ""), store_settings.get("INSTANCE_PATH", ""), mode="sandbox")
    live, sandbox = Bench(store, store_settings), Bench(other, store_settings)

    live.bring(reach(17))
    assert sandbox.application.run(seconds=60) == 0
    sandbox.bring(reach(17))
    other.close()

    assert (len(live.book.calls), len(sandbox.book.calls)) == (1, 1)
    assert query(store_settings, "gateway", "SELECT mode FROM webhook_changes ORDER BY mode") == [
        ("live",),
        ("sandbox",),
    ]


# Damaged rows


def test_a_change_whose_digest_is_no_utf_8_is_not_applied_again_and_again(bench):
    bench.book.failure = DatabaseUnavailableError()
    with pytest.raises(DatabaseUnavailableError):
        bench.bring(reach(3), reach(4, media="6"))
    bench.book.failure, bench.book.calls = None, []
    where = "WHERE value LIKE '%\"5\"%'"
    query(bench.settings, "gateway", f"UPDATE webhook_changes SET digest = CAST(digest || x'ff' AS TEXT) {where}")

    done = [bench.application.run(seconds=0) for _ in range(2)]

    assert (done, [call.value["media_id"] for call in bench.book.calls]) == ([1, 0], ["6"])


@pytest.mark.parametrize("attempts", [2**31 - 1, 5000, -5])
def test_a_change_with_a_number_of_attempts_that_none_can_be_stands_before_no_other(on_each_engine, attempts):
    bench = on_each_engine
    bench.book.failure = ValueError("refused")
    bench.bring(reach(3))
    query(bench.settings, "gateway", f"UPDATE webhook_changes SET attempts = {attempts}, due_at = 1")

    bench.bring(reach(4, media="6"))

    assert {call.value["media_id"] for call in bench.book.calls} == {"5", "6"}
    assert bench.rows("failure") == [("ValueError",)] * 2
