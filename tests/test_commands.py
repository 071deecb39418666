"""What all commands have in common."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import ROOT

LONG = "[print('x' * 1000) for _ in range(1000)]"
AT_THE_END = "print('x')"


@pytest.mark.parametrize("said", [LONG, AT_THE_END])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_is_not_read_to_its_end_is_no_error(monkeypatch, said, unbuffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    program = f"import commands, sys; sys.stdin.readline(); {said}"
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, text=True, **pipes) as process:
        process.stdout.close()
        process.stdin.write("go\n")
        process.stdin.close()

        assert (process.stderr.read(), process.wait(30) in {0, 141}) == ("", True)
