"""The callers of a load: a plan as JSON on standard input, the result as JSON on standard output.

It must use far less CPU than the gateway: requests are prepared as bytes, and of a reply only the status, the length
and Retry-After are parsed.
"""

from __future__ import annotations

import hmac
import json
import re
import resource
import selectors
import socket
import sys
import time
from collections import Counter, defaultdict
from dataclasses import asdict
from heapq import heappop, heappush
from itertools import count
from typing import Any

from benchmarks.load import BUSY, OK, UNANSWERED, Latency, Plan, Result

RECEIVED = 64 * 1024  # bytes at once; a buffer above 128 KiB costs more than all the rest
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
RETRY_AFTER = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)
NO_CALLS = b"\r\nX-Provider-Calls: 0\r\n"
CALLS = b"\r\nX-Provider-Calls: "
STATUS = slice(9, 12)  # of `HTTP/1.1 200 OK`
MOST_CUTS = 3  # of one caller's connection in a row, before it gives up


class Caller:
    """One caller and its connection."""

    __slots__ = ("buffer", "cuts", "path", "port", "request", "sent_at", "socket", "tries", "wanted")

    def __init__(self, port: int) -> None:
        self.port = port
        self.path = 0
        self.request = b""
        self.tries = 0
        self.cuts = 0
        self.sent_at = 0.0  # 0: it is not waiting for a reply
        self.buffer = b""
        self.wanted = 0  # bytes of the reply; 0: its head is not here yet
        self.connect()

    def connect(self) -> None:
        """Open a connection of its own."""
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        self.socket.settimeout(None)  # A timeout would cost a second system call each time.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Callers:
    """All callers of a plan, and their replies so far."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        lines = "".join(f"{name}: {value}\r\n" for name, value in plan.headers.items())
        self._requests = [f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n".encode() for path in plan.paths]
        self._selector = selectors.DefaultSelector()  # epoll, on Linux
        self._callers = [Caller(plan.ports[number % len(plan.ports)]) for number in range(plan.callers)]
        for caller in self._callers:
            self._selector.register(caller.socket, selectors.EVENT_READ, caller)
        self._later: list[
            tuple[float, int, Caller]
        ] = []  # a heap of the callers that wait, by the time at which they send
        self._first = time.time_ns()  # The bodies of two loads differ as well.
        self._turns = count()
        self._active = 0
        self._sent = 0
        self._stop_at = float("inf")
        self._last_reply = 0.0
        self._used_before = 0.0
        self._latencies: dict[bytes, list[float]] = defaultdict(list)
        self._tries: Counter[int] = Counter()
        self._bodies: set[tuple[int, bytes]] = set()
        self._provider_calls = 0

    def run(self) -> Result:
        """Send and read until the plan is done, or its patience ends."""
        plan = self._plan
        self._used_before = time.process_time()
        started = self._last_reply = time.perf_counter()
        if plan.seconds is not None:
            self._stop_at = started + plan.seconds
        give_up_at = started + (plan.seconds or 0.0) + plan.patience
        for caller in self._callers:
            self._active += 1
            self._next(caller, started)
        while self._active and (now := time.perf_counter()) < give_up_at:
            until = min(give_up_at, self._later[0][0]) if self._later else give_up_at
            for key, _ in self._selector.select(max(0.0, until - now)):
                self._read(key.data)
            while self._later and self._later[0][0] <= time.perf_counter():
                self._send(heappop(self._later)[2])
        return self._result(started)

    def _next(self, caller: Caller, now: float) -> None:
        """Let a caller send the next request, or end where the plan has no more."""
        if now >= self._stop_at or self._sent == self._plan.requests:
            self._active -= 1
            return
        caller.path = self._sent % len(self._requests)
        caller.tries = 0
        caller.request = self._posted(caller.path) if self._plan.body else self._requests[caller.path]
        self._sent += 1
        if self._plan.pause:
            # The first ones are spread over one pause, or all would keep asking at the same moments.
            wait = self._plan.pause * (self._sent / len(self._callers) if self._sent <= len(self._callers) else 1)
            heappush(self._later, (now + wait, next(self._turns), caller))
        else:
            self._send(caller)

    def _posted(self, path: int) -> bytes:
        """Return a POST with a body that no other request has."""
        body = self._plan.body.replace("#", str(self._first + self._sent)).encode()
        signature = hmac.digest(self._plan.secret.encode(), body, "sha256").hex()
        head = (
            f"POST {self._plan.paths[path]} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"X-Hub-Signature-256: sha256={signature}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def _send(self, caller: Caller) -> None:
        caller.tries += 1
        caller.sent_at = time.perf_counter()
        self._write(caller)

    def _write(self, caller: Caller) -> None:
        try:
            caller.socket.sendall(caller.request)
        except OSError:
            self._reconnect(caller)

    def _read(self, caller: Caller) -> None:
        try:
            data = caller.socket.recv(RECEIVED)
        except OSError:
            data = b""
        if not data:
            self._reconnect(caller)
            return
        if caller.buffer:
            data = caller.buffer + data
        if not caller.wanted:
            end = data.find(b"\r\n\r\n")
            if end >= 0:
                length = LENGTH.search(data, 0, end)
                caller.wanted = end + 4 + (int(length[1]) if length else 0)
        if not caller.wanted or len(data) < caller.wanted:
            caller.buffer = data
            return
        caller.buffer, caller.wanted, caller.cuts = b"", 0, 0
        self._answered(caller, data)

    def _answered(self, caller: Caller, data: bytes) -> None:
        now = self._last_reply = time.perf_counter()
        status = data[STATUS]
        self._latencies[status].append(now - caller.sent_at)
        # The empty application does not have the header at all.
        self._provider_calls += CALLS in data and NO_CALLS not in data
        caller.sent_at = 0.0
        if status == BUSY.encode() and caller.tries <= self._plan.returns:
            wait = RETRY_AFTER.search(data)
            heappush(self._later, (now + (int(wait[1]) if wait else 1), next(self._turns), caller))
            return
        self._tries[caller.tries] += 1
        if self._plan.compare and status == OK.encode():
            self._bodies.add((caller.path, data[data.find(b"\r\n\r\n") + 4 :]))
        self._next(caller, now)

    def _reconnect(self, caller: Caller) -> None:
        """Reconnect and repeat the request under way: a server may close a kept-alive connection at any time."""
        self._selector.unregister(caller.socket)
        caller.socket.close()
        caller.buffer, caller.wanted = b"", 0
        caller.cuts += 1
        if caller.cuts > MOST_CUTS and caller.sent_at:
            self._active -= 1
            return
        caller.connect()
        self._selector.register(caller.socket, selectors.EVENT_READ, caller)
        if caller.sent_at:
            self._write(caller)

    def _result(self, started: float) -> Result:
        now = time.perf_counter()
        by_status = {status.decode(): all_ for status, all_ in self._latencies.items()}
        replies = sum(map(len, by_status.values()))
        waiting = [now - caller.sent_at for caller in self._callers if caller.sent_at]
        if waiting:
            by_status[UNANSWERED] = waiting
        return Result(
            replies=replies,
            seconds=self._last_reply - started,
            overall=_latency([each for all_ in by_status.values() for each in all_]),
            statuses={status: _latency(all_) for status, all_ in by_status.items()},
            answered_after={str(tries): count for tries, count in sorted(self._tries.items())},
            bodies=len(self._bodies) if self._plan.compare else None,
            provider_calls=self._provider_calls,
            own_us=(time.process_time() - self._used_before) * 1e6 / max(replies, 1),
        )


def _latency(seconds: list[float]) -> Latency:
    ordered = sorted(seconds) or [0.0]
    return Latency(
        count=len(seconds),
        p50_ms=ordered[len(ordered) // 2] * 1000,
        p99_ms=ordered[len(ordered) * 99 // 100] * 1000,
        max_ms=ordered[-1] * 1000,
    )


def main() -> int:
    """Run the plan."""
    plan: dict[str, Any] = json.loads(sys.stdin.readline())
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(json.dumps(asdict(Callers(Plan(**plan)).run())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
