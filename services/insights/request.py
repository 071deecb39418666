"""What is requested of account insights: callers' metrics, resolved to current ones and put into requests."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby

from services.insights.catalogue import METRICS, Metric, Shape
from services.insights.values import MetricValue, add_up
from services.windows import Window

Breakdown = tuple[str, ...]
ValueKey = tuple[str, Breakdown, Window]


@dataclass(frozen=True)
class InsightsRequest:
    """Metrics that share a window and a breakdown: one total each or, as `series` of one, a value for each day."""

    metrics: tuple[str, ...]
    window: Window
    breakdown: Breakdown = ()
    series: bool = False

    def pieces(self) -> list[InsightsRequest]:
        """Cut the window so that each piece fits one call."""
        return [replace(self, window=piece) for piece in self.window.pieces()]

    def only(self, *metrics: str) -> InsightsRequest:
        """Return the same request for some of its metrics."""
        return replace(self, metrics=metrics)

    def windows(self) -> list[Window]:
        """Return the windows that have a value of their own: each day of a series, else the whole window."""
        return [Window(day, day) for day in self.window] if self.series else [self.window]

    def value_keys(self) -> list[ValueKey]:
        """Return the key of each value that the request is for."""
        return [(metric, self.breakdown, window) for window in self.windows() for metric in self.metrics]


@dataclass(frozen=True)
class ResolvedMetric:
    """A metric as a caller requested it, and the metric that is requested from the provider for it.

    `reason` is set where nothing is requested from the provider, `buckets_reason` where only the buckets are not.
    """

    metric: Metric
    source: Metric
    breakdown: Breakdown
    bucket: str | None = None
    reason: str | None = None
    buckets_reason: str | None = None


@lru_cache(maxsize=2_048)
def resolve(name: str, breakdown: Breakdown, login: str) -> ResolvedMetric:
    """Return what is requested for a metric of the catalogue: itself, or its successor."""
    metric = METRICS[name]
    successor = metric.successor
    if successor is not None and successor.breakdown is not None:
        source = METRICS[successor.metric]
        no_buckets = "breakdown_not_supported" if breakdown else None
        return ResolvedMetric(metric, source, (successor.breakdown,), successor.bucket, buckets_reason=no_buckets)
    source = METRICS[successor.metric] if successor else metric
    reason = None
    if source.shape is Shape.LIFETIME:
        reason = "not_by_day"
    elif login not in source.logins:
        reason = "not_by_login"
    elif not set(breakdown) <= set(source.breakdowns) or (len(breakdown) > 1 and not source.combined):
        return ResolvedMetric(metric, source, (), buckets_reason="breakdown_not_supported")
    return ResolvedMetric(metric, source, breakdown, reason=reason)


def requests_of(wanted: Sequence[ResolvedMetric], windows: Sequence[Window]) -> list[InsightsRequest]:
    """Put metrics that can share a call into one request: all plain ones of a window, all of one breakdown."""
    if not windows:
        return []
    groups: dict[Breakdown, dict[str, None]] = {}
    daily: dict[str, None] = {}
    for want in wanted:
        if want.reason is not None:
            continue
        if want.source.shape is Shape.DAILY:
            daily[want.source.name] = None
        else:
            groups.setdefault(want.breakdown, {})[want.source.name] = None
    days = all(len(window) == 1 for window in windows)
    if days and len(windows) > 1 and list(groups.get((), ())) == ["reach"]:
        # Reach alone comes as a series: one call for up to 30 days instead of one for each day.
        daily |= groups.pop(())
    whole = Window(windows[0].first, windows[-1].last)
    series = [InsightsRequest((name,), whole, series=True) for name in daily]
    return series + [InsightsRequest(tuple(names), window, key) for key, names in groups.items() for window in windows]


def value_of(want: ResolvedMetric, window: Window, metric_values: Mapping[ValueKey, MetricValue]) -> MetricValue:
    """Return the number of a window: as it came, added up from its days, or one bucket of it."""
    if want.reason is not None:
        return MetricValue(None, want.reason)
    name = want.source.name
    metric_value = metric_values.get((name, want.breakdown, window))
    if metric_value is None:
        metric_value = add_up([metric_values[name, (), Window(day, day)] for day in window])
    if want.bucket is not None:
        metric_value = metric_value.bucket(want.bucket)
    is_without = bool(want.breakdown) and metric_value.buckets is None and want.bucket is None
    reason = want.buckets_reason or metric_value.buckets_reason or ("bucket_unknown" if is_without else None)
    shown = reason if metric_value.value is not None else None
    return metric_value if metric_value.buckets_reason == shown else replace(metric_value, buckets_reason=shown)


def requests_of_totals(keys: Sequence[ValueKey], in_series: Collection[ValueKey]) -> list[InsightsRequest]:
    """Put all metrics of a window and a breakdown into one request."""
    calls: dict[tuple[Window, Breakdown], dict[str, None]] = {}
    for metric, breakdown, window in keys:
        if (metric, breakdown, window) not in in_series:
            calls.setdefault((window, breakdown), {})[metric] = None
    return [InsightsRequest(tuple(metrics), window, breakdown) for (window, breakdown), metrics in calls.items()]


def requests_of_days(keys: Sequence[ValueKey]) -> list[InsightsRequest]:
    """Put the days of each metric into as few requests as Instagram's limits allow; days between come along."""
    calls = []
    for metric, of_metric in groupby(sorted(keys, key=lambda key: (key[0], key[2])), key=lambda key: key[0]):
        days = [window.first for _, _, window in of_metric]
        calls += InsightsRequest((metric,), Window(min(days), max(days)), series=True).pieces()
    return calls
