"""The fields of a line of history: how each is written so that nothing is lost, and read again."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Column, Double, Integer

from services.store.types import UNSTORABLE, Message, Number, is_name

FIELDS = (
    *("account", "metric", "breakdown", "bucket", "date", "value", "reason", "final", "source", "definition"),
    *("kind", "first_day", "media", "read_at", "api_version", "details", "mode"),
)
"""The fields of a line, in their order."""

EMPTY_IS_NONE = ("breakdown", "bucket")  # empty in a row, and null in a line, for the number of a metric itself
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(\.\d{1,9})?Z")
_LARGEST_TIME = 32_503_680_000  # the year 3000

Line = dict[str, Any]
Row = dict[str, Any]


class LineError(ValueError):
    """A line that cannot be a row; the text says why."""


def exact_time(moment: float) -> str:
    """Return a moment (Unix seconds) in ISO 8601: in whole seconds or microseconds, as clocks give them.

    Only a moment between two microseconds has nine digits (doubles of today differ by 2.4e-7 s).
    """
    written = next((text for digits in (0, 6) if float(text := f"{moment:.{digits}f}") == moment), f"{moment:.9f}")
    whole, point, fraction = written.partition(".")
    return f"{datetime.fromtimestamp(int(whole), UTC):%Y-%m-%dT%H:%M:%S}{point}{fraction}Z"


def moment_of(text: object) -> float:
    """Return the moment that `exact_time` has written; raises `LineError`."""
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    try:
        if found is not None:
            whole = int(datetime.fromisoformat(f"{found[1]}+00:00").timestamp())
            if 0 <= whole < _LARGEST_TIME:
                return float(f"{whole}{found[2] or ''}")
    except ValueError:
        pass
    raise LineError("accepted: a time such as 2026-11-21T18:00:00Z")


def number_of(value: object) -> float | int | None:
    """Return a number that a column can hold, or None; raises `LineError`."""
    try:
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)):
            return value
    except OverflowError:  # an integer of hundreds of digits
        pass
    raise LineError("accepted: a number")


def bucket_name(names: Sequence[str]) -> str:
    """Return the names of a bucket as one text: a single one as it is, others as a list in JSON."""
    if len(names) == 1 and names[0] and not names[0].startswith("[") and UNSTORABLE.search(names[0]) is None:
        return names[0]
    return json.dumps(list(names))


def bucket_names(text: object) -> list[str]:
    """Return the names that `bucket_name` has written; raises `LineError`."""
    if isinstance(text, str) and not text.startswith("["):
        return [text]
    try:
        names = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise LineError("bucket: accepted: a name, or a list of names in JSON")
    return names


def written(column: Column[Any], value: Any) -> Any:
    """Return what a column holds as a line has it."""
    if value is None or (value == "" and column.name in EMPTY_IS_NONE):
        return None
    if _is_time(column):
        return exact_time(value)
    # A count is an integer, unless it is a fraction.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def read(name: str, column: Column[Any], value: Any) -> Any:
    """Return a field of a line as its column holds it; raises `LineError`, which names the field."""
    try:
        return _read(column, value)
    except LineError as error:
        raise LineError(f"{name}: {error}") from None


def _read(column: Column[Any], value: Any) -> Any:
    if value is None:
        if column.nullable:
            return None
        if isinstance(column.type, Message) or column.name in EMPTY_IS_NONE:
            return ""
        raise LineError("it is missing")
    if isinstance(column.type, Double) and _is_time(column):
        return moment_of(value)
    if isinstance(column.type, Number | Double):
        return number_of(value)
    if isinstance(column.type, Integer):
        is_truth = isinstance(value, bool)  # which an integer is too
        if not isinstance(value, int) or is_truth != (column.name == "final") or not 0 <= value < 2**31:
            raise LineError(f"accepted: a whole number from 0 to {2**31 - 1}")
        return int(value)
    return _text(column, value)


def _text(column: Column[Any], value: object) -> str:
    if not isinstance(value, str):
        raise LineError("accepted: a text")
    if column.name == "day" or column.name.endswith("_day"):
        return _day(value)
    length = getattr(column.type, "length", None)
    if isinstance(column.type, Message):
        if UNSTORABLE.search(value) is not None or (length and len(value) > length):
            most = f" of at most {length} characters" if length else ""
            raise LineError(f"accepted: a text{most} without NUL characters and halves of surrogate pairs")
        return value
    is_free = value == "" and column.name in EMPTY_IS_NONE
    if not is_free and not is_name(value, length or len(value)):
        raise LineError(f"accepted: a text of 1 to {length} characters" if length else "accepted: a text")
    return value


def _day(text: str) -> str:
    try:
        if date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise LineError("accepted: a day such as 2026-11-21")


def _is_time(column: Column[Any]) -> bool:
    return isinstance(column.type, Double) and column.name.endswith("_at")
