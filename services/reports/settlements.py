"""Books what became of each call to Modash: at once, or later where the database is unavailable at that moment."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from services.clock import Clock
from services.redaction import Redaction
from services.reports.announcements import ReportAnnouncements
from services.reports.purchase_policy import PurchasePolicy
from services.store.database import DatabaseUnavailableError, StatementRefusedError, Transaction
from services.store.ledger import Opened, Order, Settlement, content_of
from services.store.reports import PendingReport
from services.store.store import Store

FOLLOW_UP_JOB = "report"  # the kind of the job that asks again for a report that was not ready
TRIED_AT_END = 3.0  # seconds for which a process that ends tries to reach the database
TRIED_EVERY = 0.1  # seconds, at the end

log = logging.getLogger(__name__)


class Settlements:
    """Settles the rows of the ledger; safe for threads.

    A settlement that the database does not take waits in this process and in the spool, a folder of files. Until it is
    booked its row stays open, so nothing is bought twice. Whatever process finds the file first books it, so neither a
    restart nor a kill loses a report that was paid for. While no file can be written, that is tried again as well.
    """

    def __init__(
        self,
        store: Store,
        redaction: Redaction,
        *,
        policy: PurchasePolicy,
        announcements: ReportAnnouncements,
        clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        self._ledger = store.ledger
        self._spool = store.settlement_spool
        self._jobs = store.jobs
        self._redaction = redaction
        self._policy = policy
        self._announcements = announcements
        self._clock = clock
        self._on_change = on_change  # called after credits were spent
        self._late: deque[tuple[Opened, Settlement]] = deque()
        self._lock = threading.Lock()  # of those that book what is late: the heartbeat, and the end of the process

    def settle(self, opened: Opened, settlement: Settlement) -> None:
        """Book the result of a call, now or later."""
        try:
            self._settle_or_set_apart(opened, settlement)
        except DatabaseUnavailableError:
            self._put_off(opened, settlement)
            log.error("A call could not be booked; this is retried", extra={"code": settlement.code})
        if settlement.state != "free":
            self._on_change()

    def forget(self, opened: Opened, settlement: Settlement) -> None:
        """Delete the row of a call that was never sent; later, where the database is unavailable, settle it as free."""
        try:
            self._ledger.forget(opened)
        except StatementRefusedError:
            self.settle(opened, settlement)
        except DatabaseUnavailableError:
            self._put_off(opened, settlement)

    def waits_with_report(self, creator: str) -> bool:
        """Return whether a report of a creator has come and is not booked yet."""
        return any(opened.order.creator == creator and late.report is not None for opened, late in list(self._late))

    def settle_late(self) -> None:
        """Book what waits here, and in the spool from processes that have ended.

        Raises `DatabaseUnavailableError`.
        """
        with self._lock:
            for _ in range(len(self._late)):
                try:
                    self._settle_late(*self._late[0])
                except DatabaseUnavailableError:
                    self._late.rotate(-1)  # It is tried again, after the others: the fault may be one of its own.
                    self._spool_again()
                    raise
                self._late.popleft()
            for opened, settlement in self._spool.read():
                self._settle_late(opened, settlement)
                log.warning("The result of a call of another process was booked", extra={"ledger_id": opened.id})

    def close(self) -> None:
        """Try for a few seconds to book what waits; the next process books what is left, from the spool."""
        began = self._clock.monotonic()
        while self._late:
            with suppress(DatabaseUnavailableError):
                self.settle_late()
            if self._clock.monotonic() - began >= TRIED_AT_END:
                break
            self._clock.wait(TRIED_EVERY)
        for opened, settlement in self._spool_again():
            self._log_content(opened, settlement)

    def _note_pending(
        self,
        order: Order,
        settlement: Settlement,
        connection: Transaction,
        before: PendingReport | None,
        after: PendingReport | None,
    ) -> None:
        """Announce the end of a wait for a report, or have the worker ask again, in the transaction that settles."""
        self._announcements.settled(order, settlement, connection, before, after)
        if after is not None and not self._policy.has_given_up(after.attempts):
            due_at = self._policy.asked_again_at(after.asked_at, after.attempts)
            # A job that is there keeps its payload: the first caller caused the report.
            payload = {"caller": order.caller}
            self._jobs.put(FOLLOW_UP_JOB, order.creator, due_at=due_at, payload=payload, within=connection)

    def _settle_late(self, opened: Opened, settlement: Settlement) -> None:
        self._settle_or_set_apart(opened, settlement)
        self._spool.remove(opened)
        self._on_change()

    def _put_off(self, opened: Opened, settlement: Settlement) -> None:
        try:
            self._put(opened, settlement)
        except OSError as error:
            extra = {"ledger_id": opened.id, "fault": str(error)}
            log.error("A call that cannot be booked is kept by this process alone", extra=extra)
        self._late.append((opened, settlement))

    def _put(self, opened: Opened, settlement: Settlement) -> None:
        self._spool.put(opened, self._redaction.content(content_of(opened, settlement)))

    def _spool_again(self) -> list[tuple[Opened, Settlement]]:
        """Write a file for each result that has none, and return those for which none can be written."""
        unwritten = []
        for opened, settlement in list(self._late):
            try:
                if not self._spool.has(opened):
                    self._put(opened, settlement)
            except OSError:
                unwritten.append((opened, settlement))
        return unwritten

    def _log_content(self, opened: Opened, settlement: Settlement) -> None:
        content = self._redaction.content(content_of(opened, settlement))
        log.critical("The result of a call can be kept nowhere but in this line", extra={"content": content})

    def _settle_or_set_apart(self, opened: Opened, settlement: Settlement) -> None:
        """Book the result of a call, or keep it aside where the database refuses it: it would be refused every time.

        Raises `DatabaseUnavailableError` where it has to be tried again.
        """
        try:
            note = partial(self._note_pending, opened.order, settlement)
            if self._ledger.settle(opened, settlement, on_pending=note) or settlement.report is None:
                return
            failure = "the ledger has no row of this call"  # The database was replaced meanwhile.
        except StatementRefusedError as error:
            failure = str(error)
        try:
            self._ledger.set_apart(opened, settlement, failure)
        except StatementRefusedError:
            self._log_content(opened, settlement)
            return
        log.error("A call could not be booked; its result is set apart", extra={"ledger_id": opened.id})
