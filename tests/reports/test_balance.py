"""The balance is read in the background, and what is left is reckoned from it until it is read again."""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests

from services.background.job_handlers import handlers
from services.background.job_runner import Runner
from services.store.ledger import Order, Settlement
from services.store.reports import BalanceReading
from tests.support import MODASH

REPORT = f"{MODASH}/v1/instagram/performance-data"
BALANCE = f"{MODASH}/v1/user/info"
ORDER = Order("modash", "esa", "anonymous", price=250, limit=100_000, longest_call=30, max_retries=3)
NEVER_READ = {"credits": None, "credits_left": None, "as_of": None}


@pytest.fixture
def modash(wire):
    """Plan reports for all creators and a balance of 99.75 credits; any may be asked for or not."""
    wire.assert_all_requests_are_fired = False
    wire.get(REPORT, json={"posts": {"total": 1}, "reels": {"total": 1}})
    wire.get(BALANCE, json={"billing": {"credits": 99.75}})
    return wire


@pytest.fixture
def work(client, clock):
    """Do the jobs that are due a second later."""
    services = client.application.extensions["services"]
    runner = Runner(services.store, handlers(services, clock), clock)

    def do():
        clock.wait(1)
        for job in runner.claim("we", 10):
            runner.run(job)

    return do


def balances_asked(wire):
    return len([call for call in wire.calls if call.request.url.startswith(BALANCE)])


def cost(client, creator):
    return client.get(f"/performance-data?url={creator}").get_json()["meta"]["cost"]


def test_a_first_report_waits_for_no_balance(client, modash):
    response = client.get("/performance-data?url=nasa")

    assert response.headers["X-Provider-Calls"] == "1"
    assert response.get_json()["meta"]["cost"] == {"credits": 0.25, "credits_left": None, "as_of": None}
    assert balances_asked(modash) == 0


def test_what_is_left_is_the_last_balance_less_what_was_booked_since(client, clock, modash, work):
    cost(client, "nasa")
    work()
    clock.wait(1)

    kept, second, third = cost(client, "nasa"), cost(client, "esa"), cost(client, "jaxa")

    as_of = "2026-06-15T18:00:01Z"
    assert kept == {"credits": 0, "credits_left": 99.75, "as_of": as_of}
    assert second == {"credits": 0.25, "credits_left": 99.5, "as_of": as_of}
    assert third == {"credits": 0.25, "credits_left": 99.25, "as_of": as_of}
    assert client.get("/credits").get_json()["balance"] == {"credits": 99.75, "credits_left": 99.25, "as_of": as_of}


def test_an_uncertain_call_counts_as_spent_until_the_next_balance_and_a_free_one_does_not(client, clock, modash, work):
    cost(client, "nasa")
    work()
    clock.wait(1)
    modash.replace("GET", REPORT, body=requests.ReadTimeout("late"))
    client.get("/performance-data?url=esa")
    modash.replace("GET", REPORT, json={"error": True, "code": "handle_not_found"}, status=404)
    client.get("/performance-data?url=missing")

    assert cost(client, "nasa")["credits_left"] == 99.5


def test_a_call_under_way_counts_as_spent(client, clock, modash, work):
    cost(client, "nasa")
    work()
    clock.wait(1)
    client.application.extensions["services"].store.ledger.open(ORDER, lambda *_: None)

    assert client.get("/credits").get_json()["balance"]["credits_left"] == 99.5


def test_a_call_that_began_before_the_balance_was_read_and_ended_after_it_counts_as_spent(client, clock, modash, work):
    ledger = client.application.extensions["services"].store.ledger
    cost(client, "nasa")
    opened = ledger.open(ORDER, lambda *_: None)
    work()
    while_under_way = cost(client, "nasa")["credits_left"]
    clock.wait(1)
    ledger.settle(opened, Settlement("charged", "report", clock.timestamp()))

    assert while_under_way == 99.5
    assert client.get("/credits").get_json()["balance"]["credits_left"] == 99.5


def test_a_ready_reply_says_the_new_balance_and_the_latest_purchase(client, clock, modash, work):
    path = "/performance-data?url=nasa"
    client.get(path)
    before = [client.get(path).get_json()["meta"]["cost"]["credits_left"] for _ in range(2)]
    work()
    read = [client.get(path).get_json()["meta"]["cost"]["credits_left"] for _ in range(2)]
    clock.wait(1)
    cost(client, "esa")

    assert (before, read) == ([None, None], [99.75, 99.75])
    assert client.get(path).get_json()["meta"]["cost"]["credits_left"] == 99.5


def test_a_ready_reply_says_that_an_uncertain_call_counts_as_spent(client, clock, modash, work):
    path = "/performance-data?url=nasa"
    client.get(path)
    work()
    before = [client.get(path).get_json()["meta"]["cost"]["credits_left"] for _ in range(2)]
    clock.wait(1)
    modash.replace("GET", REPORT, body=requests.ReadTimeout("late"))
    client.get("/performance-data?url=esa")

    assert (before, client.get(path).get_json()["meta"]["cost"]["credits_left"]) == ([99.75, 99.75], 99.5)


def test_a_balance_that_was_looked_up_before_a_newer_one_is_not_shown_after_it(client, monkeypatch):
    services = client.application.extensions["services"]
    reports = services.store.reports
    look_up = reports.balance
    reports.note_balance("modash", BalanceReading(10.0, 1.0))

    def delayed(source):
        found = look_up(source)
        monkeypatch.undo()
        reports.note_balance(source, BalanceReading(9.0, 2.0))
        services.cache.announce_change(source)
        return found

    monkeypatch.setattr(reports, "balance", delayed)

    assert [services.credit_balance.recently_left().credits for _ in range(2)] == [10.0, 9.0]


def test_the_balance_is_read_once_a_minute_at_most_and_only_after_purchases(client, clock, modash, work):
    asked = []
    for creator, seconds in (("a", 0), ("b", 0), ("c", 57), ("d", 0), (None, 300), (None, 300)):
        if creator:
            cost(client, creator)
        clock.wait(seconds)
        work()
        asked.append(balances_asked(modash))

    # One reading serves all purchases of the minute after the first one.
    assert asked == [1, 1, 1, 2, 2, 2]


def test_the_job_of_a_purchase_is_due_no_earlier_than_the_balance(client, clock, modash, work):
    services = client.application.extensions["services"]
    runner = Runner(services.store, handlers(services, clock), clock)
    cost(client, "nasa")
    work()
    cost(client, "esa")
    clock.wait(59)
    within_the_minute = [job.kind for job in runner.claim("we", 10)]
    clock.wait(1)

    assert "balance" not in within_the_minute
    assert "balance" in [job.kind for job in runner.claim("we", 10)]


def test_a_purchase_during_a_reading_does_not_bring_the_next_one_forward(client, clock, modash, work):
    cost(client, "nasa")

    def buy_another(_request):
        cost(client.application.test_client(), f"esa{balances_asked(modash)}")
        return 200, {}, '{"billing": {"credits": 99.75}}'

    modash.remove("GET", BALANCE)
    modash.add_callback("GET", BALANCE, buy_another)
    work()
    work()
    within_the_minute = balances_asked(modash)
    clock.wait(60)
    work()

    assert (within_the_minute, balances_asked(modash)) == (1, 2)


def test_a_balance_is_as_old_as_its_call_so_that_what_is_booked_meanwhile_is_subtracted(client, clock, modash, work):
    cost(client, "nasa")

    def answer(_request):
        clock.wait(2)
        cost(client, "esa")
        clock.wait(2)
        return 200, {}, '{"billing": {"credits": 99.75}}'

    modash.remove("GET", BALANCE)
    modash.add_callback("GET", BALANCE, answer)
    work()

    balance = client.get("/credits").get_json()["balance"]
    assert balance == {"credits": 99.75, "credits_left": 99.5, "as_of": "2026-06-15T18:00:01Z"}


def test_a_new_balance_drops_the_replies_that_say_the_one_before_in_every_process(client, modash):
    services = client.application.extensions["services"]
    cost(client, "nasa")
    before = services.store.cache_entries.versions()["modash"]

    services.credit_balance.read()

    assert services.store.cache_entries.versions()["modash"] == before + 1


def test_an_older_balance_that_comes_later_replaces_no_newer_one(client):
    reports = client.application.extensions["services"].store.reports
    for credits_left, read_at in ((5.0, 20.0), (9.0, 10.0)):
        reports.note_balance("modash", BalanceReading(credits_left, read_at))

    assert client.get("/credits").get_json()["balance"]["credits"] == 5.0


def test_many_purchases_put_one_job(client, modash):
    for number in range(5):
        cost(client, f"creator{number}")

    work = client.get("/status").get_json()["work"]
    assert (work["waiting"], balances_asked(modash)) == (1, 1)  # The status itself looks at the key.


@pytest.mark.parametrize(
    ("billing", "left"),
    [
        ({"credits": 0}, 0),
        ({"credits": -0.25}, -0.25),
        ({"credits": "99"}, None),
        ({"credits": None}, None),
        ({"credits": True}, None),
        ({"credits": 10**12}, 1e12),
        ({"credits": 10**12 + 1}, None),
        ({"credits": -(10**12) - 1}, None),
        ({"rawRequests": 99}, None),
    ],
)
def test_the_credits_left_are_what_modash_says_or_unknown(client, modash, work, billing, left):
    modash.replace("GET", BALANCE, json={"billing": billing})
    cost(client, "nasa")
    work()

    assert cost(client, "nasa") == {"credits": 0, "credits_left": left, "as_of": "2026-06-15T18:00:01Z"}


def test_a_balance_of_before_the_clock_was_set_back_is_read_again(client, clock, modash, work):
    now = clock.now()
    clock.set(now + timedelta(days=1))
    cost(client, "nasa")
    work()
    clock.set(now)
    modash.replace("GET", BALANCE, json={"billing": {"credits": 50}})

    cost(client, "esa")
    work()

    # By the ledger the first report was bought later, so it is subtracted: an estimate is never too high.
    assert cost(client, "esa") == {"credits": 0, "credits_left": 49.75, "as_of": "2026-06-15T18:00:01Z"}


@pytest.mark.parametrize("billing", [{}, {"credits": None}, {"credits": "99"}])
def test_a_balance_that_is_known_stays_where_an_answer_has_none(client, clock, modash, work, billing):
    cost(client, "nasa")
    work()
    known = cost(client, "nasa")
    modash.replace("GET", BALANCE, json={"billing": billing})
    clock.wait(60)
    cost(client, "esa")
    work()

    assert balances_asked(modash) == 2
    assert known == {"credits": 0, "credits_left": 99.75, "as_of": "2026-06-15T18:00:01Z"}
    assert cost(client, "nasa") == known | {"credits_left": 99.5}
    assert client.get("/credits").get_json()["balance"]["credits"] == 99.75

    modash.replace("GET", BALANCE, json={"billing": {"credits": 50}})
    clock.wait(60)
    cost(client, "jaxa")
    work()
    assert cost(client, "nasa")["credits_left"] == 50


@pytest.mark.parametrize(
    "planned",
    [
        {"json": {"error": True, "code": "internal_server_error"}, "status": 500},
        {"json": {"error": True, "code": "not_enough_credits"}, "status": 403},
        {"json": [1], "status": 200},
        {"body": "<html>", "status": 503},
        {"body": requests.ReadTimeout("late")},
    ],
    ids=["refused", "no credits", "list", "html", "late"],
)
def test_a_balance_that_cannot_be_read_is_tried_again_later(client, clock, modash, work, planned):
    modash.replace("GET", BALANCE, **planned)
    cost(client, "nasa")
    work()
    failed = client.get("/credits").get_json()["balance"]
    modash.replace("GET", BALANCE, json={"billing": {"credits": 5}})
    clock.wait(60)
    work()

    assert failed == NEVER_READ
    assert client.get("/credits").get_json()["balance"]["credits"] == 5
    assert client.get("/performance-data?url=nasa").status_code == 200
