"""The load: callers on kept-alive connections, in a process of their own.

`python -m benchmarks.callers` is that process: it takes a `Plan` as JSON and prints a `Result` as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Self

from benchmarks import ROOT
from commands.isolation import isolated

OK, NOT_MODIFIED, BUSY, UNANSWERED = "200", "304", "503", "none"


class MisleadingError(Exception):
    """The replies are not those that a benchmark measures, so its figures would be about something else."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The requests, the number of callers at once, and when they stop."""

    ports: tuple[int, ...]
    paths: tuple[str, ...]
    callers: int = 16
    seconds: float | None = None  # after which no new request is sent
    requests: int | None = None  # after which no new request is sent
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""  # of a POST; each `#` in it becomes the number of the request
    secret: str = ""  # with which a POST is signed, as Meta signs the deliveries of webhooks
    pause: float = 0.0  # seconds between a reply and the caller's next request
    returns: int = 0  # how often a caller repeats a request that was refused with 503, after Retry-After
    compare: bool = False  # count the different bodies
    patience: float = 60.0  # seconds after the end for which replies are still awaited


@dataclass(frozen=True, kw_only=True)
class Latency:
    """How long the replies of one status took; a request without a reply counts with the time it has waited."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """The replies of a load."""

    replies: int
    seconds: float  # until the last reply
    overall: Latency
    statuses: Mapping[str, Latency]
    answered_after: Mapping[str, int]  # final replies, by the number of tries
    bodies: int | None  # different ones among the replies with 200
    provider_calls: int  # replies for which a provider was called, as they say
    own_us: float  # CPU of the load itself for each reply

    def require(self, *statuses: str) -> Self:
        """Return this result; raise `MisleadingError` where a reply has another status, or never came."""
        if set(self.statuses) - set(statuses):
            raise MisleadingError(f"The replies are {self.summary()}; only {', '.join(statuses)} can be measured.")
        return self

    @property
    def rate(self) -> float:
        """Replies in a second."""
        return self.replies / self.seconds if self.seconds else 0.0

    def count(self, status: str) -> int:
        """Return the number of replies of a status."""
        return self.statuses[status].count if status in self.statuses else 0

    def summary(self) -> str:
        """Return the statuses with their numbers, on one line."""
        return " ".join(f"{status}:{latency.count}" for status, latency in sorted(self.statuses.items()))


class Running:
    """A load under way."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def is_over(self) -> bool:
        """Whether the last caller has ended."""
        return self._process.poll() is not None

    def result(self) -> Result:
        """Wait for the end and return the replies."""
        output, _ = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError("The load has failed; its last lines above say why.")
        written = json.loads(output)
        statuses = {status: Latency(**each) for status, each in written["statuses"].items()}
        return Result(**(written | {"overall": Latency(**written["overall"]), "statuses": statuses}))


@contextmanager
def running(plan: Plan) -> Iterator[Running]:
    """Start a load, and end it with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.callers"],
        cwd=ROOT,
        env=isolated({}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches only the parent, which ends this process.
    )
    try:
        assert process.stdin is not None  # noqa: S101  # Popen opens it above.
        process.stdin.write(json.dumps(asdict(plan)).encode() + b"\n")
        process.stdin.flush()
        yield Running(process)
    finally:
        process.kill()
        process.wait()


def run(plan: Plan) -> Result:
    """Run a load to its end."""
    with running(plan) as load:
        return load.result()
