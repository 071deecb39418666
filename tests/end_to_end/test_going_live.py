"""From a fresh clone and an empty .env to the first live answer, by the README's commands alone."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess

import pytest

from tests.end_to_end.test_readme import OF_THIS_RUN, Clone, end_group
from tests.support import ROOT, environment, free_port, leaks_in

MOST_COMMANDS = 10
WAIT = """\
for _ in $(seq 300); do
    curl --silent --fail http://127.0.0.1:8000/healthz > /dev/null && break
    sleep 0.2
done
"""


@pytest.fixture
def commands():
    """The commands of the README that lead to a live gateway."""
    found = re.search(
        r"^To go live,.*?```console\n(.*?)```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    return [line.removeprefix("$ ") for line in found[1].splitlines()]


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path)


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("make")), reason="curl or make is not installed")
def test_the_readme_leads_from_an_empty_settings_file_to_a_live_answer(commands, clone):
    assert len(commands) <= MOST_COMMANDS
    ports = {"8000": str(free_port()), "8001": str(free_port())}
    lines = [f"{WAIT}{line}" if line.startswith("curl") else line for line in commands]
    script = re.sub(r"127\.0\.0\.1:(8000|8001)\b", lambda found: f"127.0.0.1:{ports[found[1]]}", "\n".join(lines))
    script = script.replace("make run &", "make run > run.log 2>&1 &").replace(
        "simulator &", "simulator > sim.log 2>&1 &"
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
    *said, answer = output.splitlines()
    reply = json.loads(answer)
    assert reply["meta"]["source"] == "instagram"
    assert reply["data"][0]["values"][0]["value"] > 0
    assert any(line.startswith("ok   first numbers: ") for line in said)
    assert "TOKEN_KEY=" in (clone.path / ".env").read_text()
    assert not leaks_in(output + log)
