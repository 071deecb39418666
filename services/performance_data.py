"""Performance data: Modash's report about a creator's last 6, 12 and 30 posts and reels."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from http import HTTPStatus

from services import request_context
from services.answers import Answer, Freshness
from services.errors import BusyError, ProviderError
from services.executors import Executor
from services.reports.call_failures import CallFailures
from services.reports.errors import no_ledger, not_ready, uncertain
from services.reports.purchase_decision import ReportState, held_until, is_under_way
from services.reports.purchase_policy import PurchasePolicy
from services.reports.purchasing import KnownCreator, ReportPurchasing
from services.reports.renewals import ReportRenewals
from services.reports.report_answers import ReportAnswers
from services.store.database_clock import DatabaseClock
from services.store.reports import KeptReport

POLLED_EVERY = 0.5  # seconds, while a request waits for a report that is not ready


class PerformanceData:
    """Reports about creators, each of which is paid for once."""

    def __init__(
        self,
        purchasing: ReportPurchasing,
        renewals: ReportRenewals,
        *,
        answers: ReportAnswers,
        failures: CallFailures,
        policy: PurchasePolicy,
        executor: Executor,
        clock: DatabaseClock,
        on_use: Callable[[], object],
    ) -> None:
        self._purchasing = purchasing
        self._executor = executor
        self._renewals = renewals
        self._answers = answers
        self._failures = failures
        self._policy = policy
        self._clock = clock
        self._on_use = on_use  # starts what runs beside requests: late settlements, and news of other processes

    def report(self, creator: str, *, wait: int = 0, refresh: bool = False) -> Answer:
        """Return the report of a creator (as `creator_name` gives it), or what to do until it is ready.

        A report that is not ready is an answer too: status 202 with the seconds after which to ask again. The request
        is held open for it if the next attempt falls within `wait` seconds. `refresh` buys a new report.
        """
        self._purchasing.require_client()
        self._on_use()
        deadline = self._clock.monotonic() + min(wait, request_context.remaining())
        request_context.accept_only_new(refresh=refresh)
        not_before = self._new_since(creator) if refresh else 0.0
        answer = self._answer(creator, not_before)
        while (
            answer.status == HTTPStatus.ACCEPTED
            and (answer.retry_after or 0) <= (left := deadline - self._clock.monotonic())
            and self._may_wait()
        ):
            self._clock.wait(min(POLLED_EVERY, left))
            answer = self._answer(creator, not_before)
        return answer

    def price(self, creator: str, *, refresh: bool = False) -> Answer:
        """Return what a request for a report would cost now, and what it would lead to; makes no call."""
        self._purchasing.require_client()
        known = self._purchasing.look_up(creator, not_before=self._now() if refresh else 0.0)
        outcome = known.state
        if outcome is ReportState.BUY:
            if not refresh and self._failures.unknown_creator(known.name) is not None:
                outcome = ReportState.UNKNOWN_CREATOR
            else:
                outcome = self._purchasing.reached_limit(request_context.caller()) or outcome
        return self._answers.price(known.name, known.record.report, outcome)

    def history(self, creator: str, *, limit: int) -> Answer:
        """Return the kept reports of a creator, the newest first."""
        return self._answers.history(self._purchasing.look_up(creator).name, limit)

    def _answer(self, creator: str, not_before: float) -> Answer:
        served = None if not_before else self._purchasing.kept(creator, self._answers.shown)
        if served is not None:
            freshness = self._freshness(served.report, not_before)
            return self._answers.report(served.name, served.shown, freshness, spent=0)
        known, spent = self._purchasing.look_up(creator, not_before=not_before), 0
        if known.state is ReportState.BUY and known.record.report is not None and not not_before:
            self._renewals.start(known.name, asked=creator, caller=request_context.caller())
        elif known.state is ReportState.BUY or (known.state is ReportState.IN_FLIGHT and _is_needed(known, not_before)):
            try:
                self._wait()
                spent = self._buy(known.name, creator, not_before)
            except BusyError:
                if known.record.report is None and not self._is_being_made(known):
                    raise
            except ProviderError:
                if known.record.report is None:
                    raise
            known = self._purchasing.look_up(creator, not_before=not_before)
        if (report := known.record.report) is not None:
            freshness = self._freshness(report, not_before)
            return self._answers.report(known.name, self._answers.shown(report), freshness, spent=spent)
        return self._without_report(known)

    def _new_since(self, creator: str) -> float:
        """Return since when a report must have been fetched to be new (Unix seconds).

        A purchase that is under way brings a new one too: callers who refresh at once share it and pay once.
        """
        now, calls = self._now(), self._purchasing.look_up(creator).record.unsettled
        return min((call.opened_at for call in calls if is_under_way(call, self._policy, now=now)), default=now)

    def _buy(self, name: str, asked: str, not_before: float) -> int:
        """Buy a report, and return what was spent within the request's time.

        On another thread, because a call that may be charged is waited for to its end, so that what was paid for is
        kept. The caller may be answered before that: the next request finds the report.
        """
        caller = request_context.caller()
        buy = partial(self._purchasing.buy, name, asked=asked, caller=caller, not_before=not_before)
        return self._executor.start(buy).result(within=request_context.timeout())

    def _is_being_made(self, known: KnownCreator) -> bool:
        """Return whether a report was not ready and is asked for again, by a later request or by the worker."""
        pending = known.record.pending
        return pending is not None and not self._policy.has_given_up(pending.attempts)

    def _freshness(self, report: KeptReport, not_before: float) -> Freshness:
        """Return how fresh a kept report is; it is stale also where a caller wanted a newer one."""
        fetched_at, expires_at = report.fetched_at, report.fetched_at + self._policy.fresh_for
        stale = not self._policy.serves(fetched_at, now=self._now(), not_before=not_before)
        return self._freshness_here(fetched_at, expires_at, stale=stale)

    def _freshness_here(self, fetched_at: float, expires_at: float, *, stale: bool = False) -> Freshness:
        """Return a freshness by the machine's clock, with which headers are made and cached responses expire."""
        here = self._clock.on_this_machine
        return Freshness(here(fetched_at), here(expires_at), stale)

    def _without_report(self, known: KnownCreator) -> Answer:
        """Return when to ask again for a report that Modash is making; raise why there is none otherwise."""
        now, pending = self._now(), known.record.pending
        if known.state is ReportState.DATABASE_UNAVAILABLE:
            raise no_ledger()
        if known.state is ReportState.UNCERTAIN or pending is None:
            raise uncertain(held_until(known.record.unsettled, self._policy, now=now) - now)
        again_at = self._policy.asked_again_at(pending.asked_at, pending.attempts)
        seconds = max(1, math.ceil(again_at - now))
        if self._policy.has_given_up(pending.attempts):
            raise not_ready(pending.attempts, seconds)
        freshness = self._freshness_here(pending.asked_at, again_at)
        return self._answers.pending(known.name, pending.message, seconds, freshness)

    def _wait(self) -> None:
        """Take a slot to wait in; raise `BusyError` where none is free."""
        if (context := request_context.current.get()) is not None:
            context.wait(request_context.MODASH, self._answers.source)

    def _may_wait(self) -> bool:
        """Take a slot to wait in; without a free one the request is answered at once."""
        try:
            self._wait()
        except BusyError:
            return False
        return True

    def _now(self) -> float:
        return self._clock.timestamp()


def _is_needed(known: KnownCreator, not_before: float) -> bool:
    """Return whether a request has to wait for a purchase that is under way, rather than answer what is kept."""
    return known.record.report is None or not_before > 0
