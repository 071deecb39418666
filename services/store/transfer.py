"""History out of the gateway database and into it, as lines: in bounded memory, and in one order on every engine."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, String, collate, func, literal, select, tuple_

from services.days import ONE_DAY, midnight
from services.store.damaged_rows import can_be_found, log_damaged
from services.store.database import Database
from services.store.exported_tables import SECTIONS, Section
from services.store.line_fields import Line, Row

PAGE = 250  # rows that are read at once: below 10 ms, in which a process may make no other reply


@dataclass(frozen=True)
class Selection:
    """Which lines of an account: of some metrics, and of days within limits that are both included."""

    metrics: Collection[str] = ()
    since: date | None = None
    until: date | None = None


class Transfer:
    """The tables of history as lines."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def accounts(self) -> list[str]:
        """Return every account with history, in the order of an export."""
        found: set[str] = set()
        for section in SECTIONS:
            # One step along the index for each account: DISTINCT would read the whole of it.
            column = section.table.c.account
            last: str | None = ""
            while last is not None:
                with self._database.read() as connection:
                    last = connection.execute(select(func.min(column)).where(column > last)).scalar()
                    if last is not None and not can_be_found(last):
                        # Not even the name after it can be: it is no UTF-8, and is read as another one.
                        every = connection.execute(select(column).distinct()).scalars()
                        found |= {account for account in every if can_be_found(account)}
                        break
                found |= {last} if last is not None else set()
        return sorted(found)

    def kept_metrics(self, account: str) -> set[str]:
        """Return the metrics of which an account has any value, also those that no catalogue has."""
        found: set[str] = set()
        for section in SECTIONS:
            if (metric := section.columns.get("metric")) is not None:
                query = select(metric).where(section.table.c.account == account).distinct()
                with self._database.read() as connection:
                    found |= set(connection.execute(query).scalars())
        return found

    def lines(self, account: str, selection: Selection | None = None) -> Iterator[tuple[Section, Line]]:
        """Yield the lines of an account, section by section, each in the order of its keys.

        A page is read after the other, so that memory stays bounded and no statement takes long. What is written
        meanwhile may be among them or not.
        """
        chosen = selection or Selection()
        for section in SECTIONS:
            if chosen.metrics and not _has_any(section, chosen.metrics):
                continue
            for row in self._rows(account, section, chosen):
                for line in _lines_of(section, row):
                    if not chosen.metrics or line["metric"] in chosen.metrics:
                        yield section, line

    def keep(self, section: Section, rows: Sequence[Row]) -> None:
        """Add rows, or replace existing ones by better ones, in one transaction."""
        # Sorted, so that a process that writes the same rows meanwhile locks them in the same order.
        ordered = sorted(rows, key=lambda row: [row["account"], *(row[column.name] for column in section.key)])
        now = self._database.clock.timestamp()
        with self._database.write() as connection:
            section.merge.run(connection, ordered, now=now)

    def _rows(self, account: str, section: Section, selection: Selection) -> Iterator[Row]:
        order = [self._ordered(column) for column in section.key]
        query = select(section.table).where(section.table.c.account == account, *_limits(section, selection))
        query = query.order_by(*order).limit(PAGE)
        last: Row | None = None
        while True:
            page = self._page(query if last is None else query.where(_follows(section, order, last)))
            yield from page
            if len(page) < PAGE:
                return
            last = page[-1]

    def _page(self, query: Select[Any]) -> list[Row]:
        with self._database.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _ordered(self, column: Column[Any]) -> ColumnElement[Any]:
        """Return a column as it is ordered: texts by their code points, whatever the collation of the database."""
        is_text = isinstance(column.type, String)
        return collate(column, "C") if is_text and self._database.is_postgresql else column


def _lines_of(section: Section, row: Row) -> list[Line]:
    """Return the lines of a row; one that is damaged has none, and the others are exported."""
    try:
        return list(section.lines(row))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        log_damaged(section.table.name, tuple(str(row[column.name]) for column in section.key))
        return []


def _has_any(section: Section, metrics: Collection[str]) -> bool:
    if section.metrics is not None:
        return not set(metrics).isdisjoint(section.metrics)
    return "metric" in section.columns


def _limits(section: Section, selection: Selection) -> Iterator[ColumnElement[bool]]:
    if selection.metrics and section.metrics is None:
        yield section.columns["metric"].in_(sorted(selection.metrics))
    if selection.since is not None:
        yield ~dated_before(section, selection.since)
    if selection.until is not None:
        yield dated_before(section, selection.until + ONE_DAY)


def dated_before(section: Section, day: date) -> ColumnElement[bool]:
    """Return whether a row is about a day before another one."""
    columns = [section.table.c[name] for name in section.dated_by]
    dated = columns[0] if len(columns) == 1 else func.coalesce(*columns)
    return dated < (float(midnight(day)) if section.is_dated_by_moment else day.isoformat())


def _follows(section: Section, order: Sequence[ColumnElement[Any]], last: Row) -> ColumnElement[bool]:
    values = [literal(last[column.name], column.type) for column in section.key]
    return tuple_(*order) > tuple_(*values)
