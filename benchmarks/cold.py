"""Cold requests: how long one takes beyond its provider calls.

The provider answers after 200 ms. The gateway has an empty store and open connections; the median of some rounds. The
bound is ceil(calls / parallel) x 200 ms for each link of the longest chain of calls, plus 60 ms. The calls are counted
in the round itself. The ratio is median / bound. Where more than four calls for insights go out, a few go first, to
learn what Instagram refuses or has a fault with, for a request may spend eight calls on code 1 at most
(`services.insights.request_order`): that is one round trip more, and `ratio_with_guards` compares with the bound that
has it. A report is bought at the shipped MODASH_RATE of 2 calls a second, when the last call to Modash is more than a
second old.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from benchmarks.endpoints import CREATOR, by_day, cold_paths
from benchmarks.stage import Options, Row, Simulator, Stage

LATENCY = 0.2  # seconds
ALLOWED = 0.06  # seconds
MODASH_IDLE = 1.5  # seconds after which a call to Modash does not wait for its turn, at two calls a second
PARALLEL = 32
FIRST_ROUND = 4  # calls for insights; of more, a few go first (`services.insights.request_order.FIRST_ROUND`)


def measure(options: Options) -> list[Row]:
    """Measure each request on gateways that have never answered it."""
    paths = cold_paths(datetime.now(UTC))
    with Stage() as stage:
        simulator = stage.simulator()
        return [_row(stage, simulator, name, path, options.pick(5, 1)) for name, path in paths.items()]


def _row(stage: Stage, simulator: Simulator, name: str, path: str, rounds: int) -> Row:
    seconds: list[float] = []
    calls: dict[str, Any] = {}
    for _ in range(rounds):
        took, calls = _round(stage, simulator, path)
        seconds.append(took)
    # Pages follow each other; all other calls run beside the first of them. The balance of Modash is not part of the
    # chain: no caller should wait for it.
    links = max(1, _pages(calls["instagram"]["by_path"]))
    beside = calls["total"] - links + 1
    bound = (math.ceil(beside / PARALLEL) + links - 1) * LATENCY + ALLOWED
    with_guards = bound + LATENCY * (_insights(calls["instagram"]["by_path"]) > FIRST_ROUND)
    median = statistics.median(seconds)
    return {
        "request": name,
        "calls": calls["total"],
        "links": links,
        "bound_ms": bound * 1000,
        "median_ms": median * 1000,
        "worst_ms": max(seconds) * 1000,
        "ratio": median / bound,
        "bound_with_guards_ms": with_guards * 1000,
        "ratio_with_guards": median / with_guards,
    }


def _round(stage: Stage, simulator: Simulator, path: str) -> tuple[float, dict[str, Any]]:
    """Return how long a cold request took, and the calls it made."""
    # One worker, so that the request meets the connections that were opened before.
    settings = stage.settings(simulator, PROVIDER_PARALLEL=str(PARALLEL), LOG_LEVEL="WARNING")
    gateway = stage.gateway(settings, workers=1)
    # Also for the first requests: calls that overlap open a connection each, shorter ones share those that are open.
    simulator.switch(latency_ms=LATENCY * 1000)
    for warming in _warming(path):
        gateway.get(warming).raise_for_status()
    if "performance" in path:
        time.sleep(MODASH_IDLE)
    simulator.calls()
    started = time.perf_counter()
    gateway.get(path).raise_for_status()
    took = time.perf_counter() - started
    gateway.stop()
    return took, simulator.calls()


def _warming(path: str) -> list[str]:
    """Return requests that open all connections and load all code, without caching anything that `path` needs."""
    now = datetime.now(UTC)
    others = [by_day("reach,views", now=now, first=140, last=101), CREATOR.replace("nasa", "another.creator")]
    return others if "performance" in path else others[:1]


def _insights(by_path: Mapping[str, int]) -> int:
    return sum(count for path, count in by_path.items() if path.endswith("/insights"))


def _pages(by_path: Mapping[str, int]) -> int:
    # The first page may come with the profile, in a call for the account itself.
    return sum(count for path, count in by_path.items() if path.endswith(("/media", "/<ig>", "/me")))
