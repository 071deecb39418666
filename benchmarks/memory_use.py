"""Memory: what each worker holds before, after 20,000 different requests, and after 200,000 more over the same ones.

Half of them are the same posts asked for in different ways (many replies of few values), half are creators (a value
each). `flatness` is the last figure by the one after the keys; it holds some growth, for each worker meets the other
half of the keys only now. `flatness_late` is the last by that after half of the requests: beyond 1 it is a leak.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product

from benchmarks.load import OK, Plan, Result, run
from benchmarks.stage import Options, Row, Stage
from config import SANDBOX_CREDENTIALS

KEYS, REQUESTS = 20_000, 200_000
QUICK = 10  # times fewer of both
CALLERS = 16
PATIENCE = 900.0  # seconds


def measure(options: Options) -> list[Row]:
    """Ask, and look at each worker."""
    share = options.pick(1, QUICK)
    paths = _paths(KEYS // share)
    with Stage() as stage:
        gateway = stage.gateway(stage.settings(stage.simulator()))
        run(_plan(gateway.port, ("/healthz",), 100))
        before = gateway.resident_megabytes()
        first = run(_plan(gateway.port, paths, len(paths)))
        filled = gateway.resident_megabytes()
        half = REQUESTS // share // 2
        more = [run(_plan(gateway.port, paths, half))]
        halfway = gateway.resident_megabytes()
        more.append(run(_plan(gateway.port, paths, half)))
        after = gateway.resident_megabytes()
    same = before.keys() == after.keys()
    return [
        {
            "worker": f"{number}" if same else f"{number} (not the one that began)",
            "keys": len(paths),
            "requests": 2 * half,
            "before_mb": before.get(pid),
            "after_keys_mb": filled.get(pid),
            "after_half_mb": halfway.get(pid),
            "after_requests_mb": after[pid],
            "flatness": after[pid] / filled[pid] if pid in filled else None,
            "flatness_late": after[pid] / halfway[pid] if pid in halfway else None,
            "keys_per_s": first.rate,
            "requests_per_s": more[-1].rate,
            "not_200": sum(map(_others, (first, *more))),
        }
        for number, pid in enumerate(sorted(after), start=1)
    ]


def _paths(count: int) -> tuple[str, ...]:
    """Return as many different requests: every second one is of a creator of its own."""
    posts = islice(_posts(), count // 2)
    return tuple(
        path for number, post in enumerate(posts) for path in (post, f"/performance-data?url=creator{number:05}")
    )


def _posts() -> Iterator[str]:
    accounts = ("", f"&account={SANDBOX_CREDENTIALS['instagram_account_id']}")
    types = ("", *(f"&media_product_type={name}" for name in ("AD", "FEED", "REELS")))
    formats = ("", "&format=json", "&format=csv")
    for account, type_, format_, days, limit in product(accounts, types, formats, range(1, 31), range(1, 51)):
        yield f"/top-posts?time_range={days}d&limit={limit}{type_}{format_}{account}"


def _plan(port: int, paths: tuple[str, ...], requests: int) -> Plan:
    return Plan(ports=(port,), paths=paths, callers=CALLERS, requests=requests, returns=100, patience=PATIENCE)


def _others(result: Result) -> int:
    return result.overall.count - result.count(OK)
