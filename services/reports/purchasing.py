"""Buys reports: at most one call for a creator at a time over all processes, booked before and settled after it."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from services import request_context
from services.cache.cache import Cache
from services.caller import Caller
from services.clients.modash.client import RETRY_LATER, Body, ModashClient, NotReady
from services.clock import Clock
from services.errors import BusyError, Charge, CreatorNotFoundError, DeadlineExceededError, ProviderError
from services.redaction import Redaction
from services.reports.announcements import ReportAnnouncements
from services.reports.balance import CreditBalance
from services.reports.call_failures import CallFailures
from services.reports.errors import (
    CreditBudgetReachedError,
    budget_reached,
    damaged_month,
    limit_reached,
    no_ledger,
    not_configured,
    uncertain,
)
from services.reports.price import PRICE
from services.reports.purchase_decision import ReportState, decide, held_until, obstacle
from services.reports.purchase_policy import PurchasePolicy
from services.reports.recent import RecentReport, RecentReports, ServedReport
from services.reports.report import identity, is_recognized
from services.reports.report_answers import ShownReport
from services.reports.settlements import Settlements
from services.store.credit_limits import DAMAGED_MONTH, month_of
from services.store.database import DatabaseUnavailableError
from services.store.ledger import (
    RENAMED,
    CreatorRecord,
    NotOpenedError,
    Opened,
    Order,
    Settlement,
)
from services.store.reports import KeptReport, NewReport
from services.store.store import Store

POLLED_EVERY = 0.1  # seconds between two looks at a purchase of another process
WAIT_FOR_OTHERS = 30.0  # seconds; a live call ends within its read timeout, and a dead process reports nothing
SEEN_AT_MOST = 64  # reports that each process can answer with while the database is unavailable
BOOKED_AS: Mapping[Charge, Literal["free", "uncertain", "charged"]] = {
    Charge.NONE: "free",
    Charge.UNKNOWN: "uncertain",
    Charge.CHARGED: "charged",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KnownCreator:
    """The one name of a creator, all that is known of it, and the state of its report."""

    name: str
    record: CreatorRecord
    state: ReportState


class PurchaseInProgress:
    """One purchase of this process, for the threads that wait for it instead of polling the database."""

    def __init__(self) -> None:
        self.failure: ProviderError | None = None
        self.is_over = threading.Event()


class ReportPurchasing:
    """All that is known of creators' reports, and the one way to buy one; safe for threads.

    Who may call Modash is decided in two steps. Within this process one thread buys a creator's report and the others
    wait for its `PurchaseInProgress`. Among the buying threads of all processes the ledger decides: its open row is
    the lock, and a process that does not get it polls the ledger until the row is settled.
    """

    def __init__(
        self,
        modash: ModashClient | None,
        store: Store,
        settlements: Settlements,
        *,
        policy: PurchasePolicy,
        source: str,
        announcements: ReportAnnouncements,
        failures: CallFailures,
        balance: CreditBalance,
        redaction: Redaction,
        clock: Clock,
        cache: Cache,
    ) -> None:
        """Build it; `cache` announces every change of a source's reports, by this process or another."""
        self._modash = modash
        self._ledger = store.ledger
        self._settlements = settlements
        self._announcements = announcements
        self._reports = store.reports
        self._spending = store.spending
        self._policy = policy
        self._source = source
        self._failures = failures
        self._balance = balance
        self._redaction = redaction
        self._clock = clock
        self._lock = threading.Lock()
        self._in_progress: dict[str, PurchaseInProgress] = {}
        self._seen: OrderedDict[str, KeptReport] = OrderedDict()
        self._recent = RecentReports(source, cache)

    def require_client(self) -> ModashClient:
        """Return the client of Modash; raise where there is no key."""
        if self._modash is None:
            raise not_configured()
        return self._modash

    def name(self, creator: str) -> str:
        """Return the one name of a creator: the handle, where it is known to which handle an id belongs.

        Raises `DatabaseUnavailableError`.
        """
        return (self._reports.handle_of(self._source, creator) or creator) if creator.isdigit() else creator

    def look_up(self, creator: str, *, not_before: float = 0.0) -> KnownCreator:
        """Return what is known of a creator; without the database, the report that this process has seen last."""
        try:
            name = self.name(creator)
            record = self._ledger.record(self._source, name)
        except DatabaseUnavailableError:
            name = self._last_name(creator)
            record = CreatorRecord(self._seen.get(name))
            state = self._decide(record, not_before)
            known = state if state is ReportState.KEPT else ReportState.DATABASE_UNAVAILABLE
            return KnownCreator(name, record, known)
        if self._settlements.waits_with_report(name):
            record = CreatorRecord(self._seen.get(name))
        elif record.report is not None:
            self._see(name, record.report)
        return KnownCreator(name, record, self._decide(record, not_before))

    def kept(self, creator: str, show: Callable[[KeptReport], ShownReport]) -> ServedReport | None:
        """Return a creator's report that serves, as it was known within the last minute; None: `look_up` has to say.

        A report that serves is answered whatever else is known of its creator. A newer one, bought by any process, ends
        what is known here, as it ends the ready replies. `show` makes of a report what is shown of it.
        """
        served = self._recent.current(creator) or self._newest(creator, show)
        if served is None or self._settlements.waits_with_report(served.name):
            return None
        return served if self._decide(CreatorRecord(served.report), 0.0) is ReportState.KEPT else None

    def buy(self, name: str, *, asked: str, caller: Caller, not_before: float = 0.0) -> int:
        """Buy a report, unless it is not to be bought; return what this call has spent (thousandths of a credit).

        `asked` is the creator as the caller named it. The ledger names the caller, and its own budget pays. Waits for a
        purchase that another thread or process is making. Raises the failure of the call, or what keeps it from being
        made.
        """
        modash = self.require_client()
        while True:
            with self._lock:
                other = self._in_progress.get(name)
                if other is None:
                    mine = self._in_progress[name] = PurchaseInProgress()
            if other is None:
                try:
                    return self._buy_alone(modash, name, asked, caller, not_before)
                except (DeadlineExceededError, CreditBudgetReachedError):
                    raise  # It is of this caller alone: the next of those that wait buys the report.
                except ProviderError as error:
                    mine.failure = error
                    raise
                finally:
                    with self._lock:
                        del self._in_progress[name]
                    mine.is_over.set()
            # The thread that buys is alive, so its call is over within the longest call.
            other.is_over.wait(self._policy.longest_call)
            if other.failure is not None:
                raise other.failure
            if self.look_up(name, not_before=not_before).state not in (ReportState.BUY, ReportState.IN_FLIGHT):
                return 0

    def reached_limit(self, caller: Caller) -> ReportState | None:
        """Return which limit leaves a caller no room for a report this month, or None.

        Where it is unknown what was spent, the ledger counts as unavailable.
        """
        try:
            reached = self._spending.reached(
                self._source,
                caller.name,
                month_of(self._now()),
                price=PRICE,
                limit=self._policy.limit,
                budget=caller.credit_limit,
            )
        except DatabaseUnavailableError:
            return ReportState.DATABASE_UNAVAILABLE
        if reached is None:
            return None
        return ReportState.DATABASE_UNAVAILABLE if reached == DAMAGED_MONTH else ReportState(reached)

    def forget_pending(self, name: str, *, code: str) -> None:
        """Stop waiting for a report that was being made, and announce why; raises `DatabaseUnavailableError`."""
        announce = partial(self._announcements.stopped, name, code)
        self._reports.forget_pending(self._source, name, on_forgotten=announce)

    def settle_late(self) -> None:
        """Book what could not be booked in time, and expire calls that never came back.

        Raises `DatabaseUnavailableError`.
        """
        self._settlements.settle_late()
        self._ledger.expire(self._source, longest_call=self._policy.longest_call)

    def _buy_alone(self, modash: ModashClient, name: str, asked: str, caller: Caller, not_before: float) -> int:
        """Buy a report as the only thread of this process that may, in competition with other processes."""
        # Looked up here and not by the callers: of many that ask at once for a creator who does not exist, the slower
        # ones come here after the first one has learnt that.
        if not not_before and (failure := self._failures.unknown_creator(name)) is not None:
            raise failure
        began, began_at = self._clock.monotonic(), self._failures.now()
        while True:
            try:
                order = self._order(self.name(name), caller)
                opened = self._ledger.open(
                    order, lambda record, now: obstacle(record, self._policy, now=now, not_before=not_before)
                )
            except DatabaseUnavailableError:
                raise no_ledger() from None
            except NotOpenedError as refusal:
                if refusal.state == RENAMED:
                    continue
                if refusal.state != ReportState.IN_FLIGHT:
                    return self._nothing_spent(refusal, caller)
                if self._clock.monotonic() - began >= WAIT_FOR_OTHERS:
                    raise self._held(refusal.record) from None
            else:
                return self._call(modash, opened, asked)
            self._clock.wait(POLLED_EVERY)
            # Where the other process failed, its failure is the answer here as well: a provider in trouble must not
            # get one call from every process that waited.
            if (failure := self._failures.since(name, began_at)) is not None:
                raise failure

    def _call(self, modash: ModashClient, opened: Opened, asked: str) -> int:
        """Make the call of an open row and settle the row, whatever happens."""
        try:
            with request_context.starts_within(self._policy.longest_wait, monotonic=self._clock.monotonic):
                outcome = modash.performance_data(asked)
        except ProviderError as error:
            self._failed(opened, error)
            raise
        except BusyError:
            # The guard is closing, and has not let the call pass.
            self._settlements.forget(opened, Settlement("free", BusyError.code, self._now(), retry=True))
            raise
        except BaseException:
            # An unexpected error, or the end of the process: it is unknown whether the call was charged.
            self._settlements.settle(opened, Settlement("uncertain", "internal_error", self._now()))
            raise
        if isinstance(outcome, NotReady):
            self._settlements.settle(opened, Settlement("free", RETRY_LATER, self._now(), pending=outcome.message))
            return 0
        self._bought(opened, outcome)
        return opened.order.price

    def _bought(self, opened: Opened, body: Body) -> None:
        # Whatever it is, it was paid for, so it is kept; but a provider may echo a credential.
        text = self._redaction.content(json.dumps(body, separators=(",", ":")))
        self._see(opened.order.creator, KeptReport(0, json.loads(text), opened.at, PRICE, None))
        try:
            whose, code = identity(body), "report" if is_recognized(body) else "report_unrecognized"
        except Exception:
            log.exception("A report that was paid for could not be read; it is kept as it is")
            whose, code = (None, None), "report_unrecognized"
        self._settlements.settle(opened, Settlement("charged", code, self._now(), report=NewReport(text, *whose)))
        self._balance.plan_reading()

    def _failed(self, opened: Opened, error: ProviderError) -> None:
        name = opened.order.creator
        if not isinstance(error, DeadlineExceededError):  # A request's own deadline is no answer to other ones.
            self._failures.put(name, error)
        state = BOOKED_AS[error.charge]
        # A creator that does not exist ends the wait for its report, and so does a call that may have been charged.
        retry = error.charge is Charge.NONE and not isinstance(error, CreatorNotFoundError)
        settlement = Settlement(state, error.code, self._now(), retry=retry)
        if error.reached or error.charge is not Charge.NONE:
            self._settlements.settle(opened, settlement)
        else:
            self._settlements.forget(opened, settlement)

    def _nothing_spent(self, refusal: NotOpenedError, caller: Caller) -> int:
        """Return that nothing was spent, where a report or a wait is there to answer with; else raise why not."""
        if refusal.state == ReportState.LIMIT:
            raise limit_reached(self._policy.limit, now=self._now()) from None
        if refusal.state == DAMAGED_MONTH:
            raise damaged_month(month_of(self._now())) from None
        if refusal.state == ReportState.BUDGET:
            raise budget_reached(caller.name, caller.credit_limit or 0, now=self._now()) from None
        if refusal.state == ReportState.UNCERTAIN:
            raise self._held(refusal.record) from None
        return 0

    def _held(self, record: CreatorRecord) -> ProviderError:
        now = self._now()
        return uncertain(held_until(record.unsettled, self._policy, now=now) - now)

    def _newest(self, creator: str, show: Callable[[KeptReport], ShownReport]) -> ServedReport | None:
        """Return the newest report of a creator, which is read only if it is not the one that was read lately."""
        change, last = self._recent.change, self._recent.last(creator)
        try:
            name = self.name(creator)
            if last is not None and not last.is_old and self._is_newest(name, last.served.report):
                last = replace(last, change=change)
            else:
                read_at, reports = time.monotonic(), self._reports.history(self._source, name, limit=1)
                if not reports:
                    return None
                self._see(name, reports[0])
                served = ServedReport(name, reports[0]._replace(body={}), show(reports[0]))
                last = RecentReport(served, read_at, change)
        except DatabaseUnavailableError:
            # What was seen may be newer, and another name of the creator may have led to it.
            return None if last is None or last.served.name in self._seen else last.served
        self._recent.put(creator, last)
        return last.served

    def _last_name(self, creator: str) -> str:
        """Return the one name of a creator as far as this process knows it without the database."""
        last = self._recent.last(creator)
        return creator if last is None else last.served.name

    def _is_newest(self, name: str, report: KeptReport) -> bool:
        return self._reports.newest_of(self._source, name) == (report.id, report.fetched_at)

    def _decide(self, record: CreatorRecord, not_before: float) -> ReportState:
        return decide(*record, self._policy, now=self._now(), not_before=not_before)

    def _order(self, name: str, caller: Caller) -> Order:
        return Order(
            self._source,
            name,
            caller.name,
            price=PRICE,
            limit=self._policy.limit,
            longest_call=self._policy.longest_call,
            max_retries=self._policy.max_retries,
            budget=caller.credit_limit,
        )

    def _see(self, name: str, report: KeptReport) -> None:
        with self._lock:
            known = self._seen.get(name)
            # One that waits to be booked is newer than what the database has.
            if known is None or known.fetched_at <= report.fetched_at:
                self._seen[name] = report
            self._seen.move_to_end(name)
            if len(self._seen) > SEEN_AT_MOST:
                self._seen.popitem(last=False)

    def _now(self) -> float:
        return self._clock.timestamp()
