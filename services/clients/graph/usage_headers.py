"""The usage headers of Instagram: how much of a limit is used, and when a throttled caller may call again.

https://developers.facebook.com/docs/graph-api/overview/rate-limiting

`X-Business-Use-Case-Usage` holds entries of many objects and of many uses: advertising, messages, pages. Each use has
limits of its own, so only entries of the type `instagram` count. Among these, the ones that are keyed by the requested
account or its page count alone, if there are any. `X-Ad-Account-Usage` is about advertising only and is not read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from services.clients.graph.models import Account
from services.clients.guard.usage import APP, Usage
from services.clients.json_text import decode
from services.clients.retry_after import MAX_RETRY_AFTER, retry_after

MAX_PERCENT = 10_000  # Calls beyond 100 % count on, but a hundred times the limit is a damaged header.
LIMIT = 100  # percent
KINDS = ("call_count", "total_time", "total_cputime", "call_volume", "cpu_time")  # The last two came from old hosts.
OUR_USE = "instagram"

Object = Mapping[str, Sequence[object]]
"""A JSON object with all values of each key: Meta's own sample has a key twice, and `dict` would keep the last one."""


def usages(headers: Mapping[str, str], account: Account, *, now: float) -> Iterator[Usage]:
    """Go through the usages that the headers of one answer report: of the whole app, and of the account asked for."""
    if (of_app := app_usage(headers, now=now)) is not None:
        yield of_app
    # For a call without an account it is unknown which account the header is about.
    if account.id and (of_account := account_usage(headers, account, now=now)) is not None:
        yield of_account


def app_usage(headers: Mapping[str, str], *, now: float) -> Usage | None:
    """Return the usage of the whole app by `X-App-Usage`, or None where it reports none."""
    return _usage(APP, _objects(headers.get("x-app-usage", "")), now)


def account_usage(headers: Mapping[str, str], account: Account, *, now: float) -> Usage | None:
    """Return the usage of the requested account by `X-Business-Use-Case-Usage`, or None where it reports none.

    It is blocked where a limit is reached and the header says for how long, even if this call was still answered.
    """
    return _usage(account.id, _entries(headers, account), now)


def seconds_to_regain_access(headers: Mapping[str, str], account: Account, *, now: float) -> int | None:
    """Return the seconds after which calls are accepted again, or None where no header says so.

    `X-Business-Use-Case-Usage` gives `estimated_time_to_regain_access` in minutes for each entry; the longest counts.
    `Retry-After` is not documented, but used if it comes.
    """
    longest = max([*map(_wait, _entries(headers, account)), retry_after(headers, now=now) or 0])
    return math.ceil(longest) or None


def _usage(account: str, entries: Iterable[Object], now: float) -> Usage | None:
    largest: dict[str, float] = {}
    wait = 0.0
    for entry in entries:
        kinds = dict(_percentages(entry))
        largest |= {kind: max(percent, largest.get(kind, 0.0)) for kind, percent in kinds.items()}
        if max(kinds.values(), default=0.0) >= LIMIT:
            wait = max(wait, _wait(entry))
    if not largest:
        return None
    return Usage(account, max(largest.values()), largest, now + wait if wait else None, now)


def _percentages(entry: Object) -> Iterator[tuple[str, float]]:
    for kind in KINDS:
        accepted = [number for number in _numbers(entry, kind) if 0 <= number <= MAX_PERCENT]
        if accepted:
            yield kind, float(max(accepted))


def _wait(entry: Object) -> float:
    """Return the seconds that an entry gives, at most `MAX_RETRY_AFTER`; 0 where it gives none."""
    longest = max(_numbers(entry, "estimated_time_to_regain_access"), default=0)
    return float(min(max(longest, 0), MAX_RETRY_AFTER / 60) * 60)


def _numbers(entry: Object, name: str) -> list[int | float]:
    return [value for value in entry.get(name, ()) if isinstance(value, int | float) and not isinstance(value, bool)]


def _entries(headers: Mapping[str, str], account: Account) -> Sequence[Object]:
    """Return the entries of Instagram use that are about an account."""
    found = [
        (key, entry)
        for objects in _objects(headers.get("x-business-use-case-usage", ""))
        for key, lists in objects.items()
        for entries in lists
        for entry in (entries if isinstance(entries, list) else [entries])
        if isinstance(entry, dict) and _is_ours(entry)
    ]
    own = [entry for key, entry in found if key and key in {account.id, account.page_id}]
    return own or [entry for _, entry in found]


def _is_ours(entry: Object) -> bool:
    types = entry.get("type", ())
    return bool(types) and all(isinstance(each, str) and each.strip().lower() == OUR_USE for each in types)


def _objects(header: str) -> Sequence[Object]:
    """Return the JSON objects of a header; more than one where it came in several lines, which HTTP joins by commas."""
    try:
        found = decode(f"[{header}]", object_pairs_hook=_joined, parse_constant=lambda _name: None)
    except ValueError:
        return []
    return [each for each in found if isinstance(each, dict)]


def _joined(pairs: Iterable[tuple[str, object]]) -> Object:
    joined: dict[str, list[object]] = {}
    for key, value in pairs:
        joined.setdefault(key, []).append(value)
    return joined
