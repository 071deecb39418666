"""Delivers what waits in the outbox: at least once each, with growing waits after failures."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from http import HTTPStatus

from services.clients.notification_receiver import DeliveryOutcome, ReceiverClient
from services.clock import Clock
from services.store.damaged_rows import next_attempt
from services.store.notifications import Notification, NotificationTable

# The schedule that Standard Webhooks gives as an example: the first attempt at once, the tenth after three days.
RETRY_DELAYS = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)  # seconds
JITTER = 0.1  # of a wait, so that events that failed together do not come back together
LONGEST_WAIT = max(RETRY_DELAYS) * (1 + JITTER)  # no receiver can ask for a longer one (`MAX_RETRY_AFTER`)
BATCH = 100  # events

log = logging.getLogger(__name__)


class NotificationDelivery:
    """Sends events that are due to the receiver and notes what became of each.

    One worker at a time does so, because the job has a lease. A POST may be repeated here, unlike one that is paid for:
    the event keeps its id, by which the receiver knows that it has it.
    """

    def __init__(
        self,
        table: NotificationTable,
        receiver: ReceiverClient,
        *,
        clock: Clock,
        randomness: Callable[[], float] = random.random,
    ) -> None:
        self._table = table
        self._receiver = receiver
        self._clock = clock
        self._randomness = randomness

    def run(self, *, seconds: float) -> int:
        """Deliver events that are due, begin none after so many seconds, and return how many were tried."""
        began = self._clock.monotonic()
        tried = 0
        for event in self._table.due(self._clock.timestamp(), BATCH, longest_wait=LONGEST_WAIT):
            if tried and self._clock.monotonic() - began >= seconds:
                break
            tried += 1
            self._attempt(event)
        return tried

    def _attempt(self, event: Notification) -> None:
        outcome = self._receiver.post_event(event.id, event.body, at=self._clock.timestamp())
        now = self._clock.timestamp()
        fields = {"event": event.event, "event_id": event.id, "attempts": next_attempt(event.attempts)}
        if outcome.failure is None:
            self._table.delivered(event, now)
            log.info("An event was delivered", extra=fields)
            return
        wait = self._wait_after(event.attempts, outcome)
        self._table.failed(event, outcome.failure, now, due_at=None if wait is None else now + wait)
        fields |= {"failure": outcome.failure}
        if wait is None:
            log.error("An event was not delivered and is given up", extra=fields)
        else:
            log.warning("An event could not be delivered", extra=fields | {"seconds": round(wait)})

    def _wait_after(self, attempts: int, outcome: DeliveryOutcome) -> float | None:
        """Return the seconds until the next attempt, or None after the last one.

        410 says that the receiver wants no more of this.
        """
        if attempts >= len(RETRY_DELAYS) or outcome.status == HTTPStatus.GONE:
            return None
        wait = RETRY_DELAYS[max(attempts, 0)] * (1 + JITTER * self._randomness())
        return max(wait, outcome.retry_after or 0)
