"""What Modash remembers between calls: the balance, how fast a key calls, and which reports are ready."""

import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass

from simulator.modash.errors import no_credits
from simulator.switches import Switches

THOUSAND = 1000  # thousandths of a credit
LATER_CALLS = 2  # how often a report of `later.*` is not ready
SECOND = 1.0


@dataclass
class Preparation:
    """How far the report of a creator is."""

    calls: int
    since: float


class Desk:
    """The balance, the rate limit and the reports in preparation."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Start over without calls and payments."""
        with self._lock:
            self._spent = 0
            self._paid: set[str] = set()
            self._preparations: dict[str, Preparation] = {}
            self._recent: defaultdict[str, deque[float]] = defaultdict(deque)

    def is_too_fast(self, token: str) -> bool:
        """Note a call and return whether it comes too soon after the others; this clock is always the real one."""
        limit, now = self._switches["modash_rate_limit"], time.monotonic()
        with self._lock:
            recent = self._recent[token]
            while recent and recent[0] <= now - SECOND:
                recent.popleft()
            if limit and len(recent) >= limit:
                return True
            recent.append(now)
            return False

    def is_ready(self, handle: str, now: float) -> bool:
        """Note a call for a report and return whether it is ready."""
        calls = LATER_CALLS if handle.startswith("later.") else self._switches["report_ready_after_calls"]
        with self._lock:
            preparation = self._preparations.setdefault(handle, Preparation(0, now))
            preparation.calls += 1
            if calls == "never" or preparation.calls <= calls:
                return False
            return bool(now - preparation.since >= self._switches["report_ready_after_seconds"])

    def pay(self, handle: str) -> int:
        """Take the price of a report from the balance and return it in thousandths of a credit."""
        with self._lock:
            price: int = self._switches["repeat_price" if handle in self._paid else "price"]
            balance = self._balance()
            if balance < price and not (self._switches["negative_balance"] and balance > 0):
                raise no_credits()
            self._spent += price
            self._paid.add(handle)
            return price

    def fine(self) -> int:
        """Take the price of a refusal, which is nothing unless a switch says otherwise."""
        with self._lock:
            price: int = self._switches["refusal_price"]
            self._spent += price
            return price

    def credits(self) -> float:
        """Return the credits left."""
        with self._lock:
            left = self._balance()
        return left // THOUSAND if left % THOUSAND == 0 else left / THOUSAND

    def _balance(self) -> int:
        start: float = self._switches["start_credits"]
        return round(start * THOUSAND) - self._spent
