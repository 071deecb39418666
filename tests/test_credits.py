"""GET /credits tells what was spent, what is left, and of what nobody knows."""

from __future__ import annotations

import requests

from tests.support import MODASH, settings

REPORT = f"{MODASH}/v1/instagram/performance-data"
BALANCE = f"{MODASH}/v1/user/info"


def test_a_ledger_without_a_row_knows_its_limit_and_no_balance(client):
    body = client.get("/credits").get_json()

    assert (body["month"], body["limit"], body["spent"], body["left"]) == ("2026-06", 100.0, 0.0, 100.0)
    assert (body["months"], body["uncertain"]) == ([], [])
    assert body["balance"] == {"credits": None, "read_at": None}
    assert body["rules"]


def test_what_was_spent_is_told_by_month_and_caller(make_client, clock, wire):
    client = make_client(settings(modash_credit_limit=1, uncertain_hold=60), clock=clock)
    wire.get(REPORT, json={"posts": {"total": 1}})
    wire.get(BALANCE, json={"billing": {"credits": 99.75}})
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
    assert body["balance"] == {"credits": 99.75, "read_at": "2026-06-15T18:00:00Z"}


def test_a_balance_that_modash_does_not_tell_is_unknown_and_not_nothing(client, wire):
    wire.get(REPORT, json={"posts": {"total": 1}})
    wire.get(BALANCE, json={"billing": {}})
    client.get("/performance-data?url=nasa")

    assert client.get("/credits").get_json()["balance"] == {"credits": None, "read_at": "2026-06-15T18:00:00Z"}
