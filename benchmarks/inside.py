"""The gateway inside this process, on a clock that a benchmark moves."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

from flask import Flask

from app import create_app
from config import Config
from services.clock import Clock

QUIET_WITHIN = 30.0  # seconds


class SteppedClock(Clock):
    """A clock that stands still until it is moved.

    Waiting takes real time and does not move it: the turns of MODASH_RATE are shared over processes, so the store's
    clock hands them out, which is the real one.
    """

    def __init__(self, now: float) -> None:
        self._lock = threading.Lock()
        self._now = now

    def timestamp(self) -> float:
        """Return the moment it was moved to."""
        return self._now

    def monotonic(self) -> float:
        """Return the same in seconds."""
        return self._now

    def wait(self, seconds: float) -> None:
        """Wait in real time."""
        time.sleep(seconds)

    def move_to(self, now: float) -> None:
        """Move it, never back."""
        with self._lock:
            self._now = max(now, self._now)


@contextmanager
def application(settings: Mapping[str, str], log: Path, clock: Clock | None = None) -> Iterator[Flask]:
    """Build the gateway with its log lines in a file; restore the logging of this process afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with log.open("w") as lines:
        with redirect_stderr(lines):
            app = create_app(Config.from_env(settings), clock=clock)
        try:
            yield app
        finally:
            app.extensions["services"].close()
            root.handlers[:] = handlers
            root.setLevel(level)


def wait_until_quiet(app: Flask) -> None:
    """Wait until nothing is being fetched in the background."""
    if not app.extensions["services"].wait_until_quiet(QUIET_WITHIN):
        raise RuntimeError(f"Something is still being fetched after {QUIET_WITHIN:g} seconds.")
