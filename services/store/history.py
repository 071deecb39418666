"""Metric values of past days and windows: kept without expiry, because Instagram deletes its own after a while.

Of single days everything is kept that was answered: final values, provisional ones, and unknown ones with their reason.
Of windows of several days only final values are. The statement itself compares the rows, so any number of processes
may write in any order: a known value is never replaced by an unknown one, a final one never by a provisional one, and
otherwise the newer reading stays.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, func, literal_column, or_, select

from services.store.database import CHUNK, Database, chunks
from services.store.history_tables import metric_values
from services.store.shared_reads import SharedReads
from services.store.types import is_name
from services.store.upsert import Upsert, excluded, is_newer

MAX_REASON, MAX_ORIGIN = 64, 16  # characters

Kind = tuple[str, tuple[str, ...]]
"""A metric and the dimensions of its breakdown."""


class HistoryKey(NamedTuple):
    """A metric, the dimensions of its breakdown, and its first and last day (ISO dates)."""

    metric: str
    breakdown: tuple[str, ...]
    first_day: str
    last_day: str


class HistoryValue(NamedTuple):
    """A number, the numbers of its buckets by their names, and when both were read (Unix seconds).

    `reason` says why `value` is None. `final` says that both can change no more. `source` is `instagram`, `sandbox` or
    the origin of an import, `api_version` the version of the provider that answered, if it is known.
    """

    value: float | int | None
    buckets: Mapping[tuple[str, ...], float | int | None] | None
    read_at: float
    reason: str | None = None
    final: bool = True
    source: str = "instagram"
    api_version: str | None = None


class KeptValue(NamedTuple):
    """A `HistoryValue` as a series shows it: without where it came from."""

    value: float | int | None
    buckets: Mapping[tuple[str, ...], float | int | None] | None
    read_at: float
    reason: str | None
    final: bool


DaysByKind = Mapping[Kind, Mapping[str, KeptValue]]
WindowsByKind = Mapping[Kind, Mapping[tuple[str, str], KeptValue]]
"""The windows by their first and last day."""


@dataclass(frozen=True, slots=True)
class DayColumns:
    """Values of days without a breakdown, oldest first: each day (ISO date), its value, why that is unknown, whether it
    is final (1), and when it was read (Unix seconds).

    A day without a value and without a reason has buckets only, if anything.
    """

    days: Sequence[str] = ()
    values: Sequence[float | None] = ()
    reasons: Sequence[str | None] = ()
    finals: Sequence[int] = ()
    read_ats: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class NumberColumns:
    """The same without the days, for sums over days that are all there."""

    values: Sequence[float | None] = ()
    reasons: Sequence[str | None] = ()
    finals: Sequence[int] = ()
    read_ats: Sequence[float] = ()


class KeptSum(NamedTuple):
    """The sum of the final values of consecutive days (ISO dates), and when the oldest was read (Unix seconds)."""

    value: float | int
    read_at: float
    first_day: str
    last_day: str


class DayState(NamedTuple):
    """What is kept of a value, without the value itself: when it was read or last asked for (Unix seconds), and why it
    is unknown.
    """

    known: bool
    final: bool
    read_at: float
    reason: str | None = None


class History:
    """The metric values of the gateway database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reads: SharedReads[Mapping[HistoryKey, HistoryValue]] = SharedReads()

    def read(self, account: str, keys: Collection[HistoryKey]) -> Mapping[HistoryKey, HistoryValue]:
        """Return the final values of some keys."""
        if not keys:
            return {}
        wanted = frozenset(keys)
        return self._reads.read((account, wanted), lambda: self._read(account, wanted))

    def _read(self, account: str, keys: Collection[HistoryKey]) -> Mapping[HistoryKey, HistoryValue]:
        days = {each.first_day for each in keys}
        parameters = {
            "account": account,
            "metrics": sorted({each.metric for each in keys}),
            "breakdowns": sorted({",".join(each.breakdown) for each in keys}),
        }
        first, last = min(days), max(days)
        length = _length(first, last)
        # Most requests are for consecutive days, and a range costs less than a list of each.
        if length <= 2 * len(days) or len(days) > CHUNK:
            query = _final_values(by_day=False)
            parameters |= {"since": first, "until": last}
        else:
            query, parameters["days"] = _final_values(by_day=True), sorted(days)
        with self._database.read() as connection:
            found = dict(_values(connection.execute(query, parameters).all()))
        return {key: found[key] for key in keys if key in found}

    def sums(
        self, account: str, metrics: Collection[str], windows: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, tuple[str, str]], KeptSum]:
        """Return the sums of metrics without a breakdown over consecutive windows (first and last day, oldest first).

        A sum is of every final value of its window. There is one only where these are of consecutive days, such as all
        days but the last ones, which are still provisional. For additive metrics.
        """
        parameters = _range_parameters(account, metrics, since=windows[0][0], until=windows[-1][1])
        parameters |= {f"begin_{number}": first for number, (first, _) in enumerate(windows)}
        rows = self._database.plain_rows(_sums(len(metrics), len(windows)), parameters)
        return {
            (metric, windows[number]): KeptSum(_number(total) or 0, read_at, first, last)
            for metric, number, days, total, read_at, first, last in rows
            if days == _length(first, last)
        }

    def days(
        self,
        account: str,
        *,
        since: str,
        until: str,
        metrics: Collection[str] | None = None,
        breakdowns: Collection[tuple[str, ...]] | None = None,
    ) -> list[tuple[HistoryKey, HistoryValue]]:
        """Return all that is kept of single days (ISO dates, both included), by metric, breakdown and day.

        Provisional and unknown values are among them.
        """
        query = select(*_COLUMNS).where(
            metric_values.c.account == account,
            metric_values.c.first_day.between(since, until),
            metric_values.c.last_day == metric_values.c.first_day,
        )
        if metrics is not None:
            query = query.where(metric_values.c.metric.in_(metrics))
        if breakdowns is not None:
            query = query.where(metric_values.c.breakdown.in_([",".join(each) for each in breakdowns]))
        with self._database.read() as connection:
            return list(_values(connection.execute(query.order_by(*_KEY)).all()))

    def series(
        self, account: str, *, since: str, until: str, kinds: Collection[Kind], with_windows: bool
    ) -> tuple[DaysByKind, WindowsByKind]:
        """Return what is kept of some metrics by day, also provisional and unknown values.

        `with_windows` also the values of windows of several days that lie within the range, by first and last day.
        """
        metrics, breakdowns = {metric for metric, _ in kinds}, {",".join(breakdown) for _, breakdown in kinds}
        parameters = _range_parameters(account, metrics, since=since, until=until)
        parameters |= {f"breakdown_{number}": each for number, each in enumerate(sorted(breakdowns))}
        query = _series(len(metrics), len(breakdowns), with_windows=with_windows)
        with self._database.read() as connection:
            rows: Sequence[Any] = connection.execute(query, parameters).all()
        if not with_windows:
            return _by_kind(rows), {}
        windows = [(*row[:2], (row[2], row[-1]), *row[3:-1]) for row in rows if row[-1] != row[2]]
        return _by_kind([row[:-1] for row in rows if row[-1] == row[2]]), _by_kind(windows)

    def day_columns(
        self, account: str, metrics: Collection[str], *, since: str, until: str
    ) -> Mapping[str, DayColumns]:
        """Return what is kept of some metrics without a breakdown by day, by metric as far as there is anything.

        Provisional and unknown values are among them.
        """
        found = self._columns(account, metrics, _DAY_COLUMNS, since=since, until=until)
        return {metric: DayColumns(*columns) for metric, columns in found.items()}

    def number_columns(
        self, account: str, metrics: Collection[str], *, since: str, until: str
    ) -> Mapping[str, NumberColumns]:
        """Return the same without the days."""
        found = self._columns(account, metrics, _NUMBER_COLUMNS, since=since, until=until)
        return {metric: NumberColumns(*columns) for metric, columns in found.items()}

    def _columns(
        self, account: str, metrics: Collection[str], names: tuple[str, ...], *, since: str, until: str
    ) -> Mapping[str, Sequence[Sequence[Any]]]:
        parameters = _range_parameters(account, metrics, since=since, until=until)
        columns = self._database.plain_columns(_day_columns(len(metrics), names), parameters)
        if len(metrics) == 1:
            return dict.fromkeys(metrics, columns) if columns[0] else {}
        *columns, in_order = columns
        starts = {metric: in_order.index(metric) for metric in metrics if metric in in_order}
        return {
            metric: [column[start : start + in_order.count(metric)] for column in columns]
            for metric, start in starts.items()
        }

    def kept_metrics(self, account: str) -> list[Kind]:
        """Return the metrics and breakdowns of which any value of an account is known, in order."""
        columns = (metric_values.c.metric, metric_values.c.breakdown)
        query = select(*columns).where(metric_values.c.account == account, _is_known())
        with self._database.read() as connection:
            rows = connection.execute(query.distinct()).all()
        # Sorted here, because the order of a database of PostgreSQL may be that of a language.
        return [(metric, _dimensions(breakdown)) for metric, breakdown in sorted(map(tuple, rows))]

    def states(
        self, account: str, *, since: str, until: str, open_since: str | None = None
    ) -> dict[Kind, dict[str, DayState]]:
        """Return the state of each single day of a range that was ever asked for, by metric and breakdown.

        With `open_since` also of earlier days, from there on, whose value is not final.
        """
        first_day = metric_values.c.first_day
        days: ColumnElement[bool] = first_day.between(since, until)
        if open_since is not None:
            days = or_(days, and_(first_day.between(open_since, since), metric_values.c.final == 0))
        found: dict[Kind, dict[str, DayState]] = {}
        for row in self._states(account, days):
            found.setdefault((row[0], _dimensions(row[1])), {})[row[2]] = _state(row)
        return found

    def states_of(self, account: str, keys: Collection[HistoryKey]) -> dict[HistoryKey, DayState]:
        """Return the states of some values of single days that were ever asked for."""
        wanted, found = frozenset(keys), dict[HistoryKey, DayState]()
        for days in chunks({key.first_day for key in wanted}):
            for row in self._states(account, metric_values.c.first_day.in_(days)):
                key = HistoryKey(row[0], _dimensions(row[1]), row[2], row[2])
                if key in wanted:
                    found[key] = _state(row)
        return found

    def _states(self, account: str, days: ColumnElement[bool]) -> Sequence[Any]:
        names = ("metric", "breakdown", "first_day", "final", "read_at", "reason")
        query: Select[Any] = select(*(metric_values.c[name] for name in names), _is_known()).where(
            metric_values.c.account == account, days, metric_values.c.last_day == metric_values.c.first_day
        )
        with self._database.read() as connection:
            return connection.execute(query).all()

    def missing_days(
        self, account: str, metric: str, breakdown: tuple[str, ...] = (), *, since: str, until: str
    ) -> list[str]:
        """Return the days of a range (ISO dates, both included) of which no value is known, oldest first."""
        query = select(metric_values.c.first_day).where(
            metric_values.c.account == account,
            metric_values.c.metric == metric,
            metric_values.c.breakdown == ",".join(breakdown),
            metric_values.c.first_day.between(since, until),
            metric_values.c.last_day == metric_values.c.first_day,
            _is_known(),
        )
        with self._database.read() as connection:
            known = set(connection.execute(query).scalars())
        return [day for day in days_between(since, until) if day not in known]

    def keep(self, account: str, values: Mapping[HistoryKey, HistoryValue]) -> None:
        """Keep values; one with a number that no column can hold is left out."""
        rows = [
            {
                "account": account,
                "metric": key.metric,
                "breakdown": ",".join(key.breakdown),
                "first_day": key.first_day,
                "last_day": key.last_day,
                "value": kept.value,
                "buckets": None
                if kept.buckets is None
                else json.dumps([[list(names), count] for names, count in kept.buckets.items()]),
                "read_at": kept.read_at,
                "reason": _name(kept.reason, MAX_REASON) if kept.value is None else None,
                "final": int(kept.final and (kept.value is not None or kept.buckets is not None)),
                "source": _name(kept.source, MAX_ORIGIN) or "",
                "api_version": _name(kept.api_version, MAX_ORIGIN),
            }
            # Sorted, so that concurrent transactions lock rows in the same order (no deadlock).
            for key, kept in sorted(values.items(), key=lambda item: item[0])
            if all(map(_is_finite, (kept.value, *(kept.buckets or {}).values())))
        ]
        if rows:
            self._database.upsert(KEEP_BETTER, rows)


def days_between(since: str, until: str) -> Iterator[str]:
    """Yield the days of a range as ISO dates, both ends included."""
    first, last = date.fromisoformat(since).toordinal(), date.fromisoformat(until).toordinal()
    return map(date.isoformat, map(date.fromordinal, range(first, last + 1)))


def _length(since: str, until: str) -> int:
    return date.fromisoformat(until).toordinal() - date.fromisoformat(since).toordinal() + 1


@cache
def _final_values(*, by_day: bool) -> Select[Any]:
    """Return the query for the final values that begin on some days, or between the first and the last of them."""
    first_day = metric_values.c.first_day
    return select(*_COLUMNS).where(
        metric_values.c.account == bindparam("account"),
        metric_values.c.metric.in_(bindparam("metrics", expanding=True)),
        metric_values.c.breakdown.in_(bindparam("breakdowns", expanding=True)),
        first_day.in_(bindparam("days", expanding=True))
        if by_day
        else first_day.between(bindparam("since"), bindparam("until")),
        metric_values.c.final == 1,
        _is_known(),
    )


def _range_parameters(account: str, metrics: Collection[str], *, since: str, until: str) -> dict[str, str]:
    """Return what the parameters of `_in_range` stand for."""
    each = {f"metric_{number}": metric for number, metric in enumerate(sorted(metrics))}
    return {"account": account, "since": since, "until": until} | each


def _in_range(metrics: int) -> list[ColumnElement[bool]]:
    """Return the conditions for so many metrics of an account, with a first day in a range.

    Each has a parameter of its own: the text of one list of any length is written again for each request.
    """
    table = metric_values.c
    return [
        table.account == bindparam("account"),
        table.metric.in_([bindparam(f"metric_{number}") for number in range(metrics)]),
        table.first_day.between(bindparam("since"), bindparam("until")),
    ]


@cache
def _series(metrics: int, breakdowns: int, *, with_windows: bool) -> Select[Any]:
    """Return the query for a range of so many metrics and breakdowns, in the order of the primary key."""
    table = metric_values.c
    query = select(*(table[name] for name in ("metric", "breakdown", "first_day", *KeptValue._fields))).where(
        *_in_range(metrics),
        table.breakdown.in_([bindparam(f"breakdown_{number}") for number in range(breakdowns)]),
    )
    is_day = table.last_day == table.first_day
    if with_windows:
        is_window = and_(table.last_day <= bindparam("until"), _is_known())
        query = query.add_columns(table.last_day).where(or_(is_day, is_window))
    else:
        query = query.where(is_day)
    return query.order_by(*_KEY)


def _as_text(name: str) -> ColumnElement[str]:
    """Return a column by which the rows are found, without a look at its type: what equals a text is one."""
    return literal_column(f"metric_values.{name}")


def _are_days(metrics: int) -> list[ColumnElement[bool]]:
    """Return the conditions for the days of so many metrics without a breakdown."""
    table = metric_values.c
    return [*_in_range(metrics), table.breakdown == literal_column("''"), table.last_day == table.first_day]


_DAY_COLUMNS = ("first_day", "value", "reason", "final", "read_at")
_NUMBER_COLUMNS = _DAY_COLUMNS[1:]


@cache
def _day_columns(metrics: int, names: tuple[str, ...]) -> Select[Any]:
    """Return the query for the days of so many metrics without a breakdown, in the order of the primary key.

    Where there are several, the last column is the metric.
    """
    columns = [_as_text(name) if name == "first_day" else metric_values.c[name] for name in names]
    if metrics > 1:
        columns.append(_as_text("metric"))
    return select(*columns).where(*_are_days(metrics)).order_by(*_KEY)


@cache
def _sums(metrics: int, windows: int) -> Select[Any]:
    """Return the query for the sums of so many metrics over so many consecutive windows."""
    table = metric_values.c
    window: ColumnElement[int] = literal_column("0")
    for number in range(1, windows):
        has_begun = _as_text("first_day") >= bindparam(f"begin_{number}")
        window = case((has_begun, literal_column(str(number))), else_=window)
    columns: list[ColumnElement[Any]] = [
        _as_text("metric"),
        window,
        func.count(table.value),
        func.sum(table.value),
        func.min(table.read_at),
        func.min(_as_text("first_day")),
        func.max(_as_text("first_day")),
    ]
    return (
        select(*columns)
        .where(*_are_days(metrics), table.final == literal_column("1"), table.value.is_not(None))
        # By their positions: PostgreSQL would not know the parameters of the second as those of the first.
        .group_by(literal_column("1"), literal_column("2"))
    )


def _state(row: Sequence[Any]) -> DayState:
    _, _, _, final, read_at, reason, known = row
    return DayState(bool(known), bool(final), read_at, reason)


def _is_known() -> ColumnElement[bool]:
    return or_(metric_values.c.value.is_not(None), metric_values.c.buckets.is_not(None))


def _is_better() -> ColumnElement[bool]:
    """Return whether the new row replaces the one in the table."""
    new = {name: excluded(metric_values.c[name]) for name in ("value", "buckets", "final")}
    is_known = or_(new["value"].is_not(None), new["buckets"].is_not(None))
    is_later = is_newer(metric_values.c.read_at)
    return or_(
        and_(is_known, ~_is_known()),
        and_(is_known, new["final"] > metric_values.c.final),
        and_(is_known, new["final"] == metric_values.c.final, is_later),
        # An unknown row is renewed, so that it says when it was last asked for.
        and_(~is_known, ~_is_known(), is_later),
    )


def _replaced() -> Mapping[str, ColumnElement[Any]]:
    """Return the new row with the known total and the known buckets where the new ones are unknown.

    Of a final row with a part that is only known from a provisional one nothing says that this part is final.
    """
    new = {column.name: excluded(column) for column in metric_values.c}
    stays = {
        name: and_(new[name].is_(None), metric_values.c[name].is_not(None), metric_values.c.final == 0)
        for name in ("value", "buckets")
    }
    merged = {name: func.coalesce(new[name], metric_values.c[name]) for name in ("value", "buckets")}
    return {
        **merged,
        "reason": case((merged["value"].is_not(None), None), else_=new["reason"]),
        "final": case((or_(*stays.values()), 0), else_=new["final"]),
        **{name: new[name] for name in ("read_at", "source", "api_version")},
    }


_KEY = [metric_values.c[name] for name in HistoryKey._fields]
_COLUMNS = [*_KEY, *(metric_values.c[name] for name in HistoryValue._fields)]


KEEP_BETTER = Upsert(metric_values, replace=_replaced(), only_if=_is_better())


def _values(rows: Sequence[Any]) -> Iterator[tuple[HistoryKey, HistoryValue]]:
    """Read rows; a damaged one is ignored, and the next reading of its days replaces it."""
    for metric, breakdown, first_day, last_day, value, buckets, read_at, reason, final, source, api_version in rows:
        try:
            number, counts = _number(value), None if buckets is None else _buckets(buckets)
        except (ValueError, TypeError):
            continue
        kept = HistoryValue(number, counts, read_at, reason, final == 1, source, api_version)
        yield HistoryKey(metric, _dimensions(breakdown), first_day, last_day), kept


def _by_kind(rows: Sequence[Any]) -> dict[Kind, dict[Any, KeptValue]]:
    """Return rows by metric and breakdown, and then by their third column; a damaged one is ignored as above."""
    found: dict[tuple[str, str], dict[Any, KeptValue]] = {}
    new = tuple.__new__  # as `_make` does, in half of its time: a year of some metrics has thousands of rows
    for metric, breakdown, day, value, buckets, read_at, reason, final in rows:
        try:
            number = int(value) if value is not None and value.is_integer() else value
            counts = None if buckets is None else _buckets(buckets)
        except (ValueError, TypeError):
            continue
        kept = new(KeptValue, (number, counts, read_at, reason, final == 1))
        found.setdefault((metric, breakdown), {})[day] = kept
    return {(metric, _dimensions(breakdown)): of_kind for (metric, breakdown), of_kind in found.items()}


def _number(value: float | None) -> float | int | None:
    """Return a count as the provider sent it: an integer, unless it is a fraction."""
    return int(value) if value is not None and value.is_integer() else value


def _dimensions(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _name(text: str | None, length: int) -> str | None:
    return text if text is not None and is_name(text, length) else None


def _is_finite(number: float | None) -> bool:
    try:
        return number is None or math.isfinite(number)
    except OverflowError:  # an integer of hundreds of digits
        return False


def _buckets(text: str) -> Mapping[tuple[str, ...], float | int | None]:
    return {tuple(names): count for names, count in json.loads(text)}
