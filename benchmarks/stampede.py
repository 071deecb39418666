"""A stampede: 1,000 callers request the same cold answer at the same moment, from four processes over one store.

Two gateways of two workers each; the provider answers after 200 ms. `calls_of_one` are the provider calls of one caller
on an empty store, and `flights` is how many times as many the stampede made. A caller that gets 503 `busy` repeats its
request once, after Retry-After.
"""

from __future__ import annotations

from benchmarks.endpoints import GROWTH
from benchmarks.load import BUSY, OK, Plan, Result, run
from benchmarks.postgresql import SKIPPED, new_database
from benchmarks.stage import Options, Row, Simulator, Stage

CALLERS, QUICK_CALLERS = 1000, 100
LATENCY = 0.2  # seconds
PATIENCE = 240.0  # seconds
WARMING = "/healthz"


def measure(options: Options) -> list[Row]:
    """Measure on SQLite and on PostgreSQL."""
    callers = options.pick(CALLERS, QUICK_CALLERS)
    alone = _calls_of_one()
    rows = [_row("SQLite", callers, alone, "")]
    with new_database() as url:
        rows.append(
            {"store": "PostgreSQL", "note": SKIPPED} if url is None else _row("PostgreSQL", callers, alone, url)
        )
    return rows


def _calls_of_one() -> int:
    with Stage() as stage:
        simulator = stage.simulator()
        gateway = stage.gateway(stage.settings(simulator), workers=1)
        gateway.get(GROWTH).raise_for_status()
        return int(simulator.calls()["total"])


def _row(store: str, callers: int, alone: int, database_url: str) -> Row:
    with Stage() as stage:
        simulator = stage.simulator()
        result = _stampede(stage, simulator, callers, database_url)
        calls = simulator.calls()["total"]
    return {
        "store": store,
        "callers": callers,
        "calls": calls,
        "calls_of_one": alone,
        "flights": calls / alone,
        "different_bodies": result.bodies,
        "statuses": result.summary(),
        "busy": result.count(BUSY),
        "answered_at_once": result.answered_after.get("1", 0),
        "answered_after_busy": result.answered_after.get("2", 0),
        "answered_200": result.count(OK),
        "seconds": result.seconds,
        "p99_ms": result.overall.p99_ms,
    }


def _stampede(stage: Stage, simulator: Simulator, callers: int, database_url: str) -> Result:
    settings = stage.settings(simulator, database_url=database_url)
    gateways = [stage.gateway(settings) for _ in range(2)]
    ports = tuple(gateway.port for gateway in gateways)
    # Every process has answered a request, but has called no provider yet.
    run(Plan(ports=ports, paths=(WARMING,), callers=32, requests=320))
    simulator.switch(latency_ms=LATENCY * 1000)
    simulator.calls()
    return run(
        Plan(
            ports=ports, paths=(GROWTH,), callers=callers, requests=callers, returns=1, compare=True, patience=PATIENCE
        )
    ).require(OK, BUSY)
