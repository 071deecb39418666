"""Lines of history as newline-delimited JSON and as CSV, and back."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Literal

from services.rendering.csv_cells import BOM, cell_text, text_cell
from services.rendering.plurals import counted
from services.store.line_fields import FIELDS, Line, LineError

Format = Literal["ndjson", "csv"]
FORMATS: tuple[Format, ...] = ("ndjson", "csv")
NUMBER = re.compile(r"-?\d+")
MAX_CELL = 16 * 1024 * 1024  # characters

_encode = json.JSONEncoder(separators=(",", ":")).encode


def as_text(lines: Iterable[Line], format_: Format) -> Iterator[str]:
    """Yield the text of lines, each with its end; CSV has a head first."""
    if format_ == "ndjson":
        return (f"{_encode(line)}\n" for line in lines)
    return chain([f"{BOM}{','.join(FIELDS)}\r\n"], _csv(lines))


def from_text(file: Iterable[str]) -> Iterator[tuple[int, Line | LineError]]:
    """Yield the lines of a text in either form, each with its number in the file, or with why it cannot be read."""
    numbered = enumerate(file, 1)
    for number, text in numbered:
        first = text.removeprefix(BOM)
        if not first.strip():
            continue
        if "\0" in first:
            yield number, LineError("it has NUL characters; accepted: UTF-8 or, with a byte order mark, UTF-16")
        elif first.startswith("{"):
            yield from _read_json(chain([(number, first)], numbered))
        else:
            yield from _read_csv(chain([first], (rest for _, rest in numbered)), number - 1)
        return


def _read_json(numbered: Iterable[tuple[int, str]]) -> Iterator[tuple[int, Line | LineError]]:
    for number, text in numbered:
        if text.strip():
            yield number, _json_line(text)


def _json_line(text: str) -> Line | LineError:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return LineError("it is not JSON; the file may be cut off here")
    return _complete(found) if isinstance(found, dict) else LineError("accepted: one JSON object a line")


def _read_csv(texts: Iterable[str], before: int) -> Iterator[tuple[int, Line | LineError]]:
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(texts, strict=True)
    head: list[str] | None = None
    try:
        for cells in reader:
            number = before + reader.line_num
            if head is None:
                head = cells
                if missing := [name for name in ("account", "kind", "mode") if name not in head]:
                    yield number, LineError(f"the head has no {missing[0]}; accepted: {', '.join(FIELDS)}")
                    return
            elif len(cells) != len(head):
                yield number, LineError(f"it has {counted(len(cells), 'cell')}, and the head {len(head)}")
            else:
                yield number, _csv_line(dict(zip(head, cells, strict=True)))
    except csv.Error as error:
        yield before + reader.line_num, LineError(f"it is not CSV: {error}; the rest of the file is not read")


def _csv_line(cells: dict[str, str]) -> Line | LineError:
    try:
        return _complete({name: _from_cell(name, cell) for name, cell in cells.items()})
    except LineError as error:
        return error


def _complete(found: dict[str, Any]) -> Line | LineError:
    """Return a line with all its fields, those that are missing as None."""
    if unknown := sorted(found.keys() - set(FIELDS)):
        return LineError(f"{unknown[0]} is no field; a newer version may have written it")
    details = found.get("details")
    if details is not None and not isinstance(details, dict):
        return LineError("details: accepted: a JSON object")
    if not isinstance(found.get("final"), bool | None):
        return LineError("final: accepted: true, false")
    return dict.fromkeys(FIELDS) | found


def _csv(lines: Iterable[Line]) -> Iterator[str]:
    row = _Row()
    writer = csv.writer(row, lineterminator="\r\n")
    for line in lines:
        writer.writerow([_cell(value) for value in line.values()])
        yield row.text


class _Row:
    """What `csv.writer` wrote last."""

    text = ""

    def write(self, text: str) -> None:
        self.text = text


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return _encode(value)
    return text_cell(value) if isinstance(value, str) else value


def _from_cell(name: str, cell: str) -> object:
    if cell == "":
        return None
    try:
        if name == "value":
            return int(cell) if NUMBER.fullmatch(cell) else float(cell)
        if name == "details":
            return json.loads(cell)
    except (ValueError, RecursionError):
        raise LineError(f"{name}: accepted: {'a number' if name == 'value' else 'a JSON object'}") from None
    if name == "final":
        return {"true": True, "false": False}.get(cell.lower(), cell)
    return cell_text(cell)
