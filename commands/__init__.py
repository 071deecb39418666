"""What `make` runs: programs for the terminal of a developer or operator."""

from __future__ import annotations

import atexit
import os
import sys
from types import TracebackType
from typing import Final

from program_start import collect_seldom

DONE: Final = 0
FAILED: Final = 1  # It was not done, or not all of it.
USAGE: Final = 2  # What is given (an argument, a file, a setting) cannot be used, or is missing. argparse ends so, too.
PIPE_CLOSED = 141  # the exit status of a program whose output is not read to its end, as shells have it
INTERRUPTED = 130  # the exit status of a program that Ctrl-C ended, as shells have it


class Refused(Exception):
    """What was asked for cannot be done; the text says why, and what to do."""


class MigrationError(Refused):
    """The store cannot be brought to the version this code needs; the text says why, on one line."""


class StoreUnavailableError(MigrationError):
    """The database did not answer, or not in time; the same command may do it later."""


class UsageError(Exception):
    """An argument, a file or a setting is missing or wrong; the text says what to do."""


def end_without_traceback(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Say in a line that Ctrl-C, or the end of the input at a prompt, ended a command; show other errors as usual.

    Output that is not read to its end (`| head`) is no error either.

    Here and not in each command, because Ctrl-C may also come while a command still imports what it needs.
    """
    if issubclass(kind, BrokenPipeError):
        os._exit(PIPE_CLOSED)
    if not issubclass(kind, KeyboardInterrupt | EOFError):
        sys.__excepthook__(kind, error, traceback)
        return
    is_interrupted = issubclass(kind, KeyboardInterrupt)
    print("\nStopped." if is_interrupted else "\nThe input has ended; nothing was done.", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            continue  # Its reader is gone.
    os._exit(INTERRUPTED if is_interrupted else USAGE)  # A normal exit would wait for the threads of provider calls.


def _write_the_rest() -> None:
    """Write what waits for standard output; where its reader is gone (`| head`), let the rest go nowhere."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


collect_seldom()
sys.excepthook = end_without_traceback
atexit.register(_write_the_rest)  # The last lines are written at the end only, where no hook is called.
