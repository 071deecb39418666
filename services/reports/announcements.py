"""Announces how the wait for a report that was not ready has ended."""

from __future__ import annotations

from services.notifications.events import Event
from services.notifications.notifications import Notifications
from services.store.database import Transaction
from services.store.ledger import Order, Settlement
from services.store.reports import PendingReport

NOT_READY = "report_not_ready"  # the code of the last attempt, as callers get it


class ReportAnnouncements:
    """Puts the events `report.ready` and `report.failed`, in the transaction that ends the wait."""

    def __init__(self, notifications: Notifications) -> None:
        self._notifications = notifications

    def settled(
        self,
        order: Order,
        settlement: Settlement,
        connection: Transaction,
        before: PendingReport | None,
        after: PendingReport | None,
    ) -> None:
        """Announce what the settlement of a call has changed, for a report that was being made before or is now."""
        waited = before is not None and not order.has_given_up(before.attempts)
        if settlement.report is not None:
            if before is not None:
                self._notifications.put(Event.REPORT_READY, {}, creator=order.creator, within=connection)
        elif after is not None and order.has_given_up(after.attempts):
            self._failed(order.creator, NOT_READY, after.attempts, connection)
        elif before is not None and waited and after is None:
            self._failed(order.creator, settlement.code, before.attempts, connection)

    def stopped(self, creator: str, code: str, pending: PendingReport, connection: Transaction) -> None:
        """Announce that a report is asked for no more."""
        self._failed(creator, code, pending.attempts, connection)

    def _failed(self, creator: str, code: str, attempts: int, connection: Transaction) -> None:
        data = {"code": code, "attempts": attempts}
        self._notifications.put(Event.REPORT_FAILED, data, creator=creator, within=connection)
