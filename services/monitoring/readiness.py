"""Readiness: whether the gateway can serve, and the state of its background work."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from services.clock import Clock
from services.quota import BreakerStatus, Quota
from services.store.database import DatabaseUnavailableError
from services.store.store import Store


class WebhookWork(TypedDict):
    """The number of deliveries and changes that wait to be applied, and of changes that could not be."""

    waiting: int
    failed: int


class NotificationWork(TypedDict):
    """The number of events that wait for the outgoing webhook, and of those that were given up within 30 days."""

    waiting: int
    given_up: int


class BackgroundWork(TypedDict):
    """The number of workers that are alive, and of jobs; `late` ones are more than a minute overdue.

    `set_apart` is the number of calls to Modash whose result the ledger could not book.
    """

    workers: int
    waiting: int
    running: int
    late: int
    given_up: int
    set_apart: int
    webhooks: WebhookWork
    notifications: NotificationWork


class ReadinessReport(TypedDict):
    """What GET /readyz answers; `store` has "ok", or the kind of fault or its text, of each database."""

    status: Literal["ok", "degraded"]
    store: dict[str, str]
    worker: str
    breakers: list[BreakerStatus]


class Readiness:
    """Reads the state of the databases, of the background work and of the circuit breakers."""

    def __init__(self, store: Store, quota: Quota, *, clock: Clock) -> None:
        self._store = store
        self._quota = quota
        self._clock = clock

    def report(self, *, detailed: bool) -> ReadinessReport:
        """Return whether the gateway can serve, and what it has to do without; it never raises.

        The fault of a database names its host, its user and itself, so only a `detailed` report has it.
        """
        faults = self._store.faults()
        shown = {name: fault.text if detailed else fault.kind for name, fault in faults.items()}
        work = self.work()
        late = work is not None and work["late"] > 0
        breakers = [each for each in self._quota.breakers() if each["state"] != "closed"]
        return {
            "status": "degraded" if faults or breakers or late else "ok",
            "store": {database.name: shown.get(database.name, "ok") for database in self._store.databases},
            "worker": self.worker(),
            "breakers": breakers,
        }

    def worker(self) -> str:
        """Return "ok" if a worker is alive, else when one was last seen."""
        try:
            alive, seconds_ago = self._store.workers.seen()
        except DatabaseUnavailableError:
            return "unknown"
        if alive:
            return "ok"
        return "not seen" if seconds_ago is None else f"last seen {seconds_ago:.0f} s ago"

    def work(self) -> BackgroundWork | None:
        """Return the numbers of workers and jobs, or None if the database is unavailable."""
        try:
            alive = self._store.workers.seen().alive
            counts = self._store.jobs.counts(now=self._clock.timestamp())
            set_apart = self._store.ledger.number_set_apart()
            webhooks = self._store.webhooks.counts()
            notifications = self._store.notifications.counts()
        except DatabaseUnavailableError:
            return None
        return {
            "workers": alive,
            "waiting": counts.waiting,
            "running": counts.running,
            "late": counts.late,
            "given_up": counts.given_up,
            "set_apart": set_apart,
            "webhooks": {"waiting": webhooks.waiting, "failed": webhooks.failed},
            "notifications": {"waiting": notifications.waiting, "given_up": notifications.given_up},
        }
