"""The programs of one measurement: simulator, stores, gateways and the empty application, all ended with it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks import ROOT
from benchmarks.processes import Server
from commands.isolation import isolated
from commands.probe import free_port

Row = dict[str, Any]
"""One line of a measurement's table: plain numbers and texts by column."""

GATEWAY, EMPTY = "app:create_app()", "benchmarks.empty:app"
# The simulator's own limits, which are not what is measured. The gateway keeps to its own ones.
WITHOUT_LIMITS: Mapping[str, object] = {"modash_rate_limit": 0, "start_credits": 1_000_000, "usage": 0, "app_usage": 0}


@dataclass(frozen=True)
class Options:
    """How the measurements are done."""

    quick: bool = False

    def pick(self, usual: Any, quick: Any) -> Any:
        """Return a length or number: the usual one, or that of a smoke test."""
        return quick if self.quick else usual


class OverLimitError(Exception):
    """A benchmark was measured, and some of its rows are over their limit."""

    def __init__(self, message: str, rows: list[Row]) -> None:
        super().__init__(message)
        self.rows = rows


class Simulator(Server):
    """Both providers."""

    def switch(self, **switches: object) -> None:
        """Move some switches."""
        self.post("/_simulator/switches", switches)

    def calls(self) -> dict[str, Any]:
        """Return the calls since the last time, and reset the counters."""
        calls: dict[str, Any] = self.get("/_simulator/calls").json()
        self.post("/_simulator/calls/reset", {})
        return calls


class Stage:
    """Starts the programs of a measurement, and ends all of them in reverse order."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        self._names = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def simulator(self) -> Simulator:
        """Start both providers, without latency and without limits of their own."""
        port = free_port()
        simulator = Simulator(["simulator", "--port", str(port)], {}, port=port, output=self.path("simulator.log"))
        self._begin(simulator, "/_simulator/clock")
        simulator.switch(**WITHOUT_LIMITS)
        return simulator

    def settings(self, simulator: Simulator, *, database_url: str = "", **more: str) -> dict[str, str]:
        """Return the settings of a gateway in sandbox mode with an empty store of its own."""
        return self._with_store({"SIMULATOR_PORT": str(simulator.port), "DATABASE_URL": database_url, **more})

    def _with_store(self, settings: Mapping[str, str]) -> dict[str, str]:
        settings = {"PROVIDERS": "sandbox", "INSTANCE_PATH": str(self.path("instance")), **settings}
        migrate = [sys.executable, "-m", "commands.migrate"]
        done = subprocess.run(migrate, cwd=ROOT, env=isolated(settings), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"The store is not migrated: {done.stderr[-2000:]}")
        return settings

    def key(self, settings: Mapping[str, str], *options: str) -> str:
        """Make an API key for a gateway with these settings, and return it."""
        create = [sys.executable, "-m", "commands.key", "create", "benchmark", *options]
        done = subprocess.run(create, cwd=ROOT, env=isolated(settings), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"There is no key: {done.stderr[-2000:]}")
        return done.stdout.strip()

    def gateway(self, settings: Mapping[str, str], *, workers: int = 2) -> Server:
        """Start a gateway."""
        return self._gunicorn(GATEWAY, settings, workers, "/healthz")

    def empty(self, sizes: Iterable[int], *, workers: int = 2) -> Server:
        """Start the application that does nothing, with ready replies of some sizes."""
        # It uses the gateway's gunicorn configuration, which does not start without a migrated store.
        settings = self._with_store({"BENCH_SIZES": " ".join(map(str, sizes))})
        return self._gunicorn(EMPTY, settings, workers, "/small")

    def path(self, name: str) -> Path:
        """Return a path for a new file or folder of the stage."""
        self._names += 1
        return self._folder / f"{self._names}-{name}"

    def _gunicorn(self, app: str, settings: Mapping[str, str], workers: int, path: str) -> Server:
        port = free_port()
        module = ["gunicorn", "-c", "gunicorn.conf.py", "-w", str(workers), app]
        server = Server(module, {**settings, "PORT": str(port)}, port=port, output=self.path("gunicorn.log"))
        self._begin(server, path)
        return server

    def _begin(self, server: Server, path: str) -> None:
        self._stack.callback(server.stop)
        server.wait_for(path)
