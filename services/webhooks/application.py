"""Deliveries that were kept become changes, and each change is handed to the handler of its field."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from services.cache.policies import WEBHOOK_KEPT_FOR
from services.clock import Clock
from services.store.damaged_rows import next_attempt
from services.store.database import DatabaseUnavailableError, StatementRefusedError
from services.store.webhooks import Change, Delivery, DeliveryContent, PendingChange, WebhookTable
from services.webhooks.parsing import read

READ_AT_ONCE = 100  # deliveries
APPLIED_AT_ONCE = 50  # changes; so many are at most applied again after a kill
MAX_CHANGE_ATTEMPTS = 10  # of a change; the last one is about 14 hours after the first
FIRST_RETRY_DELAY, MAX_RETRY_DELAY = 120.0, 6 * 3600.0  # seconds

log = logging.getLogger(__name__)

Handler = Callable[[Change], None]
"""Applies a change. It gets a change again after a crash, and older ones after newer ones, so it must be idempotent and
keep what is newer by `Change.time`."""


class AccountGoneError(Exception):
    """The account of a change is not here; the change is kept as it came, for when the account is added."""


class WebhookApplication:
    """Reads and applies what waits; one job runs it, so that changes are applied one after the other."""

    def __init__(self, table: WebhookTable, handlers: Mapping[str, Handler], *, clock: Clock) -> None:
        self._table = table
        self._handlers = handlers
        self._clock = clock

    def run(self, *, seconds: float) -> int:
        """Read and apply what waits, for about so many seconds; return how many deliveries and changes that were."""
        until = self._clock.monotonic() + seconds
        done = 0
        while True:
            some = self._read() + self._apply()
            done += some
            if not some or self._clock.monotonic() >= until:
                return done

    def resume(self, account: str) -> None:
        """Have the kept changes of an account applied, which was added just now."""
        self._table.resume(account, self._handlers.keys(), now=self._clock.timestamp())

    def sweep(self) -> None:
        """Delete what was applied, or only kept, for long enough."""
        self._table.sweep(self._clock.timestamp() - WEBHOOK_KEPT_FOR)

    def _read(self) -> int:
        """Enter the changes of the next deliveries."""
        readings = [self._content(delivery) for delivery in self._table.unread(READ_AT_ONCE)]
        if readings:
            self._table.enter(readings, applicable=self._handlers.keys(), now=self._clock.timestamp())
        return len(readings)

    def _content(self, delivery: Delivery) -> DeliveryContent:
        reading = read(delivery)
        if reading.failure is not None:
            extra = {"digest": reading.delivery.digest, "failure": reading.failure}
            log.warning("A delivery cannot be read completely", extra=extra)
        return reading

    def _apply(self) -> int:
        """Apply the next changes."""
        pending = self._table.due(APPLIED_AT_ONCE, now=self._clock.timestamp(), longest_wait=MAX_RETRY_DELAY)
        if not pending:
            return 0
        applied = [each for each in pending if self._has_applied(each)]
        self._table.applied(applied, now=self._clock.timestamp())
        return len(pending)

    def _has_applied(self, pending: PendingChange) -> bool:
        """Hand a change to its handler; if that fails, let it wait, or give it up."""
        try:
            self._handlers[pending.change.field](pending.change)
        except AccountGoneError:
            self._table.set_aside(pending)
            return False
        except Exception as error:
            if isinstance(error, DatabaseUnavailableError) and not isinstance(error, StatementRefusedError):
                raise  # It says nothing about the change.
            attempts = next_attempt(pending.attempts)
            delay = min(FIRST_RETRY_DELAY * 2.0 ** min(attempts - 1, MAX_CHANGE_ATTEMPTS), MAX_RETRY_DELAY)
            due_at = self._clock.timestamp() + delay if attempts < MAX_CHANGE_ATTEMPTS else None
            extra = {"digest": pending.digest, "field": pending.change.field, "attempts": attempts}
            log.exception("A change could not be applied", extra=extra)
            self._table.postpone(pending, due_at, failure=type(error).__name__)
            return False
        return True
