"""Buys reports: under the ledger, one call for a creator at a time, each of them booked and kept."""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from functools import partial
from typing import Literal

from services.clients.modash import ModashClient, Pending, Report, may_be_charged
from services.clock import Clock
from services.errors import CreatorNotFoundError, ProviderError
from services.parallel import Parallel
from services.redaction import Redaction
from services.report_refusals import limit_reached, no_ledger, uncertain
from services.report_shape import identity, is_recognized
from services.store import Store, StoreAway
from services.store.ledger import NotOpenedError, Opened, Order, Settlement, Standing, month_of
from services.store.reports import Balance, KeptReport, NewReport
from services.terms import PRICE, Terms

PRESUMED_DEAD = 10.0  # seconds: whoever lives holds the flight, so nobody else comes to ask
POLLED_EVERY = 0.1  # seconds
SEEN_AT_MOST = 64  # reports that each process can tell while the store is away

log = logging.getLogger(__name__)


class Purchases:
    """What is known of creators' reports, and the one way to buy one."""

    def __init__(
        self,
        parallel: Parallel,
        store: Store,
        *,
        terms: Terms,
        account: str,
        redaction: Redaction,
        clock: Clock,
    ) -> None:
        self._parallel = parallel
        self._ledger = store.ledger
        self._reports = store.reports
        self._spending = store.spending
        self._terms = terms
        self._account = account
        self._redaction = redaction
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, KeptReport] = OrderedDict()
        self._late: deque[tuple[Opened, Settlement]] = deque()

    def name(self, creator: str) -> str:
        """Return the one name of a creator: the handle, where an id is known to belong to one; raises `StoreAway`."""
        return (self._reports.handle_of(self._account, creator) or creator) if creator.isdigit() else creator

    def standing(self, creator: str) -> Standing:
        """Return what is known of a creator; raises `StoreAway`."""
        late = [opened.order.creator for opened, settlement in list(self._late) if settlement.report is not None]
        if creator in late:
            return Standing(self._seen.get(creator))
        standing = self._ledger.standing(self._account, creator, self._terms, now=self._now())
        if standing.report is not None:
            self._see(creator, standing.report)
        return standing

    def seen(self, creator: str) -> KeptReport | None:
        """Return the report that this process has last seen, for want of a store."""
        return self._seen.get(creator)

    def buy(self, modash: ModashClient, creator: str, *, asked: str, not_before: float, caller: str) -> bool:
        """Ask for a report, unless it has come meanwhile, and book what that costs; return whether it is being made.

        `asked` is the creator as the caller named it. Raises the failure of the call, or what keeps it from being made.
        """
        began = self._clock.monotonic()
        while True:
            order = Order(self._account, creator, caller, self._now(), not_before)
            try:
                outcome = self._parallel.start(partial(self._call, modash, order, asked), lane=creator).result()
            except NotOpenedError as obstacle:
                if obstacle.why == "settled":
                    return False
                waited = self._clock.monotonic() - began
                if obstacle.why != "in the air" or max(waited, order.at - obstacle.at) >= PRESUMED_DEAD:
                    raise self._refusal(obstacle) from None
                self._clock.wait(POLLED_EVERY)
                continue
            if isinstance(outcome, Pending):
                return True
            self._read_balance(modash, order)
            return False

    def is_affordable(self) -> bool:
        """Return whether this month's limit leaves room for a report; raises `StoreAway`."""
        spent = self._spending.of_month(self._account, month_of(self._now()))
        return spent + PRICE <= self._terms.limit

    def wait_no_more(self, creator: str) -> None:
        """Note that nobody waits for a report any more; raises `StoreAway`."""
        self._reports.wait_no_more(self._account, creator)

    def tidy(self) -> None:
        """Book what could not be booked in time, and give up calls that never came back; raises `StoreAway`."""
        while self._late:
            self._ledger.settle(*self._late[0], self._terms)
            self._late.popleft()
        self._ledger.expire(self._account, self._terms, now=self._now())

    def _call(self, modash: ModashClient, order: Order, asked: str) -> Pending | Report:
        try:
            opened = self._ledger.open(order, self._terms)
        except StoreAway:
            raise no_ledger() from None
        try:
            outcome = modash.performance_data(asked)
        except ProviderError as error:
            self._failed(opened, error)
            raise
        except BaseException:
            self._settle(opened, Settlement("uncertain", "internal_error", self._now()))
            raise
        if isinstance(outcome, Pending):
            self._settle(opened, Settlement("free", "retry_later", self._now(), pending=outcome.message))
        else:
            bought = self._bought(outcome.body)
            self._see(order.creator, KeptReport(0, json.loads(bought.body), order.at, PRICE, None))
            code = "report" if is_recognized(outcome.body) else "report_unrecognized"
            self._settle(opened, Settlement("charged", code, self._now(), report=bought))
        return outcome

    def _bought(self, body: Mapping[str, object]) -> NewReport:
        # It was paid for, so it is kept whatever it is; but a provider may echo a credential.
        text = self._redaction.known(json.dumps(body, separators=(",", ":")))
        return NewReport(text, *identity(body))

    def _failed(self, opened: Opened, error: ProviderError) -> None:
        is_uncertain = may_be_charged(error)
        state: Literal["free", "uncertain"] = "uncertain" if is_uncertain else "free"
        retry = not (is_uncertain or isinstance(error, CreatorNotFoundError))
        settlement = Settlement(state, error.code, self._now(), retry=retry)
        if error.reached:
            self._settle(opened, settlement)
            return
        try:
            self._ledger.forget(opened)
        except StoreAway:
            self._late.append((opened, settlement))

    def _settle(self, opened: Opened, settlement: Settlement) -> None:
        try:
            self._ledger.settle(opened, settlement, self._terms)
        except StoreAway:
            self._late.append((opened, settlement))
            log.error("A call could not be booked, which is tried again", extra={"code": settlement.code})

    def _read_balance(self, modash: ModashClient, order: Order) -> None:
        """Ask for the balance; a report that is paid for is not lost over it."""
        try:
            left = self._parallel.start(modash.credits, lane=order.creator).result()
        except ProviderError as error:
            log.warning("The Modash balance could not be read", extra={"code": error.code})
            return
        try:
            balance = Balance(left, self._now())
            self._reports.note_balance(self._account, self.name(order.creator), balance, fetched_at=order.at)
        except StoreAway:
            return

    def _see(self, creator: str, report: KeptReport) -> None:
        with self._lock:
            self._seen[creator] = report
            self._seen.move_to_end(creator)
            if len(self._seen) > SEEN_AT_MOST:
                self._seen.popitem(last=False)

    def _refusal(self, obstacle: NotOpenedError) -> ProviderError:
        if obstacle.why == "limit":
            return limit_reached(self._terms.limit)
        over = obstacle.at + (self._terms.longest_call if obstacle.why == "in the air" else self._terms.hold)
        return uncertain(over - self._now())

    def _now(self) -> float:
        return self._clock.now().timestamp()
