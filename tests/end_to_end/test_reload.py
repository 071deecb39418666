"""Reloads under load: new workers take over if they start, the old ones go on if they would not; no request fails."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from services.store.schema_versions import GATEWAY, VERSIONS
from tests.end_to_end.test_kills import workers_of
from tests.stores import query
from tests.support import ROOT, Process, environment, free_port, lines_of, new_instance, wait_for

WITHIN = 60.0  # seconds
WORKERS = 2  # of `gunicorn.conf.py`
PACKAGES = ("front", "routes", "services")
REFUSED = "The reload was refused, and the workers before it go on: "


@pytest.fixture
def code(tmp_path):
    """A copy of the gateway's code, which a test may change."""
    folder = tmp_path / "code"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ROOT.glob("*.py"):
        shutil.copy(file, folder)
    return folder


@pytest.fixture
def settings_file(tmp_path):
    file = tmp_path / "settings"
    file.write_text("LOG_LEVEL=INFO\n")
    return file


@pytest.fixture
def settings(simulator, settings_file):
    return {
        "SIMULATOR_PORT": simulator.url.rpartition(":")[2],
        "ENV_FILE": str(settings_file),
        "INSTANCE_PATH": new_instance(),
    }


@pytest.fixture
def gateway(settings, code, start):
    return start(settings, code=code)


def send_until(over, port, *, keep_alive, outcomes):
    """Request a warm reply repeatedly, on one connection or on a new one each time."""
    connection = None
    while not over.is_set():
        try:
            connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/top-posts?time_range=7d")
            response = connection.getresponse()
            response.read()
            outcomes.append(response.status)
            if not keep_alive or response.getheader("Connection") == "close":
                connection.close()
                connection = None
        except OSError as error:
            outcomes.append(repr(error))
            connection = None
        time.sleep(0.02)  # The cores have to start processes meanwhile.
    if connection is not None:
        connection.close()


@pytest.fixture
def outcomes(gateway):
    """What callers get who go on to call until the test asks them to stop by `over`."""
    outcomes, over = [], threading.Event()
    port = int(gateway.url.rpartition(":")[2])
    callers = [
        threading.Thread(
            target=send_until, args=(over, port), kwargs={"keep_alive": number % 2 == 0, "outcomes": outcomes}
        )
        for number in range(4)
    ]
    for caller in callers:
        caller.start()

    def stop():
        over.set()
        for caller in callers:
            caller.join()
        return outcomes

    yield stop
    stop()


def until(is_so, gateway):
    deadline = time.monotonic() + WITHIN
    while not is_so():
        assert time.monotonic() < deadline, gateway.output.read_text()[-2000:]
        time.sleep(0.05)


def all_workers(gateway):
    """The first workers, once each of them is ready: gunicorn forks one after the other, and the first one answers."""
    until(lambda: ready(gateway) == WORKERS, gateway)
    return workers_of(gateway.popen.pid)


def ready(gateway):
    """How many workers have started and said so."""
    return [line["message"] for line in lines_of(gateway)].count("The gateway is ready")


def refusals(gateway):
    return [line.partition(REFUSED)[2] for line in gateway.output.read_text().splitlines() if REFUSED in line]


def refused_reload(gateway):
    """Reload and return the reason for which that was refused."""
    before = len(refusals(gateway))
    gateway.popen.send_signal(signal.SIGHUP)
    until(lambda: len(refusals(gateway)) > before, gateway)
    return refusals(gateway)[-1]


def test_reloads_lose_no_request_and_those_that_would_not_start_change_nothing(
    gateway, settings, settings_file, code, outcomes
):
    first = all_workers(gateway)
    part = code / "services" / "days.py"

    settings_file.write_text("LOG_LEVEL=LOUD\n")
    of_a_setting = refused_reload(gateway)
    settings_file.write_text("LOG_LEVEL=WARNING\n")
    query(settings, GATEWAY, "UPDATE gateway_version SET version_num = '9999'")
    of_the_schema = refused_reload(gateway)
    query(settings, GATEWAY, f"UPDATE gateway_version SET version_num = '{VERSIONS[GATEWAY]}'")
    text = part.read_text()
    part.write_text(f"{text}\nimport no_such_module\n")
    of_the_code = refused_reload(gateway)
    unchanged = workers_of(gateway.popen.pid)
    part.write_text(f'{text}\n__import__("sys").stderr.write(f"new code in {{__name__}}\\\\n")\n')
    gateway.popen.send_signal(signal.SIGHUP)
    until(lambda: not set(first) & set(workers_of(gateway.popen.pid)), gateway)

    got = outcomes()
    assert set(got) == {200}
    assert len(got) > 100
    assert set(unchanged) == set(first)
    assert "LOG_LEVEL" in of_a_setting
    assert "9999" in of_the_schema
    assert "newer than this code" in of_the_schema
    assert "no_such_module" in of_the_code
    assert "services/days.py" in of_the_code
    assert "new code in services.days" in gateway.output.read_text()
    assert ready(gateway) == len(first) == WORKERS  # The new workers have the new LOG_LEVEL.


# Python runs it at each start, if it is on the path. A program then waits with the import of the gateway.
WAITS_WITH_IMPORT = """
import sys, time
from pathlib import Path

class Waits:
    @staticmethod
    def find_spec(name, *_):
        while name == "app" and not (Path(__file__).parent / "go-on").exists():
            time.sleep(0.01)

sys.meta_path.insert(0, Waits)
"""


@pytest.fixture
def starting(settings, tmp_path):
    """A gateway of one worker that has begun to start, and goes on once there is the file `go-on`."""
    (tmp_path / "sitecustomize.py").write_text(WAITS_WITH_IMPORT)
    output = tmp_path / "output"
    chosen = settings | {"PORT": str(free_port()), "GUNICORN_CMD_ARGS": "--workers 1", "PYTHONPATH": str(tmp_path)}
    with output.open("wb") as file:
        popen = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "app:create_app()"],
            cwd=ROOT,
            env=environment(chosen),
            stdout=file,
            stderr=file,
        )
    process = Process(popen, f"http://127.0.0.1:{chosen['PORT']}", output)
    until(lambda: is_caught(popen.pid, signal.SIGHUP), process)
    yield process
    process.stop()


def is_caught(pid, number):
    """Whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("SigCgt:\t")[2].split()[0], 16) >> number - 1 & 1


def test_a_reload_during_the_start_takes_place_after_it(starting, tmp_path):
    starting.popen.send_signal(signal.SIGHUP)
    (tmp_path / "go-on").touch()

    until(lambda: ready(starting) == 2, starting)

    assert refusals(starting) == []
    assert starting.get("/healthz").ok


def test_ctrl_c_during_the_start_is_no_fault(starting):
    starting.popen.send_signal(signal.SIGINT)

    assert starting.popen.wait(WITHIN) == 130
    assert starting.output.read_text() == ""


def test_a_killed_worker_is_replaced_by_what_was_checked_or_tried_again(gateway, settings, settings_file, code):
    settings_file.write_text("LOG_LEVEL=LOUD\n")
    (code / "services" / "days.py").write_text("half of the next release")
    first = all_workers(gateway)

    os.kill(first[0], signal.SIGKILL)
    until(lambda: ready(gateway) == WORKERS + 1, gateway)
    query(settings, GATEWAY, "UPDATE gateway_version SET version_num = '9999'")
    os.kill(first[1], signal.SIGKILL)
    until(lambda: "A worker cannot start" in gateway.output.read_text(), gateway)
    wait_for(f"{gateway.url}/healthz", gateway)

    assert gateway.popen.poll() is None


def processes_of(pid):
    """The processes that a process has started, and those that they have started."""
    found, new = [], [pid]
    while new:
        new = [child for each in new for child in workers_of(each)]
        found += new
    return found


def test_reloads_one_after_another_leave_no_process_and_no_log_behind(gateway, settings_file):
    all_workers(gateway)

    for number in range(3):
        before = set(workers_of(gateway.popen.pid))
        settings_file.write_text(f"LOG_LEVEL={'INFO' if number % 2 else 'DEBUG'}\n")
        gateway.popen.send_signal(signal.SIGHUP)
        until(lambda before=before: not before & set(workers_of(gateway.popen.pid)), gateway)
        until(lambda number=number: ready(gateway) == (number + 2) * WORKERS, gateway)
    gateway.get("/healthz")
    gateway.get("/top-posts?time_range=7d", headers={"X-Request-Id": "after-the-reloads"})

    assert len(processes_of(gateway.popen.pid)) == WORKERS
    assert refusals(gateway) == []
    lines = [line for line in lines_of(gateway) if line["message"] == "request"]
    assert len([line for line in lines if line["request_id"] == "after-the-reloads"]) == 1
    workers = processes_of(gateway.popen.pid)
    gateway.popen.send_signal(signal.SIGTERM)
    assert gateway.popen.wait(60) == 0
    assert [pid for pid in workers if os.path.exists(f"/proc/{pid}")] == []
    assert "SIGKILL" not in gateway.output.read_text()
