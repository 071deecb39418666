"""What a newcomer does first: `make run`, a curl, Ctrl-C."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import ROOT, environment, free_port, local_session


@pytest.fixture
def run():
    """Run the command in a session of its own, as a terminal does, and end whatever is left of it."""
    started = []

    def start(settings):
        process = subprocess.Popen(
            [sys.executable, "-m", "commands.run"],
            cwd=ROOT,
            env=environment(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()


def ports():
    return {"PORT": str(free_port()), "SIMULATOR_PORT": str(free_port())}


def read_until(process, text):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def members_of(group):
    """The processes of a group that are still alive."""
    alive = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            alive.append(stat.parent.name)
    return alive


@pytest.mark.parametrize("number", [signal.SIGINT] * 4 + [signal.SIGTERM, signal.SIGHUP])  # Four for the race.
def test_both_ports_move_and_nothing_is_left_running(run, number):
    chosen = ports()
    process = run(chosen)
    told = read_until(process, "/performance-data")

    with local_session() as session:
        answer = session.get(f"http://127.0.0.1:{chosen['PORT']}/growth-trends?period=7d", timeout=30)
        accounts = session.get(f"http://127.0.0.1:{chosen['SIMULATOR_PORT']}/_simulator/accounts", timeout=30)
    os.killpg(process.pid, number)
    code = process.wait(20)
    rest = process.stdout.read()

    assert f"curl 'http://127.0.0.1:{chosen['PORT']}/account-insights" in told
    assert (answer.status_code, answer.headers["X-Insights-Sandbox"]) == (200, "true")
    assert accounts.ok
    assert code == 0
    assert "Stopping ..." in rest
    assert "Traceback" not in rest
    deadline = time.monotonic() + 5
    while members_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert members_of(process.pid) == []


def test_a_worker_runs_beside_the_gateway(run, tmp_path):
    chosen = ports() | {"INSTANCE_PATH": str(tmp_path)}
    process = run(chosen)
    read_until(process, "/performance-data")

    deadline = time.monotonic() + 30
    with local_session() as session:
        while session.get(f"http://127.0.0.1:{chosen['PORT']}/readyz", timeout=30).json()["worker"] != "ok":
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_taken_port_is_named(run, simulator_process):
    taken = simulator_process.url.rpartition(":")[2]

    process = run(ports() | {"PORT": taken})
    told = process.stdout.read()

    assert process.wait(20) == 1
    assert f"Port {taken} is taken. Choose another: PORT=" in told


def test_wrong_settings_are_all_named_before_anything_starts(run):
    process = run({"PROVIDERS": "live", "GRAPH_API_VERSION": "25", "PROVIDER_PARALLEL": "0"})
    told = process.stdout.read()

    assert process.wait(20) == 1
    for name in ["ACCESS_LONG_LIVED_TOKEN", "MODASH_API_KEY", "GRAPH_API_VERSION", "PROVIDER_PARALLEL"]:
        assert name in told


def test_a_gateway_with_one_provider_says_so(run):
    process = run(ports() | {"MODASH_API_KEY": "invented-key"})

    told = read_until(process, "/performance-data")

    assert "Instagram is not configured (ACCESS_LONG_LIVED_TOKEN is empty)." in told
    assert "/account-insights" not in told


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_lists_what_it_can_do():
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    for target in ["install", "run", "test", "check", "doctor"]:
        assert f"make {target}" in told


@pytest.mark.parametrize("login", ["facebook", "instagram"])
def test_the_doctor_finds_all_well_in_a_sandbox(simulator, login):
    told = subprocess.run(
        [sys.executable, "-m", "commands.doctor"],
        cwd=ROOT,
        env=environment({"SIMULATOR_PORT": simulator.url.rpartition(":")[2], "GRAPH_LOGIN": login}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 0, told.stdout + told.stderr
    for name in ["settings", "token", "account link", "insights", "version", "Modash key"]:
        assert f"ok   {name}: " in told.stdout


def test_the_doctor_tells_the_next_step_of_a_dead_token(simulator):
    simulator.post("/_simulator/faults", {"provider": "instagram", "kind": "token", "subcode": 463})

    told = subprocess.run(
        [sys.executable, "-m", "commands.doctor"],
        cwd=ROOT,
        env=environment({"SIMULATOR_PORT": simulator.url.rpartition(":")[2]}),
        capture_output=True,
        text=True,
        check=False,
    ).stdout

    assert "FAIL token: The Instagram token has expired." in told
    assert "next: Whoever runs the gateway: make a new long-lived token" in told
    assert "ok   Modash key" in told
