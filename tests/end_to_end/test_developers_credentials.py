"""No test, benchmark or example uses the developer's `.env` or the credentials in the developer's environment."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from tests.support import ROOT

NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".env", "instance", ".*_cache", ".hypothesis", "*.pyc.*")
# Files that used to read the settings file while they built a gateway; one test of each, and of each folder (below).
# Each test of the suite is watched as well, by the fixture `no_settings_file`: matrix and stampede would take too long
# here, and build gateways in the same way.
OFFENDERS = (
    "end_to_end/test_gunicorn.py",
    "end_to_end/test_many_accounts.py::test_accounts_come_and_go_by_the_command_while_the_gateway_runs",
    "end_to_end/test_odd_accounts.py",
    "end_to_end/test_no_secret_leaves.py",
    "end_to_end/test_truth.py::test_both_readings_of_end_time_give_the_same_numbers",
    "end_to_end/test_logins.py",
    "end_to_end/test_provider_calls.py",
)
TESTS = ROOT / "tests"
FOLDERS = [TESTS, *(folder for folder in TESTS.iterdir() if folder.is_dir() and folder.name != "end_to_end")]
EACH_FOLDER = tuple(
    # The shortest that builds a gateway, if there is one.
    str(min(files, key=lambda file: ("make_client" not in file.read_text(), file.stat().st_size)).relative_to(TESTS))
    for folder in sorted(FOLDERS)
    if (files := list(folder.glob("test_*.py")))
)
FIRST_OF_EACH_FILE = """
def pytest_collection_modifyitems(items):
    items[:] = {item.path: item for item in reversed(items)}.values()
"""


class Trap:
    """A port of this machine that counts the connections to it and answers none."""

    def __init__(self):
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # It was closed.
                return
            self.connections += 1
            connection.close()

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def trap():
    trap = Trap()
    yield trap
    trap.close()


@pytest.fixture
def live(trap):
    """Settings of a live gateway whose providers are the trap."""
    return {
        "PROVIDERS": "live",
        "ALLOW_ANONYMOUS": "true",
        "ACCESS_LONG_LIVED_TOKEN": "EAAthisTOKENofTHEdeveloperISnotUSED",
        "APP_SECRET": "developers-secret",
        "INSTAGRAM_ACCOUNT_ID": "17841400000000009",
        "MODASH_API_KEY": "developers-key",
        "GRAPH_BASE_URL": f"{trap.url}/graph.facebook.com",
        "MODASH_BASE_URL": f"{trap.url}/api.modash.io",
        "RETRY_BUDGET": "0",
    }


@pytest.fixture
def checkout(tmp_path, live):
    """A copy of the checkout with a live `.env`."""
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    (copy / ".env").write_text("".join(f"{name}={value}\n" for name, value in live.items()))
    (copy / "first_of_each_file.py").write_text(FIRST_OF_EACH_FILE)
    return copy


@pytest.fixture
def run_in(checkout):
    """Run a program in the copy to its end, as a developer does, and return its exit status and output."""

    def run(*arguments, **environ):
        bare = {
            name: value
            for name, value in os.environ.items()
            if name != "ENV_FILE" and not name.startswith(("PYTEST_", "COV_"))
        }
        with subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=checkout,
            env=bare | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=300)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # Gateways and simulators too, after a timeout.
        return process.returncode, output

    return run


def pytest_on(paths):
    plugins = ("-p", "first_of_each_file", "-p", "no:cacheprovider")
    return ("pytest", "-q", *plugins, *(f"tests/{path}" for path in paths))


def test_the_trap_notices_what_reads_the_settings_file(run_in, trap):
    run_in("commands.doctor")

    assert trap.connections > 0


def test_the_suite_leaves_a_live_settings_file_alone(run_in, trap):
    status, output = run_in(*pytest_on(EACH_FOLDER + OFFENDERS))

    assert trap.connections == 0
    assert status == 0, output[-3000:]
    assert f"{len(EACH_FOLDER + OFFENDERS)} passed" in output


@pytest.mark.parametrize("arguments", [("benchmarks", "--quick", "warm_parts"), ("commands.examples",)], ids=" ".join)
def test_benchmarks_and_examples_leave_a_live_settings_file_alone(run_in, trap, arguments):
    status, output = run_in(*arguments)

    assert trap.connections == 0
    assert status == 0, output[-3000:]


def test_the_suite_leaves_credentials_and_proxies_of_the_environment_alone(run_in, trap, live):
    elsewhere = live | {"HTTP_PROXY": trap.url, "http_proxy": trap.url, "WAITING_PLACES": "1"}

    status, output = run_in(*pytest_on(OFFENDERS[-2:]), **elsewhere)

    assert trap.connections == 0
    assert status == 0, output[-3000:]
