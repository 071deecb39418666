"""The credits that are left: the last balance that Modash gave, less what the ledger has booked since."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from services.cache.cache import Cache
from services.cache.recent_reads import RecentReads
from services.clients.modash.client import ModashClient
from services.clock import Clock, is_ahead
from services.reports.price import credits_of
from services.reports.purchase_policy import PurchasePolicy
from services.store.database import DatabaseUnavailableError
from services.store.reports import BalanceReading
from services.store.store import Store

READ_EVERY = 60.0  # seconds, at most, over all processes
BALANCE_JOB = "balance"


class CreditsLeft(NamedTuple):
    """The last balance, its moment (Unix seconds), and an estimate of what is left of it; None where not known."""

    balance: float | None = None
    as_of: float | None = None
    credits: float | None = None


RECENT = 1.0  # seconds for which the credits that are left are not added up again


class CreditBalance:
    """Reads the balance in the background, and keeps count in between.

    The balance is a call of its own under the same rate limit as purchases: read with every purchase, it would double
    the wait of each first report and halve the number of reports a minute. So no request ever waits for it. A purchase
    only puts a job, of which there is at most one, and the rate limiter lets background work pass when no purchase
    waits for its turn.
    """

    def __init__(
        self,
        modash: ModashClient | None,
        store: Store,
        *,
        policy: PurchasePolicy,
        source: str,
        clock: Clock,
        on_change: Callable[[], None],
        cache: Cache,
    ) -> None:
        """Build it; `cache` announces every change of a source's reports, by this process or another."""
        self._modash = modash
        self._reports = store.reports
        self._spending = store.spending
        self._jobs = store.jobs
        self._policy = policy
        self._source = source
        self._clock = clock
        self._on_change = on_change  # called after a new balance was kept
        self._recent: RecentReads[str, CreditsLeft] = RecentReads(RECENT, 1)
        cache.on_change(self._recent.forget)

    def left(self) -> CreditsLeft:
        """Return the credits that are left by now; raises `DatabaseUnavailableError`."""
        reading = self._reports.balance(self._source)
        if reading is None:
            return CreditsLeft()
        if reading.credits is None:
            return CreditsLeft(as_of=reading.read_at)
        booked = self._spending.since(self._source, reading.read_at, longest_call=self._policy.longest_call)
        return CreditsLeft(reading.credits, reading.read_at, round(reading.credits - credits_of(booked), 3))

    def recently_left(self) -> CreditsLeft:
        """Return the same as of the last second, for replies that spend nothing."""
        reading = self._recent.of(self._source)
        if (known := reading.get(self._source)) is None:
            known = self.left()
            self._recent.put(self._source, reading, {self._source: known})
        return known

    def plan_reading(self) -> None:
        """Have the balance read soon, by a worker."""
        # Without the database the next purchase plans it.
        with suppress(DatabaseUnavailableError):
            self._jobs.put(BALANCE_JOB, self._source, due_at=max(self._now(), self._not_due_before()))

    def read(self) -> float | None:
        """Read the balance now, unless that is too early; return when it is due then (Unix seconds).

        Raises `ProviderError` and `DatabaseUnavailableError`.
        """
        now = self._now()
        if self._modash is None:
            return None
        # A purchase during a reading puts the job again, with a due time from before that reading.
        if (due_at := self._not_due_before()) > now:
            return due_at
        credits_left = self._modash.credits()
        # `now` is from before the call: what is charged while it is under way is subtracted, whether Modash had
        # counted it or not. An estimate may be too low for a minute, and never too high.
        self._reports.note_balance(self._source, BalanceReading(credits_left, now))
        self._on_change()
        return None

    def _not_due_before(self) -> float:
        reading = self._reports.balance(self._source)
        if reading is None or is_ahead(reading.read_at, self._now()):
            return 0.0
        return reading.read_at + READ_EVERY

    def _now(self) -> float:
        return self._clock.timestamp()
