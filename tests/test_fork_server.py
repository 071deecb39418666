"""A program that the fork server starts notices no difference from one that was started with its command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.fork_server import ForkedProcess
from tests.support import ROOT, environment, fork_server

MODULE = "tests.process_report"
SETTINGS = {"PORT": "8123", "ENV_FILE": "/nowhere/settings", "BOOK": "a b\n=ü"}

needs_fork_server = pytest.mark.skipif(fork_server() is None, reason="only Linux has process files")


@pytest.fixture
def output(tmp_path):
    file = tmp_path / "output"
    file.touch()
    return file


@pytest.fixture
def forked(output):
    """Have the fork server start the report, with a last argument."""

    def start(last, settings=SETTINGS):
        return fork_server().start(MODULE, ["--first", last], environment=environment(settings), output=output)

    return start


def report_in(output):
    deadline = time.monotonic() + 60
    while not (text := output.read_text()).endswith("to stderr\n"):
        assert time.monotonic() < deadline, text
        time.sleep(0.02)
    return json.loads(text.splitlines()[0])


@needs_fork_server
def test_a_forked_program_sees_what_one_with_a_command_line_sees(forked, output, tmp_path):
    process = forked("0")
    assert process.wait(60) == 0
    plain = tmp_path / "plain"
    with plain.open("wb") as file:
        command = [sys.executable, "-m", MODULE, "--first", "0"]
        subprocess.run(
            command, cwd=ROOT, env=environment(SETTINGS), stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=True
        )

    seen, expected = report_in(output), report_in(plain)

    assert seen.pop("files") == ["/dev/null", str(output), str(output)]
    assert expected.pop("files") == ["/dev/null", str(plain), str(plain)]
    assert seen == expected
    assert seen["environment"].items() >= SETTINGS.items()


@needs_fork_server
@pytest.mark.parametrize(
    ("last", "code", "written"), [("3", 3, "to stderr"), ("x", 1, "ValueError: invalid literal for int()")]
)
def test_a_forked_program_ends_with_its_own_exit_code(forked, output, last, code, written):
    process = forked(last)

    assert process.wait(60) == code
    assert process.poll() == code
    assert written in output.read_text()
    process.kill()  # Nothing is left to end.


@needs_fork_server
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, -signal.SIGINT)],
)
def test_a_signal_ends_a_forked_program_as_any_other_one(forked, output, number, code):
    process = forked("stay")
    report_in(output)

    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.send_signal(number)

    assert process.wait(60) == code
    assert ("KeyboardInterrupt" in output.read_text()) == (number == signal.SIGINT)


@needs_fork_server
def test_programs_are_started_beside_each_other_and_waited_for_in_any_order(tmp_path, forked, output):
    first, second = forked("stay"), forked("0")

    assert second.wait(60) == 0
    assert first.poll() is None
    first.kill()
    assert first.wait(60) == -signal.SIGKILL
    assert not os.path.exists(f"/proc/{first.pid}")


@needs_fork_server
@pytest.mark.parametrize("name", ["PYTHONHASHSEED", "TZ", "LC_ALL", "HOME"])
def test_what_was_read_before_the_fork_makes_a_program_start_with_its_command_line(monkeypatch, name):
    server = fork_server()
    assert server.may_start(environment(SETTINGS), SETTINGS)

    monkeypatch.setenv(name, "other")

    assert not server.may_start(environment(SETTINGS), SETTINGS)


@needs_fork_server
def test_only_a_variable_that_is_read_after_the_fork_may_be_a_setting():
    changed = {"PYTHONHASHSEED": "1"}

    assert not fork_server().may_start(environment(changed), changed)


@needs_fork_server
def test_gateways_and_simulators_are_forked_and_a_gateway_with_other_code_is_not(start, simulator):
    sandbox = {"SIMULATOR_PORT": simulator.url.rpartition(":")[2]}

    assert isinstance(simulator.popen, ForkedProcess)
    assert isinstance(start(sandbox).popen, ForkedProcess)
    assert isinstance(start(sandbox, code=ROOT).popen, subprocess.Popen)
