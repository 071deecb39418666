"""A call that may cost something is booked before it is made, and settled by what came of it."""

from __future__ import annotations

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import requests
from sqlalchemy.exc import OperationalError
from urllib3.exceptions import MaxRetryError, NewConnectionError

from services.clients.modash.client import ModashClient
from services.errors import Charge, ProviderUnavailableError
from services.reports.price import PRICE
from services.reports.purchase_decision import ReportState, obstacle
from services.reports.purchase_policy import PurchasePolicy
from services.store.credit_limits import month_of
from services.store.database import StatementRefusedError
from services.store.ledger import RENAMED, NotOpenedError, Order, Settlement
from services.store.reports import NewReport
from tests.stores import query
from tests.support import MODASH, settings

REPORT = f"{MODASH}/v1/instagram/performance-data"
BLOCK = {"total": 30, "likes": {"mean": [{"numberOfItems": 30, "value": 12.5}]}}
POLICY = PurchasePolicy(fresh_for=60, hold=900, limit=100_000, retry_after=300, max_retries=3, longest_call=30)
NOW = 1_790_000_000.0
UNREACHED = requests.ConnectionError(MaxRetryError(None, "/", NewConnectionError(None, "refused")))


def order(creator="nasa", limit=100_000, caller="anonymous", budget=None):
    limits = {"price": PRICE, "limit": limit, "longest_call": POLICY.longest_call, "max_retries": POLICY.max_retries}
    return Order("modash", creator, caller, budget=budget, **limits)


def set_time(store, moment):
    """Let the database's clock stand still at a moment."""
    store.clock.read = lambda _connection: moment


def open_row(store, creator="nasa", *, at=NOW, **options):
    """Open a row in the ledger at a moment, or now, under the check that purchases make."""
    if at is not None:
        set_time(store, at)
    return store.ledger.open(order(creator, **options), lambda record, now: obstacle(record, POLICY, now=now))


def expire(store, at):
    set_time(store, at)
    store.ledger.expire("modash", longest_call=30)


def rows(client):
    store = {"INSTANCE_PATH": client.application.extensions["config"].instance_path}
    return query(store, "gateway", "SELECT state, milli_credits, code, creator FROM ledger ORDER BY id")


def month(client):
    store = {"INSTANCE_PATH": client.application.extensions["config"].instance_path}
    return [spent for (spent,) in query(store, "gateway", "SELECT milli_credits FROM ledger_months")]


# What each answer is booked as


@pytest.mark.parametrize(
    ("planned", "state"),
    [
        ({"json": {"posts": BLOCK, "reels": BLOCK}}, "charged"),
        ({"json": {"something": "else"}}, "charged"),
        ({"json": {"status": "retry_later"}}, "free"),
        ({"json": {"error": True, "code": "retry_later"}, "status": 503}, "free"),
        ({"json": {"error": True, "code": "handle_not_found"}, "status": 404}, "free"),
        ({"json": {"error": True, "code": "not_enough_credits"}, "status": 403}, "free"),
        ({"json": {"error": True, "code": "internal_server_error"}, "status": 500}, "free"),
        ({"json": {"error": True, "code": "rate_limit_exceeded"}, "status": 429}, "free"),
        ({"json": {"error": True, "code": "of_tomorrow"}, "status": 503}, "free"),
        ({"json": {"error": True}, "status": 503}, "uncertain"),
        ({"json": {"error": True}, "status": 418}, "free"),
        ({"body": "<html>", "status": 200}, "uncertain"),
        ({"body": "<html>", "status": 502}, "uncertain"),
        ({"body": requests.ReadTimeout("late")}, "uncertain"),
        ({"body": requests.ConnectionError("cut")}, "uncertain"),
    ],
)
def test_the_answer_of_a_call_decides_what_is_booked(client, wire, planned, state):
    wire.get(REPORT, **planned)

    client.get("/performance-data?url=nasa")

    assert [row[:2] for row in rows(client)] == [(state, 0 if state == "free" else 250)]
    assert month(client) == [0 if state == "free" else 250]


@pytest.mark.parametrize(
    ("planned", "state"),
    [
        ({"body": requests.ReadTimeout("late")}, "uncertain"),
        ({"body": "<html>", "status": 503}, "uncertain"),
        ({"json": {"error": True, "code": "handle_not_found"}, "status": 404}, "free"),
    ],
)
def test_the_words_of_a_hint_do_not_change_what_is_booked(client, wire, monkeypatch, planned, state):
    words = "Check the spelling; the account must be public."  # of a refusal that is free
    monkeypatch.setattr("services.clients.modash.client.MAY_BE_CHARGED", words)
    wire.get(REPORT, **planned)

    hint = client.get("/performance-data?url=nasa").get_json()["hint"]

    assert [row[0] for row in rows(client)] == [state]
    assert hint == words


def test_a_call_that_was_never_sent_is_not_booked(client, wire):
    wire.get(REPORT, body=UNREACHED)

    response = client.get("/performance-data?url=nasa")

    assert response.status_code == 503
    assert (rows(client), month(client)) == ([], [0])


def test_a_call_that_a_gateway_at_its_end_does_not_make_costs_nothing(client):
    client.application.extensions["services"].follow_up._purchasing.require_client().guard.close()

    response = client.get("/performance-data?url=nasa")

    assert response.status_code == 503
    assert (rows(client), month(client)) == ([], [0])


def test_a_call_that_may_be_charged_is_booked_also_where_it_is_not_known_to_have_been_sent(client, monkeypatch):
    def lost(*_):
        raise ProviderUnavailableError("It is lost.", provider="modash", reached=False, charge=Charge.UNKNOWN)

    monkeypatch.setattr(ModashClient, "performance_data", lost)

    client.get("/performance-data?url=nasa")

    assert ([row[0] for row in rows(client)], month(client)) == (["uncertain"], [250])


# An id and its handle


def test_an_id_has_no_row_of_its_own_once_its_handle_is_known(store, store_settings):
    opened = open_row(store, "528817151")
    store.ledger.settle(opened, Settlement("charged", "report", NOW + 1, report=NewReport("{}", "528817151", "nasa")))

    with pytest.raises(NotOpenedError) as refused:
        open_row(store, "528817151", at=NOW + 3600)

    assert refused.value.state == RENAMED
    assert query(store_settings, "gateway", "SELECT state FROM ledger") == [("charged",)]
    assert query(store_settings, "gateway", "SELECT milli_credits FROM ledger_months") == [(PRICE,)]


# A call that never came back


def test_an_uncertain_call_holds_its_creator_and_no_other(client, clock, wire):
    wire.get(REPORT, body=requests.ReadTimeout("late"))
    first = client.get("/performance-data?url=nasa")
    clock.wait(100)
    held = client.get("/performance-data?url=https://instagram.com/NASA")
    asked = len(wire.calls)
    other = client.get("/performance-data?url=esa")

    assert (first.status_code, first.get_json()["code"]) == (504, "provider_timeout")
    assert (held.status_code, held.get_json()["code"]) == (503, "report_uncertain")
    assert 790 <= int(held.headers["Retry-After"]) <= 801
    assert (asked, other.status_code) == (1, 504)


def test_after_its_hold_a_creator_is_asked_for_again(make_client, clock, wire):
    client = make_client(settings(uncertain_charge_hold=60), clock=clock)
    wire.get(REPORT, body=requests.ReadTimeout("late"))
    client.get("/performance-data?url=nasa")
    clock.wait(61)
    wire.replace("GET", REPORT, json={"posts": BLOCK, "reels": BLOCK})

    response = client.get("/performance-data?url=nasa")

    assert response.status_code == 200
    assert [row[0] for row in rows(client)] == ["uncertain", "charged"]
    assert month(client) == [500]


def test_an_uncertain_call_is_answered_with_the_kept_report(make_client, clock, wire):
    client = make_client(settings(performance_ttl=60), clock=clock)
    wire.get(REPORT, json={"posts": BLOCK, "reels": BLOCK})
    client.get("/performance-data?url=nasa")
    clock.wait(61)
    wire.replace("GET", REPORT, body="<html>")
    answers = []
    for _ in range(3):
        answers.append(client.get("/performance-data?url=nasa"))
        client.application.extensions["services"].wait_until_quiet(10)
        clock.wait(2)

    assert [(each.status_code, each.get_json()["meta"]["stale"]) for each in answers] == [(200, True)] * 3
    assert len([call for call in wire.calls if call.request.url.startswith(REPORT)]) == 2


def test_a_row_whose_process_died_is_uncertain_when_its_call_must_be_over(store):
    open_row(store)

    with pytest.raises(NotOpenedError) as alive:
        open_row(store, at=NOW + 29)
    with pytest.raises(NotOpenedError) as held:
        open_row(store, at=NOW + 31)
    with pytest.raises(NotOpenedError) as still_held:
        open_row(store, at=NOW + 929)
    open_row(store, at=NOW + 931)

    states = [each.value.state for each in (alive, held, still_held)]
    assert states == [ReportState.IN_FLIGHT, ReportState.UNCERTAIN, ReportState.UNCERTAIN]
    assert [call.settled_at for call in held.value.record.unsettled] == [NOW + 30]
    assert store.spending.of_month("modash", "2026-09") == 2 * PRICE


@pytest.mark.parametrize(("seconds", "state"), [(29.9, "open"), (30, "uncertain")])
def test_a_row_is_in_doubt_from_the_end_of_the_longest_call_on(store, seconds, state):
    open_row(store)

    expire(store, NOW + seconds)

    assert [call.state for call in store.spending.unsettled("modash")] == [state]


def test_the_wait_for_a_call_whose_process_died_includes_its_hold(make_client, clock, wire):
    client = make_client(settings(uncertain_charge_hold=900), clock=clock)
    open_row(client.application.extensions["services"].store, at=None)

    held = client.get("/performance-data?url=nasa")
    clock.wait(int(held.headers["Retry-After"]) - 2)
    still_held = client.get("/performance-data?url=nasa")
    clock.wait(int(still_held.headers["Retry-After"]))
    wire.get(REPORT, json={"posts": BLOCK, "reels": BLOCK})
    bought = client.get("/performance-data?url=nasa")

    assert [(each.status_code, each.get_json()["code"]) for each in (held, still_held)] == [
        (503, "report_uncertain")
    ] * 2
    assert int(held.headers["Retry-After"]) > 900
    assert int(still_held.headers["Retry-After"]) <= 3
    assert bought.status_code == 200


def test_a_call_that_was_never_sent_is_forgotten_also_if_it_was_in_doubt(store):
    suspended = open_row(store)
    expire(store, NOW + 31)

    store.ledger.forget(suspended)
    store.ledger.forget(suspended)

    assert store.spending.unsettled("modash") == []
    assert store.spending.of_month("modash", "2026-09") == 0


def test_a_call_that_was_booked_is_not_forgotten(store, store_settings):
    opened = open_row(store)
    store.ledger.settle(opened, Settlement("charged", "report", NOW + 1, report=NewReport("{}")))

    store.ledger.forget(opened)

    assert query(store_settings, "gateway", "SELECT state, milli_credits FROM ledger") == [("charged", PRICE)]
    assert store.spending.of_month("modash", month_of(NOW)) == PRICE


def test_a_failure_in_between_is_an_attempt_from_which_the_next_wait_counts(store):
    store.ledger.settle(open_row(store), Settlement("free", "retry_later", NOW + 1, pending="Later."))
    again = open_row(store, at=NOW + 1000)

    store.ledger.settle(again, Settlement("free", "provider_unavailable", NOW + 1001, retry=True))

    assert store.ledger.record("modash", "nasa").pending == (NOW + 1001, 2, "Later.")


@pytest.mark.parametrize(
    "settlement",
    [
        Settlement("charged", "report", NOW + 1001, report=NewReport("{}")),
        Settlement("free", "handle_not_found", NOW + 1001),
    ],
    ids=lambda each: each.code,
)
def test_any_other_end_of_a_call_ends_the_wait_for_a_report(store, settlement):
    store.ledger.settle(open_row(store), Settlement("free", "retry_later", NOW + 1, pending="Later."))

    is_there = store.ledger.settle(open_row(store, at=NOW + 1000), settlement)

    assert is_there
    assert store.ledger.record("modash", "nasa").pending is None


def test_a_late_settlement_replaces_a_doubt_once(store):
    late = open_row(store)
    expire(store, NOW + 31)
    doubted = [row.state for row in store.spending.unsettled("modash")]

    store.ledger.settle(late, Settlement("free", "retry_later", NOW + 40))
    store.ledger.settle(late, Settlement("free", "retry_later", NOW + 41))

    assert doubted == ["uncertain"]
    assert store.spending.unsettled("modash") == []
    assert store.spending.of_month("modash", "2026-09") == 0


def test_a_charge_whose_report_is_refused_is_not_booked_either(store):
    opened = open_row(store)

    with pytest.raises(StatementRefusedError):
        store.ledger.settle(opened, Settlement("charged", "report", NOW + 1, report=NewReport("\ud800")))

    assert [call.state for call in store.spending.unsettled("modash")] == ["open"]


def test_a_doubt_that_is_reported_late_holds_no_longer_than_the_call(store):
    opened = open_row(store)
    expire(store, NOW + 31)

    assert store.ledger.settle(opened, Settlement("uncertain", "provider_timeout", NOW + 100))

    assert [call.settled_at for call in store.ledger.record("modash", "nasa").unsettled] == [NOW + 30]
    assert open_row(store, at=NOW + 931)


def test_a_call_of_a_database_that_was_replaced_changes_no_row_with_the_same_number(store):
    opened = open_row(store)

    assert not store.ledger.settle(replace(opened, at=NOW - 5), Settlement("free", "retry_later", NOW))
    store.ledger.forget(replace(opened, at=NOW - 5))

    assert [call.id for call in store.ledger.record("modash", "nasa").unsettled] == [opened.id]
    assert store.spending.of_month("modash", "2026-09") == PRICE


def test_a_refusal_after_the_last_attempt_ends_the_wait_for_a_report(store):
    def call(settlement):
        opened = store.ledger.open(order(), lambda _record, _now: None)
        store.ledger.settle(opened, settlement)
        pending = store.ledger.record("modash", "nasa").pending
        return None if pending is None else pending.attempts

    not_ready, refused = (
        Settlement("free", "retry_later", NOW, pending="Not ready."),
        Settlement("free", "provider_unavailable", NOW, retry=True),
    )
    set_time(store, NOW)

    assert [call(not_ready), call(refused), call(refused), call(not_ready)] == [1, 2, 3, 4]
    assert call(refused) is None
    assert [call(refused), call(not_ready)] == [None, 1]


def test_an_unexpected_error_during_a_call_leaves_it_uncertain(client, wire):
    wire.get(REPORT, body=RuntimeError("a bug"))

    assert client.get("/performance-data?url=nasa").status_code == 500

    assert rows(client) == [("uncertain", PRICE, "internal_error", "nasa")]
    assert month(client) == [PRICE]


# No second row, no credit too many


def at_once(count, call):
    """Make calls at the same moment, and return what each returned or refused."""
    barrier = threading.Barrier(count)

    def one(number):
        barrier.wait()
        try:
            return call(number)
        except NotOpenedError as error:
            return error.state

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))


def test_one_of_many_concurrent_purchases_of_a_creator_opens_a_row(store):
    outcomes = at_once(24, lambda _: open_row(store))

    assert outcomes.count(ReportState.IN_FLIGHT) == 23


def test_of_many_creators_the_last_credit_buys_one(store):
    open_row(store, "a", limit=3 * PRICE)
    open_row(store, "b", limit=3 * PRICE)

    outcomes = at_once(24, lambda number: open_row(store, f"creator{number}", limit=3 * PRICE))

    assert outcomes.count(ReportState.LIMIT) == 23
    assert store.spending.of_month("modash", "2026-09") == 3 * PRICE
    assert len(store.spending.unsettled("modash")) == 3


def test_of_many_creators_the_last_credit_of_a_budget_buys_one(store):
    for creator in ("a", "b"):
        open_row(store, creator, caller="key", budget=3 * PRICE)

    outcomes = at_once(24, lambda number: open_row(store, f"creator{number}", caller="key", budget=3 * PRICE))

    assert outcomes.count(ReportState.BUDGET) == 23
    assert store.spending.of_caller("key", "modash", "2026-09", price=PRICE) == 3 * PRICE
    assert store.spending.of_month("modash", "2026-09") == 3 * PRICE


def test_a_budget_is_of_one_caller_and_one_month(store):
    open_row(store, "a", caller="one", budget=PRICE)
    open_row(store, "b", caller="other", budget=PRICE)
    open_row(store, "c", caller="unbounded")
    with pytest.raises(NotOpenedError):
        open_row(store, "d", caller="one", budget=PRICE)

    assert open_row(store, "d", at=NOW + 31 * 86_400, caller="one", budget=PRICE)


def test_a_free_call_gives_the_credits_of_a_budget_back_and_an_uncertain_one_does_not(store):
    first = open_row(store, "a", caller="key", budget=PRICE)
    store.ledger.settle(first, Settlement("free", "handle_not_found", NOW))
    second = open_row(store, "b", caller="key", budget=PRICE)
    store.ledger.settle(second, Settlement("uncertain", "provider_timeout", NOW))

    with pytest.raises(NotOpenedError) as refusal:
        open_row(store, "c", caller="key", budget=PRICE)

    assert refusal.value.state == ReportState.BUDGET


def test_a_free_call_gives_its_credits_back(store):
    opened = open_row(store, "a", limit=PRICE)
    with pytest.raises(NotOpenedError):
        open_row(store, "b", limit=PRICE)

    store.ledger.settle(opened, Settlement("free", "handle_not_found", NOW))

    assert open_row(store, "b", limit=PRICE)


@pytest.mark.parametrize("end", ["settled", "forgotten"])
def test_a_call_that_ends_in_the_next_month_gives_back_to_its_own(store, end):
    september, october = 1_790_812_799.0, 1_790_812_801.0
    opened = open_row(store, at=september)
    open_row(store, "esa", at=october)

    if end == "settled":
        store.ledger.settle(opened, Settlement("free", "retry_later", october))
    else:
        store.ledger.forget(opened)

    assert [store.spending.of_month("modash", month) for month in ("2026-09", "2026-10")] == [0, PRICE]


def test_a_report_is_as_old_as_its_call_however_late_it_came(store):
    opened = open_row(store)

    store.ledger.settle(opened, Settlement("charged", "report", NOW + 20, report=NewReport("{}")))

    assert store.ledger.record("modash", "nasa").report.fetched_at == NOW


def test_the_sources_of_a_store_are_booked_apart(store):
    one = open_row(store, limit=PRICE)
    other = store.ledger.open(replace(one.order, source="other"), lambda *_: None)
    expire(store, NOW + 31)
    store.ledger.settle(one, Settlement("free", "retry_later", NOW + 31))

    assert [call.state for call in store.spending.unsettled("other")] == ["open"]
    assert [store.spending.of_month(source, "2026-09") for source in ("modash", "other")] == [0, PRICE]
    assert store.spending.of_caller(other.order.caller, "modash", "2026-09", price=PRICE) == 0
    sums = [[(each.state, each.calls) for each in store.spending.sums(source)] for source in ("modash", "other")]
    assert sums == [[("free", 1)], [("open", 1)]]


def test_the_row_that_is_open_decides_also_where_the_check_finds_no_obstacle(store):
    open_row(store)

    with pytest.raises(NotOpenedError) as refusal:
        store.ledger.open(order(), lambda *_: None)

    assert refusal.value.state == ReportState.IN_FLIGHT


def test_a_purchase_that_is_settled_while_its_record_is_read_is_seen_somewhere(store, monkeypatch):
    opened, pending = open_row(store), store.reports.pending

    def settled_meanwhile(*whose):
        monkeypatch.undo()
        store.ledger.settle(opened, Settlement("charged", "report", NOW, report=NewReport("{}")))
        return pending(*whose)

    monkeypatch.setattr(store.reports, "pending", settled_meanwhile)
    record = store.ledger.record("modash", "nasa")

    assert record.report is not None or record.unsettled


@pytest.mark.parametrize("store_settings", ["sqlite"], indirect=True)  # PostgreSQL keeps the types of its columns.
def test_a_row_whose_amount_is_damaged_counts_as_a_report_of_its_caller(store, store_settings):
    open_row(store, caller="key", budget=2 * PRICE)
    query(store_settings, "gateway", "UPDATE ledger SET milli_credits = 'words'")

    open_row(store, "esa", caller="key", budget=2 * PRICE)
    with pytest.raises(NotOpenedError) as refusal:
        open_row(store, "jaxa", caller="key", budget=2 * PRICE)

    assert refusal.value.state == ReportState.BUDGET


@pytest.mark.parametrize(("moment", "month"), [(1_790_812_799.9, "2026-09"), (1_790_812_800, "2026-10")])
def test_a_month_is_one_of_utc(moment, month):
    assert month_of(moment) == month


def test_a_charge_counts_from_the_moment_after_the_balance_that_has_it(store):
    store.ledger.settle(open_row(store), Settlement("charged", "ok", NOW + 2))

    booked = [store.spending.since("modash", NOW + seconds, longest_call=30) for seconds in (1, 2, 3)]

    assert booked == [PRICE, 0, 0]


def test_unsettled_calls_are_listed_the_newest_first(store):
    for number, creator in enumerate(("first", "second", "third")):
        open_row(store, creator, at=NOW + number)

    assert [call.creator for call in store.spending.unsettled("modash")] == ["third", "second", "first"]


def test_of_many_unsettled_calls_only_the_newest_are_listed(store, monkeypatch):
    monkeypatch.setattr("services.store.spending.UNCERTAIN_AT_MOST", 2)
    for number, creator in enumerate(("first", "second", "third")):
        open_row(store, creator, at=NOW + number)

    assert [call.creator for call in store.spending.unsettled("modash")] == ["third", "second"]


def test_a_new_month_begins_with_nothing_spent(store):
    open_row(store, "a", limit=PRICE)

    assert open_row(store, "b", at=NOW + 31 * 86_400, limit=PRICE)


def test_the_database_itself_lets_no_second_row_be_open(store, store_settings):
    open_row(store)
    copied = "mode, source, creator, caller, month, state, milli_credits, opened_at"

    with pytest.raises(Exception, match=re.compile("unique", re.IGNORECASE)) as refusal:
        query(store_settings, "gateway", f"INSERT INTO ledger ({copied}) SELECT {copied} FROM ledger")

    assert not isinstance(refusal.value, OperationalError)


# The limit, and a ledger that is unavailable


def test_beyond_the_limit_nothing_is_asked_and_what_is_kept_is_answered(make_client, clock, wire):
    client = make_client(settings(modash_credit_limit=0.3), clock=clock)
    wire.get(REPORT, json={"posts": BLOCK, "reels": BLOCK})
    bought = client.get("/performance-data?url=nasa")
    calls = len(wire.calls)

    refused, kept = client.get("/performance-data?url=esa"), client.get("/performance-data?url=@nasa")

    assert (refused.status_code, refused.get_json()["code"]) == (402, "credit_limit_reached")
    assert (bought.status_code, kept.status_code) == (200, 200)
    assert len(wire.calls) == calls
    assert month(client) == [250]


def test_a_large_limit_is_named_with_all_its_digits(make_client, clock):
    client = make_client(settings(modash_credit_limit=123_456.25), clock=clock)
    store = {"INSTANCE_PATH": client.application.extensions["config"].instance_path}
    month_ = month_of(clock.timestamp())
    query(store, "gateway", f"INSERT INTO ledger_months VALUES ('live', 'modash', '{month_}', 123456250)")

    refused = client.get("/performance-data?url=esa").get_json()

    assert refused["message"] == "This month's limit of 123456.25 Modash credits is reached."


def test_without_a_ledger_a_kept_report_is_answered_and_nothing_is_bought(client, clock, wire):
    wire.get(REPORT, json={"posts": BLOCK, "reels": BLOCK})
    client.get("/performance-data?url=nasa")
    store = {"INSTANCE_PATH": client.application.extensions["config"].instance_path}
    for table in ("ledger", "reports", "pending_reports"):
        query(store, "gateway", f"ALTER TABLE {table} RENAME TO {table}_away")
    calls = len(wire.calls)

    kept, absent = client.get("/performance-data?url=@nasa"), client.get("/performance-data?url=esa")
    credits_ = client.get("/credits")

    assert kept.status_code == 200
    assert [(each.status_code, each.get_json()["code"]) for each in (absent, credits_)] == [
        (503, "ledger_unavailable")
    ] * 2
    assert len(wire.calls) == calls


@pytest.mark.parametrize("value", ["'words'", "'7 words'", "x'00ff'", "0.5", "-1000", "CAST(x'7bff' AS TEXT)"])
def test_while_the_sum_of_the_month_is_damaged_nothing_is_bought_and_the_operator_gets_advice(
    client, clock, wire, value
):
    wire.get(REPORT, json={"posts": BLOCK, "reels": BLOCK})
    client.get("/performance-data?url=nasa")
    store = {"INSTANCE_PATH": client.application.extensions["config"].instance_path}
    query(store, "gateway", f"UPDATE ledger_months SET milli_credits = {value}")
    calls = len(wire.calls)

    for _ in range(2):
        kept, absent = client.get("/performance-data?url=@nasa"), client.get("/performance-data?url=esa")
        dry_run = client.get("/performance-data?url=esa&dry_run=true").get_json()
        credits_ = client.get("/credits").get_json()

        assert kept.status_code == 200
        assert (absent.status_code, absent.get_json()["code"]) == (503, "ledger_unavailable")
        assert "ledger_months" in absent.get_json()["hint"]
        assert (dry_run["would_call"], dry_run["outcome"]) == (False, "away")
        assert (credits_["spent"], credits_["left"]) == (None, None)
    assert len(wire.calls) == calls

    query(store, "gateway", "UPDATE ledger_months SET milli_credits = (SELECT sum(milli_credits) FROM ledger)")

    assert client.get("/performance-data?url=esa").status_code == 200
    assert client.get("/credits").get_json()["spent"] == 0.5


def test_a_charge_that_is_given_back_does_not_make_a_damaged_sum_look_whole(client, clock, wire):
    store = {"INSTANCE_PATH": client.application.extensions["config"].instance_path}

    def damaged(_request):
        query(store, "gateway", "UPDATE ledger_months SET milli_credits = '900 words'")
        return 404, {}, json.dumps({"error": True, "code": "account_not_found", "message": "Account not found"})

    wire.add_callback("GET", REPORT, damaged)
    client.get("/performance-data?url=nasa")

    assert query(store, "gateway", "SELECT milli_credits FROM ledger_months") == [("900 words",)]


def test_results_of_two_databases_with_one_number_are_both_set_apart(store, store_settings):
    opened = store.ledger.open(order(), lambda *_: None)
    calls = [replace(opened, at=opened.at + number) for number in range(3)]
    for each in [*calls, *calls]:
        store.ledger.set_apart(each, Settlement("charged", "report", 1.0, report=NewReport("{}")), "it was replaced")

    kept = query(store_settings, "gateway", "SELECT content FROM settlements_set_apart")
    assert sorted(json.loads(content)["at"] for (content,) in kept) == [each.at for each in calls]
    assert store.ledger.number_set_apart() == 3
