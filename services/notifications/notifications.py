"""Puts events into the outbox, from which the worker delivers them."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Collection, Mapping

from services.clock import Clock
from services.days import our_time
from services.notifications.events import Event
from services.store.database import Transaction
from services.store.notifications import Notification, NotificationTable

log = logging.getLogger(__name__)

# A body that is larger than most receivers expect is a mistake of the caller.
MAX_BODY = 16 * 1024  # bytes


class Notifications:
    """The one way to announce an event; nothing happens without a receiver (`NOTIFY_URL`)."""

    def __init__(self, table: NotificationTable, *, wanted: Collection[str], mode: str, clock: Clock) -> None:
        """Build it; `wanted` are the events that have a receiver."""
        self._table = table
        self._wanted = frozenset(wanted)
        self._mode = mode
        self._clock = clock

    def wants(self, event: Event) -> bool:
        """Return whether an event has a receiver."""
        return event.value in self._wanted

    def put(
        self,
        event: Event,
        data: Mapping[str, object],
        *,
        account: str | None = None,
        creator: str | None = None,
        within: Transaction | None = None,
    ) -> None:
        """Let an event about an account (id) or a creator wait for its delivery.

        `data` must hold no credential. With `within` the event is kept if, and only if, that transaction is committed.

        Raises `DatabaseUnavailableError`, after which nothing is kept.
        """
        if not self.wants(event):
            return
        now = self._clock.timestamp()
        subject = {name: value for name, value in (("account", account), ("creator", creator)) if value is not None}
        body = body_of(event, {**subject, **data}, mode=self._mode, at=now)
        if len(body) > MAX_BODY:
            raise ValueError(f"The data of {event} is too large to be announced.")
        row = Notification(f"msg_{uuid.uuid4().hex}", event.value, account, creator, body, now, due_at=now)
        if given_up := self._table.put(row, within=within):
            log.error("Too many events wait for the outgoing webhook; the oldest are given up", extra={"n": given_up})


def body_of(event: str, data: Mapping[str, object], *, mode: str, at: float) -> str:
    """Return the body of an event as it is sent: JSON in ASCII, in the shape that Standard Webhooks recommends."""
    return json.dumps({"type": str(event), "timestamp": our_time(at), "mode": mode, "data": dict(data)})
