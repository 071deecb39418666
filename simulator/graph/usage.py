"""How much of the limits is used, as the headers of every answer tell it."""

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

    def count(self, account: Account | None) -> None:
        """Note a call; it counts whether it is answered or refused."""
        with self._lock:
            self._calls["app"] += 1
            if account:
                self._calls[account.id] += 1

    def check(self) -> None:
        """Refuse a call that comes after a limit was met."""
        if self._percent("app", "app_usage") >= FULL:
            raise throttled(4, self._switches["regain_minutes"])
        if self._percent("", "usage") >= FULL:
            raise throttled(ACCOUNT_LIMIT, self._switches["regain_minutes"])

    def headers(self, account: Account | None, error: GraphError | None) -> Mapping[str, str]:
        """Return the usage headers; a refusal for too many calls shows its limit as full."""
        minutes = error.minutes if error else None
        full = None if minutes is None else "app" if error and error.code in APP_CODES else "account"
        app = FULL if full == "app" else self._percent("app", "app_usage")
        headers = {"x-app-usage": json.dumps(_percentages(app))}
        if account:
            used = FULL if full == "account" else self._percent(account.id, "usage")
            entry = {"type": "instagram", **_percentages(used), "estimated_time_to_regain_access": minutes or 0}
            headers["x-business-use-case-usage"] = json.dumps({account.id: [entry]})
        return headers

    def _percent(self, who: str, switch: str) -> int:
        ordered = self._switches[switch]
        used: int = min(LIGHT, self._calls[who] // CALLS_FOR_ONE_PERCENT) if ordered is None else ordered
        return used


def _percentages(calls: int) -> dict[str, int]:
    return {"call_count": calls, "total_cputime": calls // 2, "total_time": calls // 2}
