"""The usage headers of Instagram: how much of a limit is used, and when a blocked caller may come back.

https://developers.facebook.com/docs/graph-api/overview/rate-limiting
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

MAX_WAIT = 86_400  # seconds; a longer wait in a header is not believed
MAX_PERCENT = 10_000  # Every call beyond 100 counts on, but nobody makes a hundred times what is allowed.
LIMIT = 100  # percent
KINDS = ("call_count", "total_time", "total_cputime", "call_volume", "cpu_time")  # The last two came from old hosts.
OUR_USES = frozenset({None, "instagram", "pages"})  # The header may hold advertising, whose limits are others.


@dataclass(frozen=True)
class Usage:
    """How much of a limit is used, in percent: the largest of its `kinds`, or 0 where none of them was told.

    `account` is "" for the whole app. Until `blocked_until` no call may be made. Both times are Unix seconds.
    """

    account: str
    percent: float
    kinds: Mapping[str, float]
    blocked_until: float | None
    read_at: float


def app_usage(headers: Mapping[str, str], *, now: float) -> Usage | None:
    """Return what `X-App-Usage` tells of the whole app, or None where it tells nothing."""
    found = _read(headers.get("x-app-usage", ""))
    return _usage("", [found] if isinstance(found, dict) else [], now)


def account_usage(headers: Mapping[str, str], account: str, *, now: float) -> Usage | None:
    """Return what `X-Business-Use-Case-Usage` tells of the account that was asked for, or None where it tells nothing.

    It is blocked where a limit is reached and an end of that is told, even if this one call was still answered.
    """
    entries = _entries(headers.get("x-business-use-case-usage", ""))
    return _usage(account, [entry for entry in entries if _use(entry) in OUR_USES], now)


def seconds_to_regain_access(headers: Mapping[str, str]) -> int | None:
    """Return the seconds after which calls are welcome again, or None where no header says so.

    `X-Business-Use-Case-Usage` gives `estimated_time_to_regain_access` in minutes for each kind of use; the longest
    counts. `Retry-After` is not documented, but believed if it comes.
    """
    waits = [_wait(entry) for entry in _entries(headers.get("x-business-use-case-usage", ""))]
    longest = max([*waits, retry_after(headers) or 0])
    return min(longest, MAX_WAIT) or None


def retry_after(headers: Mapping[str, str]) -> int | None:
    """Return the seconds of a `Retry-After` header, or None where it gives none."""
    text = headers.get("retry-after", "")
    return min(int(text), MAX_WAIT) or None if re.fullmatch(r"\d{1,9}", text, re.ASCII) else None


def _usage(account: str, entries: Iterable[Mapping[str, object]], now: float) -> Usage | None:
    largest: dict[str, float] = {}
    wait = 0
    for entry in entries:
        kinds = dict(_percentages(entry))
        largest |= {kind: max(percent, largest.get(kind, 0.0)) for kind, percent in kinds.items()}
        if max(kinds.values(), default=0.0) >= LIMIT:
            wait = max(wait, _wait(entry))
    if not largest:
        return None
    blocked_until = now + min(wait, MAX_WAIT) if wait else None
    return Usage(account, max(largest.values()), largest, blocked_until, now)


def _percentages(entry: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    for kind in KINDS:
        value = entry.get(kind)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_PERCENT:
            yield kind, float(value)


def _wait(entry: Mapping[str, object]) -> int:
    minutes = entry.get("estimated_time_to_regain_access")
    return max(minutes, 0) * 60 if isinstance(minutes, int) and not isinstance(minutes, bool) else 0


def _use(entry: Mapping[str, object]) -> str | None:
    use = entry.get("type")
    return use if isinstance(use, str) else None


def _entries(header: str) -> Iterator[Mapping[str, object]]:
    """Go through the entries of all objects that `X-Business-Use-Case-Usage` names."""
    objects = _read(header)
    for entries in objects.values() if isinstance(objects, dict) else ():
        yield from (entry for entry in (entries if isinstance(entries, list) else ()) if isinstance(entry, dict))


def _read(header: str) -> object:
    try:
        return json.loads(header)
    except (ValueError, RecursionError):
        return None
