"""Warm requests: cached replies of the gateway, against a Flask view that does nothing under the same server.

Alternating rounds on 16 kept-alive connections, two workers, log lines on. Medians; `cpu_us` is the CPU time of the
workers for each reply. `ready` is a Flask view that returns as many constant bytes, `304` is the gateway with
If-None-Match. `key` is the gateway with an API key for one account and with limits, of which every request is checked.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from benchmarks.endpoints import warm_paths
from benchmarks.load import NOT_MODIFIED, OK, Plan, Result, run
from benchmarks.processes import Server
from benchmarks.stage import Options, Row, Stage
from config import SANDBOX_CREDENTIALS

CALLERS = 16
ACCOUNT = SANDBOX_CREDENTIALS["instagram_account_id"]
KEY_OPTIONS = ("--accounts", ACCOUNT, "--requests-per-minute", "1000000", "--credits", "100")
NOTICED_AFTER = 3.0  # seconds after which each worker knows what another one has fetched, such as the username
WARMING = 0.5  # seconds of load before the first round, so that each worker has cached the reply


@dataclass
class Side:
    """One of the compared servers, and its rounds."""

    server: Server
    path: str
    status: str = OK  # the only one that is measured
    headers: Mapping[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    def round(self, seconds: float) -> Result:
        """Send requests for some seconds and record the result."""
        before = self.server.cpu_seconds()
        result = self.once(seconds)
        self.results.append(result)
        self.cpu_us.append((self.server.cpu_seconds() - before) * 1e6 / max(result.replies, 1))
        return result

    def once(self, seconds: float) -> Result:
        """Send requests for some seconds."""
        return run(
            Plan(ports=(self.server.port,), paths=(self.path,), callers=CALLERS, seconds=seconds, headers=self.headers)
        ).require(self.status)

    @property
    def rate(self) -> float:
        """Replies in a second, the median."""
        return statistics.median(result.rate for result in self.results)

    @property
    def cpu(self) -> float:
        """CPU microseconds of the workers for a reply, the median."""
        return statistics.median(self.cpu_us)

    @property
    def p99_ms(self) -> float:
        """The 99th percentile of the latency, the median."""
        return statistics.median(result.overall.p99_ms for result in self.results)


def measure(options: Options) -> list[Row]:
    """Compare each kind of answer."""
    return compared(warm_paths(datetime.now(UTC)), options)


def compared(paths: Mapping[str, str], options: Options, *, database_url: str = "") -> list[Row]:
    """Return a row for each request."""
    with Stage() as stage:
        settings = stage.settings(stage.simulator(), database_url=database_url)
        key = {"Authorization": f"Bearer {stage.key(settings, *KEY_OPTIONS)}"}
        gateway = stage.gateway(settings)
        for path in paths.values():
            gateway.get(path).raise_for_status()
        time.sleep(NOTICED_AFTER)
        first = {name: gateway.get(path) for name, path in paths.items()}
        sizes = {name: len(response.content) for name, response in first.items()}
        empty = stage.empty(sizes.values())
        rows = []
        for name, path in paths.items():
            sides = {
                "empty": Side(empty, "/small"),
                "ready": Side(empty, f"/bytes/{sizes[name]}"),
                "warm": Side(gateway, path),
                "key": Side(gateway, path, headers=key),
            }
            tag = first[name].headers.get("ETag")
            if tag is not None:
                sides["304"] = Side(gateway, path, NOT_MODIFIED, {"If-None-Match": tag})
            _alternate(list(sides.values()), rounds=options.pick(5, 2), seconds=options.pick(2.0, 0.5))
            rows.append({"request": name, "bytes": sizes[name], **_figures(sides)})
        return rows


def _alternate(sides: Sequence[Side], *, rounds: int, seconds: float) -> None:
    for side in sides:
        side.once(WARMING)
    for _ in range(rounds):
        for side in sides:
            side.round(seconds)


def _figures(sides: Mapping[str, Side]) -> Row:
    empty, ready, warm, with_key = (sides[name] for name in ("empty", "ready", "warm", "key"))
    unchanged = sides.get("304")  # Absent where a reply has no ETag.
    return {
        "empty_per_s": empty.rate,
        "warm_per_s": warm.rate,
        "key_per_s": with_key.rate,
        "ratio": warm.rate / empty.rate,
        "ratio_key": with_key.rate / empty.rate,
        "ratio_ready": warm.rate / ready.rate,
        "ratio_304": unchanged.rate / empty.rate if unchanged else None,
        "empty_cpu_us": empty.cpu,
        "ready_cpu_us": ready.cpu,
        "warm_cpu_us": warm.cpu,
        "key_cpu_us": with_key.cpu,
        "304_cpu_us": unchanged.cpu if unchanged else None,
        "empty_p99_ms": empty.p99_ms,
        "warm_p99_ms": warm.p99_ms,
        "key_p99_ms": with_key.p99_ms,
        "load_cpu_us": statistics.median(result.own_us for result in empty.results),
    }
