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
from collections import Counter
from contextlib import ExitStack
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from tests.documents import DOCUMENTS, Step, console_lines, differences, parsed, steps_of
from tests.stores import new_store
from tests.support import ROOT, environment, free_port

RUN = [path for path in DOCUMENTS if steps_of(path)]
START_WITHIN = 60  # seconds
SECONDS = 240  # for all commands of a document; a bound for what hangs, on a machine that is busy
SERVERS = re.compile(
    r'^.*(?:gunicorn "app:create_app\(\)"|-m worker|-m simulator --port.*|PORT=\S+ make run)$', re.MULTILINE
)
EXAMPLE_DATABASE = "postgresql://user:password@host:5432/insights"
OF_THIS_RUN = re.compile(r"^(PYTEST|ENV_FILE)|_PROXY$", re.IGNORECASE)

# tests/end_to_end/test_going_live.py runs the blocks behind these lines, in a clone and with settings of their own.
GO_LIVE, CLEAN_UP = "To go live,", "### After the rehearsal"
OWN_TOKEN = {
    "set-up.md": [
        "make connect ARGS=--write-env",
        ". ./.env",
        "GRAPH=https://graph.facebook.com/v25.0",
        "read -rs SHORT",
        ". ./.env",
        ". ./.env",
        "GRAPH_INSTAGRAM=https://graph.instagram.com",
        'make account ARGS="add --login facebook --page-id 100000000000000"',
        'make account ARGS="add --login instagram"',
        'make account ARGS="add --file accounts.csv"',
        'make account ARGS="add --all-pages"',
        "make webhook ARGS=subscribe",
        'make webhook ARGS="subscribe corner.bakery"',
    ],
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
# The gateway of the first document serves the others too. It stands for what a service manager starts and stops.
RUN_IN_BACKGROUND = f"""\
sudo() {{
    case "$*" in
        "systemctl stop insights-gateway insights-worker") stop_background ;;
        "systemctl start insights-gateway insights-worker") run_in_background ;;
        *) return 1 ;;
    esac
}}
stop_background() {{
    kill -TERM -- "-$(cat "$LOG.pid")"
    for _ in $(seq {START_WITHIN * 5}); do
        test -e "$LOG.ended" && break
        sleep 0.2
    done
    mv "$LOG" "$LOG.before"
}}
run_in_background() {{
    test -e "$LOG" && return 0
    rm -f "$LOG.ended"
    bash -c 'setsid bash -c "echo \\$\\$ > \\"$LOG.pid\\"; exec make run"; touch "$LOG.ended"' > "$LOG" 2>&1 &
    for _ in $(seq {START_WITHIN * 5}); do
        grep -q Try "$LOG" && return 0
        test -e "$LOG.ended" && return 1
        sleep 0.2
    done
    return 1
}}
"""
# What serves until it is ended is ended once it is ready.
SERVE = f"""\
serve() {{
    : > "$LOG.served"  # What the one before has written would look as if this one were ready.
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
    """A clone of the tracked files after the installation, and what ran in it."""

    def __init__(self, folder: Path, *, database: str = "") -> None:
        """Make a copy; `database` takes the place of the one of PostgreSQL in a document."""
        self._database = database
        self.path = folder / "clone"
        self._bin = folder / "bin"
        self._records = folder / "records"
        self._log = folder / "run.log"
        self._ports = {port: str(free_port()) for port in ("8000", "8001", "further")}
        for each in (self._bin, self._records):
            each.mkdir()
        self._copy_to(folder / "origin")
        git("clone", "--quiet", str(folder / "origin"), str(self.path), within=folder)
        self._bring_compiled()
        self._install()
        (self._bin / "curl").write_text(CURL)
        (self._bin / "curl").chmod(0o755)

    def _copy_to(self, origin: Path) -> None:
        """Make a repository of the tracked files as they are now."""
        for name in filter(None, git("ls-files", "-z", within=ROOT).split("\0")):
            if (ROOT / name).is_file():  # A file may be deleted and not committed yet.
                (origin / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, origin / name)
        git("init", "--quiet", within=origin)
        git("add", "--all", "--force", within=origin)
        author = ("-c", "user.name=Tests", "-c", "user.email=tests@example.com", "-c", "commit.gpgsign=false")
        git(*author, "commit", "--quiet", "--no-verify", "--message", "The tracked files", within=origin)

    def _bring_compiled(self) -> None:
        """Use what is compiled of the same files instead of compiling them again in each clone."""
        for name in git("ls-files", "-z", "*.py", within=self.path).split("\0")[:-1]:
            original = ROOT / name
            compiled = Path(cache_from_source(str(original)))
            if compiled.exists():
                file = self.path / name
                os.utime(file, ns=(original.stat().st_atime_ns, original.stat().st_mtime_ns))
                copy = Path(cache_from_source(str(file)))
                copy.parent.mkdir(exist_ok=True)
                shutil.copy(compiled, copy)

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
        starts = [] if document == "README" else ["run_in_background"]  # README.md says how the gateway is started.
        own = {
            "PORT": self._ports["8000"],
            "SIMULATOR_PORT": self._ports["8001"],
            "FURTHER_PORT": self._ports["further"],
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            "REAL_CURL": str(shutil.which("curl")),
            "RECORDS": str(self._records),
            "LOG": str(self._log),
            "CURL_HOME": str(self._bin),  # not the .curlrc of this machine's user
            "PYTEST_ADDOPTS": "tests/posts/test_engagement_rate.py",  # `make test` within the suite: one file of it
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
        for own in ("--port 8001", "PORT=8002"):
            commands = commands.replace(own, f"{own[:-4]}$FURTHER_PORT")
        commands = commands.replace(EXAMPLE_DATABASE, self._database)
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


def git(*arguments: str, within: Path) -> str:
    """Run git, and return what it prints."""
    return subprocess.run(["git", *arguments], cwd=within, capture_output=True, text=True, check=True).stdout


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
        starts = [re.split(r":|\.\.\.", line)[0] for line in step.shown.splitlines()]
        faults += [f"not in the output: {start}" for start in starts if start not in output]
    return faults


def test_only_what_needs_a_token_of_the_readers_own_is_not_run():
    elsewhere = {
        "README.md": console_lines(ROOT / "README.md", after=GO_LIVE),
        "set-up.md": console_lines(ROOT / "docs" / "set-up.md", after=CLEAN_UP),
    }
    listed = {path.name: Counter(console_lines(path)) for path in DOCUMENTS if console_lines(path)}

    assert listed == {
        name: Counter([*elsewhere.get(name, ()), *OWN_TOKEN.get(name, ())]) for name in elsewhere | OWN_TOKEN
    }


def test_each_command_that_needs_an_own_token_is_rehearsed_with_one_of_the_sandbox():
    run = "\n".join(step.commands for path in RUN for step in steps_of(path))
    run += "\n".join(console_lines(ROOT / "README.md", after=GO_LIVE))
    commands = [line for lines in OWN_TOKEN.values() for line in lines if line.startswith("make ")]

    assert [line for line in commands if line not in run] == []


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
