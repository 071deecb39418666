"""Mutation testing: cosmic-ray puts one fault after another into a room, whose tests should notice each.

A mutant that survives is either a hole in the tests or equivalent: it behaves as the original does. The equivalent ones
are listed in `tests/equivalent_mutants.toml`, each with its reason; any other survivor is reported.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import WorkerOutcome, WorkResult

from commands.isolation import isolated

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENT = ROOT / "tests" / "equivalent_mutants.toml"
MUTANT_TIMEOUT = 300.0  # seconds; a mutant whose tests take longer loops, which counts as noticed
SEED = 1  # of the choice of a share

# Operators whose mutants say nothing: annotations (`int | None`) are not evaluated; a missing decorator fails at
# import; of words and identities only the negation differs; `frozen=False` changes nothing that keeps to it.
SKIPPED_OPERATORS = re.compile(
    r"core/(ReplaceBinaryOperator_BitOr_\w+|RemoveDecorator"
    r"|ReplaceComparisonOperator_(Eq_(?!NotEq)|NotEq_(?!Eq)|Is_(?!IsNot)|IsNot_(?!Is$))\w+)"
)
FROZEN = re.compile(r"@dataclass\(")
KEYWORD_ONLY, POSITIONAL_ONLY = "*,", "/,"  # in a signature, where no call depends on which of them stands there


@dataclass(frozen=True)
class MutationTarget:
    """The modules in which faults are put, and the tests that should notice them."""

    modules: Sequence[str]
    tests: Sequence[str]


ROOMS: Mapping[str, MutationTarget] = {
    "growth": MutationTarget(
        ("services/growth",),
        (
            "tests/test_growth.py",
            "tests/insights/test_followers_at_both_ends.py",
            "tests/api/test_growth_trends.py",
            "tests/api/test_growth_trends_parts.py",
            "tests/api/test_growth_trends_followers.py",
            "tests/api/test_growth_trends_by_reach.py",
            "tests/api/test_growth_from_history.py",
            "tests/api/test_kept_trends.py",
            "tests/api/test_post_list.py",
            "tests/api/test_csv.py",
        ),
    ),
    "engagement": MutationTarget(
        ("services/posts/engagement_rate.py", "services/posts/engagement_score.py"),
        (
            "tests/posts/test_engagement_rate.py",
            "tests/api/test_top_posts.py",
            "tests/api/test_growth_trends_parts.py",
            "tests/api/test_growth_trends_by_reach.py",
        ),
    ),
    "days": MutationTarget(
        ("services/days.py", "services/windows.py"), ("tests/test_days.py", "tests/test_windows.py")
    ),
    "values": MutationTarget(
        ("services/insights/values.py",), ("tests/insights/test_values.py", "tests/insights/test_values_by_day.py")
    ),
    "ledger": MutationTarget(
        ("services/store/ledger.py", "services/store/credit_limits.py"), ("tests/store/test_ledger.py", "tests/reports")
    ),
    "purchasing": MutationTarget(
        (
            "services/reports/purchasing.py",
            "services/reports/settlements.py",
            "services/reports/purchase_decision.py",
            "services/reports/purchase_policy.py",
        ),
        ("tests/reports", "tests/store/test_ledger.py"),
    ),
    "cache": MutationTarget(
        ("services/cache", "services/store/cache_entries.py", "services/store/cache_leases.py"),
        (
            "tests/test_documents.py",  # which compares each time-to-live with the documents
            "tests/store/test_leases.py",
            "tests/store/test_lock_order.py",
            "tests/store/test_cache_entries.py",
            "tests/cache",
            "tests/end_to_end/test_cache_of_processes.py",
        ),
    ),
    "guard": MutationTarget(
        ("services/clients/guard",),
        (
            "tests/clients/test_guard.py",
            "tests/clients/test_bulkhead.py",
            "tests/clients/test_shared_throttles.py",
            "tests/clients/test_usage_headers.py",
        ),
    ),
    "ready": MutationTarget(
        ("front/response_cache.py",),
        ("tests/front/test_response_cache_size.py", "tests/front/test_response_cache.py"),
    ),
    "jobs": MutationTarget(("services/store/jobs.py", "services/background"), ("tests/background",)),
}


@dataclass(frozen=True)
class Mutant:
    """One fault: the line as it is, the line as it was made, and where."""

    module: str
    line: int
    operator: str
    before: str
    after: str


@dataclass(frozen=True)
class MutantOutcome:
    """What became of the mutants of a room."""

    room: str
    number: int
    equivalent: int
    survivors: Sequence[Mutant]


def mutate(rooms: Collection[str], *, share: float, at_once: int) -> bool:
    """Put faults into rooms, side by side, and print the survivors; return whether there are none.

    `share` is the part of all faults that is tried, chosen at random.
    """
    with ThreadPoolExecutor(at_once) as rooms_at_once:
        outcomes = list(rooms_at_once.map(lambda name: _mutate(name, share), rooms))
    for outcome in outcomes:
        for mutant in outcome.survivors:
            print(f"{mutant.module}:{mutant.line}: {mutant.operator}\n  - {mutant.before}\n  + {mutant.after}")
        survived = f"{len(outcome.survivors)} survived, {outcome.equivalent} more are equivalent"
        print(f"{outcome.room}: {outcome.number} mutants, {survived}", flush=True)
    return not any(outcome.survivors for outcome in outcomes)


def _mutate(name: str, share: float) -> MutantOutcome:
    room = ROOMS[name]
    with tempfile.TemporaryDirectory(prefix=f"mutation-{name}-") as folder:
        checkout, session = Path(folder) / "checkout", Path(folder) / "session.sqlite"
        _copy_tracked(checkout)
        configuration = Path(folder) / "cosmic-ray.toml"
        configuration.write_text(_configuration(room))
        _run("init", str(configuration), str(session), cwd=checkout)
        _filter(session, share)
        _run("exec", str(configuration), str(session), cwd=checkout)
        survivors, number = [], 0
        for mutant, survived in _results(session, checkout):
            number += 1
            if survived:
                survivors.append(mutant)
    known = {(each["module"], each["before"], each["after"]) for each in _equivalent()}
    new = [each for each in survivors if (each.module, each.before, each.after) not in known]
    return MutantOutcome(name, number, len(survivors) - len(new), new)


def _copy_tracked(folder: Path) -> None:
    """Copy the files of this checkout as they are now, without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607  # The one on the path.
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def _configuration(room: MutationTarget) -> str:
    tests = f"{sys.executable} -m pytest -q -x -p no:cacheprovider {' '.join(room.tests)}"
    return (
        f"[cosmic-ray]\nmodule-path = {json.dumps(list(room.modules))}\ntimeout = {MUTANT_TIMEOUT}\n"
        f"excluded-modules = []\ntest-command = {json.dumps(tests)}\n"
        '[cosmic-ray.distributor]\nname = "local"\n'
    )


def _filter(session: Path, share: float) -> None:
    """Take mutants that mean nothing out of a session, and all but a share of the others."""
    chosen = random.Random(SEED)  # noqa: S311  # No secret.
    with use_db(str(session), WorkDB.Mode.open) as database:
        for item in list(database.pending_work_items):
            operators = [mutation.operator_name for mutation in item.mutations]
            is_none = any(SKIPPED_OPERATORS.fullmatch(operator) for operator in operators)
            if is_none or chosen.random() >= share:
                database.set_result(item.job_id, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))


def _results(session: Path, checkout: Path) -> Iterator[tuple[Mutant, bool]]:
    dumped = _run("dump", str(session), cwd=checkout)
    for line in dumped.splitlines():
        item, result = json.loads(line)
        if result is None:
            raise RuntimeError("The run ended before every mutant was tried.")
        if result["worker_outcome"] == "skipped":
            continue
        (mutation,) = item["mutations"]
        before, after = _changed(result["diff"])
        mutant = Mutant(mutation["module_path"], mutation["start_pos"][0], mutation["operator_name"], before, after)
        yield mutant, result["test_outcome"] == "survived" and not _means_nothing(before, after)


def _means_nothing(before: str, after: str) -> bool:
    return bool(FROZEN.match(before)) or before.replace(KEYWORD_ONLY, POSITIONAL_ONLY) == after


def _changed(diff: str) -> tuple[str, str]:
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    before = " ".join(line[1:].strip() for line in lines if line.startswith("-"))
    return before, " ".join(line[1:].strip() for line in lines if line.startswith("+"))


def _equivalent() -> Sequence[Mapping[str, Any]]:
    mutants: Sequence[Mapping[str, Any]] = tomllib.loads(EQUIVALENT.read_text()).get("mutant", [])
    return mutants


def _run(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "cosmic-ray"), *arguments],
        cwd=cwd,
        env=isolated({}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def main() -> int:
    """Mutate the rooms that were named, or all; return 1 if a mutant survived that is not known to be equivalent."""
    parser = argparse.ArgumentParser(prog="python -m commands.mutation", description=__doc__.splitlines()[0])
    parser.add_argument("rooms", nargs="*", choices=[[], *ROOMS], metavar="room", help=f"of {', '.join(ROOMS)}")
    parser.add_argument("--share", type=float, default=1.0, help="part of all faults that is tried, 0 to 1")
    arguments = parser.parse_args()
    is_clean = mutate(arguments.rooms or list(ROOMS), share=arguments.share, at_once=os.cpu_count() or 1)
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
