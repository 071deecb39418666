"""The quota of each provider: how much of each limit is used, and which calls are paused."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Literal

from typing_extensions import TypedDict

from services.cache.failure_text import deserialize, serialize
from services.clients.guard.guard import Guard
from services.clients.guard.shared_throttles import ThrottleNotStorableError
from services.clients.guard.throttle import PROBED_EVERY, SharedThrottle
from services.clients.guard.usage import Usage
from services.clients.rate_limiter import TakeTurn
from services.clock import Clock
from services.days import our_time
from services.store.database import DatabaseUnavailableError, StatementRefusedError
from services.store.provider_turns import ProviderTurns
from services.store.quota_usage import QuotaUsage, UsageRow
from services.store.throttles import ThrottleRow, ThrottleTable


class Limit(TypedDict):
    """One limit, as a provider last reported it; `account` is null for that of the whole app."""

    provider: str
    account: str | None
    percent: float
    kinds: dict[str, float]
    read_at: str
    blocked_until: str | None


class BreakerStatus(TypedDict):
    """Whether calls are admitted; `account` is null for the whole provider, `code` says why they are not.

    `opens_again_in`: seconds until the next call (the probe) is admitted, 0 where one is admitted now.
    """

    provider: str
    account: str | None
    state: Literal["closed", "open", "half_open"]
    opens_again_in: float
    code: str | None


class Quota:
    """The limits that the guards of all providers know, shared with other processes."""

    def __init__(self, guards: Mapping[str, Guard], usages: QuotaUsage) -> None:
        self._guards = guards
        self._quota_usage = usages
        self._shared: dict[tuple[str, str], Usage] = {}

    def share(self) -> None:
        """Share with other processes what changed here, and learn what they know; raises `DatabaseUnavailableError`."""
        for provider, guard in self._guards.items():
            guard.look()
            for row in self._quota_usage.read(provider):
                guard.learn(Usage(*row))
            known = guard.usages()
            changed = [usage for usage in known if self._is_new(provider, usage)]
            if changed:
                self._quota_usage.write(provider, [UsageRow(**vars(usage)) for usage in changed])
            self._shared |= {(provider, usage.account): usage for usage in changed}

    def limits(self) -> list[Limit]:
        """Return every limit that is known."""
        for guard in self._guards.values():
            guard.look(again=False)  # From then on the heartbeat does it; this must not wait for the database.
        return [
            {
                "provider": provider,
                "account": usage.account or None,
                "percent": usage.percent,
                "kinds": dict(usage.kinds),
                "read_at": our_time(usage.read_at),
                "blocked_until": None if usage.blocked_until is None else our_time(usage.blocked_until),
            }
            for provider, guard in self._guards.items()
            for usage in guard.usages()
        ]

    def blocked_until(self, provider: str) -> dict[str | None, float]:
        """Return until when (Unix seconds) a provider is not called for an account, or at all (None)."""
        guard = self._guards[provider]
        guard.look(again=False)
        blocked = {usage.account or None: usage.blocked_until for usage in guard.usages()}
        return {account: until for account, until in blocked.items() if until is not None}

    def breakers(self) -> list[BreakerStatus]:
        """Return the state of each provider's breaker, and of each account's that is not closed."""
        return [
            {
                "provider": provider,
                "account": each.account or None,
                "state": each.state,
                "opens_again_in": round(each.opens_again_in, 1),
                "code": each.code,
            }
            for provider, guard in self._guards.items()
            for each in guard.breakers()
        ]

    def _is_new(self, provider: str, usage: Usage) -> bool:
        shared = self._shared.get((provider, usage.account))
        return shared is None or (shared.percent, shared.blocked_until) != (usage.percent, usage.blocked_until)


def shared_rate_limit(provider: str, turns: ProviderTurns) -> TakeTurn:
    """Return the function by which the calls to a provider take turns over all processes, while the database is up."""

    def take_turn(spacing: float, most: float) -> float | None:
        try:
            return turns.acquire(provider, spacing, most)
        except DatabaseUnavailableError:
            return None

    return take_turn


class SharedThrottles:
    """The throttles of one provider in the database. While it is unavailable, each process has its own ones."""

    def __init__(self, provider: str, table: ThrottleTable, clock: Clock) -> None:
        self._provider = provider
        self._table = table
        self._clock = clock

    def read(self) -> Mapping[str, SharedThrottle] | None:
        """Return the throttles in force by account; None if the database is unavailable."""
        found: dict[str, SharedThrottle] = {}
        try:
            rows = self._table.read(self._provider, now=self._clock.timestamp())
        except DatabaseUnavailableError:
            return None
        for row in rows:
            with suppress(ValueError):  # A failure of another version of this program, or a damaged row.
                failure = deserialize(row.failure)
                found[row.account] = SharedThrottle(row.began_at, row.ends_at, row.next_call_at, failure)
        return found

    def begin(self, account: str, throttle: SharedThrottle) -> bool:
        """Keep a throttle; return False if the database is unavailable. Raises `ThrottleNotStorableError`."""
        row = ThrottleRow(account, *throttle[:3], serialize(throttle.failure))
        try:
            self._table.begin(self._provider, row, now=self._clock.timestamp())
        except StatementRefusedError as error:
            raise ThrottleNotStorableError from error
        except DatabaseUnavailableError:
            return False
        return True

    def claim_probe(self, account: str) -> bool:
        """Return whether this process may make the probe that is due."""
        now = self._clock.timestamp()
        try:
            return self._table.claim_probe(self._provider, account, now=now, next_call_at=now + PROBED_EVERY)
        except DatabaseUnavailableError:
            return True

    def end(self, account: str, *, began_at: float) -> bool:
        """Remove a throttle; return False if the database is unavailable. Raises `ThrottleNotStorableError`."""
        try:
            self._table.end(self._provider, account, began_at=began_at)
        except StatementRefusedError as error:
            raise ThrottleNotStorableError from error
        except DatabaseUnavailableError:
            return False
        return True
