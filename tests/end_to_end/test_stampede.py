"""A thousand callers at once, over four processes and one store: one flight, the same bytes for all.

The thousand ask for what takes the most calls, in PostgreSQL. A stampede on the other path, or the other engine, meets
the same queues and leases, and two hundred callers are still more than may wait: these show that each of them joins
the flight, or returns to it after a refusal. `CALLERS=1000` is the full measure.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from benchmarks.load import BUSY, OK, Plan, run
from config import Config
from tests.support import lines_of

MOST, FEWER = 1000, int(os.environ.get("CALLERS", "200"))
LATENCY_MS = 200
PATHS = [
    "/growth-trends?period=30d&metrics=reach,views",
    "/account-insights?period=day&metrics=reach,views&since=2026-11-01&until=2026-11-14",
]
RETURNS = 5  # times that a caller who is refused as `busy` comes again: once, or more often where the machine is slow


def calls_of_one(make_client, simulator, path):
    client = make_client(Config.from_env({"SIMULATOR_PORT": simulator.url.rpartition(":")[2]}))
    return int(client.get(path).headers["X-Provider-Calls"])


@pytest.fixture
def ports(simulator, store_settings, start):
    """Two gateways of two workers each over one store."""
    settings = store_settings | {"SIMULATOR_PORT": simulator.url.rpartition(":")[2]}
    gateways = [start(settings) for _ in range(2)]
    yield tuple(int(gateway.url.rpartition(":")[2]) for gateway in gateways)
    lines = [line for gateway in gateways for line in lines_of(gateway)]
    # Shown where the test fails.
    print(Counter((line["message"], line.get("code"), line.get("fault")) for line in lines))  # noqa: T201
    errors = [line for line in lines if line["level"] == "error"]
    assert [(line["message"], line.get("fault")) for line in errors] == []


@pytest.mark.parametrize(
    ("store_settings", "stampede"),
    [
        ("postgresql", (PATHS[0], MOST)),
        ("postgresql", (PATHS[1], FEWER)),
        ("sqlite", (PATHS[0], FEWER)),
        ("sqlite", (PATHS[1], FEWER)),
    ],
    indirect=["store_settings"],
    ids=lambda value: value if isinstance(value, str) else f"{value[1]} callers of {value[0].partition('?')[0]}",
)
def test_a_thousand_cold_callers_cost_one_flight(simulator, make_client, ports, record_property, stampede):
    path, callers = stampede
    alone = calls_of_one(make_client, simulator, path)
    run(Plan(ports=ports, paths=("/healthz",), callers=32, requests=320))
    simulator.post("/_simulator/switches", {"latency_ms": LATENCY_MS})
    simulator.post("/_simulator/calls/reset")

    result = run(
        Plan(ports=ports, paths=(path,), callers=callers, requests=callers, returns=RETURNS, compare=True, patience=120)
    )

    counted = simulator.get("/_simulator/calls").json()
    calls = counted["total"]
    record_property("stampede", f"{result.summary()} after {result.answered_after} in {result.seconds:.1f} s")
    print(result.summary(), dict(result.answered_after), f"{result.seconds:.1f} s", f"{calls} calls, {alone} alone")  # noqa: T201  # For `-s`.
    assert calls == alone > 0, counted
    assert result.bodies == 1
    assert result.count(OK) == callers
    assert set(result.statuses) <= {OK, BUSY}
