"""The guard in front of a provider: no call while it throttles us, only probes while it fails."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from services import request_context
from services.clients.guard.attribution import FaultAttribution
from services.clients.guard.breaker import (
    ACCOUNT_PAUSES,
    FAULTS_IN_ROW,
    PROVIDER_PAUSES,
    REJECTIONS_IN_ROW,
    Breaker,
    BreakerState,
)
from services.clients.guard.bulkhead import Bulkhead
from services.clients.guard.probe import Moment, Permit
from services.clients.guard.shared_throttles import Sharing, ThrottleStore
from services.clients.guard.state import GuardedProvider, GuardState, admit, refusal
from services.clients.guard.usage import APP, REFRESH_BELOW, WORK_BELOW, Usage
from services.clients.rate_limiter import RateLimiter
from services.clients.retry_after import MAX_RETRY_AFTER
from services.clock import Clock, is_ahead
from services.errors import (
    TRANSIENT,
    DeadlineExceededError,
    ProviderBlockedError,
    ProviderError,
    ProviderRateLimitedError,
    RetryStrategy,
    TokenExpiredError,
    TokenInvalidError,
)

NO_ACCOUNT = ""  # for calls about a token or a page, and for Modash
WITHOUT_ACCOUNT = "-"  # the same, as the name of a throttle in the store
MAX_ACCOUNTS = 10_000

# A fault with one of these may be about this one request: a smaller one may be answered.
ABOUT_THE_REQUEST = frozenset({RetryStrategy.SHRINK, RetryStrategy.SPLIT})
# Failures that concern the account as a whole. A missing permission does not: it may be missing for one metric.
REJECTED = (TokenExpiredError, TokenInvalidError, ProviderBlockedError)

OnEnd = Callable[[str, ProviderError | None], None]
"""Gets the account of each call that was sent, and its failure, or None if it was answered."""

log = logging.getLogger(__name__)


def ignore_end(_account: str, _error: ProviderError | None) -> None:
    """Do nothing with the end of a call."""


class Guard:
    """Admits the calls to one provider or refuses them, and learns from how they end; safe for threads."""

    def __init__(
        self,
        provider: GuardedProvider,
        clock: Clock,
        *,
        places: int,
        rate_limiter: RateLimiter | None = None,
        throttles: ThrottleStore | None = None,
        on_end: OnEnd = ignore_end,
    ) -> None:
        self._on_end = on_end
        self._provider = provider
        self._clock = clock
        self._bulkhead = Bulkhead(places)
        self._rate_limiter = rate_limiter
        self._lock = threading.Lock()
        self._app = GuardState(Breaker(FAULTS_IN_ROW, PROVIDER_PAUSES))
        self._attribution = FaultAttribution()
        self._accounts: OrderedDict[str, GuardState] = OrderedDict()  # the least recently used one comes first
        self._sharing = (
            None
            if throttles is None
            else Sharing(throttles, lambda key: self._by_key(key).throttle, lock=self._lock, now=self._now)
        )

    @contextmanager
    def call(self, account: str) -> Iterator[Permit]:
        """Guard one call: let it wait for a place and for its turn under the rate limit, or refuse it.

        Learns how the call ended from what is raised in the block, and from the usages that the permit was given.
        """
        # A call that would be refused now need not wait for that. One that may pass now is judged again by `acquire`
        # when its turn has come, for a throttle that began while it waited must stop it too.
        self._check(account)
        with self._bulkhead.place(account):
            request_context.require()  # Too late it takes no turn, and is not refused for the want of one.
            # Place first: a call that waited for a place after its turn would be sent beside later turns.
            if self._rate_limiter is not None:
                self._rate_limiter.acquire()
            permit = self.acquire(account)
            try:
                yield permit
            except DeadlineExceededError:
                self._abandoned(permit)  # The provider was not given the time that it has.
                raise
            except ProviderError as error:
                self.failed(permit, error)
                raise
            except BaseException:
                self._abandoned(permit)
                raise
            self.succeeded(permit)

    def close(self) -> None:
        """Admit no more calls; those that wait for a place raise `BusyError`."""
        self._bulkhead.close()

    def acquire(self, account: str) -> Permit:
        """Admit one call, whose end then has to be reported; raise the failure that it is refused with."""
        self.look()
        permit = Permit(account)
        with self._lock:
            now = self._now()
            states = (self._app, self._state(account))
            if (refused := refusal(states, now)) is not None:
                raise refused
            admit(states, permit, now)
            probed = [key for key in _keys(account) if self._by_key(key).throttle.is_probed_by(permit)]
        if self._sharing is not None and not all(self._sharing.may_probe(key) for key in probed):
            # Another process makes this probe. Here the next one comes after the interval.
            self._abandoned(permit)
            self._check(account)
        return permit

    def look(self, *, again: bool = True) -> None:
        """Take over the throttles that other processes have learned; with `again=False` only for the first time."""
        if self._sharing is not None and (again or not self._sharing.has_looked):
            self._sharing.look()

    def succeeded(self, permit: Permit) -> None:
        """Note that a call was answered."""
        with self._lock:
            app, own = self._app, self._state(permit.account)
            self._provider_is_up(permit, own)
            closed = [each.breaker.succeeded(permit) for each in (app, own)]
            lifted = [each.throttle.lifted(permit) for each in (app, own)]
            self._note_usages(permit)
        self._publish(permit.account)
        self._on_end(permit.account, None)
        if any(closed) or any(lifted):
            kind = "breaker" if any(closed) else "throttle"
            extra = {"provider": self._provider.name, "account": permit.account, "kind": kind}
            log.info("A provider answers again", extra=extra)

    def failed(self, permit: Permit, error: ProviderError) -> None:
        """Note that a call was refused or failed."""
        with self._lock:
            now = self._now()
            is_paused = self._record_failure(permit, error, now)
            states = (self._app, self._state(permit.account))
            open_for = max(each.breaker.described(permit.account, now).opens_again_in for each in states)
            self._note_usages(permit)
        self._publish(permit.account)
        self._on_end(permit.account, error)
        if is_paused:
            is_throttle = isinstance(error, ProviderRateLimitedError)
            extra = {
                "provider": self._provider.name,
                "account": permit.account,
                "code": error.code,
                "kind": "throttle" if is_throttle else "breaker",
                "seconds": error.retry_after if is_throttle else round(open_for),
            }
            log.warning("Calls to a provider are paused", extra=extra)

    def may_refresh(self, account: str) -> bool:
        """Return whether cached values of an account may be refreshed: nothing is refused and there is room."""
        return self._has_room(account, REFRESH_BELOW)

    def may_work(self, account: str) -> bool:
        """Return whether background work may call for an account: nothing is refused and there is room."""
        return self._has_room(account, WORK_BELOW)

    def _has_room(self, account: str, percent: float) -> bool:
        with self._lock:
            now = self._now()
            own = self._accounts.get(account)
            states = [self._app] if own is None else [self._app, own]
            return refusal(states, now) is None and not any(each.has_used(percent, now) for each in states)

    def usages(self) -> list[Usage]:
        """Return the known usage of the app and of each account, with the time from which calls may be made."""
        with self._lock:
            now = self._now()
            usage_reported = [guard_state.usage_reported(account, now) for account, guard_state in self._by_account()]
        return [usage for usage in usage_reported if usage is not None]

    def learn(self, usage: Usage) -> None:
        """Adopt a usage that another process has read, if it is newer. Throttles are shared by the store."""
        now = self._clock.timestamp()
        if is_ahead(usage.read_at, now):
            return
        with self._lock:
            guard_state = self._app if usage.account == APP else self._state(usage.account)
            known = guard_state.usage
            if usage.kinds and (known is None or known.read_at < usage.read_at or is_ahead(known.read_at, now)):
                guard_state.usage = usage

    def breakers(self) -> list[BreakerState]:
        """Return the state of the provider's breaker, then of each account's that is not closed."""
        with self._lock:
            now = self._now()
            (app, *rest) = [guard_state.breaker.described(account, now) for account, guard_state in self._by_account()]
        return [app, *(each for each in rest if each.state != "closed")]

    def _record_failure(self, permit: Permit, error: ProviderError, now: Moment) -> bool:
        """Move breakers and throttles by a failure; return whether calls are refused now that were admitted before."""
        app, own = self._app, self._state(permit.account)
        stored = error.unsent(retry_after=error.retry_after)
        is_paused = False
        if isinstance(error, TRANSIENT) and error.retry_strategy not in ABOUT_THE_REQUEST:
            is_paused = self._fault(permit, own, stored, now)
        else:
            self._provider_is_up(permit, own)  # A refusal proves that the provider is up.
            app.breaker.succeeded(permit)
        if not isinstance(error, (*TRANSIENT, *REJECTED, ProviderRateLimitedError)):
            own.breaker.succeeded(permit)
            for each in (app, own):
                each.throttle.lifted(permit)
            return is_paused
        for each in (app, own):
            each.throttle.undecided(permit, now)
        # Without an account the token is unknown; one bad token must not stop the calls with other tokens.
        if isinstance(error, REJECTED) and permit.account != NO_ACCOUNT:
            return own.breaker.failed(permit, stored, now)
        own.breaker.undecided(permit)
        if isinstance(error, ProviderRateLimitedError) and error.retry_after:
            throttle = (app if error.whole_app else own).throttle
            return throttle.begin(stored, error.retry_after, usage_reported=error.wait_reported, now=now)
        return is_paused

    def _check(self, account: str) -> None:
        """Raise the failure that a call would be refused with."""
        with self._lock:
            if (refused := refusal((self._app, self._state(account)), self._now())) is not None:
                raise refused

    def _provider_is_up(self, permit: Permit, own: GuardState) -> None:
        own.faults = 0
        self._attribution.answered(permit.account, self._now().monotonic)

    def _fault(self, permit: Permit, own: GuardState, stored: ProviderError, now: Moment) -> bool:
        """Count a fault against the provider or, where it answers other accounts, against the account."""
        app = self._app.breaker
        own.faults += 1
        of_all = permit.account == NO_ACCOUNT or self._attribution.is_provider_fault(permit.account, now.monotonic)
        if of_all or not app.is_closed:
            return app.failed(permit, stored, now)
        app.undecided(permit)
        if own.faults >= FAULTS_IN_ROW or not own.breaker.is_closed:
            return own.breaker.failed(permit, stored, now)
        return False

    def _abandoned(self, permit: Permit) -> None:
        with self._lock:
            now = self._now()
            for each in (self._app, self._state(permit.account)):
                each.breaker.undecided(permit)
                each.throttle.undecided(permit, now)

    def _note_usages(self, permit: Permit) -> None:
        now = self._now()
        for usage in permit.usages:
            guard_state = self._app if usage.account == APP else self._state(usage.account)
            guard_state.usage = usage
            self._throttle(guard_state, usage, now)

    def _throttle(self, guard_state: GuardState, usage: Usage, now: Moment) -> None:
        """Throttle by a usage, for which there is no failure yet."""
        if usage.blocked_until is None or usage.blocked_until <= now.unix:
            return
        seconds = min(usage.blocked_until - now.unix, MAX_RETRY_AFTER)
        guard_state.throttle.begin(self._provider.throttled(usage), seconds, usage_reported=True, now=now)

    def _publish(self, account: str) -> None:
        if self._sharing is not None:
            self._sharing.publish(*_keys(account))

    def _by_key(self, key: str) -> GuardState:
        """Return the state by its name in the store, where calls without an account are not those of the whole app."""
        return self._app if key == APP else self._state(NO_ACCOUNT if key == WITHOUT_ACCOUNT else key)

    def _state(self, account: str) -> GuardState:
        """Return the state of an account and mark it as used; drop the least recently used beyond the maximum."""
        guard_state = self._accounts.get(account)
        if guard_state is None:
            guard_state = self._accounts[account] = GuardState(Breaker(REJECTIONS_IN_ROW, ACCOUNT_PAUSES))
            if len(self._accounts) > MAX_ACCOUNTS:
                self._accounts.popitem(last=False)
        else:
            self._accounts.move_to_end(account)
        return guard_state

    def _by_account(self) -> Sequence[tuple[str, GuardState]]:
        """Return the state of the app, then of each account."""
        return [(APP, self._app), *((name, each) for name, each in self._accounts.items() if name != NO_ACCOUNT)]

    def _now(self) -> Moment:
        return Moment(self._clock.monotonic(), self._clock.timestamp())


def _keys(account: str) -> tuple[str, str]:
    """Return the names in the store of the throttles that a call has to pass."""
    return APP, account or WITHOUT_ACCOUNT
