"""Reports as they came: each was paid for, so each is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

from sqlalchemy import Connection, Integer, Row, and_, bindparam, delete, insert, or_, select, update

from services.store.damaged_rows import WITH_DAMAGED_ROWS, is_moment, log_damaged_report
from services.store.database import Database, Transaction
from services.store.report_tables import balances, creators, ledger, pending_reports, reports
from services.store.upsert import Upsert, excluded, is_newer

NESTED = (dict, list)  # A union of types would be made for each child.
DEEPEST = 100  # levels of a report that can be shown; Modash's have 5, and an answer with more than 50 is refused


class KeptReport(NamedTuple):
    """A report, when it was asked for (Unix seconds), and its price in thousandths.

    `credits_left` is what Modash said right after it, of reports from the time when every purchase read the balance.
    """

    id: int
    body: Mapping[str, object]
    fetched_at: float
    milli_credits: int
    credits_left: float | None


class NewReport(NamedTuple):
    """A report to be kept: its JSON, and the id and handle of its creator where it has both."""

    body: str
    creator_id: str | None = None
    handle: str | None = None


class PendingReport(NamedTuple):
    """A report that Modash is making: when it was last asked for, how often it was not ready, Modash's words."""

    asked_at: float
    attempts: int
    message: str


def has_given_up(attempts: int, *, max_retries: int) -> bool:
    """Return whether a report was not ready so often that it is asked for no more."""
    return attempts > max_retries


OnForgotten = Callable[[PendingReport, Transaction], None]
"""Gets a report that is asked for no more, within the transaction that forgets it."""


class BalanceReading(NamedTuple):
    """The balance that the provider gave last (None where no answer had one), and when it was asked for."""

    credits: float | None
    read_at: float


NOTE_BALANCE = Upsert(
    balances,
    replace=BalanceReading._fields,
    only_if=and_(
        is_newer(balances.c.read_at),
        or_(excluded(balances.c.credits).is_not(None), balances.c.credits.is_(None)),
    ),
)
NOTE_PENDING = Upsert(pending_reports, replace=PendingReport._fields)
NOTE_HANDLE = Upsert(creators, replace=("handle",))


class Reports:
    """The reports of the gateway database, by source and creator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def history(self, source: str, creator: str, *, limit: int) -> list[KeptReport]:
        """Return the newest reports of a creator, the newest first."""
        with self._database.read() as connection:
            return newest(connection, source, creator, limit=limit)

    def newest_of(self, source: str, creator: str) -> tuple[int, float] | None:
        """Return the id and the moment of the newest report of a creator, without reading it."""
        whose = {"of_source": source, "of_creator": creator}
        with self._database.read() as connection:
            row = connection.execute(NEWEST_ID, whose).first()
        return None if row is None else (row.id, row.fetched_at)

    def handle_of(self, source: str, creator_id: str) -> str | None:
        """Return the handle that a numeric id is known to belong to."""
        with self._database.read() as connection:
            return self.handle_in(connection, source, creator_id)

    def handle_in(self, connection: Connection, source: str, creator_id: str) -> str | None:
        """Return, within a transaction, the handle that a numeric id is known to belong to."""
        query = select(creators.c.handle).where(creators.c.source == source, creators.c.id == creator_id)
        handle: str | None = connection.execute(query).scalar()
        return handle

    def balance(self, source: str) -> BalanceReading | None:
        """Return the balance as it was last read."""
        query = select(balances.c.credits, balances.c.read_at).where(balances.c.source == source)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else BalanceReading(row.credits, row.read_at)

    def note_balance(self, source: str, reading: BalanceReading) -> None:
        """Keep a balance, unless a newer one is kept, or this one is unknown and one is known."""
        self._database.upsert(NOTE_BALANCE, {"source": source, **reading._asdict()})

    def pending(self, connection: Connection, source: str, creator: str) -> PendingReport | None:
        """Return, within a transaction, whether a report is being made."""
        query = select(pending_reports).where(pending_reports.c.source == source, pending_reports.c.creator == creator)
        row = connection.execute(query).first()
        return None if row is None else PendingReport(row.asked_at, row.attempts, row.message)

    def note_pending(self, connection: Connection, source: str, creator: str, pending: PendingReport | None) -> None:
        """Keep, within a transaction, that a report is being made, or (with None) that none is."""
        if pending is None:
            its = (pending_reports.c.source == source) & (pending_reports.c.creator == creator)
            connection.execute(delete(pending_reports).where(its))
            return
        row = {"source": source, "creator": creator, **pending._asdict()}
        NOTE_PENDING.run(connection, row)

    def forget_pending(self, source: str, creator: str, *, on_forgotten: OnForgotten) -> None:
        """Stop waiting for a report that was being made."""
        with self._database.write() as connection:
            pending = self.pending(connection, source, creator)
            if pending is not None:
                self.note_pending(connection, source, creator, None)
                on_forgotten(pending, connection)

    def keep(
        self, connection: Connection, source: str, creator: str, new: NewReport, *, fetched_at: float, price: int
    ) -> None:
        """Keep a report within a transaction, under the creator's handle where its id is all that was known."""
        if new.creator_id is not None and new.handle is not None:
            self._note_handle(connection, source, new.creator_id, new.handle)
            creator = new.handle if creator == new.creator_id else creator
        row = {"source": source, "creator": creator, "body": new.body, "fetched_at": fetched_at}
        connection.execute(insert(reports).values(row | {"milli_credits": price}))

    def _note_handle(self, connection: Connection, source: str, creator_id: str, handle: str) -> None:
        """Keep to which handle an id belongs, and move the reports that were kept under the id to the handle."""
        NOTE_HANDLE.run(connection, {"source": source, "id": creator_id, "handle": handle})
        nameless = (reports.c.source == source) & (reports.c.creator == creator_id)
        connection.execute(update(reports).where(nameless).values(creator=handle))


# Built once, so that they are kept to a mode and compiled once, too.
OF_CREATOR = (
    select(reports)
    .where(reports.c.source == bindparam("of_source"), reports.c.creator == bindparam("of_creator"))
    .order_by(reports.c.fetched_at.desc(), reports.c.id.desc())
    .execution_options(**{WITH_DAMAGED_ROWS: True})
)
NEWEST = OF_CREATOR.limit(bindparam("most", type_=Integer))
NEWEST_ID = OF_CREATOR.with_only_columns(reports.c.id, reports.c.fetched_at).limit(1)


def newest(connection: Connection, source: str, creator: str, *, limit: int) -> list[KeptReport]:
    """Return the newest reports of a creator, the newest first; a damaged row was paid for, so it counts as well.

    A moment or a price that cannot be read is that of the call in the ledger.
    """
    whose = {"of_source": source, "of_creator": creator}
    rows = connection.execute(NEWEST, {**whose, "most": limit}).all()
    if all(map(_is_whole, rows)):
        return [
            KeptReport(row.id, _body(row.body), row.fetched_at, row.milli_credits, row.credits_left) for row in rows
        ]
    return _repaired(connection, source, creator, connection.execute(OF_CREATOR, whose).all())[:limit]


def latest(connection: Connection, source: str, creator: str) -> KeptReport | None:
    """Return the newest report of a creator."""
    return next(iter(newest(connection, source, creator, limit=1)), None)


def _is_whole(row: Row[Any]) -> bool:
    return (
        is_moment(row.fetched_at)
        and isinstance(row.milli_credits, int)
        and (row.credits_left is None or _is_number(row.credits_left))
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and isfinite(value)


def _repaired(connection: Connection, source: str, creator: str, rows: Sequence[Row[Any]]) -> list[KeptReport]:
    """Return all reports of a creator, the newest first.

    Calls and rows of `reports` are written in the same order. So the moments of calls that no readable row has are
    those of the damaged rows. One without a call is as old as can be.
    """
    for row in rows:
        if not _is_whole(row):
            log_damaged_report(connection.engine.url.database, row.id)
    ids = select(creators.c.id).where(creators.c.source == source, creators.c.handle == creator)
    names = [creator, *connection.execute(ids).scalars()]
    calls = select(ledger.c.opened_at, ledger.c.milli_credits).where(
        ledger.c.source == source, ledger.c.creator.in_(names), ledger.c.state == "charged", ledger.c.code == "report"
    )
    prices = {call.opened_at: call.milli_credits for call in connection.execute(calls)}
    lost = iter(sorted(prices.keys() - {row.fetched_at for row in rows}, reverse=True))
    found = []
    for row in sorted(rows, key=lambda row: int(row.id), reverse=True):
        at = row.fetched_at if is_moment(row.fetched_at) else next(lost, 0.0)
        price = row.milli_credits if isinstance(row.milli_credits, int) else prices.get(at, 0)
        left = row.credits_left if _is_number(row.credits_left) else None
        found.append(KeptReport(row.id, _body(row.body), at, price, left))
    return sorted(found, key=lambda report: (report.fetched_at, report.id), reverse=True)


def _body(stored: str | bytes) -> Mapping[str, object]:
    """Return a report; one that is damaged was paid for as well, so its text is handed on."""
    text = stored.decode(errors="replace") if isinstance(stored, bytes) else str(stored)
    try:
        body = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        return body if isinstance(body, dict) and not _is_deep(body) else {"damaged": text}
    except (ValueError, RecursionError):
        return {"damaged": text}


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON.")


def _finite(text: str) -> float:
    if isfinite(number := float(text)):
        return number
    raise ValueError(f"{text[:20]} is beyond every number.")


def _is_deep(body: Mapping[str, object]) -> bool:
    level: list[Any] = [body]
    for _ in range(DEEPEST):
        children = [child for each in level for child in (each.values() if isinstance(each, dict) else each)]
        level = [child for child in children if isinstance(child, NESTED)]
        if not level:
            return False
    return True
