"""Settlements that wait for the database, each in a file: a process that ends must not take a paid report with it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from services.store.ledger import Opened, Order, Settlement
from services.store.reports import NewReport

FOLDER = "unbooked"  # in the instance folder, beside gateway.db
UNREADABLE = ".unreadable"
MAX_FILES = 1000  # of one mode that are read in one go

log = logging.getLogger(__name__)


class SettlementSpool:
    """The files of one mode, one for each row of the ledger that could not be settled.

    A file is complete or absent: it is written under another name, synchronized, and renamed. It is deleted after its
    settlement was committed. A process that ends in between leaves it to be booked again, which changes nothing.
    """

    def __init__(self, instance_path: str, *, mode: str) -> None:
        self._folder = Path(instance_path) / FOLDER
        self._mode = mode

    def put(self, opened: Opened, content: str) -> None:
        """Keep the content of a settlement (`content_of`); raises `OSError`."""
        _write(self._path(opened), content)

    def remove(self, opened: Opened) -> None:
        """Delete the file of a row of the ledger, if there is one."""
        with suppress(FileNotFoundError):  # Another process has booked it meanwhile.
            self._path(opened).unlink()

    def read(self) -> Iterator[tuple[Opened, Settlement]]:
        """Yield what waits, also from processes that have ended; a file that cannot be read is renamed."""
        try:
            names = sorted(each.name for each in os.scandir(self._folder) if self._is_mine(each.name))
        except FileNotFoundError:
            return
        for name in names[:MAX_FILES]:
            path = self._folder / name
            try:
                found = _parsed(path.read_text("ascii"))
            except FileNotFoundError:
                continue
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                log.exception("A settlement in a file cannot be read; the file is renamed", extra={"file": name})
                path.rename(path.with_name(name + UNREADABLE))
                continue
            yield found

    def _is_mine(self, name: str) -> bool:
        return name.startswith(f"{self._mode}-") and name.endswith(".json")

    def _path(self, opened: Opened) -> Path:
        # With the moment: the ids of another database, which replaced the first one, begin at 1 again.
        return self._folder / f"{self._mode}-{opened.id}-{round(opened.at * 1000)}.json"


def spooled_files(instance_path: str) -> dict[str, str]:
    """Return the files of every mode by name, also those that could not be read as settlements."""
    found = {}
    for path in sorted((Path(instance_path) / FOLDER).glob("*")):
        if path.suffix in {".json", UNREADABLE}:
            with suppress(FileNotFoundError):  # It has been booked meanwhile.
                found[path.name] = path.read_text("ascii", errors="backslashreplace")
    return found


def write_spooled_files(instance_path: str, files: Mapping[str, str]) -> None:
    """Put files into the folder, durably; one that is there stays. Raises `OSError`."""
    for name, content in files.items():
        path = Path(instance_path) / FOLDER / Path(name).name
        if not path.exists():
            _write(path, content)


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    # Others on this machine may not read what was paid for.
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # Else the name may be lost in a power cut.
    finally:
        os.close(folder)


def _parsed(content: str) -> tuple[Opened, Settlement]:
    found = json.loads(content)
    settlement = found["settlement"]
    report = settlement.pop("report")
    return (
        Opened(found["id"], Order(**found["order"]), found["at"]),
        Settlement(**settlement, report=None if report is None else NewReport(*report)),
    )
