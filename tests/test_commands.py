"""What all commands have in common."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from commands.env_file import write_setting
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


OF_MAKE_PROVE = {"mutation"}  # It imports what only `make prove` installs.
COMMANDS = [path.stem for path in (ROOT / "commands").glob("*.py") if "__main__" in path.read_text(encoding="utf-8")]
PROGRAMS = ["simulator.__main__", "worker", *(f"commands.{name}" for name in sorted({*COMMANDS} - OF_MAKE_PROVE))]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(("argument", "status"), [("--help", 0), ("--no-such-option", 2)])
def test_a_command_says_what_it_accepts_before_it_does_anything(program, argument, status, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [program, argument])

    with pytest.raises(SystemExit) as ended:
        raise SystemExit(importlib.import_module(program).main())

    assert ended.value.code == status
    written = capsys.readouterr()
    assert (written.out if status == 0 else written.err).startswith("usage: ")


def test_the_settings_file_stays_that_of_its_owner(tmp_path, monkeypatch):
    file, owners = tmp_path / ".env", []
    file.write_text("TOKEN_KEY=\n")
    monkeypatch.setattr(os, "chown", lambda path, *owner: owners.append((Path(path).read_text(), *owner)))
    write_setting(file, "TOKEN_KEY", "first")
    before = file.stat()
    monkeypatch.setattr(os, "geteuid", lambda: before.st_uid + 1)  # as with sudo

    write_setting(file, "PORT", "8000")

    assert owners == [("TOKEN_KEY=first\nPORT=8000\n", before.st_uid, before.st_gid)]
