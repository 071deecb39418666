"""Abuse: the peak memory of a worker and the slowest `/healthz` while callers misuse the gateway.

Fails where a worker takes more than `MOST_MEGABYTES`, or a `/healthz` more than `MOST_MS`. Callers that send or
read slowly go through nginx with the configuration of docs/operations.md, and so does `/healthz`; all others reach the
gateway directly, because nginx would refuse a part of what they send. Without nginx on the machine the rows of slow
callers are left out.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import count, islice, product
from pathlib import Path
from urllib.parse import quote

from benchmarks.nginx import in_front, program
from benchmarks.processes import Server
from benchmarks.stage import Options, OverLimitError, Row, Simulator, Stage

MOST_MEGABYTES = 150.0
MOST_MS = 1000.0
REQUESTS, QUICK_REQUESTS = 10_000, 1_000  # of each abuse
CALLERS = 16
SLOW_CALLERS = 100
SECONDS, QUICK_SECONDS = 15.0, 6.0  # of slow callers
LONG = 3_500  # characters of a header
PATIENCE = 60.0  # seconds
SECRET_LOOKALIKE = b"X-Hub-Signature-256: sha256=" + b"0" * 64 + b"\r\n"

Requests = Iterable[bytes]


@dataclass
class Watch:
    """Asks for `/healthz` all the while, each time on a new connection."""

    port: int
    longest: float = 0.0  # seconds
    failures: int = 0
    _stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Ask until it is stopped."""
        while not self._stopped.wait(0.05):
            began = time.perf_counter()
            try:
                is_well = _ask(self.port, _get("/healthz", close=True)).startswith(b"HTTP/1.1 200")
            except OSError:
                is_well = False
            self.failures += not is_well
            self.longest = max(self.longest, time.perf_counter() - began)

    def stop(self) -> None:
        """Stop asking."""
        self._stopped.set()


def measure(options: Options) -> list[Row]:
    """Commit each abuse against one gateway, one after the other."""
    requests = options.pick(REQUESTS, QUICK_REQUESTS)
    seconds = options.pick(SECONDS, QUICK_SECONDS)
    rows: list[Row] = []
    with Stage() as stage, ExitStack() as stack:
        simulator = stage.simulator()
        gateway = stage.gateway(stage.settings(simulator))
        nginx = None
        if (installed := program()) is None:
            print("nginx is not installed: no slow callers.")
        else:
            folder = stage.path("nginx")
            folder.mkdir()
            nginx = stack.enter_context(in_front(installed, gateway.port, folder))
        for path in islice(_posts(), 200):
            gateway.get(path)
        watched = nginx or gateway.port
        for name, sent in _floods(requests):
            rows.append(_row(name, gateway, watched, lambda sent=sent: _send(gateway.port, sent)))  # type: ignore[misc]
        rows.append(_row("reports of 16 MB", gateway, watched, lambda: _oversized(gateway, simulator)))
        for name, begin, each in _slow() if nginx else ():
            rows.append(
                _row(name, gateway, watched, lambda b=begin, e=each: _slowly(watched, b, e, seconds))  # type: ignore[misc]
            )
    too_much = [row["abuse"] for row in rows if row["peak_mb"] > MOST_MEGABYTES or row["healthz_max_ms"] >= MOST_MS]
    if too_much:
        raise OverLimitError(f"More than {MOST_MEGABYTES:g} MB or {MOST_MS:g} ms: {', '.join(too_much)}.", rows)
    return rows


def _row(name: str, gateway: Server, watched: int, commit: Callable[[], int]) -> Row:
    for pid in gateway.workers:
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # The peak is counted from now on.
    watch = Watch(watched)
    thread = threading.Thread(target=watch.run)
    thread.start()
    began = time.perf_counter()
    try:
        answered = commit()
        seconds = time.perf_counter() - began
    finally:  # Also where the benchmark is ended: the process would wait for that thread for ever.
        watch.stop()
        thread.join()
    return {
        "abuse": name,
        "answered": answered,
        "seconds": seconds,
        "peak_mb": max(map(_peak, gateway.workers)),
        "rss_mb": max(gateway.resident_megabytes().values()),
        "healthz_max_ms": watch.longest * 1000,
        "healthz_failures": watch.failures,
    }


def _floods(requests: int) -> Iterator[tuple[str, Requests]]:
    """Yield what callers send as fast as they can."""
    posts = list(islice(_posts(), 200))
    numbers = range(requests)

    def header(name: str, value: Callable[[int], str]) -> Requests:
        return (_get(posts[n // 90 % 200], f"{name}: {value(n % 90)}\r\n".encode()) for n in numbers)

    yield "Accept, 90 short ones", header("Accept", lambda n: f"image/x-{n}, */*")
    yield "Accept, 90 long ones", header("Accept", lambda n: f"image/x-{n}, " + "a/b, " * (LONG // 5))
    yield "Accept, CSV in 90 ways", header("Accept", lambda n: f"text/csv;q=0.{n + 1}")
    yield "If-None-Match", header("If-None-Match", lambda n: f'"{n}"' + ', "a"' * (LONG // 5))
    yield "Accept-Encoding", header("Accept-Encoding", lambda n: f"x{n}" + ", gzip" * (LONG // 6))
    yield "Origin", header("Origin", lambda n: f"https://{n}" + "x" * 200 + ".example")
    yield "X-Request-Id", header("X-Request-Id", lambda n: f"{n}" + "x" * 100)
    yield "order and escapes", (_get(_spelled(posts[n % 200], n)) for n in numbers)
    yield "separators", (_get(posts[n % 200] + "&" * (n % 7_000)) for n in numbers)
    metrics = ("reach", "views", "likes", "comments", "saves", "shares", "total_interactions", "accounts_engaged")
    orders = (",".join(chosen) for length in (5, 6) for chosen in product(metrics, repeat=length))
    yield (
        "metrics in any order",
        (_get(f"/account-insights?period=day&metrics={chosen}") for chosen in islice(orders, requests)),
    )
    yield "unknown parameters", (_get(f"/top-posts?time_range=7d&{n}=" + "&x=" * 2_000) for n in numbers)
    yield "paths that do not exist", (_get(f"/{n}/" + "x" * 7_000) for n in numbers)
    yield "refused headers", (_get("/healthz", b"X: " + b"y" * 5_000 + b"\r\n") for _ in numbers)
    yield "whole heads of 200 KB", (_get("/healthz", (b"X: " + b"y" * 4_000 + b"\r\n") * 48) for _ in numbers[::20])
    yield "unsigned deliveries of 1 MB", (_post(1024 * 1024) for _ in numbers[::50])
    yield "unsigned deliveries of 16 MB", (_post(16 * 1024 * 1024) for _ in numbers[::500])


def _posts() -> Iterator[str]:
    for days, limit in product(range(1, 31), range(1, 51)):
        yield f"/top-posts?time_range={days}d&limit={limit}"


def _spelled(path: str, number: int) -> str:
    path, _, query = path.partition("?")
    pairs = query.split("&")
    escaped = (
        "".join(
            f"%{ord(letter):02x}" if number >> place & 1 and letter != "=" else letter
            for place, letter in enumerate(pair)
        )
        for pair in (pairs[::-1] if number % 2 else pairs)
    )
    return f"{path}?{'&'.join(escaped)}"


def _slow() -> Iterator[tuple[str, bytes, bytes]]:
    """Yield what slow callers begin with, and what they send again and again; nothing means that they read slowly."""
    yield "headers, slowly", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", b"x"
    yield "bodies, slowly", _post(100_000)[:-100_000], b"x"
    yield "replies, read slowly", _get("/account-insights?period=day&metrics=reach"), b""
    yield "idle connections", _get("/healthz"), b""
    yield "connections without a request", b"", b""


def _slowly(port: int, begin: bytes, each: bytes, seconds: float) -> int:
    """Let 100 callers each send a byte a second, or read one; return how many were connected to the end."""
    callers = []
    for _ in range(SLOW_CALLERS):
        caller = socket.socket()
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # The kernel takes its least, 2 KB.
        caller.settimeout(PATIENCE)
        caller.connect(("127.0.0.1", port))
        caller.sendall(begin)
        callers.append(caller)
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        time.sleep(1)
        for caller in list(callers):
            with suppress(BlockingIOError):
                try:
                    if each:
                        caller.sendall(each)
                    elif begin:
                        caller.recv(1, socket.MSG_DONTWAIT)
                except (BrokenPipeError, ConnectionResetError):
                    caller.close()
                    callers.remove(caller)
    for caller in callers:
        caller.close()
    return len(callers)


def _oversized(gateway: Server, simulator: Simulator) -> int:
    """Let both providers send answers of 16 MB to callers at once."""
    for provider in ("instagram", "modash"):
        simulator.post("/_simulator/faults", {"provider": provider, "kind": "too_large"})
    numbers = count()
    paths = [f"/performance-data?url=creator{quote(str(next(numbers)))}" for _ in range(30)]
    paths += [
        f"/account-insights?period=day&metrics=reach&since=2026-0{month}-{day:02}&until=2026-0{month}-{day:02}"
        for month in (6, 7, 8)
        for day in range(1, 29)
    ]
    return _send(gateway.port, map(_get, paths))


def _send(port: int, requests: Requests) -> int:
    """Send requests from some callers at once, each on connections of its own; return the number of replies."""
    pending, lock, answered = iter(requests), threading.Lock(), count()

    def call() -> None:
        connection: socket.socket | None = None
        while True:
            with lock:
                request = next(pending, None)
            if request is None:
                return
            with suppress(OSError):
                connection = connection or socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
                connection.sendall(request)
                head = _read(connection)
                next(answered)
                if b"connection: close" not in head.lower():
                    continue
            if connection is not None:
                connection.close()
                connection = None

    threads = [threading.Thread(target=call) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return next(answered)


def _read(connection: socket.socket) -> bytes:
    """Read one reply; return its head."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := connection.recv(65536)):
            raise ConnectionResetError
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    left = (int(length[1]) if length and b" 304 " not in head[:20] else 0) - len(body)
    while left > 0 and (piece := connection.recv(65536)):
        left -= len(piece)
    return head


def _ask(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        return _read(connection)


def _get(path: str, lines: bytes = b"", *, close: bool = False) -> bytes:
    end = b"Connection: close\r\n\r\n" if close else b"\r\n"
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n".encode() + lines + end


def _post(size: int) -> bytes:
    head = f"POST /webhooks/instagram HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n".encode()
    return head + SECRET_LOOKALIKE + b"\r\n" + b"x" * size


def _peak(pid: int) -> float:
    """Return the most resident memory (MB) since the peak was reset."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1024
