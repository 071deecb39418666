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

    A fault of the disk, which may pass, keeps no other file from being read. It is logged once, and tried again.
    """

    def __init__(self, instance_path: str, *, mode: str) -> None:
        self._folder = spool_folder(instance_path)
        self._mode = mode
        self._booked: set[str] = set()  # the names of files that could not be deleted
        self._noted: set[tuple[str, str]] = set()  # the faults that were logged, by file

    def put(self, opened: Opened, content: str) -> None:
        """Keep the content of a settlement (`content_of`); raises `OSError`."""
        _write(self._path(opened), content)

    def remove(self, opened: Opened) -> None:
        """Delete the file of a row of the ledger, if there is one."""
        self._delete(self._path(opened))

    def has(self, opened: Opened) -> bool:
        """Return whether there is a file of a row of the ledger."""
        return os.path.exists(self._path(opened))

    def read(self) -> Iterator[tuple[Opened, Settlement]]:
        """Yield what waits, also from processes that have ended; a file that holds no settlement is renamed."""
        booked, noted = set(self._booked), set(self._noted)
        try:
            names = sorted(each.name for each in os.scandir(self._folder) if self._is_mine(each.name))
        except FileNotFoundError:
            names = []
        except OSError as error:
            self._note(FOLDER, error)
            return
        self._booked -= booked.difference(names)
        self._noted -= {each for each in noted if each[0] not in {FOLDER, *names}}
        for name in names[:MAX_FILES]:
            path = self._folder / name
            if name in self._booked:
                self._delete(path)
                continue
            try:
                found = _parsed(path.read_text("ascii"))
            except OSError as error:
                self._note(name, error)
                continue
            except (ValueError, KeyError, TypeError, AttributeError):
                if self._is_renamed(path):
                    log.exception("A settlement in a file cannot be read; the file is renamed", extra={"file": name})
                continue
            yield found

    def _is_renamed(self, path: Path) -> bool:
        """Rename a file that holds no settlement; return False where another process has, or it is tried again."""
        try:
            path.rename(path.with_name(path.name + UNREADABLE))
        except OSError as error:
            self._note(path.name, error)
            return False
        return True

    def _delete(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)  # Another process may have booked it meanwhile.
        except OSError as error:
            self._booked.add(path.name)
            self._note(path.name, error)
        else:
            self._booked.discard(path.name)

    def _note(self, name: str, error: OSError) -> None:
        """Log a fault once; a file that another process has booked meanwhile is none."""
        fault = error.strerror or str(error)
        if not isinstance(error, FileNotFoundError) and (name, fault) not in self._noted:
            self._noted.add((name, fault))
            log.error("A file of unbooked results cannot be used", extra={"file": name, "fault": fault})

    def _is_mine(self, name: str) -> bool:
        return name.startswith(f"{self._mode}-") and name.endswith(".json")

    def _path(self, opened: Opened) -> Path:
        # With the moment: the ids of another database, which replaced the first one, begin at 1 again.
        return self._folder / f"{self._mode}-{opened.id}-{round(opened.at * 1000)}.json"


def spool_folder(instance_path: str) -> Path:
    """Return the folder with the files of every mode."""
    return Path(instance_path) / FOLDER


def spooled_files(instance_path: str) -> dict[str, str]:
    """Return the files of every mode by name, also those that could not be read as settlements; raises `OSError`."""
    found: dict[str, str] = {}
    try:
        paths = sorted(Path(each) for each in os.scandir(spool_folder(instance_path)))
    except (FileNotFoundError, NotADirectoryError):
        return found
    for path in paths:
        if path.suffix in {".json", UNREADABLE}:
            with suppress(FileNotFoundError):  # It has been booked meanwhile.
                found[path.name] = path.read_text("ascii", errors="backslashreplace")
    return found


def write_spooled_files(folder: Path, files: Mapping[str, str]) -> None:
    """Put files into a folder, durably; one that is there stays. Raises `OSError`."""
    for name, content in files.items():
        path = folder / Path(name).name
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
