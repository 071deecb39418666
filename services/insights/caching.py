"""Metric values in the cache and in the history: under which key, in which form, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.answers import Origin
from services.cache.failure_text import deserialize, serialize
from services.cache.policies import (
    FINISHED_DAY_TTL,
    FOR_EVER,
    HOUR,
    METRIC_VALUE_SWR,
    REFUSED_VALUE_TTL,
    TODAY_TTL,
    UNKNOWN_VALUE_TTL,
    Json,
)
from services.cache.values import read_once
from services.clients.graph.models import Number, as_number
from services.errors import ProviderError
from services.insights.catalogue import METRICS
from services.insights.request import ValueKey
from services.insights.values import Bucket, MetricValue, merge_values
from services.store.cache_entries import CacheKey
from services.store.history import HistoryKey, HistoryValue
from services.windows import Window


@dataclass(frozen=True)
class MetricValuePolicy:
    """How long the value of a window is fresh: without expiry, if it was fetched when it could not change any more."""

    until: int  # the last second of the window, in Unix seconds
    provisional: float  # seconds after it for which the provider may still change it

    def expires_at(self, value: Json, fetched_at: float) -> float | None:
        """Return when a value expires."""
        found = from_json(value)  # Raises for a damaged row, which must not serve as a value.
        if found.reason == "refused":
            return fetched_at + REFUSED_VALUE_TTL
        if self.is_final(fetched_at):
            return FOR_EVER if _has_number(found) else fetched_at + UNKNOWN_VALUE_TTL
        return fetched_at + (TODAY_TTL if fetched_at <= self.until else FINISHED_DAY_TTL)

    def stale_while_revalidate(self, value: Json) -> float:
        """Return for how long an expired value serves at once; an unknown one does not serve at all."""
        return METRIC_VALUE_SWR if is_known(value) else 0.0

    def merge(self, known: Json, new: Json) -> Json:
        """Return the new value, with the known total and the known buckets where the new ones are unknown."""
        return as_json(merge_values(from_json(known), from_json(new)))

    def is_final(self, fetched_at: float) -> bool:
        """Return whether a value fetched at a moment (Unix seconds) can change no more."""
        return fetched_at >= self.until + self.provisional


def policy_of(metric: str, window: Window) -> MetricValuePolicy:
    """Return the freshness policy of one metric over one window."""
    return MetricValuePolicy(window.until, METRICS[metric].provisional_hours * HOUR)


def cache_key_of(metric: str, breakdown: Sequence[str], window: Window) -> CacheKey:
    """Return the cache key of a value: all metrics of a window and a breakdown are fetched in one single flight."""
    return CacheKey(f"insights/{window.first}/{window.last}/{'+'.join(breakdown)}", metric)


def refusal_key(metric: str, breakdown: Sequence[str]) -> CacheKey:
    """Return the cache key of the fact that Instagram refuses a metric by a breakdown."""
    return CacheKey("refused", f"{metric}/{'+'.join(breakdown)}")


def fault_key(metric: str, breakdown: Sequence[str]) -> CacheKey:
    """Return the cache key of the fact that Instagram has a fault with a metric by a breakdown."""
    return CacheKey("refused", f"fault/{metric}/{'+'.join(breakdown)}")


def fault_as_json(failure: ProviderError, windows: Sequence[Window] | None) -> Json:
    """Return a fault as JSON: over some windows or, with None, over all."""
    spans = None if windows is None else [[str(window.first), str(window.last)] for window in windows]
    return {"failure": serialize(failure), "windows": spans}


def fault_of(value: Json, window: Window) -> ProviderError | None:
    """Return the failure of what `fault_as_json` wrote, if it is about this window."""
    spans = value.get("windows")
    is_about = not isinstance(spans, list) or [str(window.first), str(window.last)] in spans
    return deserialize(str(value["failure"])) if is_about else None


CHECK_KEY = CacheKey("refused", "check")
EVERYTHING_KEY = CacheKey("refused", "everything")


def history_key(metric: str, breakdown: Sequence[str], window: Window) -> HistoryKey:
    """Return the key of a value in the history."""
    return HistoryKey(metric, tuple(breakdown), window.first.isoformat(), window.last.isoformat())


def as_json(metric_value: MetricValue) -> Json:
    """Return a value as JSON."""
    value: dict[str, object] = {"value": metric_value.value}
    if metric_value.reason is not None:
        value["reason"] = metric_value.reason
    if metric_value.message is not None:
        value["message"] = metric_value.message
    if metric_value.is_shifted:
        value["is_shifted"] = True
    if metric_value.buckets is not None:
        value["buckets"] = [[list(names), count] for names, count in metric_value.buckets.items()]
    return value


def from_json(value: Json) -> MetricValue:
    """Read what `as_json` wrote; raise `ValueError`, `TypeError` or `KeyError` for anything else."""
    return read_once(value, _read)


def _read(value: Any) -> MetricValue:
    if value["value"] is not None and as_number(value["value"]) is None:
        raise ValueError("not a number")
    rows = value.get("buckets")
    buckets: dict[Bucket, Number | None] | None = None
    if rows is not None:
        buckets = {tuple(names): count for names, count in rows}
    is_shifted = value.get("is_shifted") is True
    return MetricValue(value["value"], value.get("reason"), buckets, value.get("message"), is_shifted=is_shifted)


def as_history_value(metric_value: MetricValue, key: ValueKey, read_at: float, origin: Origin) -> HistoryValue | None:
    """Return what the history keeps of a value read at a moment (Unix seconds), or None where it keeps nothing.

    Of a finished day it keeps everything, of several days only what is known and final.
    """
    metric, _, window = key
    is_final = _has_number(metric_value) and policy_of(metric, window).is_final(read_at)
    # The history has no place for a doubt about the day.
    if metric_value.is_shifted or read_at <= window.until or not (is_final or len(window) == 1):
        return None
    reason = metric_value.reason if metric_value.value is None else None
    return HistoryValue(
        metric_value.value, metric_value.buckets, read_at, reason, is_final, origin.source, origin.api_version
    )


def from_history_value(stored: HistoryValue) -> MetricValue:
    """Return a value of the history as a metric value."""
    return MetricValue(stored.value, None if stored.value is not None else "no_total", stored.buckets)


def is_known(value: Json) -> bool:
    """Return whether a value as JSON has a number at all."""
    return _has_number(from_json(value))


def _has_number(metric_value: MetricValue) -> bool:
    return metric_value.value is not None or metric_value.buckets is not None
