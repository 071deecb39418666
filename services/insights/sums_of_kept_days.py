"""Windows of more than one provider call: kept final days are added up, and only the rest is requested."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import NamedTuple

from services import request_context
from services.cache.cache import Cache
from services.cache.entries import CacheEntry
from services.cache.policies import FOR_EVER, MINUTE
from services.cache.recent_reads import RecentReads
from services.clients.graph.models import Account
from services.clock import Clock
from services.days import ONE_DAY, pacific_day
from services.errors import ProviderError
from services.insights.caching import from_history_value
from services.insights.catalogue import METRICS, first_retained
from services.insights.kept_values import KeptValues
from services.insights.reader import BEYOND_RETENTION, WINDOW_TOO_LONG, Insights, InsightsReader
from services.insights.request import Breakdown, InsightsRequest, ValueKey
from services.insights.values import MetricValue, add_up
from services.store.history import HistoryValue, KeptSum
from services.windows import Window

MOST_RECENT = 4_000  # values and their entries

FinalDays = Mapping[tuple[str, Breakdown], Mapping[date, HistoryValue]]
KeptDays = Mapping[str, Mapping[date, HistoryValue]]


@dataclass(frozen=True)
class _Plan:
    """How a request is answered: by `requests`, and for the `summed` metrics by adding up kept days and runs."""

    request: InsightsRequest
    requests: Sequence[InsightsRequest]
    summed: Sequence[str] = ()
    runs: Sequence[Window] = ()
    kept: KeptDays = field(default_factory=dict)
    sums: Mapping[str, KeptSum] = field(default_factory=dict)  # of the kept days, by metric, in place of these
    beyond: bool = False  # whether days are missing that Instagram does not keep any more

    def read_at(self) -> list[float]:
        """Return when the kept days were read, or the oldest of each sum of them."""
        of_days = [kept.read_at for days in self.kept.values() for kept in days.values()]
        return of_days + [each.read_at for each in self.sums.values()]


class KnownValue(NamedTuple):
    """A value and the fresh entries that it was made of, without their own values."""

    value: MetricValue
    entries: tuple[CacheEntry, ...]


class LongWindowReader:
    """Reads values as `InsightsReader` does, with fewer calls where the days of a long window are kept."""

    def __init__(self, reader: InsightsReader, kept: KeptValues, cache: Cache, clock: Clock) -> None:
        self._reader = reader
        self._kept = kept
        self._clock = clock
        self._recent: RecentReads[ValueKey, KnownValue] = RecentReads(MINUTE, MOST_RECENT, weigh=_size)
        cache.on_change(self._recent.forget)

    def read(self, account: Account, requests: Sequence[InsightsRequest]) -> Insights:
        """Return a value for each requested metric, breakdown and window.

        Of an additive metric over several calls' days, days that are kept as final are not requested; where days are
        missing that Instagram does not keep any more, nothing is. It never takes more calls than without the history.
        Where all values were read within the last minute and are fresh, they are not put together again. A failure is
        the reason of each value.
        """
        reading = self._recent.of(account.id)
        known = None if request_context.not_before() else _known(reading, requests, now=self._clock.timestamp())
        if known is not None:
            return known
        sums = self._sums(account, requests)
        final = self._final_days(account, [request for request in requests if request not in sums])
        plans = [self._plan(account, request, final, sums.get(request, {})) for request in requests]
        needed = [each for plan in plans for each in plan.requests]
        try:
            found = self._reader.read(account, needed, only_gaps=True) if needed else Insights({}, [], gaps=False)
        except ProviderError as error:
            return Insights.unknown(requests, error)
        insights = _with_sums(plans, found)
        known_values = _known_values(plans, insights)
        self._recent.put(account.id, reading, known_values)
        return replace(insights, parts={key: each.entries for key, each in known_values.items()})

    def _plan(self, account: Account, request: InsightsRequest, final: FinalDays, sums: Mapping[str, KeptSum]) -> _Plan:
        window = request.window
        summed = _summed_metrics(request)
        if not summed:
            return _Plan(request, [request])
        pieces, kept = window.pieces(), dict[str, Mapping[date, HistoryValue]]()
        if sums:
            runs = _around(window, next(iter(sums.values())))
        else:
            days = frozenset(window)
            for metric in summed:
                of_metric = final.get((metric, request.breakdown), {})
                kept[metric] = {day: value for day, value in of_metric.items() if day in days}
            runs = _runs([day for day in window if not all(day in kept[metric] for metric in summed)])
        rest = _others(request, summed)
        first = max(
            first_retained(account.login, metric, request.breakdown, today=pacific_day(self._clock.now()))
            for metric in summed
        )
        if runs and runs[0].first < first:
            return _Plan(request, rest, summed, beyond=True)
        if sum(len(run.pieces()) for run in runs) >= len(pieces):
            return _Plan(request, [request])
        missing = [InsightsRequest(tuple(summed), run, request.breakdown) for run in runs]
        return _Plan(request, [*rest, *missing], summed, runs, kept, sums)

    def _sums(
        self, account: Account, requests: Sequence[InsightsRequest]
    ) -> Mapping[InsightsRequest, Mapping[str, KeptSum]]:
        """Return the sums of the requests of which consecutive days are kept; then no day has to be looked at."""
        plain = [request for request in requests if not request.breakdown and _summed_metrics(request)]
        if not plain:
            return {}
        metrics = {metric for request in plain for metric in _summed_metrics(request)}
        found = self._kept.sums(account, metrics, {request.window for request in plain})
        sums = {}
        for request in plain:
            of_request = {metric: found.get((metric, (), request.window)) for metric in _summed_metrics(request)}
            known = {metric: each for metric, each in of_request.items() if each is not None}
            days = {(each.first_day, each.last_day) for each in known.values()}
            if len(known) == len(of_request) and len(days) == 1:
                sums[request] = known
        return sums

    def _final_days(self, account: Account, requests: Sequence[InsightsRequest]) -> FinalDays:
        """Return the final values of the days that requests may be made of: one read of all requests by a breakdown."""
        by_breakdown: dict[Breakdown, dict[ValueKey, None]] = {}
        for request in requests:
            days = [Window(day, day) for day in request.window]
            keys = by_breakdown.setdefault(request.breakdown, {})
            keys |= {(metric, request.breakdown, day): None for metric in _summed_metrics(request) for day in days}
        found: dict[tuple[str, Breakdown], dict[date, HistoryValue]] = {}
        for keys in filter(None, by_breakdown.values()):
            for (metric, breakdown, day), value in self._kept.final(account, keys).items():
                if _can_be_added(value, by_breakdown=bool(breakdown)):
                    found.setdefault((metric, breakdown), {})[day.first] = value
        return found


def _others(request: InsightsRequest, summed: Collection[str]) -> list[InsightsRequest]:
    """Return what is requested as a whole beside the summed metrics."""
    others = [metric for metric in request.metrics if metric not in summed]
    return [request.only(*others)] if others else []


def _summed_metrics(request: InsightsRequest) -> list[str]:
    """Return the metrics of a request that may be made of kept days; one call needs no sum."""
    if request.series or len(request.window.pieces()) < 2:  # noqa: PLR2004
        return []
    return [metric for metric in request.metrics if not METRICS[metric].unique]


def _known(
    reading: Mapping[ValueKey, KnownValue], requests: Sequence[InsightsRequest], *, now: float
) -> Insights | None:
    """Return the values of some requests, or None unless all of them were read moments ago and are fresh."""
    values: dict[ValueKey, MetricValue] = {}
    parts: dict[ValueKey, Sequence[CacheEntry]] = {}
    for key in (key for request in requests for key in request.value_keys()):
        known = reading.get(key)
        if known is None or not all(now < entry.expires_at for entry in known.entries):
            return None
        values[key], parts[key] = known
    return Insights(values, [entry for part in parts.values() for entry in part], gaps=False, parts=parts)


def _known_values(plans: Sequence[_Plan], insights: Insights) -> dict[ValueKey, KnownValue]:
    """Return the values that may be used again, each with the entries that it was made of.

    A value without any is one that Instagram has no answer to, whenever it is asked.
    """
    known: dict[ValueKey, KnownValue] = {}
    for plan in plans:
        for key in plan.request.value_keys():
            metric, breakdown, window = key
            value, entries = insights.metric_values[key], _entries_of(plan, metric, window, insights)
            is_lasting = value in (BEYOND_RETENTION, WINDOW_TOO_LONG)
            if is_lasting or (entries and not any(entry is None or entry.stale for entry in entries)):
                known[metric, breakdown, window] = KnownValue(
                    value, tuple(entry.without_value() for entry in entries if entry is not None)
                )
    return known


def _entries_of(plan: _Plan, metric: str, window: Window, insights: Insights) -> list[CacheEntry | None]:
    """Return the entries that a value was made of; None stands for one that is not known."""
    breakdown, sources, refusals = plan.request.breakdown, insights.sources, insights.refusals
    key = (metric, breakdown, window)
    if (alone := sources.get(key)) is not None:
        return [alone, *([refusals[key]] if key in refusals else [])]
    entries: list[CacheEntry | None] = []
    for part in plan.runs if metric in plan.summed else [window]:
        for piece in part.pieces():
            of_piece = [each.get((metric, breakdown, piece)) for each in (sources, refusals)]
            entries += [each for each in of_piece if each is not None] or [None]
    read_at = [kept.read_at for kept in plan.kept.get(metric, {}).values()]
    read_at += [plan.sums[metric].read_at] if metric in plan.sums else []
    return [*entries, *([CacheEntry({}, min(read_at), FOR_EVER)] if read_at else [])]


def _size(known: KnownValue) -> int:
    return 1 + len(known.entries)


def _can_be_added(kept: HistoryValue, *, by_breakdown: bool) -> bool:
    """Return whether a value has all that is requested; one with unknown buckets is requested with its neighbours."""
    if not by_breakdown:
        return kept.value is not None
    return kept.buckets is not None and None not in kept.buckets.values()


def _runs(days: Sequence[date]) -> list[Window]:
    """Return some days, in order, as windows of consecutive ones."""
    runs: list[Window] = []
    for day in days:
        if runs and runs[-1].last + ONE_DAY == day:
            runs[-1] = Window(runs[-1].first, day)
        else:
            runs.append(Window(day, day))
    return runs


def _around(window: Window, kept: KeptSum) -> list[Window]:
    """Return the days of a window before and after those of a sum."""
    first, last = date.fromisoformat(kept.first_day), date.fromisoformat(kept.last_day)
    around = (Window(window.first, first - ONE_DAY), Window(last + ONE_DAY, window.last))
    return [each for each in around if each.first <= each.last]


def _with_sums(plans: Sequence[_Plan], found: Insights) -> Insights:
    """Return what was read and what is added up; kept days count as read when the oldest of them was."""
    values = dict(found.metric_values)
    entries = list(found.entries)
    for plan in plans:
        values |= _summed(plan, values)
        read_at = plan.read_at()
        entries += [CacheEntry({}, min(read_at), FOR_EVER)] if read_at else []
    return Insights(values, entries, found.gaps, sources=found.sources, refusals=found.refusals)


def _summed(plan: _Plan, values: Mapping[ValueKey, MetricValue]) -> dict[ValueKey, MetricValue]:
    """Return the value of each summed metric over the whole window."""
    window, breakdown = plan.request.window, plan.request.breakdown
    if plan.beyond:
        return {(metric, breakdown, window): BEYOND_RETENTION for metric in plan.summed}
    in_runs = {day for run in plan.runs for day in run}
    sums = {}
    for metric in plan.summed:
        parts = [(run.first, values[metric, breakdown, run]) for run in plan.runs]
        kept = plan.kept.get(metric, {})
        parts += [(day, from_history_value(each)) for day, each in kept.items() if day not in in_runs]
        if (known := plan.sums.get(metric)) is not None:
            parts.append((date.fromisoformat(known.first_day), MetricValue(known.value)))
        sums[metric, breakdown, window] = add_up([value for _, value in sorted(parts, key=lambda part: part[0])])
    return sums
