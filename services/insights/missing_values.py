"""Fetches the account insights that neither history nor cache has; keeps them, and notes what Instagram refuses."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from functools import partial

from services.cache.cache import Cache
from services.cache.entries import CacheEntry
from services.cache.fetch_request import FetchResult, Keep
from services.cache.policies import (
    EVERYTHING_REFUSED,
    FAULTY_METRIC,
    REFUSAL_CHECK,
    REFUSED_METRIC,
    FreshnessPolicy,
    Json,
)
from services.clients.graph.client import GraphClient
from services.clients.graph.models import Account
from services.clock import Clock
from services.days import EndTime, pacific_day
from services.errors import ProviderError
from services.executors import Executor
from services.insights.caching import CHECK_KEY, EVERYTHING_KEY, as_json, fault_as_json, fault_key, refusal_key
from services.insights.fetcher import BatchFetcher
from services.insights.kept_values import KeptValues
from services.insights.refusal_check import last_check
from services.insights.request import ValueKey, requests_of_days, requests_of_totals
from services.insights.values import MetricValue
from services.store.cache_entries import CacheKey

# Meta promises insights for so many days. A refusal for older days may be about the days, not about the metric.
REFUSALS_COUNT_FOR = timedelta(days=90)


class MissingValues:
    """Fetches values for the cache, which calls `fetch` for the keys of which it has no fresh one."""

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

    def fetch(
        self,
        account: Account,
        rest: Mapping[CacheKey, ValueKey],
        in_series: Collection[ValueKey],
        cache_keys: Collection[CacheKey],
        _cached: Mapping[CacheKey, CacheEntry],
        keep: Keep,
    ) -> Mapping[CacheKey, FetchResult]:
        """Return a value or a failure for each cache key, which stands for a key of `rest`.

        Each answer is kept as it comes, in the cache and in the history.
        """
        keys = {rest[cache_key]: cache_key for cache_key in cache_keys}
        fetched_at = self._clock.timestamp()
        history = self._cache.part_writer(partial(self._kept.keep, account, read_at=fetched_at))

        def keep_values(values: Mapping[ValueKey, MetricValue]) -> None:
            wanted = {key: value for key, value in values.items() if key in keys}
            keep({keys[key]: as_json(value) for key, value in wanted.items()})
            history.add(wanted)

        batch = BatchFetcher(
            self._graph,
            self._executor,
            account,
            end_time=self._end_time,
            keep=keep_values,
            last_check=partial(last_check, self._cache, account),
            is_doubtful=self._was_refused_everything(account),
        )
        try:
            values = batch.fetch(
                [
                    *requests_of_days([key for key in keys if key in in_series]),
                    *requests_of_totals(list(keys), in_series),
                ]
            )
        finally:
            self._note(account, batch)
            written, answered = history.finish(), ((key, batch.values.get(key)) for key in keys)
            left = {key: each for key, each in answered if isinstance(each, MetricValue) and each != written.get(key)}
            self._kept.keep(account, left, fetched_at)
        outcomes = ((cache_key, values[key]) for key, cache_key in keys.items())
        return {cache_key: each if isinstance(each, ProviderError) else as_json(each) for cache_key, each in outcomes}

    def _was_refused_everything(self, account: Account) -> bool:
        found = self._cache.peek(account.id, {EVERYTHING_KEY: EVERYTHING_REFUSED}).get(EVERYTHING_KEY)
        return found is not None and bool(found.value["refused"])

    def _note(self, account: Account, batch: BatchFetcher) -> None:
        """Remember what Instagram refuses or has a fault with, so that the next requests go without it."""
        first = pacific_day(self._clock.now()) - REFUSALS_COUNT_FOR
        noted: dict[CacheKey, tuple[Json, FreshnessPolicy]] = {
            refusal_key(each.metric, each.request.breakdown): ({"message": each.words}, REFUSED_METRIC)
            for each in batch.refused_metrics
            if each.request.window.last >= first
        }
        for fault in batch.faulty_metrics:
            of_same = [each.window for each in batch.faulty_metrics if each[:2] == fault[:2]]
            windows = [window for window in of_same if window is not None]
            is_everywhere = len(windows) < len(of_same)
            value = fault_as_json(fault.failure, None if is_everywhere else windows)
            noted[fault_key(fault.metric, fault.breakdown)] = (value, FAULTY_METRIC)
        if batch.checked is not None:
            noted[CHECK_KEY] = ({"answered": batch.checked}, REFUSAL_CHECK)
        if batch.is_all_refused is not None:
            noted[EVERYTHING_KEY] = ({"refused": batch.is_all_refused}, EVERYTHING_REFUSED)
        if noted:
            self._cache.put(account.id, noted)
