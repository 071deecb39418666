"""Column types that take what a provider may send; PostgreSQL refuses some of it, and a refusal loses a whole row.

Content (reports, cached values, breakdowns) needs no such type: it is kept as JSON in ASCII, in which a NUL character
or a lone surrogate is an escape sequence.
"""

from __future__ import annotations

import math
import re

from sqlalchemy import Column, Dialect, Double, Text
from sqlalchemy.types import String, TypeDecorator

from services.redaction import cut

# PostgreSQL takes no NUL character, and no database a surrogate without its other half.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
CUT = "..."
MAX_NAME = 64  # characters of a column for the id of a media, a metric or a bucket
LARGEST_EXACT = 2**53  # up to which every column and every reader of JSON holds each whole number exactly


def mode_column(*, primary_key: bool = True) -> Column[str]:
    """Return the first column of every table: whether a row is of `live` or of `sandbox`."""
    return Column("mode", String(8), primary_key=primary_key, nullable=False)


def is_name(text: str, length: int) -> bool:
    """Return whether a column of a limited length can hold a text as it is; a name must not be changed."""
    return 0 < len(text) <= length and UNSTORABLE.search(text) is None


class Message(TypeDecorator[str]):
    """A text for people, without unstorable characters."""

    impl: type[String] = Text
    cache_ok = True
    length: int | None = None

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the text as it is stored."""
        if value is None:
            return None
        text = UNSTORABLE.sub("\ufffd", value)
        if self.length is not None and len(text) > self.length:
            return cut(text, self.length - len(CUT)) + CUT
        return text


class ShortMessage(Message):
    """A text for people of a limited length; a longer one is cut visibly."""

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length


class Number(TypeDecorator[float]):
    """A number of a provider, or null where it is none that a column can hold: infinite, or of hundreds of digits."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        """Return the number as it is stored."""
        try:
            number = None if value is None else float(value)
        except OverflowError:
            return None
        return number if number is not None and math.isfinite(number) else None
