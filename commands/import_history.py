"""`make import`: reads a file that `make export` or `GET /export` wrote into the database of the settings."""

from __future__ import annotations

import argparse
import codecs
import gzip
import io
import logging
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from commands.migrate import MigrationError, migrate_or_explain
from config import Config, ConfigError
from services.clock import Clock
from services.container import Services
from services.days import pacific_day
from services.store.database import DatabaseUnavailableError
from services.transfer.importing import HistoryImport, OtherModeError

MOST_SHOWN = 20  # lines that were refused
SHOWN_EVERY = 10_000  # lines
GZIP = b"\x1f\x8b"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read a file; return 1 if a line was refused or the file could not be read to its end."""
    options = _parser().parse_args(arguments)
    logging.disable(logging.WARNING)  # The output says the same.
    refused = 0

    def show(number: int, reason: str) -> None:
        nonlocal refused
        refused += 1
        if refused <= MOST_SHOWN:
            print(f"line {number}: {reason}", file=sys.stderr)

    try:
        config = Config.from_env()
        migrate_or_explain(config)
        clock = Clock()
        services = Services.build(config, clock)
        try:
            with _opened(options.file) as file:
                today = pacific_day(clock.now())
                counts = HistoryImport(services.store.transfer, config.providers, show, today).read(_counted(file))
        finally:
            services.close()
    except KeyboardInterrupt:
        print("\nStopped. Give the file again; what was read stays.", file=sys.stderr)
    except DatabaseUnavailableError as error:
        print(f"The database is unavailable: {error}\nGive the file again; what was read stays.", file=sys.stderr)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        print(f"The file cannot be read: {error}", file=sys.stderr)
        if isinstance(error, UnicodeDecodeError):
            print("Accepted: text in UTF-8 or, with a byte order mark, in UTF-16.", file=sys.stderr)
    except (ConfigError, MigrationError, OtherModeError) as error:
        print(error, file=sys.stderr)
    else:
        print(f"{counts.lines:,} lines were read, {counts.rows:,} values and stories are kept, ", end="")
        print(f"{counts.refused:,} lines were refused.")
        return 1 if counts.refused else 0
    return 1


def _counted(file: TextIO) -> Iterator[str]:
    """Yield the lines of a file, and show on a terminal how many were read."""
    is_shown = sys.stderr.isatty()
    for number, text in enumerate(file, 1):
        if is_shown and number % SHOWN_EVERY == 0:
            print(f"\r{number:,} lines", end="", file=sys.stderr, flush=True)
        yield text
    if is_shown:
        print("\r", end="", file=sys.stderr)


@contextmanager
def _opened(name: str) -> Iterator[TextIO]:
    with io.BufferedReader(io.FileIO(sys.stdin.fileno() if name == "-" else name)) as raw:
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
