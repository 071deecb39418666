"""Growth: plain numbers in, plain numbers out."""

from __future__ import annotations

from dataclasses import dataclass

PRECISION = 6  # decimal places of a percentage; more would be noise of the division


@dataclass(frozen=True)
class Growth:
    """A change in percent, or None with the reason."""

    rate: float | None
    reason: str | None = None


def growth(current: float | None, previous: float | None) -> Growth:
    """Return (current - previous) / previous x 100.

    From 0, by the user's rule: 100 if anything came, 0 if not, and `zero_base` says so. An unknown number makes the
    rate unknown.
    """
    if current is None:
        return Growth(None, "current_unknown")
    if previous is None:
        return Growth(None, "previous_unknown")
    if previous == 0:
        return Growth(100.0 if current > 0 else 0.0, "zero_base")
    return Growth(round((current - previous) / previous * 100, PRECISION))
