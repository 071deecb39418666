"""Reports as they came: each was paid for, so each is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from services.store.database import Database
from services.store.schema import balances, creators, pendings, reports


class KeptReport(NamedTuple):
    """A report, when it was asked for (Unix seconds), its price in thousandths, and the credits left afterwards."""

    id: int
    body: Mapping[str, object]
    fetched_at: float
    milli_credits: int
    credits_left: float | None


class NewReport(NamedTuple):
    """A report to be kept: its JSON, and the numeric id of its creator where it told that."""

    body: str
    creator_id: str | None = None
    handle: str | None = None


class Pending(NamedTuple):
    """A report that was not ready when it was last asked for, and how often it was not."""

    asked_at: float
    attempts: int
    message: str


class Balance(NamedTuple):
    """What the provider last told of the credits left (None where it did not), and when."""

    credits: float | None
    read_at: float


class Reports:
    """The reports of the gateway database, by account (the source) and creator."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect: Any = postgresql if database.is_postgresql else sqlite

    def history(self, account: str, creator: str, *, limit: int) -> list[KeptReport]:
        """Return the newest reports of a creator, the newest first."""
        with self._database.read() as connection:
            return [_report(row) for row in connection.execute(newest(account, creator).limit(limit))]

    def handle_of(self, account: str, creator_id: str) -> str | None:
        """Return the handle that a numeric id is known to belong to."""
        query = select(creators.c.handle).where(creators.c.account == account, creators.c.id == creator_id)
        with self._database.read() as connection:
            handle: str | None = connection.execute(query).scalar()
        return handle

    def balance(self, account: str) -> Balance | None:
        """Return the balance as it was last read."""
        query = select(balances.c.credits, balances.c.read_at).where(balances.c.account == account)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else Balance(row.credits, row.read_at)

    def note_balance(self, account: str, creator: str, balance: Balance, *, fetched_at: float) -> None:
        """Note the balance, also with the report after which it was read."""
        row = self._dialect.insert(balances).values(account=account, credits=balance.credits, read_at=balance.read_at)
        upsert = row.on_conflict_do_update(
            index_elements=[balances.c.account],
            set_={name: row.excluded[name] for name in ("credits", "read_at")},
            where=balances.c.read_at <= row.excluded.read_at,
        )
        its = (reports.c.account == account) & (reports.c.creator == creator) & (reports.c.fetched_at == fetched_at)
        with self._database.write() as connection:
            connection.execute(update(reports).where(its).values(credits_left=balance.credits))
            connection.execute(upsert)

    def pending(self, connection: Connection, account: str, creator: str) -> Pending | None:
        """Return, within a transaction, whether a report is being made."""
        query = select(pendings).where(pendings.c.account == account, pendings.c.creator == creator)
        row = connection.execute(query).first()
        return None if row is None else Pending(row.asked_at, row.attempts, row.message)

    def note_pending(self, connection: Connection, account: str, creator: str, pending: Pending | None) -> None:
        """Note, within a transaction, that a report is being made, or (with None) that nobody waits for it."""
        if pending is None:
            its = (pendings.c.account == account) & (pendings.c.creator == creator)
            connection.execute(delete(pendings).where(its))
            return
        row = self._dialect.insert(pendings).values(account=account, creator=creator, **pending._asdict())
        upsert = row.on_conflict_do_update(
            index_elements=[pendings.c.account, pendings.c.creator],
            set_={name: row.excluded[name] for name in Pending._fields},
        )
        connection.execute(upsert)

    def wait_no_more(self, account: str, creator: str) -> None:
        """Note that nobody waits for a report any more."""
        with self._database.write() as connection:
            self.note_pending(connection, account, creator, None)

    def keep(
        self, connection: Connection, account: str, creator: str, new: NewReport, *, fetched_at: float, price: int
    ) -> None:
        """Keep a report within a transaction, under the creator's handle where its id is all that was known."""
        if new.creator_id is not None and new.handle is not None:
            self._name(connection, account, new.creator_id, new.handle)
            creator = new.handle if creator == new.creator_id else creator
        row = {"account": account, "creator": creator, "body": new.body, "fetched_at": fetched_at}
        connection.execute(insert(reports).values(row | {"milli_credits": price}))

    def _name(self, connection: Connection, account: str, creator_id: str, handle: str) -> None:
        """Note to which handle an id belongs, and let what was kept under the id be found by the handle."""
        row = self._dialect.insert(creators).values(account=account, id=creator_id, handle=handle)
        connection.execute(
            row.on_conflict_do_update(
                index_elements=[creators.c.account, creators.c.id], set_={"handle": row.excluded.handle}
            )
        )
        nameless = (reports.c.account == account) & (reports.c.creator == creator_id)
        connection.execute(update(reports).where(nameless).values(creator=handle))


def newest(account: str, creator: str) -> Any:
    """Return the query of a creator's reports, the newest first."""
    return (
        select(reports)
        .where(reports.c.account == account, reports.c.creator == creator)
        .order_by(reports.c.fetched_at.desc(), reports.c.id.desc())
    )


def latest(connection: Connection, account: str, creator: str) -> KeptReport | None:
    """Return the newest report of a creator."""
    row = connection.execute(newest(account, creator).limit(1)).first()
    return None if row is None else _report(row)


def _report(row: Row[Any]) -> KeptReport:
    return KeptReport(row.id, json.loads(row.body), row.fetched_at, row.milli_credits, row.credits_left)
