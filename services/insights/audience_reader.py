"""Reads the audience of an account: from the history, from the cache, and from Instagram where neither has it.

One call for each breakdown (both metrics together) and one for all days of followers online. What Instagram refuses is
taken apart, so that a failure is that of its own metric. Where it refuses all that was asked for, another metric shows
whether it refuses the metrics or the account's requests as a whole (`services.insights.refusal_check`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from itertools import groupby
from typing import TypeGuard

from services.cache.cache import Cache
from services.cache.entries import CacheEntry
from services.cache.fetch_request import FetchResult, Keep
from services.cache.policies import FOR_EVER, REFUSED_METRIC, FreshnessPolicy, Json
from services.clients.graph.client import GraphClient
from services.clients.graph.models import Account
from services.clock import Clock
from services.days import ONE_DAY, EndTime, Window, pacific_day
from services.errors import ProviderError, ProviderRefusedError, RetryStrategy
from services.executors import Executor
from services.insights.audience import (
    DEMOGRAPHICS_POLICY,
    HOUR_OF_DAY,
    KEPT_TIMEFRAME,
    ONLINE_FOLLOWERS,
    DemographicKey,
    day_key,
    read_demographics,
    read_hours,
    spans,
)
from services.insights.caching import (
    as_json,
    from_history_value,
    from_json,
    is_known,
    policy_of,
    refusal_key,
)
from services.insights.fetcher import SPLIT_FOR, TRANSIENT, concerns_all
from services.insights.kept_values import KeptValues
from services.insights.refusal_check import RefusalCheck
from services.insights.request import ValueKey
from services.insights.values import MetricValue
from services.store.cache_entries import CacheKey
from services.store.history import Kind

NOT_REPORTED_YET = timedelta(days=2)  # Instagram may refuse followers online of the last two days, or send nothing.

Key = DemographicKey | date
Outcomes = Mapping[Key, MetricValue | ProviderError]


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
        self._graph = graph
        self._executor = executor
        self._cache = cache
        self._kept = kept
        self._end_time = end_time
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
            for cache_key, each in found.items():
                audience.add(keys[cache_key], each)
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

        groups = _groups(list(wanted))
        gathered = self._executor.gather(
            [self._call(account, group) for group in groups], fatal=concerns_all, on_result=keep_values
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

    def _call(self, account: Account, group: Sequence[Key]) -> Callable[[], Outcomes]:
        tables = [key for key in group if isinstance(key, DemographicKey)]
        if tables:
            return partial(self._tables, account, tables)
        return partial(self._days, account, spans([key for key in group if isinstance(key, date)]))

    def _tables(self, account: Account, tables: Sequence[DemographicKey]) -> Outcomes:
        """Ask for the metrics of one breakdown, and for each alone where they are refused together."""
        _, breakdown, timeframe = tables[0]
        names = [table.metric for table in tables]
        try:
            answer = self._graph.audience_insights(
                account, names, breakdown=breakdown, timeframe=timeframe, in_parts=len(names) > 1
            )
        except ProviderError as error:
            if error.retry_strategy in SPLIT_FOR and len(tables) > 1:
                return {key: each for table in tables for key, each in self._tables(account, [table]).items()}
            return dict.fromkeys(tables, _outcome(error))
        return {table: read_demographics(answer.get(table.metric), breakdown, timeframe) for table in tables}

    def _days(self, account: Account, window: Window) -> Outcomes:
        """Ask for some days of followers online; where they are refused, without those that come last."""
        try:
            answer = self._graph.audience_insights(
                account, [ONLINE_FOLLOWERS], since=window.since, until=self._end_time.of(window.last)
            )
        except ProviderError as error:
            reported = pacific_day(self._clock.now()) - NOT_REPORTED_YET - ONE_DAY
            # The range ends at the midnight that ends its last day, which may count as a part of the next day.
            if not _is_refusal(_outcome(error)) or window.last < reported:
                return dict.fromkeys(window, _outcome(error))
            last = min(reported, window.last - ONE_DAY)
            # A refusal of days that are not reported yet says nothing of the metric.
            others = self._days(account, Window(window.first, last)) if window.first <= last else {}
            return {**others, **{day: _LATE for day in window if day > last}}
        hours = read_hours(answer.get(ONLINE_FOLLOWERS), window, self._end_time)
        return dict[Key, MetricValue | ProviderError](hours.items())

    def _unanswered(self, account: Account, outcomes: Outcomes) -> Outcomes:
        """Return what refusals come to: values that are refused or, where everything is refused, the failure of all."""
        refusals = {
            key: each for key, each in outcomes.items() if isinstance(each, ProviderError) and _is_refusal(each)
        }
        if refusals and not any(_is_answer(each) for each in outcomes.values()):
            failure = self._check.failure_of_all(account, next(iter(refusals.values())))
            if failure is not None:
                return dict.fromkeys([key for key in outcomes if outcomes[key] is _LATE or key in refusals], failure)
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


_LATE = MetricValue(None, "not_answered")


def _groups(keys: Sequence[Key]) -> list[list[Key]]:
    """Put together what one call answers: the metrics of a breakdown, or all days that fit."""

    def group_of(key: DemographicKey) -> tuple[str, str]:
        return key.breakdown, key.timeframe

    tables = [key for key in keys if isinstance(key, DemographicKey)]
    days = [key for key in keys if isinstance(key, date)]
    groups: list[list[Key]] = [list(group) for _, group in groupby(sorted(tables, key=group_of), group_of)]
    for piece in spans(days).pieces() if days else ():
        groups.append([day for day in days if piece.first <= day <= piece.last])
    return [group for group in groups if group]


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


def _outcome(error: ProviderError) -> ProviderError:
    """Return the failure of one call; one that concerns all calls is raised."""
    if concerns_all(error):
        raise error
    return error


def _is_answer(outcome: MetricValue | ProviderError) -> TypeGuard[MetricValue]:
    """Return whether Instagram answered a call, and it is not only assumed what it would say."""
    return isinstance(outcome, MetricValue) and outcome is not _LATE


def _is_refusal(error: ProviderError) -> bool:
    """Return whether a failure says that Instagram refuses the metrics of its call."""
    return isinstance(error, ProviderRefusedError) and error.retry_strategy is RetryStrategy.SPLIT
