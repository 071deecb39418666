"""How a worker runs jobs: it claims them, extends their leases, and retries those that fail, with backoff."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from services import request_context
from services.background.job_schedule import FAILURES, LATEST, LATEST_AFTER_FAILURE, PATIENT, RARE, RECURRING
from services.clock import Clock
from services.errors import BusyError, ProviderError
from services.request_context import RequestContext
from services.store.database import DatabaseUnavailableError
from services.store.jobs import Job
from services.store.store import Store

MAX_JOB_ATTEMPTS = 10  # of a job that fails; the last one is about three hours after the first
FIRST_RETRY_DELAY, MAX_RETRY_DELAY = 30.0, 3600.0  # seconds
BRING_FORWARD_EVERY = 60.0  # seconds

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reschedule:
    """The job has to run again in some seconds; `reset_attempts` is for a job that recurs and never ends.

    `is_idle` says that there was nothing to do, which is worth no line in the log. A run that is no attempt leaves the
    number of attempts as it was.
    """

    seconds: float
    reset_attempts: bool = False
    is_idle: bool = False
    is_attempt: bool = True


Handler = Callable[[str, Mapping[str, Any], int], Reschedule | None]
"""Gets a job's key, its payload and the number of attempts, this one included; None means that the job is done.

A handler may run more than once, because a worker may be killed while it runs. An exception makes the job run again,
with growing delays.
"""


def retry_delay(attempts: int, *, first: float) -> float:
    """Return the seconds to wait after so many attempts: `first` before any, then twice as long each time."""
    return min(first * 2.0 ** min(attempts, 30), max(first, MAX_RETRY_DELAY))


class Runner:
    """Claims jobs, runs them and records how they ended.

    If the database is unavailable, nothing is claimed. A job whose end could not be recorded runs again once its lease
    has ended.
    """

    def __init__(
        self,
        store: Store,
        handlers: Mapping[str, Handler],
        clock: Clock,
        *,
        latest: Mapping[str, float] = LATEST,
    ) -> None:
        """Build it; `latest` are the seconds until the next run of a kind at most, of those that have a limit."""
        self._store = store
        self._handlers = handlers
        self._clock = clock
        self._latest = {kind: most for kind, most in latest.items() if kind in handlers}
        self._brought_forward_at = 0.0  # Unix seconds

    def put_recurring(self) -> None:
        """Put the job of each recurring kind; one that exists is due no later than it can be by its interval.

        Later it was put before a clock was set back.
        """
        for kind in RECURRING.keys() & self._handlers.keys():
            with suppress(DatabaseUnavailableError):
                exists = kind in RARE and "" in self._store.jobs.keys(kind)
                within = RARE[kind] if exists else RECURRING[kind]
                self._store.jobs.put(kind, "", due_at=self._clock.timestamp() + within)

    def claim(self, holder: str, limit: int) -> list[Job]:
        """Claim due jobs of the kinds that have a handler here; those of long work leave one place free."""
        claimed: list[Job] = []
        kinds = self._handlers.keys()
        try:
            self._bring_forward()
            claimed = self._claim(holder, limit, kinds - PATIENT)
            if (left := limit - len(claimed) - 1) > 0 and kinds & PATIENT:
                claimed += self._claim(holder, left, kinds & PATIENT)
        except DatabaseUnavailableError:
            return claimed
        return claimed

    def _bring_forward(self) -> None:
        """Let jobs run now that were put off too far, before a clock that ran ahead was set back."""
        now = self._clock.timestamp()
        if not self._latest or 0 <= now - self._brought_forward_at < BRING_FORWARD_EVERY:
            return
        self._brought_forward_at = now
        number = self._store.jobs.bring_forward(self._latest, after_failure=LATEST_AFTER_FAILURE, now=now)
        if number:
            log.warning("Jobs were due too far ahead, as after a clock was set back: they run now", extra={"n": number})

    def _claim(self, holder: str, limit: int, kinds: Collection[str]) -> list[Job]:
        return self._store.jobs.claim(holder, limit, now=self._clock.timestamp(), kinds=kinds)

    def heartbeat(self, holder: str, held: Collection[Job], *, host: str, pid: int) -> None:
        """Extend the leases of the jobs that a worker runs, and record that it is alive."""
        with suppress(DatabaseUnavailableError):
            self._store.jobs.extend(held)
        with suppress(DatabaseUnavailableError):
            self._store.workers.heartbeat(holder, host=host, pid=pid)

    def release(self, holder: str, held: Collection[Job]) -> None:
        """Free the jobs that a worker did not finish, and deregister it."""
        with suppress(DatabaseUnavailableError):
            self._store.jobs.release(held, now=self._clock.timestamp())
        with suppress(DatabaseUnavailableError):
            self._store.workers.deregister(holder)

    def put_off(self, job: Job) -> None:
        """Free a job that could not be begun, because the system has no thread left; it is no attempt."""
        log.warning("The system has no thread left for a job", extra={"kind": job.kind, "seconds": FIRST_RETRY_DELAY})
        with suppress(DatabaseUnavailableError):
            self._store.jobs.reschedule(job, self._clock.timestamp() + FIRST_RETRY_DELAY, is_attempt=False)

    def run(self, job: Job) -> None:
        """Run a job, and log how it ended in one line."""
        started = self._clock.monotonic()
        fields: dict[str, object] = {"kind": job.kind, "attempts": job.attempts}
        if job.kind in FAILURES:
            fields["account"] = job.key
        unexpected = None
        reschedule = None
        try:
            # A new context: provider calls made here must not be counted for any request.
            reschedule = contextvars.Context().run(self._handle, job)
        except (ProviderError, BusyError, DatabaseUnavailableError) as error:
            fields |= self._record_failure(job, error)
        except Exception as error:  # noqa: BLE001  # Logged below, in the one line of the job.
            fields |= self._record_failure(job, error)
            unexpected = error
        else:
            fields |= self._record_end(job, reschedule)
        fields["milliseconds"] = round((self._clock.monotonic() - started) * 1000, 2)
        usual = logging.DEBUG if reschedule is not None and reschedule.is_idle else logging.INFO
        level = logging.ERROR if unexpected else logging.WARNING if "failure" in fields else usual
        log.log(level, "job", extra=fields, exc_info=unexpected)

    def _handle(self, job: Job) -> Reschedule | None:
        request_context.current.set(RequestContext(started_at=self._clock.timestamp(), is_background=True))
        return self._handlers[job.kind](job.key, job.payload, job.attempts)

    def _record_end(self, job: Job, reschedule: Reschedule | None) -> dict[str, object]:
        with suppress(DatabaseUnavailableError):
            if reschedule is None:
                self._store.jobs.complete(job)
            else:
                due_at = self._clock.timestamp() + reschedule.seconds
                self._store.jobs.reschedule(
                    job, due_at, reset_attempts=reschedule.reset_attempts, is_attempt=reschedule.is_attempt
                )
        return {"outcome": "done"} if reschedule is None else {"outcome": "rescheduled", "seconds": reschedule.seconds}

    def _record_failure(self, job: Job, error: Exception) -> dict[str, object]:
        """Retry later, and not before the time that a provider asked for; after the last attempt, give up."""
        # The class name alone: the text of an unexpected error may hold anything, a credential as well.
        failure = error.code if isinstance(error, ProviderError | BusyError) else type(error).__name__
        if job.attempts >= MAX_JOB_ATTEMPTS:
            with suppress(DatabaseUnavailableError):
                self._store.jobs.dead_letter(job, failure)
            return {"outcome": "gave_up", "failure": failure}
        retry_after = error.retry_after if isinstance(error, ProviderError | BusyError) else None
        delay = max(retry_delay(job.attempts - 1, first=FIRST_RETRY_DELAY), retry_after or 0)
        with suppress(DatabaseUnavailableError):
            self._store.jobs.reschedule(job, self._clock.timestamp() + delay, failure=failure)
        return {"outcome": "failed", "failure": failure, "seconds": delay}
