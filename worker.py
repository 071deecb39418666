"""`python -m worker`: does what is due in the background; any number of these share the work."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
import uuid
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.jobs import Runner
    from services.store.jobs import Job

PLACES = 4  # jobs at once
LOOKED_EVERY = 1.0  # seconds
BEAT = 2.0  # seconds; a lease is five times as long
PLANNED_EVERY = 600.0  # seconds
FINISHED_WITHIN = 10.0  # seconds, before what still runs is left to somebody else
STOP, WAKE = True, False

log = logging.getLogger("worker")

Signals = SimpleQueue[bool]
"""What happens: that a job has ended, or that everything is to end. Unlike an `Event` it may be told by a handler of
signals, whatever that interrupts."""


class Worker:
    """Takes what is due, does it on threads of its own, and holds on to it meanwhile."""

    def __init__(self, runner: Runner, signals: Signals) -> None:
        self._runner = runner
        self._signals = signals
        self._holder = uuid.uuid4().hex
        self._running: list[Job] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def run(self) -> bool:
        """Work until told to stop; return whether everything that was begun is finished."""
        self._beat()
        heart = threading.Thread(target=self._live, name="heart", daemon=True)
        heart.start()
        planned_at = -PLANNED_EVERY
        while True:
            if time.monotonic() >= planned_at + PLANNED_EVERY:
                planned_at = time.monotonic()
                self._runner.plan()
            self._begin_what_is_due()
            if self._wait(LOOKED_EVERY) is STOP:
                break
        return self._finish(heart)

    def _begin_what_is_due(self) -> None:
        free = PLACES - len(self._held())
        try:
            taken = self._runner.take(self._holder, free) if free else []
        except Exception:
            log.exception("Jobs could not be taken by a bug")  # The next round may be luckier.
            return
        for job in taken:
            with self._lock:
                self._running.append(job)
            threading.Thread(target=self._do, args=(job,), name=f"job {job.kind}", daemon=True).start()

    def _do(self, job: Job) -> None:
        try:
            self._runner.run(job)
        except Exception:
            log.exception("A job could not be noted by a bug")
        finally:
            with self._lock:
                self._running.remove(job)
            self._signals.put(WAKE)

    def _wait(self, seconds: float) -> bool:
        try:
            return self._signals.get(timeout=seconds)
        except Empty:
            return WAKE

    def _finish(self, heart: threading.Thread) -> bool:
        """Wait for what runs, give back what does not end, and say goodbye."""
        deadline = time.monotonic() + FINISHED_WITHIN
        while self._held() and time.monotonic() < deadline:
            self._wait(max(0.0, deadline - time.monotonic()))
        self._ended.set()
        heart.join(FINISHED_WITHIN)  # A beat after the goodbye would be one of a ghost.
        left = self._held()
        self._runner.leave(self._holder, left)
        return not left

    def _live(self) -> None:
        while not self._ended.wait(BEAT):
            self._beat()

    def _beat(self) -> None:
        try:
            self._runner.hold(self._holder, self._held(), host=socket.gethostname(), pid=os.getpid())
        except Exception:
            log.exception("A heartbeat failed by a bug")  # The heart must go on beating.

    def _held(self) -> list[Job]:
        with self._lock:
            return list(self._running)


def signals_of_this_process() -> Signals:
    """Have Ctrl-C and its kin tell the worker, rather than interrupt it."""
    signals: Signals = SimpleQueue()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if each is signal.SIGHUP and signal.getsignal(each) is signal.SIG_IGN:
            continue  # Somebody started it with `nohup`.
        signal.signal(each, lambda _number, _frame: signals.put(STOP))
    return signals


def main() -> None:
    """Work with the settings of the environment and `.env` until told to stop."""
    signals = signals_of_this_process()
    # Only now, for it takes a second in which somebody may press Ctrl-C.
    import logs  # noqa: PLC0415
    from config import Config, ConfigError  # noqa: PLC0415
    from services import Services  # noqa: PLC0415
    from services.clock import Clock  # noqa: PLC0415
    from services.jobs import Runner, handlers  # noqa: PLC0415
    from services.redaction import Redaction  # noqa: PLC0415
    from services.store import SchemaError  # noqa: PLC0415

    clock = Clock()
    try:
        config = Config.from_env()
        logs.set_up(config.log_level, Redaction(config.secrets))
        services = Services.build(config, clock)
        services.store.check_versions()
    except (ConfigError, SchemaError) as error:
        raise SystemExit(str(error)) from None
    services.memory.pulse.start()  # What is known of the providers' limits is shared with the gateway.
    log.info("The worker is ready")
    finished = Worker(Runner(services.store, handlers(services, clock), clock), signals).run()
    log.info("The worker has ended", extra={"finished": finished})
    services.close()
    if not finished:
        logging.shutdown()
        os._exit(0)  # Leaving in the usual way would wait for every call to a provider.


if __name__ == "__main__":
    main()
