"""Cells of CSV that spreadsheets show as they are: texts stay texts, and numbers stay numbers."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

NUMBERS = frozenset({int, float})
BOM = "\ufeff"  # by which a spreadsheet recognises UTF-8

# What a spreadsheet may skip before it looks at a text: spaces, control characters, and characters that are not seen.
_UNSEEN = frozenset({"Cc", "Cf", "Mn", "Me", "Zl", "Zp", "Zs"})  # categories of Unicode
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and symbols that nothing shows
# A spreadsheet reads a cell that begins with one of these as a formula, some also in their wide and small forms.
_FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b")
_FORMULA_AS_IT_IS = frozenset("\t\r\n")
# What it reads as a number, a share, an amount, a date, a time or a fraction consists of these, with a digit among
# them. It keeps neither the way of writing nor more than 15 digits.
_NUMERAL = re.compile(
    r"""(?=.*\d)(?:
    [\d\s.,:/\\()%\u2030'\u2019_-]
    |[$\u00a2-\u00a5\u20a0-\u20cf]
    |(?<=[\d.])[eE](?=[+-]?\d) | (?<=[eE])\+
    |[aApP]\.?[mM]\.?(?!\w)
    )+""",
    re.VERBOSE,
)
_DIGITS = re.compile(r"[\d\s.,]+")
_KEPT_NUMERAL = re.compile(r"0|[1-9][0-9]{0,14}")
# Our days and moments: a spreadsheet may read them as what they are.
_OUR_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]+(Z|[+-][0-9]{4}))?")
_MONTHS = (
    "jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?(ember)?|oct(ober)?"
    "|nov(ember)?|dec(ember)?"
)
_MONTH_BEGINS = frozenset(each[:3] for each in _MONTHS.split("|"))
_DATE_WITH_MONTH = re.compile(rf"(\d{{1,4}}[\s./-]*)?({_MONTHS})([\s.,/-]+|(?=\d))[\d\s.,:/-]*([ap]m)?", re.IGNORECASE)
_DAY_AND_MONTH = re.compile(rf"\d{{1,4}}[\s./-]*({_MONTHS})", re.IGNORECASE)
# As the most common languages write them, and the errors of a formula.
_WORDS = frozenset(
    {"TRUE", "FALSE", "WAHR", "FALSCH", "VRAI", "FAUX", "VERDADERO", "FALSO", "VERDADEIRO", "VERO", "WAAR", "ONWAAR"}
    | {"#N/A", "#REF!", "#NAME?", "#VALUE!", "#NULL!", "#NUM!", "#DIV/0!"}
)
MOST = 40  # characters that a number, a date or a time has


def text_cell(text: str) -> str:
    """Return a text as a cell; one that a spreadsheet would take for a formula or change as a number begins with `'`.

    A text that begins with `'` gets another one, so that `cell_text` finds each text again.
    """
    if not text or (text[0].isascii() and text[0].isalpha() and not _may_change(text)) or _OUR_TIME.fullmatch(text):
        return text  # Most cells are names and times.
    return f"'{text}" if text[0] in _FORMULA_AS_IT_IS or text[0] == "'" or _is_changed(_seen(text)) else text


# Names, units, reasons and ids come again in every table.
_known_text_cell = lru_cache(maxsize=4096)(text_cell)


def _may_change(text: str) -> bool:
    """Return whether a text that begins with a letter can be a date or a word that a spreadsheet changes."""
    if len(text) > MOST or not text.isascii():
        return len(text) <= MOST
    return text[:3].lower() in _MONTH_BEGINS or text.strip().upper() in _WORDS


def _seen(text: str) -> str:
    """Return a text without what a spreadsheet skips at its beginning and its end."""
    begin, end = 0, len(text)
    while begin < end and _is_unseen(text[begin]):
        begin += 1
    while end > begin and _is_unseen(text[end - 1]):
        end -= 1
    return text[begin:end]


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) in _UNSEEN or character in _FILLERS


def _is_changed(text: str) -> bool:
    if not text or text[0] in _FORMULA:
        return bool(text)
    if len(text) > MOST:
        return _DIGITS.fullmatch(text) is not None
    if text.upper() in _WORDS:
        return True
    if _NUMERAL.fullmatch(text):
        return _KEPT_NUMERAL.fullmatch(text) is None
    return any(map(str.isdigit, text)) and any(each.fullmatch(text) for each in (_DATE_WITH_MONTH, _DAY_AND_MONTH))


def cell(value: object) -> object:
    """Return a value as a cell: texts as `text_cell` makes them, lists and objects as JSON."""
    if value is None or type(value) in NUMBERS:
        return value
    if isinstance(value, str):
        return _known_text_cell(value) if len(value) <= MOST else text_cell(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return value


def cells(values: Iterable[object]) -> list[object]:
    """Return values as the cells of a row; most are numbers or unknown, and take no call each."""
    return [value if value is None or type(value) in NUMBERS else cell(value) for value in values]


def csv_lines(rows: Iterable[Iterable[object]]) -> str:
    """Return rows of cells as they stand in a file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


def cell_text(cell: str) -> str:
    """Return the text that `text_cell` has made a cell of."""
    return cell.removeprefix("'")
