"""The key that causes a report pays for it: the ledger names it, and its own budget is never passed."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from services.background.job_handlers import handlers
from services.background.job_runner import Runner
from services.reports import purchasing
from tests.stores import query
from tests.support import MODASH, add_key, bearer, settings

REPORT = f"{MODASH}/v1/instagram/performance-data"
BODY = {"posts": {"total": 6, "engagement_rate": [{"numberOfItems": 6, "value": 1.5}]}, "reels": {"total": 1}}
DAY = 86_400
KEYS = {
    "rich": {"scope": "refresh"},
    "poor": {"scope": "refresh", "milli_credits": 250},
    "bounded": {"scope": "admin", "accounts": {"1"}, "milli_credits": 500},
    "admin": {"scope": "admin"},
}


class Keyed:
    """A gateway that requires keys, with some keys by name; ledger and messages name a key by its id."""

    def __init__(self, client):
        self.client = client
        self.services = client.application.extensions["services"]
        self.store = {"INSTANCE_PATH": client.application.extensions["config"].instance_path}
        added = {name: add_key(self.services.store, **options) for name, options in KEYS.items()}
        self.headers = {name: bearer(text) for name, (_, text) in added.items()}
        self.ids = {name: key for name, (key, _) in added.items()}
        self.names = {key: name for name, key in self.ids.items()}

    def ask(self, name, url="nasa", path="/performance-data", **parameters):
        return self.client.get(path, query_string={"url": url} | parameters, headers=self.headers[name])

    def credits(self, name):
        return self.client.get("/credits", headers=self.headers[name]).get_json()

    def booked(self):
        rows = query(self.store, "gateway", "SELECT caller, creator, state FROM ledger ORDER BY id")
        return [(self.names[caller], *row) for caller, *row in rows]

    def settle(self):
        assert self.services.wait_until_quiet(20)


@pytest.fixture
def keyed(make_client, clock):
    """Build a gateway with keys, with more settings."""
    return lambda **changes: Keyed(make_client(settings(allow_anonymous=False, **changes), clock=clock))


@pytest.fixture
def modash(wire):
    """Answer every report, and count the calls for each creator."""
    wire.assert_all_requests_are_fired = False
    return wire.get(REPORT, json=BODY)


def test_the_ledger_names_the_key_of_a_purchase_and_of_its_renewal(keyed, clock, modash):
    gateway = keyed(performance_ttl=DAY)
    gateway.ask("rich")
    clock.wait(DAY + 1)

    assert gateway.ask("poor").status_code == 200
    gateway.settle()

    assert gateway.booked() == [("rich", "nasa", "charged"), ("poor", "nasa", "charged")]


def test_the_key_that_caused_a_report_stays_named_when_the_worker_asks_again(keyed, clock, wire):
    answers = iter([{"status": "retry_later"}, BODY])
    wire.add_callback("GET", REPORT, callback=lambda _: (200, {}, json.dumps(next(answers))))
    gateway = keyed()
    runner = Runner(gateway.services.store, handlers(gateway.services, clock), clock)
    pending = [gateway.ask(caller).status_code for caller in ("poor", "rich")]
    clock.wait(300)

    for job in runner.claim("we", 10):
        runner.run(job)

    assert pending == [202, 202]
    assert gateway.booked() == [("poor", "nasa", "free"), ("poor", "nasa", "charged")]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda keys, key: keys.revoke(key, 0.0), [("poor", "nasa", "free")]),
        (lambda keys, key: keys.change(key, {"expires_at": 1.0}), [("poor", "nasa", "free")]),
        (lambda keys, key: None, [("poor", "nasa", "free"), ("poor", "nasa", "charged")]),
    ],
    ids=["revoked", "expired", "valid"],
)
def test_the_worker_asks_again_only_for_a_key_that_is_still_accepted(keyed, clock, wire, change, expected):
    wire.get(REPORT, json={"status": "retry_later"})
    gateway = keyed()
    runner = Runner(gateway.services.store, handlers(gateway.services, clock), clock)
    gateway.ask("poor")
    wire.replace("GET", REPORT, json=BODY)
    change(gateway.services.store.api_keys, gateway.ids["poor"])
    clock.wait(300)

    for job in runner.claim("we", 10):
        runner.run(job)

    assert gateway.booked() == expected
    assert gateway.services.store.jobs.keys("report") == set()
    assert gateway.ask("rich").status_code == 200


def test_the_worker_gives_up_a_report_whose_key_has_spent_its_budget(keyed, clock, wire):
    wire.get(REPORT, json={"status": "retry_later"})
    gateway = keyed()
    runner = Runner(gateway.services.store, handlers(gateway.services, clock), clock)
    gateway.ask("poor", "later")
    wire.replace("GET", REPORT, json=BODY)
    gateway.ask("poor", "nasa")
    clock.wait(300)

    for job in runner.claim("we", 10):
        runner.run(job)

    assert gateway.booked() == [("poor", "later", "free"), ("poor", "nasa", "charged")]
    assert gateway.services.store.jobs.keys("report") == set()


def test_the_budget_of_one_key_is_no_answer_for_another_one_that_waits_for_its_purchase(keyed, modash, monkeypatch):
    gateway, begun, waits = keyed(), threading.Event(), threading.Event()
    gateway.ask("poor", "esa")

    class Watched(threading.Event):
        def wait(self, timeout=None):
            waits.set()
            return super().wait(timeout)

    class Purchase(purchasing.PurchaseInProgress):
        def __init__(self):
            super().__init__()
            self.is_over = Watched()

    ledger = gateway.services.store.ledger
    open_row = ledger.open

    def open_late(order, check):
        begun.set()
        assert waits.wait(20)
        return open_row(order, check)

    monkeypatch.setattr(purchasing, "PurchaseInProgress", Purchase)
    monkeypatch.setattr(ledger, "open", open_late)
    with ThreadPoolExecutor() as executor:
        first = executor.submit(gateway.ask, "poor")
        assert begun.wait(20)
        second = executor.submit(gateway.ask, "rich")

    assert (first.result().status_code, second.result().status_code) == (402, 200)


def test_beyond_its_budget_a_key_is_refused_before_the_call_and_others_go_on(keyed, clock, modash):
    gateway = keyed()
    gateway.ask("poor", "nasa")

    refused, kept, other = gateway.ask("poor", "esa"), gateway.ask("poor", "nasa"), gateway.ask("rich", "jaxa")

    error = refused.get_json()
    assert (refused.status_code, error["code"]) == (402, "credit_budget_reached")
    assert gateway.ids["poor"] in error["message"]
    assert "2026-07-01" in error["hint"]
    assert error["retry_after"] == int(refused.headers["Retry-After"]) == 15 * DAY + 6 * 3600
    assert (kept.status_code, other.status_code) == (200, 200)
    assert modash.call_count == 2
    clock.wait(error["retry_after"])
    assert gateway.ask("poor", "esa").status_code == 200


def test_an_expired_report_is_answered_when_the_budget_is_spent(keyed, clock, modash):
    gateway = keyed(performance_ttl=DAY)
    gateway.ask("poor")
    clock.wait(DAY + 1)

    stale = gateway.ask("poor")
    gateway.settle()

    assert (stale.status_code, stale.get_json()["meta"]["stale"]) == (200, True)
    assert modash.call_count == 1


def test_an_uncertain_call_counts_against_the_budget(keyed, wire):
    wire.get(REPORT, body=requests.ReadTimeout("late"))
    gateway = keyed()
    gateway.ask("poor", "nasa")

    refused = gateway.ask("poor", "esa")

    assert refused.get_json()["code"] == "credit_budget_reached"
    assert gateway.booked() == [("poor", "nasa", "uncertain")]


def test_two_keys_that_ask_for_a_creator_at_once_pay_once(keyed, wire):
    asked, released = threading.Event(), threading.Event()

    def answer(_request):
        asked.set()
        assert released.wait(20)
        return 200, {}, json.dumps(BODY)

    report = wire.add_callback("GET", REPORT, callback=answer)
    gateway = keyed()
    with ThreadPoolExecutor() as executor:
        first = executor.submit(gateway.ask, "poor")
        assert asked.wait(20)
        second = executor.submit(gateway.ask, "rich")
        time.sleep(0.2)
        released.set()
        costs = [each.result().get_json()["meta"]["cost"]["credits"] for each in (first, second)]

    assert costs == [0.25, 0]
    assert report.call_count == 1
    assert gateway.booked() == [("poor", "nasa", "charged")]


def test_a_key_without_credits_does_not_keep_another_from_buying(keyed, modash):
    gateway = keyed()
    gateway.ask("poor", "esa")
    callers = ["poor", "rich"] * 8

    with ThreadPoolExecutor(len(callers)) as executor:
        statuses = [each.status_code for each in executor.map(gateway.ask, callers)]

    assert set(statuses[1::2]) == {200}
    assert set(statuses[::2]) <= {200, 402}
    assert gateway.booked() == [("poor", "esa", "charged"), ("rich", "nasa", "charged")]


def test_a_dry_run_names_the_spent_budget_of_its_key(keyed, modash):
    gateway = keyed()
    enough = gateway.ask("poor", "esa", dry_run="true").get_json()
    gateway.ask("poor", "nasa")

    dry = [gateway.ask(caller, "esa", dry_run="true").get_json() for caller in ("poor", "rich")]

    outcomes = [(each["outcome"], each["would_call"]) for each in (enough, *dry)]
    assert outcomes == [("ask", True), ("budget", False), ("ask", True)]


def test_a_rest_of_a_budget_that_is_less_than_a_report_buys_none(keyed, modash):
    gateway = keyed()
    _, text = add_key(gateway.services.store, scope="refresh", milli_credits=400)
    gateway.headers["odd"] = bearer(text)
    gateway.ask("odd", "nasa")

    dry, refused = gateway.ask("odd", "esa", dry_run="true"), gateway.ask("odd", "esa")

    assert (dry.get_json()["outcome"], refused.get_json()["code"]) == ("budget", "credit_budget_reached")


def test_a_key_with_a_budget_of_nothing_buys_nothing_and_is_answered_what_is_kept(keyed, modash):
    gateway = keyed()
    _, text = add_key(gateway.services.store, scope="refresh", milli_credits=0)
    gateway.headers["broke"] = bearer(text)
    gateway.ask("rich", "nasa")

    kept, refused = gateway.ask("broke", "nasa"), gateway.ask("broke", "esa")

    assert (kept.status_code, refused.status_code) == (200, 402)
    assert ", 0 Modash credits," in refused.get_json()["message"]


def test_credits_are_shown_by_key_and_each_key_sees_its_own(keyed, wire):
    wire.get(REPORT, json=BODY)
    gateway = keyed(modash_credit_limit=10)
    gateway.ask("rich", "nasa")
    gateway.ask("bounded", "esa")
    wire.replace("GET", REPORT, body=requests.ReadTimeout("late"))
    gateway.ask("rich", "jaxa")

    seen = {caller: gateway.credits(caller) for caller in ("admin", "rich", "bounded")}

    rows = {
        caller: {gateway.names[row["caller"]]: row["credits"] for row in body["months"]}
        for caller, body in seen.items()
    }
    assert rows == {"admin": {"bounded": 0.25, "rich": 0.5}, "rich": {"rich": 0.5}, "bounded": {"bounded": 0.25}}
    against = {caller: (body["limit"], body["spent"], body["left"]) for caller, body in seen.items()}
    assert against == {"admin": (10, 0.75, 9.25), "rich": (None, 0.5, None), "bounded": (0.5, 0.25, 0.25)}
    assert {caller: len(body["uncertain"]) for caller, body in seen.items()} == {"admin": 1, "rich": 1, "bounded": 0}
    assert seen["admin"]["budget"] == {"caller": gateway.ids["admin"], "limit": None, "spent": 0, "left": None}
    assert seen["bounded"]["budget"] == {"caller": gateway.ids["bounded"], "limit": 0.5, "spent": 0.25, "left": 0.25}
    assert {body["resets_at"] for body in seen.values()} == {"2026-07-01T00:00:00Z"}


@pytest.mark.parametrize("value", ["'words'", "-1000", "x'00ff'"])
def test_a_charge_whose_amount_is_damaged_counts_against_the_budget_as_a_report(keyed, modash, value):
    gateway = keyed()
    gateway.ask("poor")
    query(gateway.store, "gateway", f"UPDATE ledger SET milli_credits = {value}")

    refused = gateway.ask("poor", "esa")

    assert (refused.status_code, refused.get_json()["code"]) == (402, "credit_budget_reached")
    assert gateway.ask("poor", "esa", dry_run="true").get_json()["outcome"] == "budget"
    assert gateway.credits("poor")["budget"]["left"] == 0
    assert modash.call_count == 1
