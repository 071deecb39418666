"""What signals do while gunicorn starts. Imported before the gateway, whose imports take a second.

Until gunicorn has handlers of its own, SIGHUP ends it: a reload right after a start would stop the service, and a
service manager takes that for an intended end. So it is kept until gunicorn can reload. Ctrl-C ends it without the
traceback of an import.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

INTERRUPTED = 130  # the exit status of a program that Ctrl-C ended, as shells have it

_held: list[int] = []


def send_held_reload() -> None:
    """Reload now if that was wanted during the start: the settings may have changed after they were read."""
    if _held:
        os.kill(os.getpid(), signal.SIGHUP)


def _hold(number: int, _frame: FrameType | None) -> None:
    _held.append(number)


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)  # Nothing is open yet.


# After a reload gunicorn has its handlers, and a program that is to ignore a signal goes on to do so.
# SIGHUP is the last: a test takes its handler for the sign that both are set.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)
if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
    signal.signal(signal.SIGHUP, _hold)
