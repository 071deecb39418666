"""Account insights as values: from the history, from the cache, and from Instagram only where neither has them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Self

from services.cache.cache import Cache
from services.cache.entries import CacheEntry
from services.cache.policies import (
    FAULTY_METRIC,
    FOR_EVER,
    REFUSED_METRIC,
    FreshnessPolicy,
)
from services.clients.graph.models import Account
from services.clock import Clock
from services.days import pacific_day
from services.errors import TRANSIENT, ProviderError, ProviderRefusedError, RetryStrategy
from services.insights.caching import (
    cache_key_of,
    fault_key,
    fault_of,
    from_history_value,
    from_json,
    is_known,
    policy_of,
    refusal_key,
)
from services.insights.catalogue import METRICS, first_retained
from services.insights.kept_values import KeptValues
from services.insights.missing_values import MissingValues
from services.insights.request import Breakdown, InsightsRequest, ValueKey, requests_of_totals
from services.insights.values import MetricValue, add_up
from services.store.cache_entries import CacheKey

# The strategies of code 1, which may be about the breakdown.
FAULTS = frozenset({RetryStrategy.SHRINK, RetryStrategy.ONCE_MORE})

BEYOND_RETENTION = MetricValue(None, "beyond_retention")
WINDOW_TOO_LONG = MetricValue(None, "window_too_long")


@dataclass(frozen=True)
class Insights:
    """A value for each requested key, the cache entries they were made of, and whether something is missing.

    `failures` has the failure behind each value that could not be fetched, `sources` the entry behind each that is made
    of one alone, `refusals` the remembered refusal of each that Instagram refuses. `parts` are all the entries behind a
    value, of those whose entries are known and fresh (`services.insights.sums_of_kept_days`).
    """

    metric_values: Mapping[ValueKey, MetricValue]
    entries: Sequence[CacheEntry]
    gaps: bool
    failures: Mapping[ValueKey, ProviderError] = field(default_factory=dict)
    sources: Mapping[ValueKey, CacheEntry] = field(default_factory=dict)
    refusals: Mapping[ValueKey, CacheEntry] = field(default_factory=dict)
    parts: Mapping[ValueKey, Sequence[CacheEntry]] = field(default_factory=dict)

    @classmethod
    def unknown(cls, requests: Iterable[InsightsRequest], error: ProviderError) -> Self:
        """Return what is known of requests that failed: the reason."""
        return cls(dict.fromkeys(_keys(requests), MetricValue.failed(error)), [], gaps=True)


@dataclass
class _Findings:
    """What one `read` knows so far."""

    metric_values: dict[ValueKey, MetricValue] = field(default_factory=dict)
    entries: list[CacheEntry] = field(default_factory=list)
    failures: dict[ValueKey, ProviderError] = field(default_factory=dict)
    sources: dict[ValueKey, CacheEntry] = field(default_factory=dict)
    refusals: dict[ValueKey, CacheEntry] = field(default_factory=dict)  # remembered; the answer expires with them

    def missing(self, requests: Iterable[InsightsRequest]) -> list[ValueKey]:
        """Return the keys of requests for which there is no value yet."""
        return [key for key in _keys(requests) if key not in self.metric_values]

    def is_unknown(self, key: ValueKey) -> bool:
        """Return whether neither the total nor any bucket of a value is known."""
        value = self.metric_values[key]
        return value.value is None and value.buckets is None

    def may_have_total(self, key: ValueKey) -> bool:
        """Return whether a value may be unknown only because of its breakdown."""
        failure = self.failures.get(key)
        if failure is None:
            return self.metric_values[key].reason in {"refused", "beyond_retention"}
        return isinstance(failure, ProviderRefusedError) or failure.retry_strategy in FAULTS

    def add(self, key: ValueKey, found: CacheEntry | ProviderError) -> None:
        """Add what the cache returned for a key."""
        if isinstance(found, ProviderError):
            self.failures[key] = found
            self.metric_values[key] = MetricValue.failed(found)
        else:
            self.entries.append(found)
            self.sources[key] = found
            self.metric_values[key] = from_json(found.value)


class InsightsReader:
    """Reads the values that services request."""

    def __init__(self, missing: MissingValues, *, cache: Cache, kept: KeptValues, clock: Clock) -> None:
        self._missing = missing
        self._cache = cache
        self._kept = kept
        self._clock = clock

    def read(
        self,
        account: Account,
        requests: Sequence[InsightsRequest],
        *,
        only_gaps: bool = False,
        totals_of: Collection[tuple[str, Breakdown]] = (),
    ) -> Insights:
        """Return a value for each requested metric, breakdown and window; a series gives one for each of its days.

        Windows too long for one call are cut; additive metrics are added up over the pieces, unique ones are unknown.
        What could not be fetched is a gap with the failure's code as its reason. Where nothing was found at all, the
        failure is raised; with `only_gaps` no transient failure is, for a service whose answer has other parts.
        Of the metrics and breakdowns in `totals_of` the total alone is read where Instagram does not give it by the
        breakdown.
        """
        pieces = [piece for request in requests for piece in request.pieces()]
        found = _Findings()
        # The parts of a window say nothing of a unique metric.
        useless = _unique_parts(requests)
        self._read_history(account, [key for key in _keys(pieces) if key not in useless], found)
        self._rule_out(account, requests, found)
        rest = {cache_key_of(*key): key for key in found.missing(pieces)}
        if rest:
            in_series = {key for piece in pieces if piece.series for key in piece.value_keys()}
            policies = {cache_key: policy_of(key[0], key[2]) for cache_key, key in rest.items()}
            fetch = partial(self._missing.fetch, account, rest, in_series)
            for cache_key, each in self._cache.get_or_fetch_many(
                account.id, policies, fetch, provider="instagram"
            ).items():
                found.add(rest[cache_key], each)
        for request in requests:
            _join(request, found.metric_values)
        if totals_of:
            keys = [key for key in _keys(requests) if key[1] and key[:2] in totals_of]
            self._read_totals(account, keys, found)
        if found.failures and not found.entries:
            worst = next((error for error in found.failures.values() if not isinstance(error, TRANSIENT)), None)
            if worst is not None or not only_gaps:
                raise worst or next(iter(found.failures.values()))
        entries = [*found.entries, *found.refusals.values()]
        return Insights(
            found.metric_values, entries, bool(found.failures), found.failures, found.sources, found.refusals
        )

    def _read_totals(self, account: Account, keys: Sequence[ValueKey], found: _Findings) -> None:
        """Read the totals of values that are unknown by their breakdown; their buckets stay unknown.

        Instagram is asked only where the breakdown may be at fault. Where it is not, for instance during an outage, a
        total that was read before is still known.
        """
        without: dict[ValueKey, ValueKey] = {(key[0], (), key[2]): key for key in keys if found.is_unknown(key)}
        totals = _Findings()
        if requested := [total for total, key in without.items() if found.may_have_total(key)]:
            with suppress(ProviderError):  # The reason of the breakdown stands.
                insights = self.read(account, requests_of_totals(requested, ()))
                totals.metric_values |= insights.metric_values
                found.entries += insights.entries
        self._add_known_totals(account, [total for total in without if total not in totals.metric_values], totals)
        found.entries += totals.entries
        for total, key in without.items():
            known, unknown = totals.metric_values.get(total), found.metric_values[key]
            if known is not None and known.value is not None:
                found.metric_values[key] = replace(
                    known,
                    buckets_reason=unknown.reason,
                    message=unknown.message,
                    retry_after=unknown.retry_after,
                )

    def _add_known_totals(self, account: Account, keys: Sequence[ValueKey], totals: _Findings) -> None:
        """Add what the history and the cache have of some keys; it is stale, for its breakdown was just requested."""
        self._read_history(account, keys, totals)
        for key, entry in self._known(account, [key for key in keys if key not in totals.metric_values]).items():
            totals.add(key, replace(entry, stale=True))

    def _read_history(self, account: Account, keys: Sequence[ValueKey], found: _Findings) -> None:
        """Add the final values that the history has."""
        for key, value in self._kept.final(account, keys).items():
            found.metric_values[key] = from_history_value(value)
            entry = found.sources[key] = CacheEntry({}, value.read_at, FOR_EVER)
            found.entries.append(entry)

    def _rule_out(self, account: Account, requests: Sequence[InsightsRequest], found: _Findings) -> None:
        """Add a reason for each key that is known to have no answer, so that Instagram is not asked for it."""
        pieces = [(request, piece) for request in requests for piece in request.pieces()]
        keys = found.missing(piece for _, piece in pieces)
        cut = {
            key for request, piece in pieces if not request.series and piece != request for key in piece.value_keys()
        }
        kinds, today = {(metric, breakdown) for metric, breakdown, _ in keys}, self._today()
        refused, faults = self._remembered(account, kinds)
        retained = {kind: first_retained(account.login, *kind, today=today) for kind in kinds}
        ruled_out: dict[ValueKey, MetricValue | ProviderError] = {}
        for key in keys:
            metric, breakdown, window = key
            if window.first < retained[metric, breakdown]:
                ruled_out[key] = BEYOND_RETENTION
            elif (refusal := refused.get((metric, breakdown))) is not None:
                ruled_out[key] = MetricValue(None, "refused", message=str(refusal.value["message"]))
                found.refusals[key] = refusal
            elif key in cut and METRICS[metric].unique:
                ruled_out[key] = WINDOW_TOO_LONG
            elif (fault := faults.get((metric, breakdown))) and (failure := fault_of(fault.value, window)):
                ruled_out[key] = failure
        # The parts of a window say nothing of a unique metric, not even known ones.
        known = self._known(account, [key for key in ruled_out if not (key in cut and METRICS[key[0]].unique)])
        for key, value in ruled_out.items():
            if key in known:
                found.add(key, known[key])
            elif isinstance(value, ProviderError):
                found.add(key, value)
            else:
                found.metric_values[key] = value

    def _known(self, account: Account, keys: Collection[ValueKey]) -> Mapping[ValueKey, CacheEntry]:
        """Return what is cached of values that Instagram is not asked for now; a known number never becomes unknown."""
        cached = {cache_key_of(*key): key for key in keys}
        policies: dict[CacheKey, FreshnessPolicy] = {
            cache_key: policy_of(key[0], key[2]) for cache_key, key in cached.items()
        }
        found = self._cache.known(account.id, policies) if policies else {}
        return {cached[cache_key]: entry for cache_key, entry in found.items() if is_known(entry.value)}

    def _remembered(
        self, account: Account, metrics: Collection[tuple[str, Breakdown]]
    ) -> tuple[Mapping[tuple[str, Breakdown], CacheEntry], Mapping[tuple[str, Breakdown], CacheEntry]]:
        """Return which metrics, by their breakdowns, Instagram has lately refused, and had a fault with."""
        refusals = {refusal_key(*metric): metric for metric in metrics}
        faults = {fault_key(*metric): metric for metric in metrics}
        policies = dict.fromkeys(refusals, REFUSED_METRIC) | dict.fromkeys(faults, FAULTY_METRIC)
        found = self._cache.peek(account.id, policies)
        return (
            {refusals[key]: entry for key, entry in found.items() if key in refusals},
            {faults[key]: entry for key, entry in found.items() if key in faults},
        )

    def _today(self) -> date:
        return pacific_day(self._clock.now())


def _keys(requests: Iterable[InsightsRequest]) -> list[ValueKey]:
    return [key for request in requests for key in request.value_keys()]


def _unique_parts(requests: Iterable[InsightsRequest]) -> set[ValueKey]:
    """Return the keys of unique metrics that are requested only as parts of longer windows."""
    parts, wholes = set[ValueKey](), set[ValueKey]()
    for request in requests:
        pieces = request.pieces()
        is_cut = not request.series and len(pieces) > 1
        for key in _keys(pieces):
            (parts if is_cut and METRICS[key[0]].unique else wholes).add(key)
    return parts - wholes


def _join(request: InsightsRequest, metric_values: dict[ValueKey, MetricValue]) -> None:
    """Make one value of the pieces of a window that was too long for one request; of a unique metric there is none."""
    pieces = [] if request.series else request.window.pieces()
    for metric in request.metrics if len(pieces) > 1 else ():
        key = (metric, request.breakdown, request.window)
        if key in metric_values:
            continue
        parts = [metric_values[metric, request.breakdown, piece] for piece in pieces]
        if METRICS[metric].unique:
            unknown = (part for part in parts if part.value is None and part.buckets is None)
            metric_values[key] = next(unknown, WINDOW_TOO_LONG)
        else:
            metric_values[key] = add_up(parts)
