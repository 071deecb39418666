"""The ages at which the numbers of a post are read, so that posts can be compared at the same age."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

HOUR = 3600.0  # seconds

TOLERANCES: Mapping[int, float] = {1: 0.25, 6: 1, 24: 2, 72: 6, 168: 12, 672: 24}
"""The fixed ages, and by how much later a reading is still one at that age; both in hours. None is earlier."""

FIXED_AGES = tuple(TOLERANCES)
FIRST_LOOK_DAYS = 90  # age up to which the first look at an account reads its posts once
PUNCTUAL = (1, 6)  # Their tolerance is no longer than the time between two looks, so each has a look of its own.

# Between the fixed ages one reading is kept for each step, so that often repeated requests keep few rows: until an age,
# a step, both in minutes. Every fixed age begins a step.
STEPS = ((360, 60), (4_320, 360), (20_160, 1_440), (80_640, 10_080))
LAST_STEP = 40_320


class AgeSlot(NamedTuple):
    """The age from which on a reading is the first (minutes), and the fixed age that it belongs to (hours)."""

    minutes: int
    age_label: int | None


def slot_of(age: float) -> AgeSlot:
    """Return the slot of a reading at an age in seconds."""
    minutes = max(0, int(age // 60))
    for label, tolerance in TOLERANCES.items():
        if label * HOUR <= age <= (label + tolerance) * HOUR:
            return AgeSlot(label * 60, label)
    step = next((step for until, step in STEPS if minutes < until), LAST_STEP)
    slot = minutes // step * step
    if slot // 60 in TOLERANCES and slot % 60 == 0:
        slot += int(TOLERANCES[slot // 60] * 60) + 1
    return AgeSlot(slot, None)


def due_since(posted_at: float, read_at: float | None, *, now: float) -> float | None:
    """Return since when a post is to be read: since its last fixed age, unless it was read after that.

    `read_at` is its last reading; all are Unix seconds.
    """
    passed = [moment for moment in moments(posted_at, FIXED_AGES) if moment <= now]
    if not passed or (read_at is not None and read_at >= passed[-1]):
        return None
    return passed[-1]


def may_wait_until(posted_at: float, due: float) -> float:
    """Return until when a reading that is due since a moment may wait for others: for half of its tolerance."""
    return due + TOLERANCES[round((due - posted_at) / HOUR)] * HOUR / 2


def moments(posted_at: float, ages: Sequence[int]) -> list[float]:
    """Return when a post reaches some ages."""
    return [posted_at + age * HOUR for age in ages]
