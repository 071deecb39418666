"""Cursors of pages over days: where the next page begins, and of which query it is the next page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from services.errors import InvalidRequestError

DIGEST = 12  # hexadecimal digits; it finds mistakes, and guards nothing


def cursor_of(first_day: str, query: Sequence[object]) -> str:
    """Return the cursor of the page of a query that begins with a day (ISO date)."""
    return f"{first_day}.{_digest(query)}"


def first_day_of(cursor: str, query: Sequence[object], days: Sequence[str]) -> str:
    """Return the day with which the page of a cursor begins, one of `days`.

    Raises `InvalidRequestError` for a cursor of another query, whose page would lack days or repeat them.
    """
    first_day, _, digest = cursor.partition(".")
    if digest != _digest(query):
        raise InvalidRequestError(
            "cursor: it is of another query.",
            hint="Accepted: meta.next_cursor of the page before, with the same account, metrics, interval, breakdown, "
            "since and until.",
        )
    if first_day not in days:
        raise InvalidRequestError(
            f"cursor: {first_day[:10]} is not in the range any more, or begins none of its days, weeks or months.",
            hint="Accepted: meta.next_cursor of the page before. Begin again with the first page.",
        )
    return first_day


def _digest(query: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(query, default=str).encode()).hexdigest()[:DIGEST]
