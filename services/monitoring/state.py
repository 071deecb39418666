"""The state of the gateway as GET /metrics shows it, read from the database at most every few seconds."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from services.accounts.current_tokens import EXPIRED, INVALID
from services.accounts.resolver import AccountResolver
from services.accounts.token_states import TokenState, TokenStates
from services.clock import Clock
from services.errors import BusyError
from services.monitoring import metric_families
from services.monitoring.readiness import Readiness
from services.quota import BreakerStatus, Quota
from services.reports.balance import CreditBalance
from services.reports.price import credits_of
from services.reports.purchase_policy import PurchasePolicy
from services.store.credit_limits import month_of
from services.store.database import DatabaseUnavailableError
from services.store.store import Store

READ_EVERY = 5.0  # seconds
MAX_ACCOUNTS = 1000  # that have a series of their own: those that are nearest to their end or limit
TOKEN_STATES = ("ok", "expiring", "expired", "invalid", "missing_permission", "not_decrypted", "unknown")
DEAD = (EXPIRED, INVALID)
# Values over all accounts, which are not added up for a caller of some: GET /credits has what such a key has spent.
OF_ALL_ACCOUNTS = frozenset(
    {
        metric_families.ACCOUNTS_PAUSED,
        metric_families.CREDITS_SPENT,
        metric_families.CREDITS_LIMIT,
        metric_families.CREDITS_BALANCE,
    }
)
BREAKER_STATES = {"closed": 0, "half_open": 1, "open": 2}


class Sample(NamedTuple):
    """One value of a family, with the values of its labels."""

    family: str
    labels: tuple[str, ...]
    value: float


class OfAccount(NamedTuple):
    """One account that counts in a family, whose value is the number of those that the caller may see."""

    family: str
    labels: tuple[str, ...]
    account: str | None  # None: the family has a value also where there is no account


class GatewayState:
    """Reads what is not counted; what the database does not give is left out."""

    def __init__(
        self,
        store: Store,
        *,
        readiness: Readiness,
        quota: Quota,
        balance: CreditBalance,
        policy: PurchasePolicy,
        tokens: TokenStates,
        accounts: AccountResolver,
        source: str,
        clock: Clock,
    ) -> None:
        self._store = store
        self._readiness = readiness
        self._quota = quota
        self._balance = balance
        self._policy = policy
        self._tokens = tokens
        self._accounts = accounts
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._samples: Sequence[Sample | OfAccount] = ()
        self._read_at: float | None = None  # monotonic

    def samples(self, accounts: Collection[str] | None) -> list[Sample]:
        """Return the values of the last seconds; of several callers one reads.

        With `accounts`, numbers of accounts are those of these accounts.
        """
        with self._lock:
            now = self._clock.monotonic()
            if self._read_at is None or now - self._read_at >= READ_EVERY:
                self._samples = list(self._read())
                self._read_at = now
            found = self._samples
        counts: Counter[tuple[str, tuple[str, ...]]] = Counter()
        for each in found:
            if isinstance(each, OfAccount):
                is_counted = each.account is not None and (accounts is None or each.account in accounts)
                counts[each.family, each.labels] += is_counted
        numbers = [Sample(family, labels, number) for (family, labels), number in counts.items()]
        return [each for each in found if isinstance(each, Sample)] + numbers

    def _read(self) -> Iterator[Sample | OfAccount]:
        faults = self._store.faults()
        for database in self._store.databases:
            yield Sample(metric_families.DATABASE_UP, (database.name,), 0 if database.name in faults else 1)
        yield Sample(metric_families.CREDITS_LIMIT, (), credits_of(self._policy.limit))
        for read in (self._work, self._credits, self._troubles, self._token_ends, self._quota_used):
            yield from _if_available(read)

    def _work(self) -> Iterator[Sample]:
        work = self._readiness.work()
        if work is None:
            return
        yield Sample(metric_families.WORKERS, (), work["workers"])
        jobs = {"waiting": work["waiting"], "running": work["running"], "late": work["late"]}
        for state, number in (jobs | {"given_up": work["given_up"]}).items():
            yield Sample(metric_families.JOBS, (state,), number)
        yield Sample(metric_families.WEBHOOK_CHANGES, ("waiting",), work["webhooks"]["waiting"])
        yield Sample(metric_families.WEBHOOK_CHANGES, ("failed",), work["webhooks"]["failed"])
        yield Sample(metric_families.NOTIFICATIONS, ("waiting",), work["notifications"]["waiting"])
        yield Sample(metric_families.NOTIFICATIONS, ("given_up",), work["notifications"]["given_up"])
        yield Sample(metric_families.SET_APART, (), work["set_apart"])

    def _credits(self) -> Iterator[Sample]:
        spent = self._store.spending.of_month(self._source, month_of(self._store.clock.timestamp()))
        if spent is not None:
            yield Sample(metric_families.CREDITS_SPENT, (), credits_of(spent))
        if (left := self._balance.left().credits) is not None:
            yield Sample(metric_families.CREDITS_BALANCE, (), left)

    def _troubles(self) -> Iterator[OfAccount]:
        yield OfAccount(metric_families.IN_TROUBLE, (), None)
        for account in {account for account, _ in self._store.account_troubles.known()}:
            yield OfAccount(metric_families.IN_TROUBLE, (), account)

    def _token_ends(self) -> Iterator[Sample | OfAccount]:
        states = self._tokens.of(self._accounts.listed())
        for name in TOKEN_STATES:
            yield OfAccount(metric_families.TOKENS, (name,), None)
        for account, state in states.items():
            yield OfAccount(metric_families.TOKENS, (state.state,), account)
        now = self._store.clock.timestamp()
        ends = [
            (_seconds_left(state, now), account)
            for account, state in states.items()
            if state.expires_at is not None or state.state in DEAD
        ]
        for seconds, account in sorted(ends)[:MAX_ACCOUNTS]:
            yield Sample(metric_families.TOKEN_EXPIRES, (account,), seconds)

    def _quota_used(self) -> Iterator[Sample]:
        limits = sorted(self._quota.limits(), key=lambda limit: limit["percent"], reverse=True)
        for limit in limits[:MAX_ACCOUNTS]:
            labels = limit["provider"], limit["account"] or ""
            yield Sample(metric_families.QUOTA_USED, labels, limit["percent"] / 100)


def breaker_values(breakers: Sequence[BreakerStatus]) -> Mapping[str, float]:
    """Return the state of each provider's breaker, and the number of accounts whose own is not closed."""
    values: dict[str, float] = {}
    for each in breakers:
        state = f"{metric_families.BREAKER_STATE} {each['provider']}"
        paused = f"{metric_families.ACCOUNTS_PAUSED} {each['provider']}"
        values.setdefault(paused, 0)
        if each["account"] is None:
            values[state] = BREAKER_STATES[each["state"]]
        else:
            values[paused] += 1
    return values


def is_visible(sample: Sample, accounts: Collection[str] | None) -> bool:
    """Return whether a caller of some accounts (None: of all) may see a value: nothing that is of others, or a sum."""
    if accounts is None:
        return True
    named = dict(zip(metric_families.FAMILIES[sample.family].labels, sample.labels, strict=True)).get("account")
    if sample.family in OF_ALL_ACCOUNTS:
        return False
    # A limit of the whole app concerns each account.
    return named is None or named in accounts or (not named and sample.family == metric_families.QUOTA_USED)


def _seconds_left(state: TokenState, now: float) -> float:
    """Return the seconds until a token ends; one that is refused has ended, whatever was known of its end."""
    left = 0.0 if state.expires_at is None else state.expires_at - now
    return min(left, 0.0) if state.state in DEAD else left


def _if_available(read: Callable[[], Iterator[Sample | OfAccount]]) -> list[Sample | OfAccount]:
    try:
        return list(read())
    except (DatabaseUnavailableError, BusyError):
        return []
