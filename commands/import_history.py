"""`make import`: reads a file that `make export` or `GET /export` wrote into the database of the settings."""

from __future__ import annotations

import argparse
import codecs
import gzip
import io
import logging
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import TextIO

from commands import DONE, FAILED, UsageError
from commands.exit_status import end
from commands.migrate import migrate_or_explain
from config import Config
from services.clock import Clock
from services.days import pacific_day
from services.history.transfer.importing import HistoryImport, OtherModeError
from services.rendering.plurals import counted
from services.wiring.container import Services

MOST_SHOWN = 20  # lines that were refused
SHOWN_EVERY = 10_000  # lines
GZIP = b"\x1f\x8b"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read a file; return 1 if a line was refused, 2 if the file could not be read to its end."""
    options = _parser().parse_args(arguments)
    logging.disable(logging.WARNING)  # The output says the same.
    again = "Give the file again; what was read stays."
    return end(partial(_run, options.file), again=again, stopped=f"Stopped. {again}")


def _run(name: str) -> int:
    config, clock = Config.from_env(), Clock()
    migrate_or_explain(config)
    with closing(Services.build(config, clock)) as services:
        reader = HistoryImport(services.store.transfer, config.providers, _shown(), pacific_day(clock.now()))
        try:
            with _opened(name) as file:
                counts = reader.read(_counted(file))
        except UnicodeDecodeError as error:
            accepted = "Accepted: text in UTF-8 or, with a byte order mark, in UTF-16."
            raise UsageError(f"The file cannot be read: {error}\n{accepted}") from None
        except (OSError, EOFError, zlib.error) as error:
            raise UsageError(f"The file cannot be read: {error}") from None
        except OtherModeError as error:
            raise UsageError(str(error)) from None
    kept = counted(counts.rows, "value, post or story is", "values, posts and stories are")
    refused = counted(counts.refused, "line was", "lines were")
    others = counts.lines > counts.rows + counts.refused
    why = " (with their buckets, of which each has a line of its own)" if others else ""
    print(f"{counted(counts.lines, 'line was', 'lines were')} read: {kept} kept{why}, {refused} refused.")
    return FAILED if counts.refused else DONE


def _shown() -> Callable[[int, str], None]:
    """Return what prints the lines that are refused, the first ones."""
    left = iter(range(MOST_SHOWN))

    def show(number: int, reason: str) -> None:
        if next(left, None) is not None:
            print(f"line {number}: {reason}", file=sys.stderr)

    return show


def _counted(file: TextIO) -> Iterator[str]:
    """Yield the lines of a file, and show on a terminal how many were read."""
    is_shown = sys.stderr.isatty()
    for number, text in enumerate(file, 1):
        if is_shown and number % SHOWN_EVERY == 0:
            print(f"\r{number:,} lines", end="", file=sys.stderr, flush=True)
        yield text
    if is_shown:
        print("\r", end="", file=sys.stderr)


def _unread(name: str) -> io.BufferedReader:
    try:
        return io.BufferedReader(io.FileIO(sys.stdin.fileno() if name == "-" else name))
    except OSError as error:
        raise UsageError(f"The file cannot be read: {error}") from None


@contextmanager
def _opened(name: str) -> Iterator[TextIO]:
    with _unread(name) as raw:
        is_compressed = raw.peek(len(GZIP))[: len(GZIP)] == GZIP
        content = gzip.open(raw) if is_compressed else raw  # noqa: SIM115  # Closed below.
        # Spreadsheets write either; in UTF-8 the mark is dropped with the first line.
        encoding = "utf-16" if content.peek(len(GZIP))[: len(GZIP)] in UTF_16 else "utf-8"
        with io.TextIOWrapper(content, encoding=encoding, newline="") as file:
            yield file


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make import", description=__doc__)
    parser.add_argument("file", help="newline-delimited JSON or CSV, plain or compressed; - for standard input")
    return parser


if __name__ == "__main__":
    sys.exit(main())
