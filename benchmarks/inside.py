"""The gateway inside this process, on a clock of ours: for long stretches of time, and for parts of a request."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from datetime import UTC, datetime
from pathlib import Path

from flask import Flask

from app import create_app
from benchmarks.processes import environment
from config import Config
from services.clock import Clock

QUIET_WITHIN = 30.0  # seconds


class SteppedClock(Clock):
    """A clock that stands still until it is moved; to wait on it takes no time."""

    def __init__(self, now: float) -> None:
        self._lock = threading.Lock()
        self._now = now

    def now(self) -> datetime:
        """Return the moment it was moved to."""
        return datetime.fromtimestamp(self._now, UTC)

    def monotonic(self) -> float:
        """Return the same in seconds."""
        return self._now

    def wait(self, seconds: float) -> None:
        """Return at once: the world is moved from outside."""
        time.sleep(0)

    def move_to(self, now: float) -> None:
        """Move it, never back."""
        with self._lock:
            self._now = max(now, self._now)


@contextmanager
def application(settings: Mapping[str, str], log: Path, clock: Clock | None = None) -> Iterator[Flask]:
    """Build the gateway, its log lines going to a file; afterwards, logging is as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with log.open("w") as lines:
        with redirect_stderr(lines):
            app = create_app(Config.from_env(environment(settings)), clock=clock)
        try:
            yield app
        finally:
            _close(app)
            root.handlers[:] = handlers
            root.setLevel(level)


def wait_until_quiet(app: Flask) -> None:
    """Wait until nothing is being fetched in the background."""
    memory = getattr(app.extensions["services"], "memory", None)
    if memory is not None and not memory.wait_until_quiet(QUIET_WITHIN):
        raise RuntimeError(f"Something is still being fetched after {QUIET_WITHIN:g} seconds.")


def _close(app: Flask) -> None:
    close = getattr(app.extensions["services"], "close", None)
    if close is not None:
        close()
