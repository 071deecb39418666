"""The heartbeat of a process: two threads that run its periodic tasks, one of them those that extend leases."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from services.executors import start_if_possible
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
    """Runs registered tasks in the order of their registration, each at its interval.

    What extends leases has a thread of its own. Behind the other tasks it came too late where the machine was slow or a
    statement hung: a lease of five seconds ended while its holder lived, and another process made the same calls again.

    `start` is called by each user that needs the tasks, not by the constructor: gunicorn may build the application
    before it forks its workers, and a thread does not survive a fork.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: list[PeriodicTask] = []
        self._lease_tasks: list[PeriodicTask] = []
        self._kinds = (("lease heartbeat", self._lease_tasks), ("heartbeat", self._tasks))
        self._threads: tuple[threading.Thread, ...] = ()
        self._stopped = threading.Event()
        self._is_logged = False  # that a thread could not be started

    def register(
        self,
        name: str,
        run: Callable[[], object],
        *,
        interval: float,
        delay: float = 0.0,
        extends_leases: bool = False,
    ) -> None:
        """Run a task every `interval` seconds, for the first time `delay` seconds from now."""
        with self._lock:
            tasks = self._lease_tasks if extends_leases else self._tasks
            tasks.append(PeriodicTask(name, run, interval, time.monotonic() + delay))

    def start(self) -> bool:
        """Start the threads, unless they run already; return whether both run.

        Where the system has no thread left, the next user tries again.
        """
        if len(self._threads) == len(self._kinds):
            return True
        with self._lock:
            for name, tasks in self._kinds[len(self._threads) :]:
                thread = start_if_possible(partial(self._run, tasks), name=name)
                if thread is None:
                    self._log_once()
                    return False
                self._threads += (thread,)
        return True

    def stop(self, *, timeout: float = 0.0) -> None:
        """Stop the threads; wait up to `timeout` seconds for the tasks that they run."""
        self._stopped.set()
        deadline = time.monotonic() + timeout
        for thread in self._threads if timeout > 0 else ():
            thread.join(max(0.0, deadline - time.monotonic()))

    def _log_once(self) -> None:
        if not self._is_logged:
            self._is_logged = True
            log.error("The system has no thread left for periodic tasks; each next use tries again")

    def _run(self, tasks: list[PeriodicTask]) -> None:
        while not self._stopped.wait(BEAT):
            for task in tuple(tasks):
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
