"""The heartbeat of a process: one thread that runs the periodic tasks of the process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from services.store.database import DatabaseUnavailableError

log = logging.getLogger(__name__)

BEAT = 0.5  # seconds


@dataclass
class PeriodicTask:
    """A task, the seconds between two runs, and when the next one is due (monotonic seconds)."""

    name: str
    run: Callable[[], object]
    interval: float
    due_at: float


class Heartbeat:
    """Runs registered tasks in the order of their registration, each at its interval, on one thread.

    `start` is called by the first user that needs the tasks, not by the constructor: gunicorn may build the application
    before it forks its workers, and a thread does not survive a fork.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: list[PeriodicTask] = []
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    def register(self, name: str, run: Callable[[], object], *, interval: float, delay: float = 0.0) -> None:
        """Run a task every `interval` seconds, for the first time `delay` seconds from now."""
        with self._lock:
            # A new list: the thread may be going through the old one.
            self._tasks = [*self._tasks, PeriodicTask(name, run, interval, time.monotonic() + delay)]

    def start(self) -> None:
        """Start the thread, unless it runs already."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
                self._thread.start()

    def stop(self, *, timeout: float = 0.0) -> None:
        """Stop the thread; wait up to `timeout` seconds for the task that it runs."""
        self._stopped.set()
        thread = self._thread
        if thread is not None and timeout > 0:
            thread.join(timeout)

    def _run(self) -> None:
        while not self._stopped.wait(BEAT):
            for task in self._tasks:
                if time.monotonic() >= task.due_at and not self._stopped.is_set():
                    task.due_at = time.monotonic() + task.interval
                    _attempt(task)


def _attempt(task: PeriodicTask) -> None:
    """Run a task; its failure must not stop the others, above all not the extension of leases."""
    try:
        task.run()
    except DatabaseUnavailableError:
        return  # Logged once by `Database`, which also logs when it is available again.
    except Exception:
        log.exception("A periodic task failed with an unexpected error", extra={"task": task.name})
