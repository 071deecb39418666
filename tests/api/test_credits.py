"""GET /credits returns what was spent, what is left, and of which calls the cost is not known."""

from __future__ import annotations

import requests

from services.store.ledger import Order
from tests.support import MODASH, settings, wait_until

REPORT = f"{MODASH}/v1/instagram/performance-data"


def test_a_ledger_without_a_row_knows_its_limit_and_no_balance(client):
    body = client.get("/credits").get_json()

    assert (body["month"], body["limit"], body["spent"], body["left"]) == ("2026-06", 100.0, 0.0, 100.0)
    assert (body["months"], body["uncertain"]) == ([], [])
    assert body["balance"] == {"credits": None, "credits_left": None, "as_of": None}
    assert body["rules"]


def test_what_was_spent_is_listed_by_month_and_caller(make_client, clock, wire):
    client = make_client(settings(modash_credit_limit=1, uncertain_charge_hold=60), clock=clock)
    wire.get(REPORT, json={"posts": {"total": 1}})
    client.get("/performance-data?url=nasa")
    wire.replace("GET", REPORT, json={"error": True, "code": "handle_not_found"}, status=404)
    client.get("/performance-data?url=nobody")
    clock.wait(30 * 86_400)
    wire.replace("GET", REPORT, body=requests.ReadTimeout("late"))
    client.get("/performance-data?url=esa")

    response = client.get("/credits")

    body = response.get_json()
    assert response.headers["Cache-Control"] == "no-store"
    assert (body["month"], body["spent"], body["left"]) == ("2026-07", 0.25, 0.75)
    nothing = {"charged": 0, "free": 0, "uncertain": 0, "open": 0, "caller": "anonymous", "credits": 0.25}
    assert body["months"] == [
        nothing | {"month": "2026-07", "uncertain": 1},
        nothing | {"month": "2026-06", "charged": 1, "free": 1},
    ]
    assert body["uncertain"] == [
        {
            "creator": "esa",
            "caller": "anonymous",
            "state": "uncertain",
            "code": "provider_timeout",
            "credits": 0.25,
            "opened_at": "2026-07-15T18:00:00Z",
            "held_until": "2026-07-15T18:01:00Z",
        }
    ]


def test_a_call_whose_process_died_is_uncertain_as_soon_as_it_must_be_over(client, clock):
    order = Order("modash", "nasa", "anonymous", price=250, limit=100_000, longest_call=30, max_retries=3)
    client.application.extensions["services"].store.ledger.open(order, lambda *_: None)
    states = [client.get("/credits").get_json()["uncertain"][0]["state"]]

    clock.wait(3600)
    (charge,) = client.get("/credits").get_json()["uncertain"]

    assert (*states, charge["state"], charge["code"]) == ("open", "uncertain", "never_came_back")


def test_a_call_whose_process_died_becomes_uncertain_in_the_ledger_by_itself(client, clock):
    services = client.application.extensions["services"]
    order = Order("modash", "nasa", "anonymous", price=250, limit=100_000, longest_call=30, max_retries=3)
    services.store.ledger.open(order, lambda *_: None)
    clock.wait(3600)
    services.heartbeat.start()

    wait_until(lambda: [call.state for call in services.store.spending.unsettled("modash")] == ["uncertain"])


def test_where_the_limit_was_lowered_below_what_is_spent_nothing_is_left(make_client, clock, wire):
    config = settings()
    wire.get(REPORT, json={"posts": {"total": 1}})
    make_client(config, clock=clock).get("/performance-data?url=nasa")
    lowered = settings(instance_path=config.instance_path, modash_credit_limit=0.1)

    body = make_client(lowered, clock=clock).get("/credits").get_json()

    assert (body["limit"], body["spent"], body["left"]) == (0.1, 0.25, 0.0)
