"""From a fresh clone and an empty .env to the first live answer, by the README's commands alone."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
from contextlib import closing

import pytest

from tests.documents import console_lines
from tests.end_to_end.test_readme import CLEAN_UP, GO_LIVE, OF_THIS_RUN, Clone, end_group
from tests.support import ROOT, environment, free_port, leaks_in

MOST_COMMANDS = 10
KEEP = ("cp .env kept.env", "set +e")
# Else the simulator shows nothing of one day in five until six hours after its end.
ALL_REPORTED = (
    "curl -sS -o /dev/null --retry 100 --retry-connrefused --retry-delay 1"
    " http://127.0.0.1:{port}/_simulator/switches -d '{{\"reporting_delay\": false}}'"
)


@pytest.fixture
def commands():
    """The commands of the README that lead to a live gateway."""
    return console_lines(ROOT / "README.md", after=GO_LIVE)


@pytest.fixture
def clean_up():
    """Those that undo it."""
    return console_lines(ROOT / "docs/set-up.md", after=CLEAN_UP)


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path)


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("make")), reason="curl or make is not installed")
def test_the_readme_leads_from_an_empty_settings_file_to_a_live_answer_and_back(commands, clean_up, clone):
    assert len(commands) <= MOST_COMMANDS
    ports = {"8000": str(free_port()), "8001": str(free_port())}
    lines = "\n".join([*commands, "echo", *KEEP, *clean_up])
    script = re.sub(r"127\.0\.0\.1:(8000|8001)\b", lambda found: f"127.0.0.1:{ports[found[1]]}", lines)
    script = script.replace("make run &", "make run > run.log 2>&1 &").replace(
        "simulator &", f"simulator > sim.log 2>&1 &\n{ALL_REPORTED.format(port=ports['8001'])}"
    )
    inherited = {name: text for name, text in environment({}).items() if not OF_THIS_RUN.search(name)}
    shell = subprocess.Popen(
        ["bash", "-c", f"set -euo pipefail\n{script}"],
        cwd=clone.path,
        env=inherited | {"PORT": ports["8000"], "SIMULATOR_PORT": ports["8001"]},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )

    try:
        output, _ = shell.communicate(timeout=240)
    finally:
        end_group(shell.pid, signal.SIGTERM)  # What a shell started with `&` ignores SIGINT.

    log = (clone.path / "run.log").read_text() if (clone.path / "run.log").exists() else ""
    assert shell.returncode == 0, f"{output}\n{log}"[-4000:]
    said = output.splitlines()
    reply = json.loads(next(line for line in said if line.startswith("{")))
    assert reply["meta"]["source"] == "instagram"
    assert reply["data"][0]["values"][0]["value"] > 0
    assert any(line.startswith("ok   first numbers: ") for line in said)
    assert "TOKEN_KEY=" in (clone.path / "kept.env").read_text()
    assert not (clone.path / ".env").exists()
    assert any(line.startswith("Removed: corner.bakery") for line in said)
    assert any(line.startswith("Revoked: ") for line in said)
    database = sqlite3.connect(clone.path / "instance" / "gateway.db")
    with closing(database):
        for table in ("accounts", "metric_values", "follower_counts", "account_tokens"):
            assert database.execute(f"SELECT count(*) FROM {table} WHERE mode = 'live'").fetchone() == (0,), table
        assert database.execute("SELECT count(*) FROM api_keys WHERE revoked_at IS NULL").fetchone() == (0,)
    for port in ports.values():
        with closing(socket.socket()) as probe:
            assert probe.connect_ex(("127.0.0.1", int(port))) != 0
    assert not leaks_in(output + log)
