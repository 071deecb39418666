"""The gate before a provider: no call while it throttles us, none but probes while it fails."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from services.clients.blame import Blame
from services.clients.breaker import Breaker, BreakerState
from services.clients.failures import as_failure
from services.clients.outcomes import INSTAGRAM, MODASH, TRY_SOON, UNCERTAIN
from services.clients.probe import Entry, Moment
from services.clients.quota import MAX_WAIT, Usage, account_usage, app_usage
from services.clients.standing import Standing, admit, refusal
from services.clock import Clock
from services.errors import (
    ProviderBlockedError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderResponseError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    Remedy,
    TokenExpiredError,
    TokenInvalidError,
)

NO_ACCOUNT = ""  # of calls that are about a token, a page or no account that granted us access
APP = ""  # in a `Usage`
REFRESH_BELOW, BACKGROUND_BELOW = 90, 75  # percent of a limit
MAX_ACCOUNTS = 10_000
FAULTS_IN_ROW = 5
PROVIDER_PAUSES = (1, 2, 4, 8)  # seconds
ACCOUNT_PAUSES = (5, 10, 15)  # seconds

FAULTS = (ProviderUnavailableError, ProviderTimeoutError, ProviderResponseError)
ABOUT_THE_REQUEST = frozenset({Remedy.SHRINK, Remedy.SPLIT})  # A fault with one of these may pass for a smaller one.
# A missing permission is not among them: it may be missing for one metric.
REJECTED = (TokenExpiredError, TokenInvalidError, ProviderBlockedError)

log = logging.getLogger(__name__)


class Gate:
    """Lets the calls to one provider pass or refuses them, and learns from how they end; safe for threads."""

    def __init__(self, provider: str, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock
        self._lock = threading.Lock()
        self._app = Standing(Breaker(FAULTS_IN_ROW, PROVIDER_PAUSES))
        self._blame = Blame()
        self._accounts: OrderedDict[str, Standing] = OrderedDict()  # the one used longest ago comes first

    @contextmanager
    def passing(self, account: str) -> Iterator[Entry]:
        """Guard one call: refuse it, or learn how it ended from what is raised and from the headers of its entry."""
        entry = self.enter(account)
        try:
            yield entry
        except ProviderError as error:
            self.failed(entry, error, entry.headers)
            raise
        except BaseException:
            self._gave_up(entry)
            raise
        self.succeeded(entry, entry.headers)

    def check(self, account: str) -> None:
        """Raise what keeps a call from being made, without making one."""
        with self._lock:
            if (refused := refusal((self._app, self._standing(account)), self._now())) is not None:
                raise refused

    def enter(self, account: str) -> Entry:
        """Let one call pass, which then has to be reported; raise anew what keeps it from being made."""
        with self._lock:
            now = self._now()
            standings = (self._app, self._standing(account))
            if (refused := refusal(standings, now)) is not None:
                raise refused
            entry = Entry(account)
            admit(standings, entry, now)
            return entry

    def succeeded(self, entry: Entry, headers: Mapping[str, str]) -> None:
        """Take note that a call was answered."""
        with self._lock:
            app, own = self._app, self._standing(entry.account)
            self._lives(entry, own)
            closed = [each.breaker.succeeded(entry) for each in (app, own)]
            for each in (app, own):
                each.block.lifted(entry)
            self._read(entry.account, headers)
        if any(closed):
            log.info("A provider answers again", extra={"provider": self._provider, "account": entry.account})

    def failed(self, entry: Entry, error: ProviderError, headers: Mapping[str, str] | None = None) -> None:
        """Take note that a call was refused or failed."""
        with self._lock:
            held_back = self._judge(entry, error, self._now())
            self._read(entry.account, headers or {})
        if held_back:
            extra = {"provider": self._provider, "account": entry.account, "code": error.code}
            log.warning("A provider is left alone for a while", extra=extra)

    def may_refresh(self, account: str) -> bool:
        """Return whether what is kept may be read anew for an account."""
        return self._is_below(account, REFRESH_BELOW)

    def may_work_in_background(self, account: str) -> bool:
        """Return whether calls may be made for an account that nobody waits for."""
        return self._is_below(account, BACKGROUND_BELOW)

    def usages(self) -> list[Usage]:
        """Return what is known of the app's and each account's usage, with the moment from which calls may be made."""
        with self._lock:
            now = self._now()
            told = [standing.told(account, now) for account, standing in self._named()]
        return [usage for usage in told if usage is not None]

    def learn(self, usage: Usage) -> None:
        """Adopt what another process has read, if it is newer."""
        with self._lock:
            now = self._now()
            standing = self._app if usage.account == APP else self._standing(usage.account)
            known = standing.told(usage.account, now)
            if known is not None and known.read_at >= usage.read_at:
                return
            if usage.kinds:
                standing.usage = usage
            self._block(standing, usage, now)

    def breakers(self) -> list[BreakerState]:
        """Return how the provider's breaker stands, then those of accounts that are not closed."""
        with self._lock:
            now = self._now()
            (app, *rest) = [standing.breaker.described(account, now) for account, standing in self._named()]
        return [app, *(each for each in rest if each.state != "closed")]

    def _judge(self, entry: Entry, error: ProviderError, now: Moment) -> bool:
        """Move breakers and blocks as a failure tells; return whether that holds back calls which passed before."""
        app, own = self._app, self._standing(entry.account)
        kept = _kept(error)
        held_back = False
        if isinstance(error, FAULTS) and error.remedy not in ABOUT_THE_REQUEST:
            held_back = self._fault(entry, own, kept, now)
        else:
            self._lives(entry, own)  # Whoever refuses lives.
            app.breaker.succeeded(entry)
        if not isinstance(error, (*FAULTS, *REJECTED, ProviderRateLimitedError)):
            own.breaker.succeeded(entry)
            for each in (app, own):
                each.block.lifted(entry)
            return held_back
        for each in (app, own):
            each.block.undecided(entry, now)
        # Without an account nobody knows whose token it was; one bad token must not stop those of others.
        if isinstance(error, REJECTED) and entry.account != NO_ACCOUNT:
            return own.breaker.failed(entry, kept, now)
        own.breaker.undecided(entry)
        if isinstance(error, ProviderRateLimitedError) and error.retry_after:
            block = (app if error.whole_app else own).block
            return block.begin(kept, error.retry_after, told=error.wait_told, now=now)
        return held_back

    def _lives(self, entry: Entry, own: Standing) -> None:
        own.faults = 0
        self._blame.answered(entry.account, self._now().monotonic)

    def _fault(self, entry: Entry, own: Standing, kept: ProviderError, now: Moment) -> bool:
        """Count a fault against the provider or, where it lives for others, against the account."""
        app = self._app.breaker
        own.faults += 1
        of_all = entry.account == NO_ACCOUNT or self._blame.is_the_provider_s(entry.account, now.monotonic)
        if of_all or not app.is_closed:
            return app.failed(entry, kept, now)
        app.undecided(entry)
        if own.faults >= FAULTS_IN_ROW or not own.breaker.is_closed:
            return own.breaker.failed(entry, kept, now)
        return False

    def _gave_up(self, entry: Entry) -> None:
        with self._lock:
            now = self._now()
            for each in (self._app, self._standing(entry.account)):
                each.breaker.undecided(entry)
                each.block.undecided(entry, now)

    def _read(self, account: str, headers: Mapping[str, str]) -> None:
        now = self._now()
        if (usage := app_usage(headers, now=now.unix)) is not None:
            self._app.usage = usage
        # Of a call for no account nobody knows whose limit the header is about.
        if account != NO_ACCOUNT and (usage := account_usage(headers, account, now=now.unix)) is not None:
            standing = self._standing(account)
            standing.usage = usage
            self._block(standing, usage, now)

    def _block(self, standing: Standing, usage: Usage, now: Moment) -> None:
        """Block as a usage says, for which there is no failure yet."""
        if usage.blocked_until is None or usage.blocked_until <= now.unix:
            return
        outcome = INSTAGRAM[4 if usage.account == APP else 80002, None]
        if self._provider == "modash":
            outcome = MODASH["rate_limit_exceeded"]
        seconds = min(usage.blocked_until - now.unix, MAX_WAIT)
        standing.block.begin(as_failure(outcome, self._provider), seconds, told=True, now=now)

    def _is_below(self, account: str, percent: float) -> bool:
        with self._lock:
            now = self._now()
            own = self._accounts.get(account)
            standings = [self._app] if own is None else [self._app, own]
            return refusal(standings, now) is None and not any(each.has_used(percent, now) for each in standings)

    def _standing(self, account: str) -> Standing:
        """Return the standing of an account, now the one used last; the oldest goes where there are too many."""
        standing = self._accounts.get(account)
        if standing is None:
            standing = self._accounts[account] = Standing(Breaker(1, ACCOUNT_PAUSES))
            if len(self._accounts) > MAX_ACCOUNTS:
                self._accounts.popitem(last=False)
        else:
            self._accounts.move_to_end(account)
        return standing

    def _named(self) -> Sequence[tuple[str, Standing]]:
        """Return the app's standing, then each account's by its name."""
        return [(APP, self._app), *((name, each) for name, each in self._accounts.items() if name != NO_ACCOUNT)]

    def _now(self) -> Moment:
        return Moment(self._clock.monotonic(), self._clock.now().timestamp())


def _kept(error: ProviderError) -> ProviderError:
    """Return a failure as it is told to calls that are not sent, from which nothing can have been charged."""
    kept = error.unsent(retry_after=error.retry_after)
    if kept.hint == UNCERTAIN:
        kept.hint = TRY_SOON
    return kept
