"""How much of the limits is used, as the headers of every answer report it."""

import json
import threading
from collections import Counter
from collections.abc import Mapping

from simulator.graph.errors import ACCOUNT_LIMIT, GraphError, throttled
from simulator.switches import Switches
from simulator.world.accounts import Account

CALLS_FOR_ONE_PERCENT = 120  # as seen live
LIGHT = 50  # percent; only a switch goes beyond
FULL = 100  # percent
APP_CODES = (4, 341)  # The other codes of throttling are about the account.


class Usage:
    """The calls of the app and of each account."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()

    def reset(self) -> None:
        """Forget all calls."""
        with self._lock:
            self._calls.clear()

    def count(self, account: Account | None, weight: int) -> None:
        """Note a call that counts for so many; it counts whether it is answered or refused."""
        with self._lock:
            self._calls["app"] += weight
            if account:
                self._calls[account.id] += weight

    def check(self) -> None:
        """Refuse a call that comes after a limit was met."""
        if self._percent("app", "app_usage") >= FULL:
            raise throttled(4, minutes=self._switches["regain_minutes"])
        if self._percent("", "usage") >= FULL:
            raise throttled(ACCOUNT_LIMIT, minutes=self._switches["regain_minutes"])

    def headers(self, account: Account | None, error: GraphError | None) -> Mapping[str, str]:
        """Return the usage headers; a throttle that gives its wait in minutes shows its limit as full.

        A throttle with `Retry-After` leaves the usage as counted, so that callers are back to normal after its wait.
        """
        minutes = error.minutes if error else None
        full = None if minutes is None else "app" if error and error.code in APP_CODES else "account"
        app = FULL if full == "app" else self._percent("app", "app_usage")
        headers = {"x-app-usage": json.dumps(_percentages(app))}
        if account:
            used = FULL if full == "account" else self._percent(account.id, "usage")
            entry: dict[str, object] = {
                "type": "instagram",
                **_percentages(used),
                "estimated_time_to_regain_access": minutes or 0,
            }
            pairs = [(account.id, [entry])]
            if self._switches["usage_entries"] == "mixed":
                others = [(owner, [_other(use)]) for owner, use in _others(account)]
                pairs = [*others, *pairs, (account.id, [])]
            # Written by hand: a `dict` has no key twice.
            headers["x-business-use-case-usage"] = (
                "{" + ", ".join(f"{json.dumps(owner)}: {json.dumps(entries)}" for owner, entries in pairs) + "}"
            )
        return headers

    def _percent(self, owner: str, switch: str) -> int:
        switched = self._switches[switch]
        counted = min(LIGHT, self._calls[owner] // CALLS_FOR_ONE_PERCENT)
        used: int = counted if switched is None else switched
        return used


def _percentages(calls: int) -> dict[str, int]:
    return {"call_count": calls, "total_cputime": calls // 2, "total_time": calls // 2}


def _others(account: Account) -> list[tuple[str, str]]:
    """Return the objects beside an account that have used up limits of other uses."""
    return [(account.page_id, "pages"), (account.id, "ads_management"), (account.user_id, "messenger")]


def _other(use: str) -> dict[str, object]:
    return {"type": use, **_percentages(FULL), "estimated_time_to_regain_access": 1440}
