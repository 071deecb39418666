"""What a report costs, and amounts of credits."""

from __future__ import annotations

THOUSAND = 1000  # thousandths of a credit: amounts are whole numbers of these
PRICE = 250  # thousandths, for each report; what is not ready or refused costs nothing


def credits_of(thousandths: int) -> float:
    """Return an amount in credits."""
    return thousandths / THOUSAND
