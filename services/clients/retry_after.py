"""The header `Retry-After` of RFC 9110: seconds, or a date."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import ceil

MIN_RETRY_AFTER, MAX_RETRY_AFTER = 1, 86_400  # seconds; a wait beyond is taken as the nearest of these
_SECONDS = re.compile(r"0*(\d{1,9})", re.ASCII)
_MORE_DIGITS = re.compile(r"\d+", re.ASCII)


def retry_after(headers: Mapping[str, str], *, now: float) -> int | None:
    """Return the seconds of a `Retry-After` header, or None where it is missing or neither digits nor a date.

    `now` is the moment of the answer in Unix seconds. A date is compared with the `Date` of the same answer where it
    has one, because the clock of this machine may differ from the provider's.
    """
    text = headers.get("retry-after", "").strip()
    if (seconds := _SECONDS.fullmatch(text)) is not None:
        return bounded(int(seconds[1]))
    if _MORE_DIGITS.fullmatch(text):
        return MAX_RETRY_AFTER
    until = _unix(text)
    if until is None:
        return None
    sent_at = _unix(headers.get("date", ""))
    return bounded(until - (now if sent_at is None else sent_at))


def bounded(seconds: float) -> int:
    """Return a wait in whole seconds, within the bounds."""
    return ceil(min(max(seconds, MIN_RETRY_AFTER), MAX_RETRY_AFTER))


def _unix(text: str) -> float | None:
    """Return a date in one of the three forms of RFC 9110 as Unix seconds, or None for any other text."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
