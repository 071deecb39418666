"""A slow provider: 200 callers hang on one that takes 10 s, and warm requests must not notice.

The callers all want different days, so that none shares another's call; who is told `busy` comes again after
Retry-After. Meanwhile other callers ask, at a moderate pace, for what is kept; `p99_ratio` is their p99 by that of
callers who ask while nobody hangs.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from benchmarks.endpoints import GROWTH, POSTS, YESTERDAY, by_day
from benchmarks.load import BUSY, OK, Plan, Result, run, running
from benchmarks.processes import Server
from benchmarks.stage import Options, Row, Stage

LATENCY, QUICK_LATENCY = 10.0, 3.0  # seconds; below the gateway's READ_TIMEOUT
HANGING, QUICK_HANGING = 200, 60  # callers
FIRST_DAY = 30  # days ago; no warm path asks for that one
SETTLED = 1.0  # seconds until all who hang do hang
WARM_CALLERS, PAUSE = 16, 0.02  # seconds; together at most 800 requests a second
WARM = (YESTERDAY, GROWTH, POSTS)
PATIENCE = 180.0  # seconds
KEPT_COMING = 1000  # times that a caller who is told `busy` comes again


def measure(options: Options) -> list[Row]:
    """Measure with nobody hanging, then with all of them."""
    latency = options.pick(LATENCY, QUICK_LATENCY)
    now = datetime.now(UTC)
    count = options.pick(HANGING, QUICK_HANGING)
    days = tuple(by_day("reach", now=now, first=ago, last=ago) for ago in range(FIRST_DAY, FIRST_DAY + count))
    with Stage() as stage:
        simulator = stage.simulator()
        gateway = stage.gateway(stage.settings(simulator))
        for _ in range(8):  # Both workers see everything once.
            run(Plan(ports=(gateway.port,), paths=WARM, callers=len(WARM), requests=len(WARM)))
        # Most of one answer's time: those who hang do so all the while.
        seconds = latency - SETTLED - 1
        idle = _warm(gateway, seconds)
        simulator.switch(latency_ms=latency * 1000)
        hanging = Plan(
            ports=(gateway.port,), paths=days, callers=count, requests=count, returns=KEPT_COMING, patience=PATIENCE
        )
        with running(hanging) as load:
            time.sleep(SETTLED)
            meanwhile = _warm(gateway, seconds)
            hung = not load.is_over
            others = load.result()
    return [
        _warm_row("nobody hangs", idle, idle),
        _warm_row("all hang", meanwhile, idle) | {"hung": hung},
        _row(others),
    ]


def _warm(gateway: Server, seconds: float) -> Result:
    return run(
        Plan(ports=(gateway.port,), paths=WARM, callers=WARM_CALLERS, seconds=seconds, pause=PAUSE, patience=PATIENCE)
    )


def _warm_row(name: str, result: Result, idle: Result) -> Row:
    return {
        "callers": f"warm, {name}",
        "replies": result.replies,
        "p50_ms": result.overall.p50_ms,
        "p99_ms": result.overall.p99_ms,
        "max_ms": result.overall.max_ms,
        "p99_ratio": result.overall.p99_ms / idle.overall.p99_ms,
        "statuses": result.summary(),
    }


def _row(result: Result) -> Row:
    busy, answered = (result.statuses.get(status) for status in (BUSY, OK))
    return {
        "callers": "who hang",
        "replies": result.replies,
        "p50_ms": answered.p50_ms if answered else None,
        "p99_ms": answered.p99_ms if answered else None,
        "max_ms": answered.max_ms if answered else None,
        "statuses": result.summary(),
        "busy_p50_ms": busy.p50_ms if busy else None,
        "busy_p99_ms": busy.p99_ms if busy else None,
        "most_tries": max(map(int, result.answered_after), default=0),
        "seconds": result.seconds,
    }
