"""A call that may cost something is booked before it is made, and settled by what came of it."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from sqlalchemy.exc import OperationalError
from urllib3.exceptions import MaxRetryError, NewConnectionError

from config import Config
from services.store import Store
from services.store.ledger import NotOpenedError, Order, Settlement
from services.terms import PRICE, Terms
from tests.stores import query
from tests.support import MODASH, settings

REPORT = f"{MODASH}/v1/instagram/performance-data"
BALANCE = f"{MODASH}/v1/user/info"
BLOCK = {"total": 30, "likes": {"mean": [{"numberOfItems": 30, "value": 12.5}]}}
TERMS = Terms(fresh_for=60, hold=900, limit=100_000, retry_after=300, max_retries=3, longest_call=30)
NOW = 1_790_000_000.0
UNREACHED = requests.ConnectionError(MaxRetryError(None, "/", NewConnectionError(None, "refused")))


@pytest.fixture
def store(store_settings):
    config = Config(**{name.lower(): value for name, value in store_settings.items()})
    store = Store.open(config.database_url, config.instance_path)
    yield store
    store.close()


def order(creator="nasa", at=NOW, **more):
    return Order("modash", creator, "anonymous", at, **more)


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
        ({"json": {"error": True, "code": "of_tomorrow"}, "status": 503}, "uncertain"),
        ({"json": {"error": True}, "status": 418}, "uncertain"),
        ({"body": "<html>", "status": 200}, "uncertain"),
        ({"body": "<html>", "status": 502}, "uncertain"),
        ({"body": requests.ReadTimeout("late")}, "uncertain"),
        ({"body": requests.ConnectionError("cut")}, "uncertain"),
    ],
)
def test_what_came_of_a_call_decides_what_is_booked(client, wire, planned, state):
    wire.get(REPORT, **planned)
    if state == "charged":
        wire.get(BALANCE, json={"billing": {"credits": 1}})

    client.get("/performance-data?url=nasa")

    assert [row[:2] for row in rows(client)] == [(state, 0 if state == "free" else 250)]
    assert month(client) == [0 if state == "free" else 250]


def test_a_call_that_was_never_sent_is_not_booked(client, wire):
    wire.get(REPORT, body=UNREACHED)

    response = client.get("/performance-data?url=nasa")

    assert response.status_code == 503
    assert (rows(client), month(client)) == ([], [0])


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
    client = make_client(settings(uncertain_hold=60), clock=clock)
    wire.get(REPORT, body=requests.ReadTimeout("late"))
    client.get("/performance-data?url=nasa")
    clock.wait(61)
    wire.replace("GET", REPORT, json={"posts": BLOCK, "reels": BLOCK})
    wire.get(BALANCE, json={"billing": {"credits": 1}})

    response = client.get("/performance-data?url=nasa")

    assert response.status_code == 200
    assert [row[0] for row in rows(client)] == ["uncertain", "charged"]
    assert month(client) == [500]


def test_an_uncertain_call_is_answered_with_the_kept_report(make_client, clock, wire):
    client = make_client(settings(performance_ttl=60), clock=clock)
    wire.get(REPORT, json={"posts": BLOCK, "reels": BLOCK})
    wire.get(BALANCE, json={"billing": {"credits": 1}})
    client.get("/performance-data?url=nasa")
    clock.wait(61)
    wire.replace("GET", REPORT, body="<html>")
    answers = []
    for _ in range(3):
        answers.append(client.get("/performance-data?url=nasa"))
        client.application.extensions["services"].memory.wait_until_quiet(10)
        clock.wait(2)

    assert [(each.status_code, each.get_json()["meta"]["stale"]) for each in answers] == [(200, True)] * 3
    assert len([call for call in wire.calls if call.request.url.startswith(REPORT)]) == 2


def test_a_row_whose_process_died_is_uncertain_when_its_call_must_be_over(store):
    store.ledger.open(order(), TERMS)

    with pytest.raises(NotOpenedError) as alive:
        store.ledger.open(order(at=NOW + 29), TERMS)
    with pytest.raises(NotOpenedError) as held:
        store.ledger.open(order(at=NOW + 31), TERMS)
    with pytest.raises(NotOpenedError) as still_held:
        store.ledger.open(order(at=NOW + 929), TERMS)
    store.ledger.open(order(at=NOW + 931), TERMS)

    assert [each.value.why for each in (alive, held, still_held)] == ["in the air", "uncertain", "uncertain"]
    assert held.value.at == NOW + 30
    assert store.spending.of_month("modash", "2026-09") == 2 * PRICE


def test_who_comes_back_late_is_believed(store):
    late = store.ledger.open(order(), TERMS)
    store.ledger.expire("modash", TERMS, now=NOW + 31)
    doubted = [row.state for row in store.spending.unsettled("modash")]

    store.ledger.settle(late, Settlement("free", "retry_later", NOW + 40), TERMS)
    store.ledger.settle(late, Settlement("free", "retry_later", NOW + 41), TERMS)

    assert doubted == ["uncertain"]
    assert store.spending.unsettled("modash") == []
    assert store.spending.of_month("modash", "2026-09") == 0


# No second row, no credit too many


def at_once(count, call):
    """Make calls at the same moment, and return what each returned or refused."""
    barrier = threading.Barrier(count)

    def one(number):
        barrier.wait()
        try:
            return call(number)
        except NotOpenedError as error:
            return error.why

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))


def test_of_many_who_open_at_once_one_does(store):
    outcomes = at_once(24, lambda _: store.ledger.open(order(), TERMS))

    assert outcomes.count("in the air") == 23


def test_of_many_creators_the_last_credit_buys_one(store):
    terms = Terms(**(vars(TERMS) | {"limit": 3 * PRICE}))
    store.ledger.open(order("a"), terms)
    store.ledger.open(order("b"), terms)

    outcomes = at_once(24, lambda number: store.ledger.open(order(f"creator{number}"), terms))

    assert outcomes.count("limit") == 23
    assert store.spending.of_month("modash", "2026-09") == 3 * PRICE
    assert len(store.spending.unsettled("modash")) == 3


def test_a_free_call_gives_its_credits_back(store):
    terms = Terms(**(vars(TERMS) | {"limit": PRICE}))
    opened = store.ledger.open(order("a"), terms)
    with pytest.raises(NotOpenedError):
        store.ledger.open(order("b"), terms)

    store.ledger.settle(opened, Settlement("free", "handle_not_found", NOW), terms)

    assert store.ledger.open(order("b"), terms)


def test_a_new_month_begins_with_nothing_spent(store):
    terms = Terms(**(vars(TERMS) | {"limit": PRICE}))
    store.ledger.open(order("a"), terms)

    assert store.ledger.open(order("b", at=NOW + 31 * 86_400), terms)


def test_the_database_itself_lets_no_second_row_be_open(store, store_settings):
    store.ledger.open(order(), TERMS)
    copied = "account, creator, caller, month, state, milli_credits, opened_at"

    with pytest.raises(Exception, match=re.compile("unique", re.IGNORECASE)) as refusal:
        query(store_settings, "gateway", f"INSERT INTO ledger ({copied}) SELECT {copied} FROM ledger")

    assert not isinstance(refusal.value, OperationalError)


# The limit, and the ledger that is away


def test_beyond_the_limit_nothing_is_asked_and_what_is_kept_is_answered(make_client, clock, wire):
    client = make_client(settings(modash_credit_limit=0.3), clock=clock)
    wire.get(REPORT, json={"posts": BLOCK, "reels": BLOCK})
    wire.get(BALANCE, json={"billing": {"credits": 1}})
    bought = client.get("/performance-data?url=nasa")
    calls = len(wire.calls)

    refused, kept = client.get("/performance-data?url=esa"), client.get("/performance-data?url=@nasa")

    assert (refused.status_code, refused.get_json()["code"]) == (402, "credit_limit_reached")
    assert (bought.status_code, kept.status_code) == (200, 200)
    assert len(wire.calls) == calls
    assert month(client) == [250]


def test_without_a_ledger_nothing_is_paid_unless_a_kept_report_answers(client, clock, wire):
    wire.get(REPORT, json={"posts": BLOCK, "reels": BLOCK})
    wire.get(BALANCE, json={"billing": {"credits": 1}})
    client.get("/performance-data?url=nasa")
    store = {"INSTANCE_PATH": client.application.extensions["config"].instance_path}
    for table in ("ledger", "reports", "pendings"):
        query(store, "gateway", f"ALTER TABLE {table} RENAME TO {table}_away")
    calls = len(wire.calls)

    kept, absent = client.get("/performance-data?url=@nasa"), client.get("/performance-data?url=esa")
    credits_ = client.get("/credits")

    assert kept.status_code == 200
    assert [(each.status_code, each.get_json()["code"]) for each in (absent, credits_)] == [
        (503, "ledger_unavailable")
    ] * 2
    assert len(wire.calls) == calls
