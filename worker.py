"""`python -m worker`: runs background jobs; any number of workers share them."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from program_start import without_collections

if TYPE_CHECKING:
    from config import Config
    from services.background.heartbeat import Heartbeat
    from services.background.job_runner import Runner
    from services.store.jobs import Job

MAX_RUNNING = 4  # jobs
CLAIM_INTERVAL = 1.0  # seconds
PUT_RECURRING_INTERVAL = 600.0  # seconds
STOP_TIMEOUT = 10.0  # seconds that most running jobs have to finish; then other workers take them over
STOP, WAKE = True, False

log = logging.getLogger("worker")

Signals = SimpleQueue[bool]
"""`STOP` when the worker has to stop, `WAKE` when a job has ended.

A `SimpleQueue` and not an `Event`: its `put` is reentrant, so a signal handler may call it whatever it interrupts.
"""


class Worker:
    """Claims due jobs and runs each on a thread of its own; the heartbeat extends their leases meanwhile."""

    def __init__(
        self, runner: Runner, heartbeat: Heartbeat, signals: Signals, *, ends_within: Mapping[str, float] | None = None
    ) -> None:
        """`ends_within` are the seconds that jobs of some kinds have to finish, instead of `STOP_TIMEOUT`."""
        self._ends_within = ends_within or {}
        self._runner = runner
        self._heartbeat = heartbeat
        self._signals = signals
        self._holder = uuid.uuid4().hex
        self._running: list[Job] = []
        self._lock = threading.Lock()

    def run(self) -> bool:
        """Work until `STOP`; return whether every job that was begun is finished."""
        from services.store.jobs import HEARTBEAT_INTERVAL  # noqa: PLC0415  # As in `main`.

        self._record_alive()
        self._heartbeat.register(
            "worker",
            self._record_alive,
            interval=HEARTBEAT_INTERVAL,
            delay=HEARTBEAT_INTERVAL,
            extends_leases=True,
        )
        put_recurring_at = time.monotonic()
        while True:
            if time.monotonic() >= put_recurring_at:
                put_recurring_at = time.monotonic() + PUT_RECURRING_INTERVAL
                self._runner.put_recurring()
            if self._heartbeat.start():  # Without it the leases of jobs would end while they run.
                self._begin_due_jobs()
            if self._wait(CLAIM_INTERVAL) is STOP:
                break
        return self._finish()

    def _begin_due_jobs(self) -> None:
        from services.executors import start_if_possible  # noqa: PLC0415  # As in `main`.

        free = MAX_RUNNING - len(self._held())
        try:
            claimed = self._runner.claim(self._holder, free) if free else []
        except Exception:
            log.exception("Claiming jobs failed with an unexpected error")  # The next round tries again.
            return
        for job in claimed:
            with self._lock:
                self._running.append(job)
            if start_if_possible(partial(self._run_job, job), name=f"job {job.kind}") is None:
                with self._lock:
                    self._running.remove(job)
                self._runner.put_off(job)

    def _run_job(self, job: Job) -> None:
        try:
            self._runner.run(job)
        except Exception:
            log.exception("Recording the end of a job failed with an unexpected error")
        finally:
            with self._lock:
                self._running.remove(job)
            self._signals.put(WAKE)

    def _wait(self, seconds: float) -> bool:
        try:
            return self._signals.get(timeout=seconds)
        except Empty:
            return WAKE

    def _finish(self) -> bool:
        """Wait for running jobs, release those that do not end in time, and deregister."""
        began = time.monotonic()
        while (left := began + self._longest_end() - time.monotonic()) > 0:
            self._wait(left)
        # A heartbeat after deregistering would re-create the row of a worker that is gone.
        self._heartbeat.stop(timeout=STOP_TIMEOUT)
        unfinished = self._held()
        self._runner.release(self._holder, unfinished)
        return not unfinished

    def _longest_end(self) -> float:
        """Return the most seconds that any running job has to finish."""
        return max((self._ends_within.get(job.kind, STOP_TIMEOUT) for job in self._held()), default=0.0)

    def _record_alive(self) -> None:
        self._runner.heartbeat(self._holder, self._held(), host=socket.gethostname(), pid=os.getpid())

    def _held(self) -> list[Job]:
        with self._lock:
            return list(self._running)


def longer_ends(config: Config) -> Mapping[str, float]:
    """Return the kinds of jobs that have longer than others to finish, and the seconds.

    A call that may be charged comes to its end, as in the gateway: killed, it would be uncertain, and its report lost.
    """
    from services.reports.settlements import FOLLOW_UP_JOB  # noqa: PLC0415  # As in `main`.
    from services.wiring.provider_clients import purchase_policy  # noqa: PLC0415

    return {FOLLOW_UP_JOB: max(STOP_TIMEOUT, purchase_policy(config).longest_call)}


def signals_of_this_process() -> Signals:
    """Return a queue that gets `STOP` for Ctrl-C and the like, instead of an interruption."""
    signals: Signals = SimpleQueue()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if each is signal.SIGHUP and signal.getsignal(each) is signal.SIG_IGN:
            continue  # Started with `nohup`.
        signal.signal(each, lambda _number, _frame: signals.put(STOP))
    return signals


def main(arguments: Sequence[str] | None = None) -> None:
    """Work with the settings of the environment and `.env` until a signal stops it."""
    argparse.ArgumentParser(prog="python -m worker", description=__doc__).parse_args(arguments)
    signals = signals_of_this_process()
    # Imported after the signal handlers are set, because the imports take a second in which Ctrl-C may come.
    with without_collections():
        import logs  # noqa: PLC0415
        from config import Config, ConfigError, unusable_proxies  # noqa: PLC0415
        from services.background.job_handlers import handlers  # noqa: PLC0415
        from services.background.job_runner import Runner  # noqa: PLC0415
        from services.background.job_schedule import LATEST  # noqa: PLC0415
        from services.clock import Clock  # noqa: PLC0415
        from services.redaction import Redaction  # noqa: PLC0415
        from services.reports.settlements import FOLLOW_UP_JOB  # noqa: PLC0415
        from services.store.database import SchemaError  # noqa: PLC0415
        from services.wiring.container import Services  # noqa: PLC0415
        from services.wiring.provider_clients import purchase_policy  # noqa: PLC0415

    clock = Clock()
    try:
        config = Config.from_env()
        redaction = Redaction(config.secrets)  # It learns the tokens that the services read from the database.
        logs.set_up(config.log_level, redaction)
        logs.catch_everything()
        services = Services.build(config, clock, redaction=redaction)
        services.store.check_versions()
        services.measurements.count_lost_lines(logs.lost_lines)
    except (ConfigError, SchemaError) as error:
        raise SystemExit(str(error)) from None
    for sentence in unusable_proxies(config):
        log.warning(sentence)
    log.info("The worker is ready")
    shared_clock = services.store.clock  # Due times must not depend on which machine's worker looks at them.
    latest = {**LATEST, FOLLOW_UP_JOB: purchase_policy(config).longest_pause}
    runner = Runner(services.store, handlers(services, shared_clock), shared_clock, latest=latest)
    finished = Worker(runner, services.heartbeat, signals, ends_within=longer_ends(config)).run()
    log.info("The worker has ended", extra={"finished": finished})
    services.close()
    if not finished:
        logging.shutdown()
        os._exit(0)  # A normal exit would wait for the threads of every provider call.


if __name__ == "__main__":
    main()
