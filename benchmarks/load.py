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

from benchmarks import ROOT

OK, NOT_MODIFIED, BUSY, UNANSWERED = "200", "304", "503", "none"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked, by how many callers at once, and until when."""

    ports: tuple[int, ...]
    paths: tuple[str, ...]
    callers: int = 16
    seconds: float | None = None  # after which nothing new is asked
    requests: int | None = None  # after which nothing new is asked
    headers: Mapping[str, str] = field(default_factory=dict)
    pause: float = 0.0  # seconds that a caller waits before it asks again
    returns: int = 0  # how often a caller that is told to come again does so, after Retry-After
    compare: bool = False  # count the different bodies
    patience: float = 60.0  # seconds beyond the others until what is still unanswered is given up


@dataclass(frozen=True, kw_only=True)
class Latency:
    """How long the replies of one status took; what was never answered counts with how long it had waited."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came back."""

    replies: int
    seconds: float  # until the last reply
    overall: Latency
    statuses: Mapping[str, Latency]
    answered_after: Mapping[str, int]  # how many were answered for good, by the number of tries
    bodies: int | None  # different ones among the replies with 200
    own_us: float  # CPU of the load itself for each reply

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
        """Whether the last caller has gone."""
        return self._process.poll() is not None

    def result(self) -> Result:
        """Wait for the end and return what came back."""
        output, _ = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError("The load has failed; its last lines above say why.")
        told = json.loads(output)
        statuses = {status: Latency(**each) for status, each in told["statuses"].items()}
        return Result(**(told | {"overall": Latency(**told["overall"]), "statuses": statuses}))


@contextmanager
def running(plan: Plan) -> Iterator[Running]:
    """Start a load, and end it with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.callers"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is answered by who started it.
    )
    try:
        assert process.stdin is not None  # noqa: S101  # It was asked for above.
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
