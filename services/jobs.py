"""What is done in the background, and when; `worker.py` does it."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from services.clock import Clock
from services.errors import ProviderError
from services.parallel import behind
from services.performance_data import PerformanceData
from services.store import Store, StoreAway
from services.store.jobs import Job

if TYPE_CHECKING:
    from services import Services

TRIES = 10  # of a job that fails; the last one is about three hours after the first
FIRST_PAUSE, LONGEST_PAUSE, OVERDUE_PAUSE = 30.0, 3600.0, 60.0  # seconds
SWEPT_EVERY = 600.0  # seconds

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Later:
    """The job is to be done again in some seconds; `anew` counts its attempts from zero, as of one that never ends."""

    seconds: float
    anew: bool = False


Handler = Callable[[str, Mapping[str, Any], int], Later | None]
"""Gets a job's key, its payload and the number of attempts, this one included; None means that it is done.

It may run more than once, for a worker may be killed in its midst. What it raises makes it run again, later and later.
"""


def next_pause(attempts: int, *, first: float) -> float:
    """Return the seconds to wait after so many attempts: `first` before any, then twice as long each time."""
    return min(first * 2.0 ** min(attempts, 30), max(first, LONGEST_PAUSE))


def schedule_reports(reports: PerformanceData, store: Store) -> None:
    """Have each report that is not ready asked for again when that is due, whoever asked for it first."""

    def schedule(creator: str) -> None:
        due_at = reports.due_at(creator)
        if due_at is None:
            return
        try:
            store.jobs.put("report", creator, due_at=due_at)
        except StoreAway:
            return  # The next caller who asks when it is due asks for it again.

    reports.schedule = schedule


def _follow_up(
    reports: PerformanceData, clock: Clock, creator: str, _payload: Mapping[str, Any], _attempts: int
) -> Later | None:
    """Ask again for a report that was not ready, as often as the terms of reports say."""
    if reports.follow_up(creator):
        return None
    due_at = reports.due_at(creator)
    if due_at is None:
        return None
    left = due_at - clock.now().timestamp()
    # What is overdue already could not be asked for: a provider is left alone, or the ledger is away.
    return Later(left if left > 0 else OVERDUE_PAUSE)


def handlers(services: Services, clock: Clock) -> Mapping[str, Handler]:
    """Return what the gateway does in the background, by kind of job."""
    return {
        "sweep": partial(_sweep, services.store),
        "report": partial(_follow_up, services.performance_data, clock),
    }


RECURRING: Mapping[str, float] = {"sweep": SWEPT_EVERY}
"""The kinds of which there is always one job, and the seconds until it is due for the first time."""


class Runner:
    """Takes jobs from the store, does them and notes how they ended; without the store there is nothing to do."""

    def __init__(self, store: Store, handlers: Mapping[str, Handler], clock: Clock) -> None:
        self._store = store
        self._handlers = handlers
        self._clock = clock

    def plan(self) -> None:
        """See to it that there is a job of each recurring kind."""
        for kind in RECURRING.keys() & self._handlers.keys():
            self._attempt(partial(self._store.jobs.put, kind, "", due_at=self._now() + RECURRING[kind]))

    def take(self, holder: str, limit: int) -> list[Job]:
        """Take what is due, of the kinds that are known here."""
        taken: list[Job] = []
        self._attempt(
            lambda: taken.extend(self._store.jobs.take(holder, limit, now=self._now(), kinds=self._handlers.keys()))
        )
        return taken

    def hold(self, holder: str, held: Collection[Job], *, host: str, pid: int) -> None:
        """Note that a worker lives, and that it still does some jobs."""
        self._attempt(lambda: self._store.workers.beat(holder, host=host, pid=pid))
        self._attempt(lambda: self._store.jobs.renew(held))

    def leave(self, holder: str, held: Collection[Job]) -> None:
        """Note that a worker ends, and give back the jobs that it did not finish."""
        self._attempt(lambda: self._store.jobs.give_back(held, now=self._now()))
        self._attempt(lambda: self._store.workers.leave(holder))

    def run(self, job: Job) -> None:
        """Do a job, and log how it ended in one line."""
        started = self._clock.monotonic()
        told: dict[str, object] = {"kind": job.kind, "attempts": job.attempts}
        bug = None
        try:
            # A context of its own: nothing here is on the account of a request.
            later = contextvars.Context().run(self._handle, job)
        except (ProviderError, StoreAway) as error:
            told |= self._failed(job, error)
        except Exception as error:  # noqa: BLE001  # It is logged below, in the one line of the job.
            told |= self._failed(job, error)
            bug = error
        else:
            told |= self._ended(job, later)
        told["milliseconds"] = round((self._clock.monotonic() - started) * 1000, 2)
        level = logging.ERROR if bug else logging.WARNING if "failure" in told else logging.INFO
        log.log(level, "job", extra=told, exc_info=bug)

    def _handle(self, job: Job) -> Later | None:
        behind.set(True)
        return self._handlers[job.kind](job.key, job.payload, job.attempts)

    def _ended(self, job: Job, later: Later | None) -> dict[str, object]:
        if later is None:
            self._attempt(lambda: self._store.jobs.done(job))
            return {"outcome": "done"}
        self._attempt(lambda: self._store.jobs.again(job, self._now() + later.seconds, anew=later.anew))
        return {"outcome": "later", "seconds": later.seconds}

    def _failed(self, job: Job, error: Exception) -> dict[str, object]:
        """Try again later, and not before a provider wants it; at last give up, for somebody to look at."""
        # The name alone: the text of a bug may hold anything.
        failure = error.code if isinstance(error, ProviderError) else type(error).__name__
        if job.attempts >= TRIES:
            self._attempt(lambda: self._store.jobs.give_up(job, failure))
            return {"outcome": "given_up", "failure": failure}
        asked = error.retry_after if isinstance(error, ProviderError) else None
        pause = max(next_pause(job.attempts - 1, first=FIRST_PAUSE), asked or 0)
        self._attempt(lambda: self._store.jobs.again(job, self._now() + pause, failure=failure))
        return {"outcome": "failed", "failure": failure, "seconds": pause}

    def _attempt(self, note: Callable[[], None]) -> None:
        """Note something, if the store is there; if not, leases run out and somebody does the job again."""
        try:
            note()
        except StoreAway:
            return

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _sweep(store: Store, _key: str, _payload: Mapping[str, Any], _attempts: int) -> Later:
    store.sweep()
    return Later(SWEPT_EVERY, anew=True)
