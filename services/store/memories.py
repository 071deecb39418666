"""What was fetched, who is fetching what, and what has changed: rows that may all be thrown away."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Insert, and_, delete, func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from services.store.database import Database
from services.store.schema import changes, flights, memories

LEASE = 5.0  # seconds
ROWS_AT_MOST = 500_000
FORGOTTEN_AFTER = 86_400.0  # seconds for which the fence of a flight that ended is kept
CHUNK = 200  # keys in one statement; SQLite takes 32,766 values


class Slot(NamedTuple):
    """What is remembered of an account: a key, which is fetched under one flight, and a part of it."""

    key: str
    part: str = ""


@dataclass(frozen=True)
class Row:
    """A value as JSON, when it was fetched, and until when it may serve (Unix seconds)."""

    value: bytes
    fetched_at: float
    kept_until: float


@dataclass(frozen=True)
class Flown:
    """How a flight stands: whether somebody holds it, which one it is, and how it ended if it failed."""

    held: bool
    fence: int
    failure: str | None


class Memories:
    """The tables of the memory database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect: Any = postgresql if database.is_postgresql else sqlite

    def read(self, account: str, keys: Collection[str]) -> dict[Slot, Row]:
        """Return all parts of some keys of an account."""
        found: dict[Slot, Row] = {}
        columns = (memories.c.key, memories.c.part, memories.c.value, memories.c.fetched_at, memories.c.kept_until)
        with self._database.read() as connection:
            for chunk in _chunks(keys):
                query = select(*columns).where(memories.c.account == account, memories.c.key.in_(chunk))
                for key, part, value, fetched_at, kept_until in connection.execute(query):
                    found[Slot(key, part)] = Row(bytes(value), fetched_at, kept_until)
        return found

    def take(self, account: str, keys: Collection[str], holder: str) -> dict[str, int]:
        """Take the flights that nobody holds, and return the fence of each."""
        # In one order for all, so that nobody waits for somebody who waits.
        rows = [{"account": account, "key": key, "holder": holder, "fence": 1} for key in sorted(keys)]
        with self._database.write() as connection:
            now = self._database.now()
            insert = self._dialect.insert(flights).values(lease_until=now + LEASE)
            statement = insert.on_conflict_do_update(
                index_elements=[flights.c.account, flights.c.key],
                set_={
                    "holder": insert.excluded.holder,
                    "fence": flights.c.fence + 1,
                    "lease_until": insert.excluded.lease_until,
                    "failure": None,
                },
                where=flights.c.lease_until <= now,
            ).returning(flights.c.key, flights.c.fence)
            return {row.key: row.fence for row in connection.execute(statement, rows)}

    def renew(self, holder: str) -> None:
        """Hold on to every flight of a holder for another lease."""
        with self._database.write() as connection:
            now = self._database.now()
            connection.execute(update(flights).where(flights.c.holder == holder).values(lease_until=now + LEASE))

    def deliver(
        self,
        account: str,
        fences: Mapping[str, int],
        holder: str,
        rows: Mapping[Slot, Row],
        *,
        failures: Mapping[str, str] | None = None,
    ) -> tuple[set[str], int | None]:
        """End flights and write what they brought, in one transaction.

        A value whose flight another holder has taken over is not written, nor is one older than what is there.
        Returns the keys that were still ours and, if a value was replaced, the account's new counter of changes.
        """
        with self._database.write() as connection:
            ours: set[str] = set()
            for chunk in _chunks(sorted(fences)):
                held = tuple_(flights.c.key, flights.c.fence).in_([(key, fences[key]) for key in chunk])
                ended = (
                    update(flights)
                    .where(flights.c.account == account, flights.c.holder == holder, held)
                    .values(holder="", lease_until=self._database.now())
                    .returning(flights.c.key)
                )
                ours |= set(connection.execute(ended).scalars())
            for key, failure in (failures or {}).items():
                if key in ours:
                    mine = and_(flights.c.account == account, flights.c.key == key)
                    connection.execute(update(flights).where(mine).values(failure=failure))
            written = {slot: row for slot, row in rows.items() if slot.key in ours}
            counter = self._change(connection, account) if self._write(connection, account, written) else None
        return ours, counter

    def note(self, account: str, rows: Mapping[Slot, Row]) -> None:
        """Write values that need no flight, for it does not matter who learns them."""
        with self._database.write() as connection:
            self._write(connection, account, rows)

    def flown(self, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], Flown]:
        """Return how some flights (account, key) stand."""
        found: dict[tuple[str, str], Flown] = {}
        with self._database.read() as connection:
            held = flights.c.lease_until > self._database.now()
            for chunk in _chunks(wanted):
                query = select(flights.c.account, flights.c.key, held, flights.c.fence, flights.c.failure)
                for account, key, is_held, fence, failure in connection.execute(
                    query.where(tuple_(flights.c.account, flights.c.key).in_(chunk))
                ):
                    found[account, key] = Flown(bool(is_held), fence, failure)
        return found

    def counters(self) -> dict[str, int]:
        """Return how often the values of each account were replaced."""
        with self._database.read() as connection:
            return {row.account: row.counter for row in connection.execute(select(changes))}

    def forget(self, account: str) -> None:
        """Delete what is remembered of an account, and end its flights, which then deliver nothing any more."""
        with self._database.write() as connection:
            for table in (memories, flights):
                connection.execute(delete(table).where(table.c.account == account))
            self._change(connection, account)

    def sweep(self, now: float) -> int:
        """Delete what may not serve any more, and the oldest of what is too much; return how many values went."""
        with self._database.write() as connection:
            gone = connection.execute(delete(memories).where(memories.c.kept_until < now)).rowcount
            over = connection.execute(select(func.count()).select_from(memories)).scalar_one() - ROWS_AT_MOST
            if over > 0:
                oldest = select(memories.c.fetched_at).order_by(memories.c.fetched_at).offset(over).limit(1)
                limit = connection.execute(oldest).scalar_one()
                gone += connection.execute(delete(memories).where(memories.c.fetched_at < limit)).rowcount
            # The fence of a flight is of use only while a lost holder might come back.
            connection.execute(delete(flights).where(flights.c.lease_until < self._database.now() - FORGOTTEN_AFTER))
        return int(gone)

    def _write(self, connection: Any, account: str, rows: Mapping[Slot, Row]) -> bool:
        """Insert or replace values, unless newer ones are there; return whether something was replaced."""
        if not rows:
            return False
        present: set[Slot] = set()
        for chunk in _chunks({slot.key for slot in rows}):
            query = select(memories.c.key, memories.c.part).where(
                memories.c.account == account, memories.c.key.in_(chunk)
            )
            present |= {Slot(key, part) for key, part in connection.execute(query)}
        values = [
            {
                "account": account,
                "key": slot.key,
                "part": slot.part,
                "value": row.value,
                "fetched_at": row.fetched_at,
                "kept_until": row.kept_until,
            }
            for slot, row in sorted(rows.items())
        ]
        connection.execute(self._upsert(), values)
        return bool(present & rows.keys())

    def _upsert(self) -> Insert:
        insert = self._dialect.insert(memories)
        upsert: Insert = insert.on_conflict_do_update(
            index_elements=[memories.c.account, memories.c.key, memories.c.part],
            set_={name: insert.excluded[name] for name in ("value", "fetched_at", "kept_until")},
            where=memories.c.fetched_at <= insert.excluded.fetched_at,
        )
        return upsert

    def _change(self, connection: Any, account: str) -> int:
        insert = self._dialect.insert(changes).values(account=account, counter=1)
        counted = insert.on_conflict_do_update(
            index_elements=[changes.c.account], set_={"counter": changes.c.counter + 1}
        ).returning(changes.c.counter)
        return int(connection.execute(counted).scalar_one())


def _chunks(values: Iterable[Any]) -> Iterable[list[Any]]:
    all_ = list(values)
    return (all_[start : start + CHUNK] for start in range(0, len(all_), CHUNK))
