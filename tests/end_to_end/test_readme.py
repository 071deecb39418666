"""Every command of the README and the other documents does what the document shows, from a fresh clone on.

CONTRIBUTING.md ("Documents") has the rules for blocks that are executed.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.documents import DOCUMENTS, Step, not_run, steps_of
from tests.stores import new_store
from tests.support import ROOT, environment, free_port

RUN = [path for path in DOCUMENTS if steps_of(path)]
START_WITHIN = 60  # seconds
SECONDS = 240  # for all commands of a document; a bound for what hangs, on a machine that is busy
EXACT = {"code", "name", "metric", "key", "status", "source", "outcome"}  # keys whose texts must be as shown
SERVERS = re.compile(r'^.*(?:gunicorn "app:create_app\(\)"|-m worker|-m simulator --port.*)$', re.MULTILINE)
EXAMPLE_DATABASE = "postgresql://user:password@host:5432/insights"
OF_THIS_RUN = re.compile(r"^(MAKE|MFLAGS|PYTEST|ENV_FILE)|_PROXY$", re.IGNORECASE)

OTHER_TEST, OWN_TOKEN = "tests/end_to_end/test_going_live.py runs it", "needs a token of the reader's own"
OTHER_MACHINE, MINUTES = "needs another machine or a service manager", "takes minutes"
EXAMPLE_GRAPH = "http://127.0.0.1:8001/graph.facebook.com"
EXAMPLE_ACCOUNT = "INSTAGRAM_ACCOUNT_ID=... ACCESS_LONG_LIVED_TOKEN=..."
NOT_RUN = {
    ("README.md", "make install"): OTHER_TEST,
    ("operations.md", "sudo systemctl stop insights-gateway insights-worker"): OTHER_MACHINE,
    ("operations.md", "make notify ARGS=test"): OTHER_MACHINE,
    ("operations.md", "git pull"): OTHER_MACHINE,
    ("operations.md", "make bench"): MINUTES,
    ("scale.md", "make bench -- history_scale"): MINUTES,
    ("set-up.md", "make connect ARGS=--write-env"): OWN_TOKEN,
    ("set-up.md", "kill %1 %2; wait"): OTHER_TEST,
    ("set-up.md", ". ./.env"): OWN_TOKEN,
    ("set-up.md", 'make account ARGS="add --login facebook --page-id 100000000000000"'): OWN_TOKEN,
    ("set-up.md", 'make account ARGS="add --file accounts.csv"'): OWN_TOKEN,
    ("set-up.md", 'make webhook ARGS="check https://gateway.example"'): OTHER_MACHINE,
    ("set-up.md", "make webhook ARGS=subscribe"): OWN_TOKEN,
    ("simulator.md", f"PORT=8002 GRAPH_BASE_URL={EXAMPLE_GRAPH} {EXAMPLE_ACCOUNT} make run"): OWN_TOKEN,
}

CURL = """\
#!/bin/sh
# The real curl; what it sent and got is recorded.
record="$RECORDS/$STEP/$(ls "$RECORDS/$STEP" | wc -l)"
mkdir "$record"
printf '%s ' "$@" > "$record/arguments"
"$REAL_CURL" --silent --show-error --max-time 30 --dump-header "$record/headers" "$@" > "$record/body"
status=$?
cat "$record/body"
exit $status
"""
# The gateway of the first document serves the others too.
RUN_IN_BACKGROUND = f"""\
run_in_background() {{
    test -e "$LOG" && return 0
    setsid make run > "$LOG" 2>&1 &
    echo $! > "$LOG.pid"
    for _ in $(seq {START_WITHIN * 5}); do
        grep -q Try "$LOG" && return 0
        kill -0 $! || return 1
        sleep 0.2
    done
    return 1
}}
"""
# What serves until it is ended is ended once it is ready.
SERVE = f"""\
serve() {{
    PORT="$FURTHER_PORT" setsid bash -c "$1" > "$LOG.served" 2>&1 &
    for _ in $(seq {START_WITHIN * 5}); do
        grep -qE "is ready|listening on" "$LOG.served" && break
        kill -0 $! || break
        sleep 0.2
    done
    kill -TERM -- -$! || true
    wait $! || true
    cat "$LOG.served"
    grep -qE "is ready|listening on" "$LOG.served"
}}
"""


class Clone:
    """A copy of the tracked files, as a fresh clone has them after the installation, and what ran in it."""

    def __init__(self, folder: Path, *, database: str = "") -> None:
        """Make a copy; `database` takes the place of the one of PostgreSQL in a document."""
        self._database = database
        self.path = folder / "clone"
        self._bin = folder / "bin"
        self._records = folder / "records"
        self._log = folder / "run.log"
        self._ports = {port: str(free_port()) for port in ("8000", "8001", "further")}
        for each in (self.path, self._bin, self._records):
            each.mkdir()
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():  # A file may be deleted and not committed yet.
                (self.path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.path / name)
        self._install()
        (self._bin / "curl").write_text(CURL)
        (self._bin / "curl").chmod(0o755)

    def _install(self) -> None:
        """Use the packages of this run instead of downloading them again."""
        venv = self.path / ".venv"
        venv.mkdir()
        for name in ("bin", "lib", "pyvenv.cfg"):
            (venv / name).symlink_to(Path(sys.prefix) / name)
        for stamp in ("run.stamp", "dev.stamp"):
            (venv / stamp).touch()

    def run(self, document: str, steps: list[Step]) -> subprocess.CompletedProcess[str]:
        """Run the steps of a document in one shell, each with its output in a file of its own."""
        script = "\n".join(self._script(document, number, step) for number, step in enumerate(steps))
        starts = ["run_in_background"] if "curl" in script and "run_in_background" not in script else []
        own = {
            "PORT": self._ports["8000"],
            "SIMULATOR_PORT": self._ports["8001"],
            "FURTHER_PORT": self._ports["further"],
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            "REAL_CURL": str(shutil.which("curl")),
            "RECORDS": str(self._records),
            "LOG": str(self._log),
            "CURL_HOME": str(self._bin),  # not the .curlrc of this machine's user
            "PYTEST_ADDOPTS": "tests/posts/test_engagement.py",  # `make test` within the suite: one file of it
            "PYTEST_XDIST_AUTO_NUM_WORKERS": "1",
        }
        inherited = {name: text for name, text in environment({}).items() if not OF_THIS_RUN.search(name)}
        return subprocess.run(
            ["bash", "-c", "\n".join(["set -euo pipefail", RUN_IN_BACKGROUND, SERVE, *starts, script])],
            cwd=self.path,
            env=inherited | own,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def _script(self, document: str, number: int, step: Step) -> str:
        name = f"{document}/{number}"
        (self._records / name).mkdir(parents=True)
        commands = re.sub(
            r"(127\.0\.0\.1):(8000|8001)\b", lambda found: f"{found[1]}:{self._ports[found[2]]}", step.commands
        )
        commands = re.sub(r"^make run$", "run_in_background", commands, flags=re.MULTILINE)
        commands = commands.replace("--port 8001", "--port $FURTHER_PORT").replace(EXAMPLE_DATABASE, self._database)
        commands = SERVERS.sub(lambda found: f"serve {shlex.quote(found[0])}", commands)
        return f'export STEP={name}\n{{\n{commands}\n}} > "$RECORDS/{name}.output" 2>&1'

    def stop(self) -> None:
        """End what `make run` started."""
        file = self._log.with_name("run.log.pid")
        if file.exists():
            end_group(int(file.read_text()))

    def output(self, document: str, number: int) -> str:
        """Return what a step printed."""
        file = self._records / document / f"{number}.output"
        return file.read_text() if file.exists() else ""

    def log(self) -> str:
        """Return what `make run` printed."""
        return self._log.read_text() if self._log.exists() else ""

    def answers(self, document: str, number: int) -> list[tuple[str, int, str]]:
        """Return arguments, status and body of each `curl` of a step."""
        found = []
        for record in sorted((self._records / document / str(number)).iterdir(), key=lambda path: int(path.name)):
            body = (record / "body").read_text(encoding="utf-8", errors="replace")
            # A curl that prints headers itself (`-D -`) has them in its output.
            headers = (record / "headers").read_text() if (record / "headers").exists() else body
            status = re.findall(r"^HTTP/[\d.]+ (\d+)", headers, re.MULTILINE)[-1]
            found.append(((record / "arguments").read_text(), int(status), body))
        return found


def end_group(group: int, first: int = signal.SIGINT) -> None:
    """End the processes of a group, in peace if they go within 20 seconds."""
    for number in (first, signal.SIGKILL):
        try:
            os.killpg(group, number)
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                os.killpg(group, 0)
                time.sleep(0.1)
        except ProcessLookupError:
            return


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documents")
    with ExitStack() as stack:
        try:
            database = stack.enter_context(new_store("postgresql", migrated=False))["DATABASE_URL"]
        except pytest.skip.Exception:
            database = f"sqlite:///{folder}/other.db"  # of two files, where there is no PostgreSQL
        clone = Clone(folder, database=database)
        stack.callback(clone.stop)
        yield clone


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("make")), reason="curl or make is not installed")
@pytest.mark.parametrize("path", RUN, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_does_what_the_document_shows(path, clone):
    document, steps = path.stem, steps_of(path)

    done = clone.run(document, steps)

    outputs = [f"line {step.line}:\n{clone.output(document, number)}" for number, step in enumerate(steps)]
    assert done.returncode == 0, "\n".join([*outputs, done.stderr, clone.log()])[-5000:]
    faults = [
        f"line {step.line}: {fault}"
        for number, step in enumerate(steps)
        for fault in faults_of(step, clone.answers(document, number), clone.output(document, number))
    ]
    assert faults == []


def faults_of(step: Step, answers: list[tuple[str, int, str]], output: str) -> list[str]:
    """Return in what the answers and the output of a step differ from the document."""
    shown = parsed(step.shown) if step.language == "json" else None
    is_error = isinstance(shown, dict) and shown.get("error") is True
    *others, (arguments, status, body) = answers or [("", 200, "")]
    faults = [f"{each[0]}: {each[1]} {each[2]}" for each in others if not 200 <= each[1] < 300]
    if (status >= 400) is not is_error:
        faults.append(f"{arguments}: {status} {body}")
    if shown is not None:
        faults += differences(shown, json.loads(body), "")
    if step.language == "text":
        starts = [line.partition(":")[0] for line in step.shown.splitlines()]
        faults += [f"not in the output: {start}" for start in starts if start not in output]
    return faults


def parsed(shown: str) -> Any:
    """Return a shown answer, without the places where it is shortened."""
    return json.loads(re.sub(r",?\s*\.\.\.(?=\s*[\]}])", "", shown))


def differences(shown: Any, real: Any, where: str) -> list[str]:
    """Return what a shown answer has that a real one has not: keys, types, and the texts of some keys."""
    if shown is None or real is None:
        return []
    if isinstance(shown, dict) and isinstance(real, dict):
        lacking = [f"{where}.{key} is not in the answer" for key in shown.keys() - real.keys()]
        return lacking + [
            each for key in shown.keys() & real.keys() for each in differences(shown[key], real[key], f"{where}.{key}")
        ]
    if isinstance(shown, list) and isinstance(real, list):
        return [
            f"{where} has nothing like {each}"
            for each in shown
            if not any(not differences(each, one, "") for one in real)
        ]
    if isinstance(shown, str) and isinstance(real, str):
        is_other = where.rpartition(".")[2] in EXACT and shown != real
        return [f"{where} is {real!r}, not {shown!r}"] if is_other else []
    kinds = [
        bool if isinstance(each, bool) else float if isinstance(each, int | float) else type(each)
        for each in (shown, real)
    ]
    return [] if kinds[0] is kinds[1] else [f"{where} is {real!r}, shown as {shown!r}"]


def test_every_block_that_is_not_run_has_its_reason():
    assert {(path.name, line) for path in DOCUMENTS for line in not_run(path)} == NOT_RUN.keys()


def test_a_shown_answer_that_is_not_the_real_one_is_found():
    real = {"data": [{"name": "reach", "value": 1}], "meta": {"stale": False}}

    assert differences(parsed('{"data": [{"name": "reach", ...}], "meta": {...}}'), real, "") == []
    for shown in (
        '{"data": [{"name": "views", ...}], ...}',
        '{"data": [{"name": "reach", "date": "2026-01-01"}], ...}',
        '{"meta": {"stale": "no"}, ...}',
        '{"trends": [], ...}',
    ):
        assert differences(parsed(shown), real, "") != []
