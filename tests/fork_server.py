"""A fork server: a process that has imported this project's programs, and forks once for each start of one.

Importing them is most of what a start costs. What is forked runs the module as `python -m` does, with the arguments,
the environment and the output of its own; gunicorn reads its configuration file, opens the store and forks its workers
itself. Tests of the command lines, of what `make` starts and of reloads start programs the plain way.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What the programs import; their own modules with `main` are not among them, because `python -m` runs these.
IMPORTED = (
    *("app", "gunicorn.app.wsgiapp", "gunicorn_reload", "gunicorn_worker"),
    *("services.background.job_handlers", "services.background.job_runner", "simulator.simulator"),
    *("psycopg", "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite.pysqlite"),
)

# Names of variables that the interpreter, or a library while it is imported, has read before the fork.
READ_BEFORE = ("PYTHON", "LANG", "LC_", "TZ", "MALLOC_", "LD_", "PROMETHEUS_", "SQLALCHEMY_", "PYDANTIC_", "PSYCOPG_")

OF_PYTEST = "PYTEST_"  # what it notes in the environment, another text for each test

ENDS_WITHIN = 30  # seconds that the server itself needs at most, on a busy machine


class ForkedProcess:
    """A forked program, with the part of `subprocess.Popen` that tests use."""

    def __init__(self, server: ForkServer, pid: int, args: Sequence[str]) -> None:
        self.pid = pid
        self.args = args
        self.returncode: int | None = None
        self._server = server
        self._file = os.pidfd_open(pid)  # The server keeps the process id from being used again until it is asked.
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Return the exit code of a program that has ended, otherwise None."""
        return self.returncode if self._has_ended(0) else None

    def wait(self, timeout: float | None = None) -> int:
        if not self._has_ended(timeout):
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _has_ended(self, timeout: float | None) -> bool:
        with self._lock:
            if self.returncode is None:
                ended = select.poll()
                ended.register(self._file, select.POLLIN)
                if ended.poll(None if timeout is None else timeout * 1000):
                    self.returncode = self._server.exit_code(self.pid)
                    os.close(self._file)
            return self.returncode is not None


class ForkServer:
    """The side of the tests: starts the server, and has it fork."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        mine, its = socket.socketpair()
        with its:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "tests.fork_server", str(its.fileno())],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
            )
        self._socket = mine
        self._lines = mine.makefile("rw")
        self._lock = threading.Lock()
        atexit.register(self._end, os.getpid())

    def may_start(self, environment: Mapping[str, str], settings: Mapping[str, str]) -> bool:
        """Return whether a program with this environment, of which some are settings, would notice no difference."""
        names = {name for name in environment if environment[name] != self._environment.get(name)}
        names |= self._environment.keys() - environment.keys()
        names = {name for name in names if not name.startswith(OF_PYTEST)}
        return names <= settings.keys() and not any(name.startswith(READ_BEFORE) for name in names)

    def start(self, module: str, arguments: Sequence[str], *, environment: Mapping[str, str], output: Path):
        """Start a program as `python -m` does in the folder of this project, with its output in a file."""
        order = {"module": module, "arguments": list(arguments), "environment": dict(environment)}
        pid = self._exchange(order | {"output": str(output)})
        return ForkedProcess(self, pid, [sys.executable, "-m", module, *arguments])

    def exit_code(self, pid: int) -> int:
        """Return the exit code of a program that has ended."""
        return self._exchange({"ended": pid})

    def _exchange(self, order: object) -> int:
        with self._lock:
            self._lines.write(f"{json.dumps(order)}\n")
            self._lines.flush()
            answer = self._lines.readline()
        assert answer, f"the fork server ended with {self._popen.wait(ENDS_WITHIN)}"
        return int(answer)

    def _end(self, started_by: int) -> None:
        if os.getpid() == started_by:
            self._lines.close()
            self._socket.close()
            self._popen.wait(ENDS_WITHIN)


def _orders(connection: socket.socket) -> Iterator[dict[str, object]]:
    """Yield, in a forked process, what to start; serve until the other side ends."""
    lines = connection.makefile("r")
    for line in lines:
        order = json.loads(line)
        if "ended" in order:
            answer = os.waitstatus_to_exitcode(os.waitpid(order["ended"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                lines.close()
                connection.close()
                yield order
                return
        connection.sendall(f"{answer}\n".encode())


def _become(order: dict[str, object]) -> None:
    """Take on what an order says of the process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    output = os.open(order["output"], os.O_WRONLY)
    for number in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(output, number)
    os.close(output)
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv[1:] = order["arguments"]


def main() -> None:
    """Import the programs, and fork as often as requested."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C also reaches this process, and the tests end what they began.
    connection = socket.socket(fileno=int(sys.argv[1]))
    for name in IMPORTED:
        importlib.import_module(name)
    assert threading.active_count() == 1  # The others would not live on in a fork, and what they hold would be locked.
    gc.collect()
    gc.freeze()  # Else each fork would copy what it shares when the garbage collector looks at it.
    for order in _orders(connection):
        _become(order)
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
