"""Every table of history as lines, one value each, and the same lines as rows again.

`SECTIONS` has one entry for each table, and all else (export, import, retention) goes by it. A column that no field of
a line names goes into `details`, so that a new column is never lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import Column, Double, Table

from services.days import pacific_day
from services.store.follower_counts import KEEP_EARLIER
from services.store.history import KEEP_BETTER
from services.store.history_tables import follower_counts, metric_values, post_readings, posts, stories, story_numbers
from services.store.line_fields import FIELDS, Line, LineError, Row, bucket_name, bucket_names, number_of, read, written
from services.store.posts import COUNTS, INSIGHTS, MERGE_POST, MERGE_READING
from services.store.stories import KEEP, KEEP_NUMBERS
from services.store.upsert import Upsert

BUCKETS = "buckets"  # the column of a number's buckets, and the detail that counts their lines
BUCKET_UNKNOWN = "bucket_unknown"
DAYS, MEDIA = "days", "media"  # what a section is about


@dataclass(frozen=True)
class Part:
    """Numbers of a row that were read together: their columns, and those of the moment and the reasons (JSON)."""

    names: Sequence[str]
    read_at: str = "read_at"
    reasons: str | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Section:
    """The lines of one table.

    `fields` maps fields of a line to columns where their names differ. `dated_by` are the columns with the day, or with
    the moment (Unix seconds), that the limits of an export go by; the first one that is known counts. `merge` is what
    an existing row takes from a new one, by the rule of the table's own module. A table with several numbers in a row
    names them in `parts`.
    """

    kind: str
    table: Table
    subject: str
    dated_by: Sequence[str]
    merge: Upsert
    fields: Mapping[str, str] = field(default_factory=dict)
    parts: Sequence[Part] = ()

    @cached_property
    def columns(self) -> Mapping[str, Column[Any]]:
        """The column of each field of a line that has one; of a table with parts those that all its lines share."""
        names = [name for name in FIELDS if name not in {"mode", "details"}]
        found = {name: self.fields.get(name, name) for name in names}
        return {
            name: self.table.c[column]
            for name, column in found.items()
            if column in self.table.c and column not in self._of_parts
        }

    @cached_property
    def details(self) -> Mapping[str, Column[Any]]:
        """The other columns, but for those of parts, the mode and the buckets."""
        taken = {column.name for column in self.columns.values()} | self._of_parts | {"mode", BUCKETS}
        return {column.name: column for column in self.table.c if column.name not in taken}

    @cached_property
    def key(self) -> Sequence[Column[Any]]:
        """The columns of the primary key but for mode and account: the order of an account's lines."""
        return [column for column in self.table.primary_key if column.name not in {"mode", "account"}]

    @cached_property
    def has_buckets(self) -> bool:
        """Whether a row has the buckets of its number, each of which is a line."""
        return BUCKETS in self.table.c

    @cached_property
    def is_dated_by_moment(self) -> bool:
        """Whether the columns of the date have a moment, and no day."""
        return isinstance(self.table.c[self.dated_by[0]].type, Double)

    @cached_property
    def metrics(self) -> Sequence[str] | None:
        """The metrics of a table with parts, whose columns are named so."""
        return [name for part in self.parts for name in part.names] or None

    @cached_property
    def _of_parts(self) -> frozenset[str]:
        columns = {name for part in self.parts for name in (*part.names, part.read_at, part.reasons) if name}
        return frozenset(columns)

    def lines(self, row: Mapping[str, Any]) -> Iterator[Line]:
        """Yield the lines of a row; none has a definition or a mode yet.

        Raises `LineError` for a row with a key that no import takes, and `ValueError`, `TypeError` and their like for
        another damaged one.
        """
        for column in self.table.primary_key:
            read(column.name, column, row[column.name])
        line: Line = {**dict.fromkeys(FIELDS), "kind": self.kind}
        line |= {name: written(column, row[column.name]) for name, column in self.columns.items()}
        line["final"] = None if line["final"] is None else bool(line["final"])
        details = {name: written(column, row[name]) for name, column in self.details.items() if row[name] is not None}
        if "date" not in self.columns:
            line["date"] = self._day(*(row[name] for name in self.dated_by))
        if self.parts:
            yield from self._lines_of_parts(row, line | {"details": details or None})
            return
        buckets = _buckets(row[BUCKETS]) if self.has_buckets else None
        if buckets is not None:
            details[BUCKETS] = len(buckets)
        yield line | {"details": details or None}
        for names, count in buckets or ():
            reason = BUCKET_UNKNOWN if count is None else None
            yield line | {"bucket": bucket_name(names), "value": count, "reason": reason, "details": None}

    def _lines_of_parts(self, row: Mapping[str, Any], line: Line) -> Iterator[Line]:
        """Yield a line for each number that is known or has a reason; a part that was read has at least one."""
        for part in self.parts:
            reasons = json.loads(row[part.reasons] or "{}") if part.reasons is not None else {}
            read_at = row[part.read_at]
            said = [name for name in part.names if row[name] is not None or name in reasons]
            for name in said or (part.names[:1] if read_at is not None else ()):
                yield line | {
                    "metric": name,
                    "value": written(self.table.c[name], row[name]),
                    "reason": reasons.get(name) if row[name] is None else None,
                    "read_at": written(self.table.c[part.read_at], read_at),
                    "date": line["date"] if "date" in self.columns else self._day(read_at),
                }

    def _day(self, *moments: float | None) -> str | None:
        known = [moment for moment in moments if moment is not None]
        return pacific_day(int(known[0])).isoformat() if known else None

    def begin(self, line: Line) -> Assembly:
        """Return the row that a line begins; raises `LineError`."""
        row = {column.name: read(name, column, line[name]) for name, column in self.columns.items()}
        details = line["details"] or {}
        if unknown := sorted(details.keys() - self.details.keys() - ({BUCKETS} if self.has_buckets else set())):
            raise LineError(f"details: {unknown[0]} is unknown; a newer version may have written it")
        row |= {name: read(f"details: {name}", column, details.get(name)) for name, column in self.details.items()}
        if self.parts:
            parts = PartsAssembly(self, line, row)
            parts.add(line)
            return parts
        if self.has_buckets:
            if line["bucket"] is not None:
                raise LineError("bucket: the line of its number is not before it")
            return BucketsAssembly(self, line, row, details.get(BUCKETS))
        return Assembly(self, line, row)


class Assembly:
    """A row whose lines are being read: here a row of one line."""

    def __init__(self, section: Section, line: Line, row: Row) -> None:
        self.section = section
        self._first = line
        self._row = row

    def takes(self, line: Line) -> bool:
        """Return whether a line is another one of this row."""
        return False

    def add(self, line: Line) -> None:
        """Take another line; raises `LineError`."""

    def row(self) -> Row:
        """Return the row; raises `LineError` if a line is missing without which it would lose something."""
        return self._row

    def _differs(self, line: Line, but: Sequence[str]) -> bool:
        return any(line[name] != value for name, value in self._first.items() if name not in but)


class BucketsAssembly(Assembly):
    """A number, whose line says how many lines of buckets follow, and its buckets.

    A line that is there twice counts once; of a bucket the later one does.
    """

    OWN = ("bucket", "value", "reason", "details", "definition")  # the fields in which the lines of a row differ

    def __init__(self, section: Section, line: Line, row: Row, count: object) -> None:
        super().__init__(section, line, row)
        if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 0):
            raise LineError("details: buckets: accepted: how many lines of buckets follow")
        self._count: int | None = count
        self._buckets: dict[tuple[str, ...], float | int | None] = {}

    @property
    def _missing(self) -> int:
        return (self._count or 0) - len(self._buckets)

    def takes(self, line: Line) -> bool:
        """Return whether a line is the next bucket, or a repetition of what was read."""
        if line["bucket"] is None:
            return not self._buckets and line == self._first
        if self._differs(line, self.OWN):
            return False
        return self._missing > 0 or tuple(bucket_names(line["bucket"])) in self._buckets

    def add(self, line: Line) -> None:
        """Take the line of a bucket."""
        if line["bucket"] is not None:
            self._buckets[tuple(bucket_names(line["bucket"]))] = number_of_line(line)

    def row(self) -> Row:
        """Return the number with its buckets."""
        if self._missing:
            raise LineError(f"{self._missing} of its lines of buckets are missing or were refused")
        buckets = [[list(names), number] for names, number in self._buckets.items()]
        return self._row | {BUCKETS: None if self._count is None else json.dumps(buckets)}


class PartsAssembly(Assembly):
    """A row of several numbers; those that have no line are unknown."""

    OWN = ("metric", "value", "reason", "read_at", "definition")

    def __init__(self, section: Section, line: Line, row: Row) -> None:
        super().__init__(section, line, row | {name: None for part in section.parts for name in part.names})
        self._row |= {part.read_at: None for part in section.parts}
        self._reasons: dict[str, dict[str, str]] = {part.reasons: {} for part in section.parts if part.reasons}
        # The day is the row's own, or that of the moment at which a part was read.
        self._own = self.OWN if "date" in section.columns else (*self.OWN, "date")

    def takes(self, line: Line) -> bool:
        """Return whether a line has another number of the same row."""
        return not self._differs(line, self._own)

    def add(self, line: Line) -> None:
        """Take a number."""
        metric, table = line["metric"], self.section.table
        part = next((part for part in self.section.parts if metric in part.names), None)
        if part is None:
            raise LineError(f"metric: accepted: {', '.join(self.section.metrics or ())}")
        row: Row = {metric: number_of_line(line), part.read_at: read("read_at", table.c[part.read_at], line["read_at"])}
        if line["reason"] is not None:
            if part.reasons is None or not isinstance(line["reason"], str):
                raise LineError("reason: accepted: null")
            self._reasons[part.reasons][metric] = line["reason"]
        self._row |= row

    def row(self) -> Row:
        """Return the row."""
        reasons = {name: json.dumps(found) if found else None for name, found in self._reasons.items()}
        row = self._row | reasons
        for part in self.section.parts:
            for name in (*part.names, part.read_at):
                if row[name] is None and not self.section.table.c[name].nullable:
                    raise LineError(f"{name}: its line is missing")
        return row


def number_of_line(line: Line) -> float | int | None:
    """Return the value of a line; raises `LineError`."""
    try:
        return number_of(line["value"])
    except LineError as error:
        raise LineError(f"value: {error}") from None


def _buckets(text: str | None) -> list[tuple[list[str], float | int | None]] | None:
    if text is None:
        return None
    return sorted(((list(names), count) for names, count in json.loads(text)), key=lambda bucket: bucket[0])


SECTIONS: tuple[Section, ...] = (
    Section(
        kind="account",
        table=metric_values,
        subject=DAYS,
        dated_by=("last_day",),
        merge=KEEP_BETTER,
        fields={"date": "last_day"},
    ),
    Section(
        kind="followers",
        table=follower_counts,
        subject=DAYS,
        dated_by=("day",),
        merge=KEEP_EARLIER,
        fields={"date": "day"},
        parts=(Part(("followers", "follows", "media_count")),),
    ),
    Section(
        kind="post",
        table=posts,
        subject=MEDIA,
        dated_by=("posted_at",),
        merge=MERGE_POST,
        fields={"media": "id"},
    ),
    Section(
        kind="post_number",
        table=post_readings,
        subject=MEDIA,
        dated_by=("insights_read_at", "counts_read_at"),
        merge=MERGE_READING,
        fields={"media": "post"},
        parts=(
            Part(COUNTS, read_at="counts_read_at", reasons="counts_reasons"),
            Part(INSIGHTS, read_at="insights_read_at", reasons="insights_reasons"),
        ),
    ),
    Section(
        kind="story",
        table=stories,
        subject=MEDIA,
        dated_by=("ordered_at",),
        merge=KEEP,
        fields={"media": "id"},
    ),
    Section(
        kind="story_number",
        table=story_numbers,
        subject=MEDIA,
        dated_by=("read_at",),
        merge=KEEP_NUMBERS,
        fields={"media": "story"},
    ),
)
"""Every table of history, in the order of an account's lines."""
