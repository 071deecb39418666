"""Programs of this project in child processes: started, measured through /proc, and always ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import requests

from benchmarks import ROOT
from commands.isolation import isolated

READY_WITHIN = 30.0  # seconds
STOP_WITHIN = 5.0  # seconds until it is killed; no benchmark needs its state afterwards
TICKS = os.sysconf("SC_CLK_TCK")  # in a second
USER_TIME = 11  # field of /proc/<pid>/stat behind the name; system time is the next one


class Server:
    """A program that listens, and the processes below it."""

    def __init__(self, module: Sequence[str], settings: Mapping[str, str], *, port: int, output: Path) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._output = output
        self._stopped = False
        self._session = requests.Session()
        self._session.trust_env = (
            False  # A proxy of the environment must not stand between two programs of this machine.
        )
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *module],
                cwd=ROOT,
                env=isolated(settings),
                stdout=file,
                stderr=file,
                start_new_session=True,  # Ctrl-C reaches only the parent; and the whole group can be killed.
            )

    def wait_for(self, path: str) -> None:
        """Wait until a path is answered; end the program and raise if it never is."""
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self._session.get(f"{self.url}{path}", timeout=2)
            except requests.RequestException:
                time.sleep(0.05)
            else:
                return
        self.stop()
        raise RuntimeError(f"{path} is not answered. Its last lines:\n{self._output.read_text()[-2000:]}")

    def get(self, path: str) -> requests.Response:
        """Return the answer to a GET, whatever its status."""
        return self._session.get(f"{self.url}{path}", timeout=120)

    def post(self, path: str, body: Mapping[str, object]) -> None:
        """Send a POST, which must succeed."""
        self._session.post(f"{self.url}{path}", json=body, timeout=120).raise_for_status()

    def stop(self) -> None:
        """End the program and its children; a second call has no effect."""
        if self._stopped:
            return  # Its process id may belong to another process by now.
        self._stopped = True
        self._session.close()
        self._process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_WITHIN)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @property
    def workers(self) -> list[int]:
        """The child processes of the program."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return sorted(int(child) for child in children.read_text().split())

    def cpu_seconds(self) -> float:
        """Return the CPU time of the workers so far."""
        ticks = 0
        for pid in self.workers:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[USER_TIME]) + int(fields[USER_TIME + 1])
        return ticks / TICKS

    def resident_megabytes(self) -> dict[int, float]:
        """Return the resident memory of each worker."""
        return {pid: _resident(pid) for pid in self.workers}


def _resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return int(kilobytes) / 1024
