"""How it stands with the background work: who does it, and whether it is late."""

from __future__ import annotations

from typing_extensions import TypedDict

from services.clock import Clock
from services.store import Store, StoreAway


class Work(TypedDict):
    """How many workers are alive, and how many jobs there are; `late` ones are more than a minute overdue."""

    workers: int
    waiting: int
    running: int
    late: int
    given_up: int


class Background:
    """The workers and their jobs, as the store knows them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def worker(self) -> str:
        """Return "ok" where a worker is alive, else how long none was seen."""
        try:
            alive, seconds_ago = self._store.workers.seen()
        except StoreAway:
            return "unknown"
        if alive:
            return "ok"
        return "not seen" if seconds_ago is None else f"last seen {seconds_ago:.0f} s ago"

    def work(self) -> Work | None:
        """Return what there is to do and who does it, or None where the store is away."""
        try:
            alive = self._store.workers.seen().alive
            counts = self._store.jobs.counts(now=self._clock.now().timestamp())
        except StoreAway:
            return None
        return {
            "workers": alive,
            "waiting": counts.waiting,
            "running": counts.running,
            "late": counts.late,
            "given_up": counts.given_up,
        }
