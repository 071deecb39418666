"""The state of the gateway as GET /metrics shows it, read from the database at most every few seconds."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from services.accounts.resolver import AccountResolver
from services.accounts.token_states import TokenStates
from services.clock import Clock
from services.errors import BusyError
from services.monitoring import families
from services.quota import BreakerStatus, Quota
from services.readiness import Readiness
from services.reports.balance import CreditBalance
from services.reports.policy import PurchasePolicy, credits_of
from services.store.database import DatabaseUnavailableError
from services.store.ledger import month_of
from services.store.store import Store

READ_EVERY = 5.0  # seconds
MAX_ACCOUNTS = 1000  # that have a series of their own: those that are nearest to their end or limit
TOKEN_STATES = ("ok", "expiring", "expired", "invalid", "missing_permission", "unknown")
BREAKER_STATES = {"closed": 0, "half_open": 1, "open": 2}


class Sample(NamedTuple):
    """One value of a family, with the values of its labels."""

    family: str
    labels: tuple[str, ...]
    value: float


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
        self._samples: Sequence[Sample] = ()
        self._read_at: float | None = None  # monotonic

    def samples(self) -> Sequence[Sample]:
        """Return the values of the last seconds; of several callers one reads."""
        with self._lock:
            now = self._clock.monotonic()
            if self._read_at is None or now - self._read_at >= READ_EVERY:
                self._samples = list(self._read())
                self._read_at = now
            return self._samples

    def _read(self) -> Iterator[Sample]:
        faults = self._store.faults()
        for database in self._store.databases:
            yield Sample(families.DATABASE_UP, (database.name,), 0 if database.name in faults else 1)
        yield Sample(families.CREDITS_LIMIT, (), credits_of(self._policy.limit))
        for read in (self._work, self._credits, self._troubles, self._token_ends, self._quota_used):
            yield from _if_available(read)

    def _work(self) -> Iterator[Sample]:
        work = self._readiness.work()
        if work is None:
            return
        yield Sample(families.WORKERS, (), work["workers"])
        jobs = {"waiting": work["waiting"], "running": work["running"], "late": work["late"]}
        for state, number in (jobs | {"given_up": work["given_up"]}).items():
            yield Sample(families.JOBS, (state,), number)
        yield Sample(families.WEBHOOK_CHANGES, ("waiting",), work["webhooks"]["waiting"])
        yield Sample(families.WEBHOOK_CHANGES, ("failed",), work["webhooks"]["failed"])
        yield Sample(families.NOTIFICATIONS, ("waiting",), work["notifications"]["waiting"])
        yield Sample(families.NOTIFICATIONS, ("given_up",), work["notifications"]["given_up"])
        yield Sample(families.SET_APART, (), work["set_apart"])

    def _credits(self) -> Iterator[Sample]:
        spent = self._store.spending.of_month(self._source, month_of(self._store.clock.timestamp()))
        if spent is not None:
            yield Sample(families.CREDITS_SPENT, (), credits_of(spent))
        if (left := self._balance.left().credits) is not None:
            yield Sample(families.CREDITS_BALANCE, (), left)

    def _troubles(self) -> Iterator[Sample]:
        accounts = {account for account, _ in self._store.account_troubles.known()}
        yield Sample(families.IN_TROUBLE, (), len(accounts))

    def _token_ends(self) -> Iterator[Sample]:
        states = self._tokens.of(self._accounts.listed())
        counts = Counter(state.state for state in states.values())
        for name in TOKEN_STATES:
            yield Sample(families.TOKENS, (name,), counts[name])
        now = self._store.clock.timestamp()
        ends = [(state.expires_at - now, account) for account, state in states.items() if state.expires_at is not None]
        for seconds, account in sorted(ends)[:MAX_ACCOUNTS]:
            yield Sample(families.TOKEN_EXPIRES, (account,), seconds)

    def _quota_used(self) -> Iterator[Sample]:
        limits = sorted(self._quota.limits(), key=lambda limit: limit["percent"], reverse=True)
        for limit in limits[:MAX_ACCOUNTS]:
            labels = limit["provider"], limit["account"] or ""
            yield Sample(families.QUOTA_USED, labels, limit["percent"] / 100)


def breaker_values(breakers: Sequence[BreakerStatus]) -> Mapping[str, float]:
    """Return the state of each provider's breaker, and the number of accounts whose own is not closed."""
    values: dict[str, float] = {}
    for each in breakers:
        state, paused = f"{families.BREAKER_STATE} {each['provider']}", f"{families.ACCOUNTS_PAUSED} {each['provider']}"
        values.setdefault(paused, 0)
        if each["account"] is None:
            values[state] = BREAKER_STATES[each["state"]]
        else:
            values[paused] += 1
    return values


def _if_available(read: Callable[[], Iterator[Sample]]) -> list[Sample]:
    try:
        return list(read())
    except (DatabaseUnavailableError, BusyError):
        return []
