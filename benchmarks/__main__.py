"""`make bench`: runs all benchmarks or the named ones; prints tables, and writes JSON to compare runs.

python -m benchmarks [names] [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.stage import Options, OverLimitError, Row
from benchmarks.tables import table
from commands.isolation import isolate_this_process

NAMES = (
    "cold",
    "warm",
    "warm_postgresql",
    "warm_parts",
    "cached",
    "cached_postgresql",
    "stampede",
    "polling_day",
    "history_days",
    "paid_once",
    "slow_provider",
    "memory_use",
    "abuse",
    "webhooks",
    "history_scale",
)


def main() -> int:
    """Run each benchmark, also after one has failed; return 1 if one failed."""
    isolate_this_process()
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _leave)
    options = Options(quick=arguments.quick)
    results: dict[str, Any] = {"machine": _machine(), "quick": options.quick, "measurements": {}}
    failed = False
    for name in arguments.names or NAMES:
        outcome = _measured(name, options)
        failed |= "error" in outcome
        results["measurements"][name] = outcome
        if arguments.json:
            # After each benchmark, so that an interrupted run keeps its results.
            arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 1 if failed else 0


def _measured(name: str, options: Options) -> Mapping[str, object]:
    module = import_module(f"benchmarks.{name}")
    print(f"\n{name}: {(module.__doc__ or '').splitlines()[0]}", flush=True)
    started = time.perf_counter()
    try:
        rows: list[Row] = module.measure(options)
    except OverLimitError as error:
        print(table(error.rows))
        print(f"{error}", file=sys.stderr)
        return {"error": str(error), "rows": error.rows}
    except Exception as error:  # noqa: BLE001  # The other benchmarks still run.
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}
    seconds = time.perf_counter() - started
    print(table(rows))
    print(f"({seconds:.0f} s)", flush=True)
    return {"seconds": round(seconds, 1), "rows": rows}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the gateway on this machine.")
    parser.add_argument("names", nargs="*", choices=[[], *NAMES], metavar="name", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="short and rough: a smoke test of every benchmark")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results there too")
    return parser.parse_args()


def _machine() -> Mapping[str, object]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(1)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
