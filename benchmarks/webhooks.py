"""Deliveries of webhooks: how many a second are stored, against an empty Flask view that writes one row.

Alternating rounds on kept-alive connections, two workers, log lines on. Both sides answer once the row is committed and
on the disk (SQLite, WAL, synchronous=FULL), and each request has another body of one or more changes. Medians.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.load import OK, Plan, Result, run
from benchmarks.processes import Server
from benchmarks.stage import Options, Row, Stage
from config import SANDBOX_CREDENTIALS

CHANGES = (1, 100)  # in a delivery
CALLERS = (1, 16)
WARMING = 0.5  # seconds of load before the first round, so that each thread has its connection


@dataclass
class Side:
    """One of the compared servers, and its rounds."""

    server: Server
    path: str
    results: list[Result] = field(default_factory=list)

    def round(self, body: str, callers: int, seconds: float) -> Result:
        """Send deliveries for some seconds."""
        return run(
            Plan(
                ports=(self.server.port,),
                paths=(self.path,),
                body=body,
                secret=SANDBOX_CREDENTIALS["app_secret"],
                callers=callers,
                seconds=seconds,
            )
        ).require(OK)

    @property
    def rate(self) -> float:
        """Deliveries in a second, the median."""
        return statistics.median(result.rate for result in self.results)

    def latency(self, name: str) -> float:
        """Return a figure of the latency in milliseconds, the median."""
        return float(statistics.median(getattr(result.overall, name) for result in self.results))


def measure(options: Options) -> list[Row]:
    """Compare deliveries of different sizes, from one caller after the other and from several at once."""
    with Stage() as stage:
        empty = stage.empty(())
        gateway = stage.gateway(stage.settings(stage.simulator()))
        rows = []
        for changes in CHANGES:
            for callers in CALLERS:
                sides = Side(empty, "/row"), Side(gateway, "/webhooks/instagram")
                _alternate(sides, _body(changes), callers, options)
                rows.append(_row(sides, changes, callers))
        return rows


def _alternate(sides: Sequence[Side], body: str, callers: int, options: Options) -> None:
    for side in sides:
        side.round(body, callers, WARMING)
    for _ in range(options.pick(5, 2)):
        for side in sides:
            side.results.append(side.round(body, callers, options.pick(2.0, 0.5)))


def _row(sides: Sequence[Side], changes: int, callers: int) -> Row:
    empty, gateway = sides
    return {
        "changes": changes,
        "callers": callers,
        "row_per_s": empty.rate,
        "delivery_per_s": gateway.rate,
        "ratio": gateway.rate / empty.rate,
        "row_p50_ms": empty.latency("p50_ms"),
        "delivery_p50_ms": gateway.latency("p50_ms"),
        "row_p99_ms": empty.latency("p99_ms"),
        "delivery_p99_ms": gateway.latency("p99_ms"),
    }


def _body(changes: int) -> str:
    """Return a delivery of the shape of Meta's sample; `#` makes each change of each delivery another one."""
    values = {"impressions": 28, "reach": 17, "taps_forward": 12, "taps_back": 0, "exits": 1, "replies": 0}
    each = [{"field": "story_insights", "value": {"media_id": f"#{number:03}", **values}} for number in range(changes)]
    account = SANDBOX_CREDENTIALS["instagram_account_id"]
    return json.dumps({"object": "instagram", "entry": [{"id": account, "time": 1_760_000_000, "changes": each}]})
