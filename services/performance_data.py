"""Performance data: what Modash knows of a creator's last 6, 12 and 30 posts and reels."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from services.answers import Answer, Freshness
from services.clients.modash import ModashClient
from services.clock import Clock
from services.errors import (
    BusyError,
    CreatorNotFoundError,
    CreditLimitReachedError,
    ProviderError,
    ProviderNotConfiguredError,
)
from services.memory import Memo, Memory, Outcome, asking
from services.memory.failures import as_text, from_text
from services.purchases import Purchases
from services.report_answers import Source
from services.report_calls import CALL, flight_key
from services.report_refusals import no_ledger, not_ready, uncertain
from services.store import StoreAway
from services.store.ledger import Standing
from services.store.memories import Slot
from services.terms import Terms

POLLED_EVERY = 0.5  # seconds
ACCEPTED = 202
ANONYMOUS = "anonymous"

Verdict = Literal["away", "kept", "uncertain", "pending", "given_up", "ask"]

log = logging.getLogger(__name__)


class PerformanceData:
    """Reports about creators, each of which is paid for once."""

    def __init__(
        self,
        modash: ModashClient | None,
        purchases: Purchases,
        memory: Memory,
        *,
        source: Source,
        terms: Terms,
        clock: Clock,
        schedule: Callable[[str], None] = lambda _creator: None,
    ) -> None:
        self._modash = modash
        self._purchases = purchases
        self._memory = memory
        self._source = source
        self._terms = terms
        self._clock = clock
        self.schedule = schedule  # told of each creator whose report is not ready, to have `follow_up` called

    def of(self, creator: str, *, wait: int = 0) -> Answer:
        """Return the report of a creator (as `creator_name` gives it), or what to do until it is ready.

        What is not ready is an answer too: status 202 with the seconds after which it is worth asking again. For as
        many seconds as `wait` it is waited for, whoever asks Modash for it.
        """
        modash = self._configured()
        deadline = self._clock.monotonic() + wait
        answer = self._answer(modash, creator)
        while answer.status == ACCEPTED and (left := deadline - self._clock.monotonic()) > 0 and _may_wait():
            self._clock.wait(min(POLLED_EVERY, left))
            answer = self._answer(modash, creator)
        return answer

    def follow_up(self, creator: str) -> bool:
        """Ask again for a report that was not ready, if that is due; return whether the matter is over.

        It is over when the report has come, when there is none, when it was asked for often enough, and when nobody
        knows what became of the call.
        """
        modash = self._configured()
        name, standing = self._look(creator)
        verdict = self._verdict(standing, None)
        if verdict == "ask" and standing.pending is not None:
            try:
                self._ask(modash, name, creator, following=True)
            except (CreatorNotFoundError, CreditLimitReachedError) as error:
                log.warning("A report that was not ready is not asked for any more", extra={"code": error.code})
                return self._wait_no_more(name)
            except ProviderError as error:
                log.warning("A report that was not ready could not be asked for", extra={"code": error.code})
            _, standing = self._look(creator)
            verdict = self._verdict(standing, None)
        if verdict == "uncertain" and standing.pending is not None:
            return self._wait_no_more(name)
        return verdict != "away" and (standing.pending is None or verdict in ("kept", "given_up"))

    def due_at(self, creator: str) -> float | None:
        """Return when `follow_up` is due for a creator (Unix seconds), or None where nobody waits for a report."""
        pending = self._look(creator)[1].pending
        if pending is None or self._terms.has_given_up(pending.attempts):
            return None
        return self._terms.asked_again_at(pending.asked_at, pending.attempts)

    def price(self, creator: str) -> Answer:
        """Return what a request for a report would cost now, and what would come of it; nothing is asked."""
        self._configured()
        name, standing = self._look(creator)
        outcome: str = self._verdict(standing, _not_before())
        if outcome == "ask":
            known = self._memory.peek(self._source.account, {Slot(flight_key(name)): CALL}).get(Slot(flight_key(name)))
            if known is not None and "failure" in known.value and _not_before() is None:
                outcome = "unknown"
            elif not self._can_pay():
                outcome = "limit"
        return self._source.price(name, standing, outcome)

    def history(self, creator: str, *, limit: int) -> Answer:
        """Return the kept reports of a creator, the newest first."""
        try:
            name = self._purchases.name(creator)
            return self._source.history(name, limit)
        except StoreAway:
            raise no_ledger() from None

    def _configured(self) -> ModashClient:
        if self._modash is None:
            raise ProviderNotConfiguredError(
                "Modash is not configured.", provider="modash", hint="Set MODASH_API_KEY, then restart."
            )
        return self._modash

    def _answer(self, modash: ModashClient, creator: str) -> Answer:
        name, standing = self._look(creator)
        not_before = _not_before()
        verdict = self._verdict(standing, not_before)
        if verdict == "ask" and standing.report is not None and not_before is None:
            self._memory.renew(
                self._source.account, flight_key(name), CALL, partial(self._fetch, modash, name, creator, 0.0)
            )
            return self._report(name, standing, not_before)
        if verdict == "ask":
            try:
                self._ask(modash, name, creator)
            except (ProviderError, BusyError):
                if standing.report is None:
                    raise
            name, standing = self._look(creator)
            verdict = self._verdict(standing, not_before)
        if standing.report is not None:
            return self._report(name, standing, not_before)
        return self._without_report(name, standing, verdict)

    def _report(self, name: str, standing: Standing, not_before: float | None) -> Answer:
        """Answer with what is kept, marked stale where that is not what was asked for."""
        assert standing.report is not None  # noqa: S101  # Only called when there is one.
        fetched_at = standing.report.fetched_at
        expires_at = fetched_at + self._terms.fresh_for
        stale = self._now() >= expires_at or fetched_at < (not_before or 0.0)
        return self._source.report(name, standing.report, Freshness(_moment(fetched_at), _moment(expires_at), stale))

    def _without_report(self, name: str, standing: Standing, verdict: Verdict) -> Answer:
        now, pending = self._now(), standing.pending
        if verdict == "away":
            raise no_ledger()
        if verdict == "uncertain" and standing.uncertain_since is not None:
            raise uncertain(standing.uncertain_since + self._terms.hold - now)
        if pending is None:
            raise uncertain(POLLED_EVERY)  # Somebody else's call is in the air, or what it brought was just taken away.
        again_at = self._terms.asked_again_at(pending.asked_at, pending.attempts)
        seconds = max(1, round(again_at - now))
        if self._terms.has_given_up(pending.attempts):
            raise not_ready(pending.attempts, seconds)
        freshness = Freshness(_moment(pending.asked_at), _moment(again_at))
        return self._source.pending(name, pending.message, seconds, freshness)

    def _look(self, creator: str) -> tuple[str, Standing]:
        """Return the one name of a creator, and what is known of it; without a store, what this process has seen."""
        try:
            name = self._purchases.name(creator)
            return name, self._purchases.standing(name)
        except StoreAway:
            return creator, Standing(self._purchases.seen(creator), away=True)

    def _verdict(self, standing: Standing, not_before: float | None) -> Verdict:
        now, report, pending = self._now(), standing.report, standing.pending
        if report is not None and self._terms.serves(report.fetched_at, now=now, not_before=not_before or 0.0):
            return "kept"
        if standing.away:
            return "away"
        if standing.uncertain_since is not None:
            return "uncertain"
        if pending is None or self._terms.asked_again_at(pending.asked_at, pending.attempts) <= now:
            return "ask"
        return "given_up" if self._terms.has_given_up(pending.attempts) else "pending"

    def _ask(self, modash: ModashClient, name: str, creator: str, *, following: bool = False) -> None:
        """Ask Modash, or wait for whoever does, in this process or another; raises the failure."""
        fetch = partial(self._fetch, modash, name, creator, _not_before() or 0.0, following=following)
        memo = self._memory.recall(self._source.account, flight_key(name), CALL, fetch)
        if "failure" in memo.value:
            raise from_text(str(memo.value["failure"]))

    def _fetch(
        self,
        modash: ModashClient,
        name: str,
        asked: str,
        not_before: float,
        _kept: Memo | None,
        *,
        following: bool = False,
    ) -> Outcome:
        """Make the call; that there is no such creator is remembered here, all else in the store."""
        try:
            is_pending = self._purchases.buy(modash, name, asked=asked, not_before=not_before, caller=ANONYMOUS)
        except CreatorNotFoundError as error:
            return {"failure": as_text(error)}
        if is_pending and not following:
            self.schedule(name)
        return {"ended_at": self._now()}

    def _can_pay(self) -> bool:
        try:
            return self._purchases.is_affordable()
        except StoreAway:
            raise no_ledger() from None

    def _wait_no_more(self, name: str) -> bool:
        try:
            self._purchases.wait_no_more(name)
        except StoreAway:
            return False
        return True

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _may_wait() -> bool:
    """Take a place to wait in; without one, what is known is told at once."""
    request = asking.current.get()
    try:
        if request is not None:
            request.wait()
    except BusyError:
        return False
    return True


def _not_before() -> float | None:
    request = asking.current.get()
    return request.not_before if request is not None else None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
