"""`make export`: writes the kept history of all accounts, or of one, as lines: one value each."""

from __future__ import annotations

import argparse
import gzip
import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import TextIO, cast

from commands import DONE, FAILED, Refused, UsageError
from commands.arguments import given_path
from commands.exit_status import end, kind_of
from commands.migrate import migrate_or_explain
from config import Config
from config_parsing import listed
from services.clock import Clock
from services.errors import AccountUnknownError, InsightsError
from services.history.transfer.text import FORMATS
from services.rendering.plurals import counted
from services.store.transfer import Selection
from services.wiring.container import Services

SHOWN_EVERY = 50_000  # lines
MOST_SHOWN = 20  # accounts
EXAMPLE = """\
examples:
  make export ARGS="--out history.ndjson.gz"                        everything of this mode
  make export ARGS="--account corner.bakery --metrics reach,views --since 2026-01-01 --format csv --out reach.csv"
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write an export; print a failure as one sentence, without a traceback."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.since and options.until and options.since > options.until:
        parser.error(f"--since {options.since} is after --until {options.until}")
    logging.disable(logging.WARNING)  # The output says the same.
    return end(partial(_run, options), stopped="Stopped.")


def _run(options: argparse.Namespace) -> int:
    config = Config.from_env()
    migrate_or_explain(config)
    with closing(Services.build(config, Clock())) as services:
        try:
            _export(services, options)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Else Python complains when it ends.
            return FAILED
        except OSError as error:
            raise Refused(f"The file cannot be written: {error}") from None
    return DONE


def _export(services: Services, options: argparse.Namespace) -> None:
    export = services.export
    kept = export.all_accounts()
    accounts = kept if options.account is None else [_id(services, options.account, kept)]
    metrics = export.names(accounts, options.metrics)
    selection = Selection(metrics, options.since, options.until)
    count = 0
    first = 0 if options.format == "csv" else 1  # The head of CSV is no line of the history.
    with _written(options.out) as file:
        for count, text in enumerate(export.text(accounts, selection, options.format), first):
            file.write(text)
            if count % SHOWN_EVERY == 0 and sys.stderr.isatty():
                print(f"\r{count:,} lines", end="", file=sys.stderr)
    if options.out:
        of = counted(len(accounts), "account")
        lines = counted(count, f"line of {of} is", f"lines of {of} are")
        print(f"{lines} in {options.out}.", file=sys.stderr)


def _id(services: Services, reference: str, kept: Sequence[str]) -> str:
    """Return the id of an account; an id may also be that of one that was removed and left its history.

    Raises `UsageError`, and `Refused` where a username could not be looked up, with what was wrong.
    """
    if reference in kept:
        return reference
    try:
        return services.accounts.find(reference).id
    except InsightsError as error:
        shown = ", ".join(kept[:MOST_SHOWN]) + (
            f" and {counted(len(kept) - MOST_SHOWN, 'other')}" if kept[MOST_SHOWN:] else ""
        )
        why = "" if isinstance(error, AccountUnknownError) else f"\nIt was not looked up as a username: {error.message}"
        raise kind_of(error)(
            f"--account {reference!a}: there is no such account here, and no history of one.\n"
            f"Accounts with history: {shown or 'none'}.{why}"
        ) from None


def _metrics(text: str) -> tuple[str, ...]:
    if not (names := tuple(listed(text))):
        raise argparse.ArgumentTypeError("accepted: names of metrics, comma-separated")
    return names


@contextmanager
def _written(name: str | None) -> Iterator[TextIO]:
    """Give the file to write to; one that is named appears only when it is complete."""
    if name is None:
        standard_output = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
        yield standard_output
        standard_output.detach()  # It would close standard output with itself.
        return
    is_compressed = name.endswith(".gz")
    if Path(name).exists() and not Path(name).is_file():  # A pipe or a device stays what it is.
        with _opened(Path(name), is_compressed=is_compressed) as file:
            yield file
        return
    part = Path(f"{name}.{token_hex(4)}.part")  # Another export to this file may be under way.
    try:
        with _opened(part, is_compressed=is_compressed) as file:
            yield file
        part.replace(name)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _opened(path: Path, *, is_compressed: bool) -> Iterator[TextIO]:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # The numbers are the customers' own.
    except OSError as error:
        raise UsageError(f"The file cannot be written: {error}") from None
    with os.fdopen(descriptor, "wb") as raw:
        if not is_compressed:
            with io.TextIOWrapper(raw, encoding="utf-8", newline="") as file:
                yield file
            return
        # Without a time and a name, so that equal exports are equal files.
        with (
            gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed,
            io.TextIOWrapper(cast(io.BufferedWriter, packed), encoding="utf-8", newline="") as file,
        ):
            yield file


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make export", description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--account", help="id or username; default: every account with history, also removed ones")
    parser.add_argument("--metrics", type=_metrics, default=(), help="comma-separated; default: everything")
    parser.add_argument("--since", type=_day, help="the first day, such as 2026-01-01")
    parser.add_argument("--until", type=_day, help="the last day")
    parser.add_argument("--format", choices=FORMATS, default="ndjson", help="default: ndjson")
    parser.add_argument(
        "--out", type=given_path, metavar="FILE", help="compressed if it ends in .gz; default: standard output"
    )
    return parser


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("accepted: a day such as 2026-11-21") from None


if __name__ == "__main__":
    sys.exit(main())
