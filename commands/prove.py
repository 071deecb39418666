"""`make prove`: what takes too long for `make test`. Each part can be named: make prove ARGS="openapi mutation".

- fuzz: all cases of the fuzzing, of which `make test` takes every twelfth
- truth: the numbers of 200 accounts and windows against the truth of the simulator, of which `make test` takes half
- openapi: schemathesis calls the sandbox with what the OpenAPI document accepts, and with what it refuses
- months: a history of months of simulated time, with outages, kills and both clock changes
- tokens: 200 days of the tokens of 50 accounts of both logins
- mutation: faults put into the rooms of money and numbers, each of which a test has to notice; takes hours
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from commands.isolation import isolated
from commands.probe import answers, free_port

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN = 60.0  # seconds
EXAMPLES = 100  # random requests for each operation


def main() -> int:
    """Run each part, also after one has failed; return 1 if one failed."""
    parser = argparse.ArgumentParser(prog="make prove", description="Run what takes too long for `make test`.")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="part", help=f"of {', '.join(PARTS)}")
    failed = [name for name in parser.parse_args().parts or PARTS if not _passes(name)]
    print(f"Failed: {', '.join(failed)}." if failed else "All parts passed.")
    return 1 if failed else 0


def _passes(name: str) -> bool:
    began = time.monotonic()
    print(f"\n{name}", flush=True)
    code = PARTS[name]()
    print(f"{name}: {'failed' if code else 'passed'} after {time.monotonic() - began:.0f} s", flush=True)
    return code == 0


def _fuzz() -> int:
    return _run("pytest", "-q", "-n", "auto", "tests/fuzz", FUZZ="all")


def _truth() -> int:
    return _run("pytest", "-q", "-n", "auto", "tests/end_to_end/test_truth.py", TRUTH="all")


def _months() -> int:
    return _run("benchmarks", "history_days")


def _tokens() -> int:
    return _run("pytest", "-q", "tests/accounts/test_tokens_for_200_days.py", TOKENS="all")


def _mutation() -> int:
    return _run("commands.mutation")


def _openapi() -> int:
    with tempfile.TemporaryDirectory(prefix="prove-") as folder:
        port, simulator_port = free_port(), free_port()
        settings = {"PORT": str(port), "SIMULATOR_PORT": str(simulator_port), "INSTANCE_PATH": folder}
        with (Path(folder) / "gateway.log").open("wb") as log:
            gateway = subprocess.Popen(
                [sys.executable, "-m", "commands.run"], cwd=ROOT, env=isolated(settings), stdout=log, stderr=log
            )
            try:
                url = f"http://127.0.0.1:{port}"
                _wait_until_ready(f"{url}/healthz", gateway)
                # Of its checks those that judge the gateway by its own document; what a reply has to be, not how fast.
                return _run(
                    "schemathesis.cli",
                    "run",
                    f"{url}/openapi.json",
                    "--checks",
                    CHECKS,
                    "--max-examples",
                    str(EXAMPLES),
                    "--phases",
                    "examples,coverage,fuzzing",
                    "--continue-on-failure",
                )
            finally:
                gateway.terminate()
                gateway.wait()


def _run(module: str, *arguments: str, **environment: str) -> int:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, env=isolated(environment), check=False).returncode


def _wait_until_ready(url: str, gateway: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while not answers(url):
        if gateway.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("The gateway did not start; `make run` says why.")
        time.sleep(0.1)


CHECKS = ",".join(
    (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "unsupported_method",
    )
)
PARTS: Mapping[str, Callable[[], int]] = {
    "fuzz": _fuzz,
    "truth": _truth,
    "openapi": _openapi,
    "months": _months,
    "tokens": _tokens,
    "mutation": _mutation,
}


if __name__ == "__main__":
    sys.exit(main())
