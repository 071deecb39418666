"""Reads lines of history into the database: each line is checked, and nothing better is replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from services.history.transfer.checks import check
from services.history.transfer.text import from_text
from services.store.exported_tables import SECTIONS, Assembly, Section
from services.store.line_fields import Line, LineError, Row
from services.store.transfer import Transfer

ROWS_AT_ONCE = 500  # in one transaction
SECTION_OF: Mapping[str, Section] = {section.kind: section for section in SECTIONS}

OnRefused = Callable[[int, str], None]
"""Gets the number of a line that was refused, and why."""


class OtherModeError(Exception):
    """The file is of the other mode; the text says so."""


@dataclass
class ImportCounts:
    """What became of a file: lines that were read, those that were refused, and the rows that the others are."""

    lines: int = 0
    refused: int = 0
    rows: int = 0


@dataclass
class HistoryImport:
    """One file on its way into the database; `mode` is that of the rows that it may have, `today` the Pacific day."""

    transfer: Transfer
    mode: str
    on_refused: OnRefused
    today: date
    counts: ImportCounts = field(default_factory=ImportCounts)
    _assembly: Assembly | None = None
    _begun_at: int = 0  # the number of its first line
    _batch: list[Row] = field(default_factory=list)
    _section: Section | None = None

    def read(self, file: Iterable[str]) -> ImportCounts:
        """Read a file to its end; a line that is refused does not stop it, and may be given again.

        Raises `OtherModeError` for a file of the other mode, `DatabaseUnavailableError`. What was read before stays.
        """
        for number, found in from_text(file):
            self.counts.lines += 1
            try:
                if isinstance(found, LineError):
                    raise found
                self._add(number, found)
            except LineError as error:
                self._refuse(number, str(error))
        self._end_row()
        self._flush()
        return self.counts

    def _add(self, number: int, line: Line) -> None:
        if line["mode"] not in ("live", "sandbox"):  # A set would have to hash it, and it may be a list.
            raise LineError("mode: accepted: live, sandbox")
        if line["mode"] != self.mode:
            raise OtherModeError(
                f"Line {number} is of {line['mode']} mode, and this gateway runs in {self.mode} mode. "
                "Sandbox numbers never become live ones, nor the other way round."
            )
        check(line, self.today)
        if self._assembly is not None and self._assembly.takes(line):
            self._assembly.add(line)
            return
        section = SECTION_OF.get(line["kind"]) if isinstance(line["kind"], str) else None
        if section is None:
            raise LineError(f"kind: accepted: {', '.join(SECTION_OF)}")
        begun = section.begin(line)
        self._end_row()
        self._assembly, self._begun_at = begun, number

    def _end_row(self) -> None:
        """Keep the row whose lines were read."""
        assembly, self._assembly = self._assembly, None
        if assembly is None:
            return
        try:
            row = assembly.row()
        except LineError as error:
            self._refuse(self._begun_at, str(error))
            return
        if self._section is not assembly.section or len(self._batch) >= ROWS_AT_ONCE:
            self._flush()
        self._section = assembly.section
        self._batch.append(row)

    def _flush(self) -> None:
        if self._section is not None and self._batch:
            self.counts.rows += len(self._batch)
            self.transfer.keep(self._section, self._batch)
        self._batch = []

    def _refuse(self, number: int, reason: str) -> None:
        self.counts.refused += 1
        self.on_refused(number, reason)
