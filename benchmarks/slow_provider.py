"""A slow provider: 200 callers wait for one that takes 10 s, and warm requests must stay fast.

The callers request different days, so that no call is shared; a caller that gets 503 `busy` repeats its request after
Retry-After. Meanwhile other callers request cached replies at a moderate rate; `p99_ratio` is their p99 divided by
that of the same callers while no request waits.
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
FIRST_DAY = 30  # days ago; no warm path needs that day
SETTLED = 1.0  # seconds until all slow requests wait
WARM_CALLERS, PAUSE = 16, 0.02  # seconds; together at most 800 requests a second
WARM = (YESTERDAY, GROWTH, POSTS)
PATIENCE = 180.0  # seconds
KEPT_COMING = 1000  # times that a caller repeats a request that was refused with 503


def measure(options: Options) -> list[Row]:
    """Measure without slow requests, then with all of them."""
    latency = options.pick(LATENCY, QUICK_LATENCY)
    now = datetime.now(UTC)
    count = options.pick(HANGING, QUICK_HANGING)
    days = tuple(by_day("reach", now=now, first=ago, last=ago) for ago in range(FIRST_DAY, FIRST_DAY + count))
    with Stage() as stage:
        simulator = stage.simulator()
        gateway = stage.gateway(stage.settings(simulator))
        for _ in range(8):  # Both workers have cached every warm reply.
            run(Plan(ports=(gateway.port,), paths=WARM, callers=len(WARM), requests=len(WARM)))
        # Shorter than one slow answer, so that the slow requests wait all the while.
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
            others = load.result().require(OK, BUSY)
    return [
        _warm_row("no request waits", idle, idle),
        _warm_row("all wait", meanwhile, idle) | {"hung": hung},
        _row(others),
    ]


def _warm(gateway: Server, seconds: float) -> Result:
    return run(
        Plan(ports=(gateway.port,), paths=WARM, callers=WARM_CALLERS, seconds=seconds, pause=PAUSE, patience=PATIENCE)
    ).require(OK)


def _warm_row(name: str, result: Result, idle: Result) -> Row:
    return {
        "callers": f"warm, {name}",
        "replies": result.replies,
        "p50_ms": result.overall.p50_ms,
        "p99_ms": result.overall.p99_ms,
        "max_ms": result.overall.max_ms,
        "p99_ratio": result.overall.p99_ms / idle.overall.p99_ms,
    }


def _row(result: Result) -> Row:
    busy, answered = (result.statuses.get(status) for status in (BUSY, OK))
    return {
        "callers": "slow",
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
