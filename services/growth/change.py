"""Growth: the change between two numbers, in percent."""

from __future__ import annotations

from dataclasses import dataclass

PRECISION = 6  # decimal places of a percentage; further ones are rounding noise


@dataclass(frozen=True)
class Growth:
    """A change in percent, or None with the reason."""

    rate: float | None
    reason: str | None = None


def growth(current: float | None, previous: float | None) -> Growth:
    """Return (current - previous) / previous x 100.

    From 0 the user's rule sets it: 100 for any increase, 0 for none, with the reason `zero_base`. If a number is
    unknown, so is the rate.
    """
    if current is None:
        return Growth(None, "current_unknown")
    if previous is None:
        return Growth(None, "previous_unknown")
    if previous == 0:
        return Growth(100.0 if current > 0 else 0.0, "zero_base")
    return Growth(round((current - previous) / previous * 100, PRECISION))
