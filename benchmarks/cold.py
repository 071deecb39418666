"""`make bench`: how long a cold request takes beyond what its provider calls take.

A provider that answers after 200 ms, a gateway with warm connections, the median of five requests. The bound is
ceil(calls / parallel) x 200 ms for each link of the longest chain of calls, and 60 ms; the ratio is median / bound.
"""

from __future__ import annotations

import json
import math
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

LATENCY = 0.2  # seconds
ALLOWED = 0.06  # seconds
PARALLEL = 32
ROUNDS = 5
PLAIN = (
    "reach,views,accounts_engaged,total_interactions,likes,comments,shares,saves,"
    "replies,reposts,follows_and_unfollows,profile_links_taps"
)
DOCUMENTED = (
    "impressions,reach,profile_views,website_clicks,email_contacts,"
    "get_directions_clicks,phone_call_clicks,text_message_clicks,follower_count"
)
# Each with the links of its longest chain: calls of one link do not wait for each other, links do.
REQUESTS = {
    "top-posts 30d": ("/top-posts?time_range=30d", None),
    "growth-trends 30d": ("/growth-trends?period=30d", None),
    "account-insights 1 day": (f"/account-insights?period=day&metrics={DOCUMENTED}", 1),
    "account-insights 28 days, 12 plain": (f"/account-insights?period=day&metrics={PLAIN}{{days}}", 1),
    "account-insights 28 days, documented": (f"/account-insights?period=day&metrics={DOCUMENTED}{{days}}", 1),
    "performance-data": ("/performance-data?url=nasa", 2),
}
Figures = dict[str, float | str]


def main() -> int:
    """Print the table, and the same as JSON when asked with --json."""
    simulator, gateway = _free_port(), _free_port()
    environment = os.environ | {"PORT": str(gateway), "SIMULATOR_PORT": str(simulator), "PROVIDERS": "sandbox"}
    environment |= {"PROVIDER_PARALLEL": str(PARALLEL), "LOG_LEVEL": "WARNING"}
    processes = [
        subprocess.Popen([sys.executable, "-m", *module], env=environment, stdout=subprocess.DEVNULL)
        for module in (["simulator", "--port", str(simulator)], ["gunicorn", "app:create_app()"])
    ]
    try:
        _wait(f"http://127.0.0.1:{simulator}/_simulator/clock")
        _wait(f"http://127.0.0.1:{gateway}/healthz")
        figures = [_measure(name, simulator, gateway) for name in REQUESTS]
    finally:
        for process in processes:
            process.terminate()
            process.wait()
    if "--json" in sys.argv:
        print(json.dumps(figures, indent=2))
        return 0
    print(f"{'cold request':<38}{'calls':>6}{'links':>6}{'bound':>9}{'median':>9}{'ratio':>7}")
    for row in figures:
        print(
            f"{row['request']:<38}{row['calls']:>6}{row['links']:>6}"
            f"{row['bound_ms']:>6.0f} ms{row['median_ms']:>6.0f} ms{row['ratio']:>7.2f}"
        )
    return 0


def _measure(name: str, simulator: int, gateway: int) -> Figures:
    path, links = REQUESTS[name]
    today = int(time.time())
    path = path.replace("{days}", f"&since={today - 29 * 86_400}&until={today - 86_400}")
    url = f"http://127.0.0.1:{gateway}{path}"
    own = f"http://127.0.0.1:{simulator}/_simulator"
    _post(f"{own}/switches", {"latency_ms": 0, "modash_rate_limit": 0})
    for _ in range(8):  # Both workers get their connections.
        _get(url)
    _post(f"{own}/calls/reset", {})
    _get(url)
    calls = json.loads(_get(f"{own}/calls"))
    if links is None:
        # Pages follow each other; all else stands beside the first of them.
        links = sum(count for path_, count in calls["instagram"]["by_path"].items() if path_.endswith("/media"))
    _post(f"{own}/switches", {"latency_ms": LATENCY * 1000})
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        _get(url)
        seconds.append(time.perf_counter() - started)
    beside = calls["total"] - links + 1
    bound = (math.ceil(beside / PARALLEL) + links - 1) * LATENCY + ALLOWED
    median = statistics.median(seconds)
    return {
        "request": name,
        "calls": calls["total"],
        "links": links,
        "bound_ms": bound * 1000,
        "median_ms": median * 1000,
        "ratio": median / bound,
    }


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310  # Our own URLs.
        return bytes(response.read())


def _post(url: str, body: dict[str, object]) -> None:
    request = urllib.request.Request(  # noqa: S310  # Our own URLs.
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310


def _wait(url: str) -> None:
    for _ in range(200):
        try:
            _get(url)
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"{url} does not answer")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
