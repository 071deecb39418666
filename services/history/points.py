"""The points of a series, and the days of which each has a known value: columns that become JSON at once.

A year is hundreds of points. To make an object of each and then to write it takes three times as long as to put the
columns into one text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, repeat
from typing import NotRequired

import orjson
from typing_extensions import TypedDict

from services.days import our_time
from services.rendering.prepared_json import json_text

AS_OUR_TIME = orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS
FINAL = (b"false", b"true")


class BucketOfPoint(TypedDict):
    """One bucket of a breakdown; null where it is unknown."""

    dimension_values: list[str]
    value: float | None


class Point(TypedDict):
    """One day, week or month: `value` is null where it is unknown, and `reason` says why.

    `date` is the Pacific day that the value describes; of a week or month their last day, and `since` their first.
    `missing_days` lists the days that a sum lacks. `counted_at` is when a count of the profile, or demographics, were
    read.
    """

    date: str
    value: float | None
    reason: str | None
    final: bool
    since: NotRequired[str]
    results: NotRequired[list[BucketOfPoint]]
    missing_days: NotRequired[list[str]]
    counted_at: NotRequired[str]


@dataclass(frozen=True, slots=True)
class KnownDays:
    """The points of days (ISO dates) without a breakdown: their values, and whether each is final (1).

    `counted_at` (Unix seconds) is there for counts of the profile.
    """

    days: Sequence[str]
    values: Sequence[float]
    finals: Sequence[int]
    counted_at: Sequence[float] = ()

    def __iter__(self) -> Iterator[Point]:
        """Yield the points."""
        shown = zip(self.days, map(number, self.values), self.finals, strict=True)
        points: list[Point] = [
            {"date": day, "value": value, "reason": None, "final": final == 1} for day, value, final in shown
        ]
        for point, moment in zip(points, self.counted_at, strict=False):
            point["counted_at"] = our_time(moment)
        return iter(points)

    def as_json(self) -> bytes:
        """Return the points as they stand in a reply."""
        if not self.days:
            return b"[]"
        try:
            return self._as_text()
        except (TypeError, ValueError, OverflowError):  # A text or a moment of a row that another program wrote.
            return json_text(list(self))

    def _as_text(self) -> bytes:
        columns = [_number_texts(self.values)]
        final = b"true"
        if self.finals.count(1) != len(self.finals):
            columns.append([FINAL[each == 1] for each in self.finals])
            final = b"%b"
        rest = b',"value":%b,"reason":null,"final":' + final
        if self.counted_at:
            moments = list(map(datetime.fromtimestamp, self.counted_at, repeat(UTC)))
            columns.append(orjson.dumps(moments, option=AS_OUR_TIME)[1:-1].split(b","))
            rest += b',"counted_at":%b'
        days = orjson.dumps(self.days)[1:-1]
        if b"%" in days:
            raise ValueError("a day has a character that the text below has a use for")
        # A quotation mark within a text has a backslash before it, so these three stand between two days only.
        text = b'[{"date":' + days.replace(b'","', b'"' + rest + b'},{"date":"') + rest + b"}]"
        return text % tuple(chain.from_iterable(zip(*columns, strict=True)))


def number(value: float) -> float:
    """Return a number as the provider sent it: a count is an integer."""
    return int(value) if value.is_integer() else value


def _number_texts(values: Sequence[float]) -> list[bytes]:
    """Return the numbers in JSON, counts as integers."""
    text = orjson.dumps(values)[1:-1]
    if b"e" in text or b"-" in text:  # The first stands for digits that an integer would show; -0.0 is 0.
        text = orjson.dumps(list(map(number, values)))[1:-1]
    return text.replace(b".0,", b",").removesuffix(b".0").split(b",")
