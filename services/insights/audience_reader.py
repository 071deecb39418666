"""Reads the audience of an account: from the history, from the cache, and from Instagram where neither has it.

The calls run side by side (`services.insights.audience_calls`). Where Instagram refuses all that was asked for, another
metric shows whether it refuses the metrics or the account's requests as a whole (`services.insights.refusal_check`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import TypeGuard

from services.cache.cache import Cache
from services.cache.entries import CacheEntry
from services.cache.fetch_request import FetchResult, Keep
from services.cache.policies import FOR_EVER, REFUSED_METRIC, FreshnessPolicy, Json
from services.clients.graph.client import GraphClient
from services.clients.graph.models import Account
from services.clock import Clock
from services.days import EndTime
from services.errors import TRANSIENT, ProviderError
from services.executors import Executor
from services.insights.audience import (
    DEMOGRAPHICS_POLICY,
    HOUR_OF_DAY,
    KEPT_TIMEFRAME,
    ONLINE_FOLLOWERS,
    DemographicKey,
    day_key,
)
from services.insights.audience_calls import LATE, AudienceCalls, Key, Outcomes, groups_of, is_refusal
from services.insights.caching import (
    as_json,
    from_history_value,
    from_json,
    is_known,
    policy_of,
    refusal_key,
)
from services.insights.fetcher import concerns_all
from services.insights.kept_values import KeptValues
from services.insights.refusal_check import RefusalCheck
from services.insights.request import ValueKey
from services.insights.values import MetricValue
from services.store.cache_entries import CacheKey
from services.store.history import Kind
from services.windows import Window


@dataclass
class AudienceReading:
    """A value for each requested table and day, the cache entries behind them, and the failures."""

    values: dict[Key, MetricValue] = field(default_factory=dict)
    entries: list[CacheEntry] = field(default_factory=list)
    failures: list[ProviderError] = field(default_factory=list)

    def add(self, key: Key, found: CacheEntry | ProviderError) -> None:
        """Add what the cache returned for a key."""
        if isinstance(found, ProviderError):
            self.failures.append(found)
            self.values[key] = MetricValue.failed(found)
        else:
            self.entries.append(found)
            self.values[key] = from_json(found.value)


class AudienceReader:
    """Reads demographics and followers online."""

    def __init__(
        self,
        graph: GraphClient,
        executor: Executor,
        *,
        cache: Cache,
        kept: KeptValues,
        end_time: EndTime,
        clock: Clock,
    ) -> None:
        self._calls = AudienceCalls(graph, end_time=end_time, clock=clock)
        self._executor = executor
        self._cache = cache
        self._kept = kept
        self._clock = clock
        self._check = RefusalCheck(graph, cache, end_time=end_time, clock=clock)

    def read(self, account: Account, tables: Sequence[DemographicKey], days: Sequence[date]) -> AudienceReading:
        """Return what is known of each table and day; raise the failure where nothing is.

        A known value stays, stale, where Instagram refuses it or fails.
        """
        audience = AudienceReading()
        self._read_history(account, days, audience)
        keys: dict[CacheKey, Key] = {table.cache_key(): table for table in tables}
        keys |= {day_key(day): day for day in days if day not in audience.values}
        policies = {cache_key: _policy(key) for cache_key, key in keys.items()}
        refused = self._refused(account, keys, policies, audience)
        wanted = {cache_key: policy for cache_key, policy in policies.items() if cache_key not in refused}
        if wanted:
            fetch = partial(self._fetch, account, keys)
            found = self._cache.get_or_fetch_many(account.id, wanted, fetch, provider="instagram")
            # In the order of the request: the calls may have ended in any other one.
            for cache_key in wanted:
                audience.add(keys[cache_key], found[cache_key])
        order: list[Key] = [*tables, *days]
        audience.values = {key: audience.values[key] for key in order}
        if audience.failures and not audience.entries:
            raise next((each for each in audience.failures if not isinstance(each, TRANSIENT)), audience.failures[0])
        return audience

    def _read_history(self, account: Account, days: Sequence[date], audience: AudienceReading) -> None:
        """Add the days that are kept for good."""
        for (_, _, window), value in self._kept.final(account, [_value_key(day) for day in days]).items():
            audience.values[window.first] = from_history_value(value)
            audience.entries.append(CacheEntry({}, value.read_at, FOR_EVER))

    def _refused(
        self,
        account: Account,
        keys: Mapping[CacheKey, Key],
        policies: Mapping[CacheKey, FreshnessPolicy],
        audience: AudienceReading,
    ) -> Collection[CacheKey]:
        """Add what Instagram has lately refused, or what was known before it did; return those keys."""
        asked = {cache_key: _refusal_key(key) for cache_key, key in keys.items()}
        refusals = self._cache.peek(account.id, dict.fromkeys(asked.values(), REFUSED_METRIC)) if asked else {}
        refused = {cache_key: refusals[each] for cache_key, each in asked.items() if each in refusals}
        known = self._cache.known(account.id, {cache_key: policies[cache_key] for cache_key in refused})
        for cache_key, refusal in refused.items():
            audience.entries.append(refusal)  # The reply expires with it.
            if cache_key in known and is_known(known[cache_key].value):
                audience.add(keys[cache_key], known[cache_key])
            else:
                audience.values[keys[cache_key]] = _refusal(str(refusal.value["message"]))
        return refused

    def _fetch(
        self,
        account: Account,
        keys: Mapping[CacheKey, Key],
        cache_keys: Collection[CacheKey],
        _cached: Mapping[CacheKey, CacheEntry],
        keep: Keep,
    ) -> Mapping[CacheKey, FetchResult]:
        """Make the calls side by side; each answer is kept as it comes."""
        wanted = {keys[cache_key]: cache_key for cache_key in cache_keys}
        fetched_at = self._clock.timestamp()

        def keep_values(_index: int, outcomes: Outcomes) -> None:
            answered = {key: each for key, each in outcomes.items() if _is_answer(each) and key in wanted}
            keep({wanted[key]: as_json(each) for key, each in answered.items()})
            self._keep_in_history(account, answered, fetched_at)

        groups = groups_of(list(wanted))
        gathered = self._executor.gather(
            [self._calls.of(account, group) for group in groups], fatal=concerns_all, on_result=keep_values
        )
        outcomes: dict[Key, MetricValue | ProviderError] = {}
        for group, result in zip(groups, gathered, strict=True):
            outcomes |= dict.fromkeys(group, result) if isinstance(result, ProviderError) else result
        outcomes |= self._unanswered(account, outcomes)
        unknown = {
            key: each for key, each in outcomes.items() if isinstance(each, MetricValue) and each.buckets is None
        }
        self._note_refusals(account, unknown)
        self._keep_in_history(account, unknown, fetched_at)
        return {
            wanted[key]: each if isinstance(each, ProviderError) else as_json(each)
            for key, each in outcomes.items()
            if key in wanted
        }

    def _unanswered(self, account: Account, outcomes: Outcomes) -> Outcomes:
        """Return what refusals come to: values that are refused or, where everything is refused, the failure of all."""
        refusals = {key: each for key, each in outcomes.items() if isinstance(each, ProviderError) and is_refusal(each)}
        if refusals and not any(_is_answer(each) for each in outcomes.values()):
            failure = self._check.failure_of_all(account, next(iter(refusals.values())))
            if failure is not None:
                return dict.fromkeys([key for key in outcomes if outcomes[key] is LATE or key in refusals], failure)
        return {key: _refusal(error.words or "") for key, error in refusals.items()}

    def _keep_in_history(self, account: Account, values: Mapping[Key, MetricValue], fetched_at: float) -> None:
        days = {_value_key(key): value for key, value in values.items() if isinstance(key, date)}
        self._kept.keep(account, days, fetched_at)
        present: dict[Kind, MetricValue] = {
            (key.metric, (key.breakdown,)): value
            for key, value in values.items()
            if isinstance(key, DemographicKey) and key.timeframe == KEPT_TIMEFRAME
        }
        self._kept.keep_present(account, present, fetched_at)

    def _note_refusals(self, account: Account, values: Mapping[Key, MetricValue]) -> None:
        noted = {
            _refusal_key(key): ({"message": each.message or ""}, REFUSED_METRIC)
            for key, each in values.items()
            if each.reason == "refused"
        }
        self._cache.put(account.id, dict[CacheKey, tuple[Json, FreshnessPolicy]](noted))


def _value_key(day: date) -> ValueKey:
    return ONLINE_FOLLOWERS, HOUR_OF_DAY, Window(day, day)


def _policy(key: Key) -> FreshnessPolicy:
    return policy_of(ONLINE_FOLLOWERS, Window(key, key)) if isinstance(key, date) else DEMOGRAPHICS_POLICY


def _refusal_key(key: Key) -> CacheKey:
    if isinstance(key, date):
        return refusal_key(ONLINE_FOLLOWERS, HOUR_OF_DAY)
    return refusal_key(key.metric, (key.breakdown,))


def _refusal(words: str) -> MetricValue:
    return MetricValue(None, "refused", message=words or None)


def _is_answer(outcome: MetricValue | ProviderError) -> TypeGuard[MetricValue]:
    """Return whether Instagram answered a call, and it is not only assumed what it would say."""
    return isinstance(outcome, MetricValue) and outcome is not LATE
