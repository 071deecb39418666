"""`make backfill`: reads the past of accounts now, instead of waiting for the worker to do it.

It can be stopped at any time. The same command then goes on where it was, and so does the worker.
"""

from __future__ import annotations

import argparse
import contextvars
import logging
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import date
from functools import partial
from typing import TextIO

from commands import UsageError
from commands.exit_status import end
from commands.migrate import migrate_or_explain
from commands.progress import Progress
from config import Config
from services import request_context
from services.clients.guard.usage import QUOTA_PAUSE, WORK_BELOW
from services.clock import Clock
from services.errors import PASSING, InsightsError
from services.history.snapshots import SLICE, AccountSnapshotter, BackfillStep
from services.rendering.plurals import counted
from services.request_context import RequestContext
from services.wiring.container import Services

FAILURES = 5  # in a row that may pass, before an account is given up
FIRST_WAIT = 30.0  # seconds after a failure, then twice as long each time

EXAMPLE = """\
examples:
  make backfill                                                         every account, as far back as possible
  make backfill ARGS="--account corner.bakery"
  make backfill ARGS="--account corner.bakery --since 2026-01-01 --until 2026-03-31"
"""


class Backfill:
    """Reads the past of accounts one after another, and shows how far it is."""

    def __init__(self, snapshots: AccountSnapshotter, clock: Clock, out: TextIO) -> None:
        self._snapshots = snapshots
        self._clock = clock
        self._progress = Progress(out)

    def run(self, accounts: Sequence[str], *, since: date | None, until: date | None) -> int:
        """Read all that is missing; return how many accounts could not be read to the end."""
        return sum(not self._account(account, since, until) for account in accounts)

    def _account(self, account: str, since: date | None, until: date | None) -> bool:
        done = failures = 0
        limit = 0  # First it is said how many calls it will take.
        self._progress.begin()
        while True:
            try:
                step = self._slice(account, since, until, limit=limit)
            except InsightsError as error:
                failures += 1
                if failures == FAILURES or not isinstance(error, PASSING):
                    self._progress.clear()
                    print(f"{account}: {error.message} {error.hint or ''}".rstrip(), file=sys.stderr)
                    return False
                self._wait(account, max(FIRST_WAIT * 2 ** (failures - 1), error.retry_after or 0), error.code)
                continue
            if not limit and step.left:
                limit = SLICE
                self._progress.say(f"{account}: {counted(step.left, 'call')} to make")
                continue
            done += step.calls
            failures = 0 if step.calls else failures
            if step.is_paused:
                self._wait(account, QUOTA_PAUSE, f"{WORK_BELOW} % of its quota are used")
                continue
            if not done and not step.left:
                self._progress.say(f"{account}: nothing is missing; everything that Instagram answers was read before")
                return True
            self._progress.show(account, done, done + step.left, "calls")
            if not step.left:
                return True

    def _slice(self, account: str, since: date | None, until: date | None, *, limit: int) -> BackfillStep:
        """Read a slice as background work, which never takes a place or the quota from callers."""

        def read() -> BackfillStep:
            context = RequestContext(started_at=self._clock.timestamp(), is_background=True)
            request_context.current.set(context)
            return self._snapshots.backfill(account, since=since, until=until, limit=limit)

        return contextvars.Context().run(read)

    def _wait(self, account: str, seconds: float, why: str) -> None:
        self._progress.say(f"{account}: waits {seconds:,.0f} s ({why})")
        self._clock.wait(seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill in the past of one account or of all; return 1 if one could not be read to the end."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.since is not None and options.until is not None and options.since > options.until:
        parser.error(f"--since {options.since} is after --until {options.until}")
    logging.disable(logging.WARNING)  # The output says the same.
    again = "Give the command again: it goes on here."
    return end(partial(_run, options), again=again, stopped="Stopped. The same command goes on here.")


def _run(options: argparse.Namespace) -> int:
    config, clock = Config.from_env(), Clock()
    migrate_or_explain(config)
    with closing(Services.build(config, clock)) as services:
        return fill(services, clock, options.account, since=options.since, until=options.until, out=sys.stdout)


def fill(
    services: Services, clock: Clock, reference: str | None, *, since: date | None, until: date | None, out: TextIO
) -> int:
    """Fill in the past of the account with an id or username, or of every account; return the exit status.

    Raises `UsageError` for a range of which Instagram has no day.
    """
    answered = services.snapshots.answered_days()
    if (until is not None and until < answered.first) or (since is not None and since > answered.last):
        raise UsageError(
            f"Instagram cannot be asked for any day of this range: it keeps days from {answered.first} on, and the "
            f"last one whose values are final is {answered.last}."
        )
    accounts = services.snapshots.accounts() if reference is None else [services.accounts.find(reference).id]
    failed = Backfill(services.snapshots, clock, out).run(accounts, since=since, until=until)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make backfill",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--account", help="id or username; default: every account")
    parser.add_argument("--since", type=_day, help="the first Pacific day; default: the first that Instagram keeps")
    parser.add_argument("--until", type=_day, help="the last Pacific day; default: the last whose values are final")
    return parser


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("accepted: a date such as 2026-01-31") from None


if __name__ == "__main__":
    sys.exit(main())
