"""What a caller's metrics come to: what is asked of Instagram for them, and which of the answers is theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.asks import Ask, Breakdown, Key
from services.catalogue import METRICS, Metric, Shape
from services.days import Window
from services.readings import Reading, add_up


@dataclass(frozen=True)
class Wanted:
    """A metric as a caller asked for it, and what is asked of the provider for it.

    `reason` is set where the provider is not asked at all.
    """

    metric: Metric
    source: Metric
    breakdown: Breakdown
    bucket: str | None = None
    reason: str | None = None


def wanted_of(metric: Metric, breakdown: Breakdown, login: str) -> Wanted:
    """Return what has to be asked for a metric: itself, or what answers in its stead."""
    successor = metric.successor
    if successor is not None and successor.breakdown is not None:
        source = METRICS[successor.metric]
        reason = "breakdown_not_supported" if breakdown else None
        return Wanted(metric, source, (successor.breakdown,), successor.bucket, reason)
    source = METRICS[successor.metric] if successor else metric
    reason = None
    if source.shape is Shape.LIFETIME:
        reason = "not_by_day"
    elif login not in source.logins:
        reason = "not_by_login"
    elif not set(breakdown) <= set(source.breakdowns) or (len(breakdown) > 1 and not source.combined):
        reason = "breakdown_not_supported"
    return Wanted(metric, source, breakdown, reason=reason)


def asks_of(wanted: Sequence[Wanted], windows: Sequence[Window]) -> list[Ask]:
    """Put everything that can share a call into one: all plain metrics of a window, all of one breakdown."""
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
        # Reach alone comes as a series: one call for up to 30 days instead of one for each.
        daily |= groups.pop(())
    whole = Window(windows[0].first, windows[-1].last)
    series = [Ask((name,), whole, series=True) for name in daily]
    return series + [Ask(tuple(names), window, key) for key, names in groups.items() for window in windows]


def reading_of(want: Wanted, window: Window, readings: Mapping[Key, Reading]) -> Reading:
    """Return the number of a window: as it came, added up from its days, or one bucket of it."""
    if want.reason is not None:
        return Reading(None, want.reason)
    name = want.source.name
    reading = readings.get((name, want.breakdown, window))
    if reading is None:
        reading = add_up([readings[name, (), Window(day, day)] for day in window])
    return reading if want.bucket is None else reading.bucket(want.bucket)
