"""Whatever Modash or something before it answers, the ledger agrees with what the simulator has charged."""

from __future__ import annotations

import pytest

from tests.stores import query

PRICE = 250  # thousandths of a credit
FREE, CHARGED, UNCERTAIN = "free", "charged", "uncertain"
HTML_STATUSES = (400, 401, 403, 404, 405, 407, 413, 429, 451, 500, 502, 503, 504, 522)
FAULTS = [
    *[({"kind": "html", "status": status}, FREE if status < 500 else UNCERTAIN) for status in HTML_STATUSES],
    *[({"kind": "empty_body", "status": status}, FREE if status < 500 else UNCERTAIN) for status in (403, 404, 500)],
    *[({"kind": "error", "status": status, "code": "of_tomorrow"}, FREE) for status in (200, 400, 404, 422, 500, 503)],
    *[({"kind": "retry_later", "shape": shape}, FREE) for shape in ("vendor", "seed", "mixed")],
    *[({"kind": kind}, FREE) for kind in ("error_200", "server_error", "echo_token", "no_credits", "key_invalid")],
    ({"kind": "rate_limited", "json": False}, FREE),
    ({"kind": "redirect"}, FREE),
    *[({"kind": kind}, UNCERTAIN) for kind in ("html", "not_json", "no_content", "too_large", "gzip_broken", "cut")],
    ({"kind": "cut", "after_work": True}, UNCERTAIN),
    ({"kind": "slow", "delay_seconds": 1.5}, UNCERTAIN),
    ({"kind": "truncated"}, UNCERTAIN),
    ({"kind": "slow", "delay_seconds": 0.3}, CHARGED),
    ({"kind": "wrong_type"}, UNCERTAIN),
    ({"kind": "wrong_type", "at": "posts"}, CHARGED),
    *[({"kind": kind}, UNCERTAIN) for kind in ("nan", "invalid_utf8", "deep_nesting")],
    ({"kind": "duplicate_keys"}, CHARGED),
    ({"kind": "bom"}, CHARGED),
]


@pytest.fixture
def buyer(make_world):
    return make_world(READ_TIMEOUT="1")


def states(world):
    return dict(query(world.settings, "gateway", "SELECT creator, state FROM ledger"))


def charges(world):
    world.settle()
    reported = world.simulator.get("/_simulator/calls").json()["charges"]
    return {creator: charged["milli_credits"] for creator, charged in reported.items() if charged["milli_credits"]}


def test_the_ledger_agrees_with_the_charges_of_the_simulator(buyer):
    expected = {}
    for number, (fault, state) in enumerate(FAULTS):
        name = f"creator{number}"
        expected[name] = state
        buyer.fault(provider="modash", path="performance-data", times=1, **fault)
        buyer.get(f"/performance-data?url={name}")
        buyer.heal()
        buyer.advance(seconds=10)  # beyond every pause of the circuit breaker and every throttle

    booked, charged = states(buyer), charges(buyer)
    shown = {name: (FAULTS[number][0], booked.get(name)) for number, name in enumerate(expected)}
    assert {name: shown[name] for name in expected if booked.get(name) != expected[name]} == {}
    # What the simulator charged is charged or in doubt here, and what it did not charge is never booked as charged.
    assert {name for name in charged if booked[name] == FREE} == set()
    assert {name for name in booked if booked[name] == CHARGED} <= charged.keys()
    spent = buyer.body("/credits")["spent"] * 1000
    assert spent == PRICE * sum(state != FREE for state in booked.values())
