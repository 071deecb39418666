"""Memory: resident size of each worker before, after 20,000 different requests, and after 200,000 more of the same.

Half of the requests are the same posts with different parameters (many replies from few values), half are creators (a
value each). The creators' reports are already in the store: at MODASH_RATE=2 buying 10,000 would take more than an
hour. `flatness` is the last size divided by that after the first pass; it contains some growth, because each worker
sees the other half of the keys only then. `flatness_late` is the last size divided by that after half of the
repetitions: above 1 it is a leak.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice, product
from pathlib import Path

from benchmarks.load import BUSY, OK, MisleadingError, Plan, Result, run
from benchmarks.stage import Options, Row, Stage
from config import SANDBOX_CREDENTIALS

KEYS, REQUESTS = 20_000, 200_000
QUICK = 10  # times fewer of both
CALLERS = 16
PATIENCE = 900.0  # seconds


def measure(options: Options) -> list[Row]:
    """Send the requests and read the size of each worker between them."""
    share = options.pick(1, QUICK)
    paths = _paths(KEYS // share)
    with Stage() as stage:
        settings = stage.settings(stage.simulator())
        gateway = stage.gateway(settings)
        gateway.get(f"/performance-data?url={_creator(0)}").raise_for_status()
        _copy_report(Path(settings["INSTANCE_PATH"]), copies=len(paths) // 2)
        _run(gateway.port, ("/healthz",), 100)
        before = gateway.resident_megabytes()
        first = _run(gateway.port, paths, len(paths))
        filled = gateway.resident_megabytes()
        half = REQUESTS // share // 2
        more = [_run(gateway.port, paths, half)]
        halfway = gateway.resident_megabytes()
        more.append(_run(gateway.port, paths, half))
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
        }
        for number, pid in enumerate(sorted(after), start=1)
    ]


def _paths(count: int) -> tuple[str, ...]:
    """Return as many different requests: every second one is for another creator."""
    posts = islice(_posts(), count // 2)
    return tuple(
        path for number, post in enumerate(posts) for path in (post, f"/performance-data?url={_creator(number)}")
    )


def _creator(number: int) -> str:
    return f"creator{number:05}"


def _copy_report(instance: Path, *, copies: int) -> None:
    """Copy the report of the first creator to the others, in the store itself."""
    with closing(sqlite3.connect(instance / "gateway.db", timeout=30)) as database, database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(reports)")]
        same = ", ".join(name for name in columns if name not in {"id", "creator"})
        copy = f"INSERT INTO reports (creator, {same}) SELECT ?, {same} FROM reports WHERE creator = ?"  # noqa: S608
        database.executemany(copy, [(_creator(number), _creator(0)) for number in range(1, copies)])
        if database.execute("SELECT count(*) FROM reports").fetchone() != (copies,):
            raise MisleadingError("The reports were not copied.")


def _posts() -> Iterator[str]:
    accounts = ("", f"&account={SANDBOX_CREDENTIALS['instagram_account_id']}")
    types = ("", *(f"&media_product_type={name}" for name in ("AD", "FEED", "REELS")))
    formats = ("", "&format=json", "&format=csv")
    for account, type_, format_, days, limit in product(accounts, types, formats, range(1, 31), range(1, 51)):
        yield f"/top-posts?time_range={days}d&limit={limit}{type_}{format_}{account}"


def _run(port: int, paths: tuple[str, ...], requests: int) -> Result:
    plan = Plan(ports=(port,), paths=paths, callers=CALLERS, requests=requests, returns=100, patience=PATIENCE)
    return run(plan).require(OK, BUSY)
