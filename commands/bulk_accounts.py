"""Many accounts at once for `make account`: added from a file or from the pages of a user, and checked."""

from __future__ import annotations

import json
import stat
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TextIO

from commands import FAILED, INTERRUPTED
from commands.account_file import FileError, accounts_of
from commands.doctor import lines_of
from commands.progress import Progress
from services.accounts.adding import AccountAdding, Added, AdditionState, NewAccount
from services.accounts.checks import Check
from services.errors import BusyError, InsightsError, ProviderError
from services.store.accounts import AccountRow
from services.wiring.container import Services

IN_PART = 3  # the exit status: some were added, or skipped, and some failed
ENDED_WITHIN = 15.0  # seconds that calls under way have after Ctrl-C; a second one ends them
OTHERS_MAY_READ = stat.S_IRWXG | stat.S_IRWXO


def read_file(name: str, *, login: str | None) -> list[NewAccount]:
    """Return the accounts of a file, or of standard input (`-`); raise `FileError`. Warn where others can read it."""
    try:
        if name == "-":
            return accounts_of(sys.stdin.read(), login=login)
        path = Path(name)
        if path.stat().st_mode & OTHERS_MAY_READ:
            print(
                f"Warning: other users of this machine can read the tokens of {name}: chmod 600 {name}", file=sys.stderr
            )
        return accounts_of(path.read_text(encoding="utf-8"), login=login)
    except OSError as error:
        raise FileError(f"{name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise FileError(f"{name} is not in UTF-8.") from None


def add_all(services: Services, adding: AccountAdding, listed: Sequence[NewAccount], *, to_json: bool) -> int:
    """Add accounts side by side; return the exit status.

    Each failed account has a line with the reason and the next step. Ctrl-C keeps what was added.
    """
    progress, done, stopped = Progress(out_of(to_json=to_json)), list[Added](), threading.Event()

    def on_added(added: Added) -> None:
        if stopped.is_set() and isinstance(added.failure, BusyError):
            return  # It had not been sent.
        done.append(added)
        if added.failure is not None:
            progress.say("\n".join(_failure_lines(_label(added.new), added.failure)))
        progress.show("accounts", len(done), len(listed), "added or skipped")

    try:
        results = adding.add_many(listed, services.executor, on_added)
    except KeyboardInterrupt:
        stopped.set()
        _end_calls(services)
        known = {id(added.new): added for added in list(done)}
        results = [known.get(id(new)) or Added(new, AdditionState.NOT_TRIED) for new in listed]
    counts = Counter(added.outcome for added in results)
    cause = next(
        (added.failure for added in results if added.outcome is AdditionState.NOT_TRIED and added.failure), None
    )
    if cause is not None:
        progress.say("\n".join(_failure_lines("the app", cause)))
    if to_json:
        totals = {outcome.value: counts[outcome] for outcome in AdditionState}
        print(json.dumps({**totals, "accounts": [_as_json(added) for added in results]}, indent=2))
    progress.say(_summary(counts, is_interrupted=stopped.is_set()))
    if stopped.is_set():
        return INTERRUPTED
    failed = counts[AdditionState.FAILED] + counts[AdditionState.NOT_TRIED]
    return (IN_PART if failed < len(results) else FAILED) if failed else 0


def check_all(
    services: Services,
    rows: Sequence[AccountRow],
    *,
    failed_only: bool,
    to_json: bool,
    named: Callable[[AccountRow], str],
) -> int:
    """Check accounts side by side; return 1 if a check failed. Ctrl-C shows those that were checked until then."""
    progress, done = Progress(out_of(to_json=to_json)), dict[str, list[Check]]()

    def on_checked(index: int, checks: list[Check]) -> None:
        done[rows[index].id] = checks
        if len(rows) > 1:
            progress.show("accounts", len(done), len(rows), "checked")

    is_interrupted = False
    try:
        calls = [partial(_checked, services, row) for row in rows]
        services.executor.gather(calls, fatal=_never, on_result=on_checked)
    except KeyboardInterrupt:
        is_interrupted = True
        _end_calls(services)
    failing = {account for account, checks in done.items() if any(check.ok is False for check in checks)}
    shown = [row for row in rows if row.id in done and (row.id in failing or not failed_only)]
    totals = {"ok": len(done) - len(failing), "failing": len(failing), "not_checked": len(rows) - len(done)}
    if to_json:
        print(json.dumps({**totals, "accounts": [_checked_as_json(row, done[row.id]) for row in shown]}, indent=2))
    else:
        for row in shown:
            print("\n".join([f"{named(row)}:", *(line for check in done[row.id] for line in lines_of(check))]))
        if len(rows) > 1:
            counted = [f"{number} {name.replace('_', ' ')}" for name, number in totals.items() if number]
            print(f"{', '.join(counted)}.")
    if is_interrupted:
        return INTERRUPTED
    return FAILED if failing else 0


def _checked(services: Services, row: AccountRow) -> list[Check]:
    try:
        account = services.accounts.opened(row)
    except ProviderError as error:
        return [Check("token", False, error.message, error.hint, error.code)]
    return services.checkup.of(account)


def _checked_as_json(row: AccountRow, checks: Sequence[Check]) -> dict[str, object]:
    return {
        "id": row.id,
        "username": row.username or None,
        "login": row.login,
        "state": "failing" if any(check.ok is False for check in checks) else "ok",
        "checks": [check.as_json() for check in checks],
    }


def _end_calls(services: Services) -> None:
    """Let calls under way come to their end, so that what they bring is kept; those that wait for a place fail."""
    services.guards["instagram"].close()
    services.executor.wait_until_quiet(ENDED_WITHIN)


def _never(_error: ProviderError) -> bool:
    return False


def _label(new: NewAccount) -> str:
    names = [f"line {new.line}"] if new.line is not None else []
    names += [name for name in (new.username, new.id, f"page {new.page_id}" if new.page_id else "") if name][:1]
    return ", ".join(names) or f"{new.login} token"


def _failure_lines(label: str, failure: InsightsError) -> list[str]:
    lines = [f"FAIL {label}: {failure.message}"]
    return [*lines, f"       next: {failure.hint}"] if failure.hint else lines


def _as_json(added: Added) -> dict[str, object]:
    row, new, failure = added.row, added.new, added.failure
    return {
        "line": new.line,
        "id": (row.id if row is not None else new.id) or None,
        "username": (row.username if row is not None else new.username) or None,
        "login": new.login,
        "page_id": new.page_id or None,
        "outcome": added.outcome.value,
        "code": None if failure is None else failure.code,
        "message": None if failure is None else failure.message,
        "next_step": None if failure is None else failure.hint,
    }


def _summary(counts: Counter[AdditionState], *, is_interrupted: bool) -> str:
    names = {
        AdditionState.ADDED: "added",
        AdditionState.REPLACED: "replaced",
        AdditionState.SKIPPED: "skipped (added before with the same token)",
        AdditionState.FAILED: "failed",
        AdditionState.NOT_TRIED: "not tried",
    }
    parts = [f"{counts[outcome]} {name}" for outcome, name in names.items() if counts[outcome]]
    end = " The same command goes on here." if counts[AdditionState.FAILED] + counts[AdditionState.NOT_TRIED] else ""
    return f"{'Stopped: ' if is_interrupted else ''}{', '.join(parts) or 'nothing to add'}.{end}"


def out_of(*, to_json: bool) -> TextIO:
    """Return where sentences for people go: beside a report in JSON to standard error."""
    return sys.stderr if to_json else sys.stdout
