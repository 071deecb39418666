"""The calls to each provider and what they cost, counted for tests and demonstrations."""

import re
import threading
import time
from collections import Counter, deque
from typing import Any

from simulator.messages import Reply, Request

REMEMBERED = 5000  # calls of each provider
PROVIDERS = ("instagram", "modash")
VERSION = re.compile(r"^/v\d+\.\d+(?=/|$)")
IDS = (
    (re.compile(r"/178414\d{11}(?=/|$)"), "/<ig>"),
    (re.compile(r"/2600\d{13}(?=/|$)"), "/<ig>"),
    (re.compile(r"/1[5-8]\d{15}(?=/|$)"), "/<media>"),
    (re.compile(r"/1000\d{11}(?=/|$)"), "/<page>"),
    (re.compile(r"/\d+(?=/|$)"), "/<id>"),
)


class Calls:
    """Every provider call, newest last, and every Modash charge."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._began_at = time.monotonic()
            self._counted: Counter[str] = Counter()
            self._by_path: dict[str, Counter[str]] = {provider: Counter() for provider in PROVIDERS}
            self._by_host: dict[str, Counter[str]] = {provider: Counter() for provider in PROVIDERS}
            self._recent: dict[str, deque[dict[str, Any]]] = {name: deque(maxlen=REMEMBERED) for name in PROVIDERS}
            self._charges: dict[str, dict[str, int]] = {}

    def record(self, provider: str, request: Request, reply: Reply, *, at: float, received_at: float) -> None:
        """Note a call and its answer; one that was cut has no status.

        A call that was received before the last reset, and was answered slowly, is not of those that are counted since.
        `received_at` is that of the batch for each of its calls.
        """
        status = None if reply.cut else reply.status
        call = {"method": request.method, "path": request.without_secrets, "status": status, "at": round(at, 3)}
        with self._lock:
            if received_at < self._began_at:
                return
            self._counted[provider] += reply.weight
            self._by_path[provider][f"{request.method} {_general(provider, request.path)}"] += 1
            self._by_host[provider][request.base.rpartition("/")[2]] += 1
            self._recent[provider].append(call)

    def charge(self, request: Request, handle: str, milli_credits: int) -> None:
        """Note a call for a creator's report and what it cost, if it was received after the last reset."""
        with self._lock:
            if request.received_at < self._began_at:
                return
            charged = self._charges.setdefault(handle, {"calls": 0, "milli_credits": 0})
            charged["calls"] += 1
            charged["milli_credits"] += milli_credits

    def describe(self) -> dict[str, Any]:
        """Return the JSON of all counts."""
        with self._lock:
            answer: dict[str, Any] = {
                provider: {
                    "total": self._by_path[provider].total(),
                    "counted": self._counted[provider],
                    "by_path": dict(self._by_path[provider]),
                    "by_host": dict(self._by_host[provider]),
                    "calls": list(self._recent[provider]),
                }
                for provider in PROVIDERS
            }
            charges = {handle: dict(charged) for handle, charged in self._charges.items()}
        total = sum(answer[provider]["total"] for provider in PROVIDERS)
        return {"total": total, **answer, "charges": charges}


def _general(provider: str, path: str) -> str:
    if provider == "instagram":
        path = VERSION.sub("", path) or "/"
        for pattern, name in IDS:
            path = pattern.sub(name, path)
    return path
