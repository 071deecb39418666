"""Readings as they are remembered: under which key, in which form, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.catalogue import METRICS
from services.days import Window
from services.memory.rules import DAY, FOR_EVER, HOUR, Json
from services.readings import Bucket, Number, Reading, as_number
from services.store.history import Kept, Told
from services.store.memories import Slot

TODAY_FRESH_FOR = HOUR
YOUNG_FRESH_FOR = 6 * HOUR  # of a window that is over, but may still change
UNKNOWN_FRESH_FOR = DAY  # of a window that will not change, but of which nothing was told
REFUSED_FRESH_FOR = HOUR / 6


@dataclass(frozen=True)
class ReadingRule:
    """How long the reading of a window is fresh: for ever, once it was read when it could not change any more."""

    until: int  # the last second of the window, in Unix seconds
    provisional: float  # seconds after it for which the provider may still change it

    def expires_at(self, value: Json, fetched_at: float) -> float | None:
        """Return when a reading expires."""
        from_json(value)  # What is none must not be taken for one.
        if value.get("reason") == "refused":
            return fetched_at + REFUSED_FRESH_FOR
        if self.is_final(fetched_at):
            return FOR_EVER if _is_told(value) else fetched_at + UNKNOWN_FRESH_FOR
        return fetched_at + (TODAY_FRESH_FOR if fetched_at <= self.until else YOUNG_FRESH_FOR)

    def grace(self, value: Json) -> float:
        """Return for how long an expired reading serves at once; nobody is content with an old null."""
        return DAY if _is_told(value) else 0.0

    def is_final(self, fetched_at: float) -> bool:
        """Return whether what was read at a moment (Unix seconds) can change no more."""
        return fetched_at >= self.until + self.provisional


def rule_of(metric: str, window: Window) -> ReadingRule:
    """Return the rule of one metric over one window."""
    return ReadingRule(window.until, METRICS[metric].provisional_hours * HOUR)


def slot_of(metric: str, breakdown: Sequence[str], window: Window) -> Slot:
    """Return where a reading is remembered: all metrics of a window and a breakdown are fetched under one flight."""
    return Slot(f"insights/{window.first}/{window.last}/{'+'.join(breakdown)}", metric)


def told_of(metric: str, breakdown: Sequence[str], window: Window) -> Told:
    """Return where a reading is kept for ever."""
    return Told(metric, tuple(breakdown), window.first.isoformat(), window.last.isoformat())


def as_json(reading: Reading) -> Json:
    """Write a reading."""
    value: dict[str, object] = {"value": reading.value}
    if reading.reason is not None:
        value["reason"] = reading.reason
    if reading.message is not None:
        value["message"] = reading.message
    if reading.buckets is not None:
        value["buckets"] = [[list(names), count] for names, count in reading.buckets.items()]
    return value


def from_json(value: Any) -> Reading:
    """Read what `as_json` wrote; raise `ValueError`, `TypeError` or `KeyError` for anything else."""
    if value["value"] is not None and as_number(value["value"]) is None:
        raise ValueError("not a number")
    rows = value.get("buckets")
    buckets: dict[Bucket, Number | None] | None = None
    if rows is not None:
        buckets = {tuple(names): count for names, count in rows}
    return Reading(value["value"], value.get("reason"), buckets, value.get("message"))


def as_kept(value: Any, read_at: float) -> Kept | None:
    """Return what of a final reading is worth keeping for ever, or None where nothing was told."""
    if not _is_told(value):
        return None
    reading = from_json(value)
    return Kept(reading.value, reading.buckets, read_at)


def from_kept(kept: Kept) -> Reading:
    """Return what was kept as a reading."""
    return Reading(kept.value, None if kept.value is not None else "no_total", kept.buckets)


def _is_told(value: Json) -> bool:
    return value["value"] is not None or value.get("buckets") is not None
