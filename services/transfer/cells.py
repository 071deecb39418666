"""Cells of CSV that spreadsheets show as they are: texts stay texts, and numbers stay numbers."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable

NUMBERS = frozenset({int, float})
BOM = "\ufeff"  # by which a spreadsheet recognises UTF-8

# What a spreadsheet may skip before it looks at a text: spaces, control characters, and characters without a width.
_SKIPPED = r"[\s\x00-\x1f\u200b-\u200f\u2060\ufeff]*"
# A spreadsheet reads a cell that begins with one of these as a formula, some also in their wide and small forms.
_FORMULA = re.compile(rf"{_SKIPPED}[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b]")
# It reads a text of this form as a number, which keeps 15 digits and neither leading zeros nor the way of writing.
_NUMERAL = re.compile(rf"{_SKIPPED}\d[\d.,]*(?:[eE][+-]?\d+)?\s*")
_KEPT_NUMERAL = re.compile(r"0|[1-9][0-9]{0,14}")


def text_cell(text: str) -> str:
    """Return a text as a cell; one that a spreadsheet would take for a formula or change as a number begins with `'`.

    A text that begins with `'` gets another one, so that `cell_text` finds each text again.
    """
    if not text or text[0].isalpha():
        return text  # No number and no formula begins with a letter, and most cells do.
    is_changed = _NUMERAL.fullmatch(text) is not None and _KEPT_NUMERAL.fullmatch(text) is None
    return f"'{text}" if text.startswith("'") or is_changed or _FORMULA.match(text) else text


def cell(value: object) -> object:
    """Return a value as a cell: texts as `text_cell` makes them, lists and objects as JSON."""
    if isinstance(value, str):
        return text_cell(value)
    if value is None or type(value) in NUMBERS:
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return value


def csv_lines(rows: Iterable[Iterable[object]]) -> str:
    """Return rows of cells as they stand in a file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


def cell_text(cell: str) -> str:
    """Return the text that `text_cell` has made a cell of."""
    return cell.removeprefix("'")
