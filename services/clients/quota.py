"""The usage headers of Instagram: how much of a limit is used, and when a blocked caller may come back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

MAX_WAIT = 86_400  # seconds; a longer wait in a header is not believed


def seconds_to_regain_access(headers: Mapping[str, str]) -> int | None:
    """Return the seconds after which calls are welcome again, or None where no header says so.

    `X-Business-Use-Case-Usage` gives `estimated_time_to_regain_access` in minutes for each kind of use; the longest
    counts. `Retry-After` is not documented, but believed if it comes.
    """
    waits = [minutes * 60 for minutes in _minutes(headers.get("x-business-use-case-usage", ""))]
    longest = max([*waits, retry_after(headers) or 0])
    return min(longest, MAX_WAIT) or None


def retry_after(headers: Mapping[str, str]) -> int | None:
    """Return the seconds of a `Retry-After` header, or None where it gives none."""
    text = headers.get("retry-after", "")
    return min(int(text), MAX_WAIT) or None if re.fullmatch(r"\d{1,9}", text, re.ASCII) else None


def _minutes(header: str) -> Iterator[int]:
    try:
        usage = json.loads(header)
    except (ValueError, RecursionError):
        return
    kinds = usage.values() if isinstance(usage, dict) else ()
    for entries in kinds:
        for entry in entries if isinstance(entries, list) else ():
            minutes = entry.get("estimated_time_to_regain_access") if isinstance(entry, dict) else None
            if isinstance(minutes, int) and not isinstance(minutes, bool) and minutes > 0:
                yield minutes
