"""Leases: which process fetches which cache key, over all processes and machines that share a database.

A lease is a row with a holder, a time at which it ends and a fence. The holder extends it while it fetches; if the
holder dies, the lease ends by itself and another process takes the key over. A holder that only hung (a stopped
process, a long garbage collection, a laptop that slept) may come back after that and still believe that the key is
its own. No timeout can exclude this, so every takeover raises the fence by one, and a commit is accepted only from the
holder of the current fence: a late value of an earlier holder is dropped, and it cannot end the lease of a later one.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Double, Update, and_, bindparam, delete, select, tuple_, update

from services.store.database import SERVER_NOW, Database, chunks, lock_in_order, locking
from services.store.memory_tables import leases
from services.store.upsert import Upsert, excluded

LEASE = 5.0  # seconds; the time for which a key is blocked when its holder dies
LONGEST = 600.0  # seconds, far beyond any lease, whatever the clocks of machines
KEEP_FENCES_FOR = 86_400.0  # seconds


@dataclass(frozen=True)
class LeaseState:
    """Whether a key is being fetched, under which fence, and how its last fetch failed, if it did."""

    held: bool
    fence: int
    failure: str | None


# Built once, so that they are kept to a mode and compiled once, too.
_IS_OF_KEYS = and_(leases.c.account == bindparam("of_account"), leases.c.key.in_(bindparam("keys", expanding=True)))
OF_KEYS = update(leases).where(_IS_OF_KEYS)
HELD = select(leases.c.key, leases.c.fence).where(_IS_OF_KEYS, leases.c.holder == bindparam("by_holder"))
HELD_AND_LOCKED = locking(HELD, leases)  # for PostgreSQL; a file has one lock, which its writer holds


class LeaseStatements(NamedTuple):
    """What takes, extends and ends leases."""

    acquire: Upsert
    confirm: Update
    release: Update


def _statements(*, is_postgresql: bool) -> LeaseStatements:
    """Build the statements of an engine."""
    # The moment of a file comes with the rows. That of PostgreSQL is read again after the wait for a locked row.
    if is_postgresql:
        now: ColumnElement[float] = SERVER_NOW
        until = now + LEASE
    else:
        until = excluded(leases.c.lease_until)
        now = until - LEASE
    given = bindparam("moment", type_=Double)
    return LeaseStatements(
        acquire=Upsert(
            leases,
            values={"lease_until": until} if is_postgresql else None,
            replace={
                "holder": excluded(leases.c.holder),
                "fence": leases.c.fence + 1,
                "lease_until": until,
                "failure": None,
            },
            # One that ends later than any lease can is damaged: it must not be held for ever.
            only_if=(leases.c.lease_until <= now) | (leases.c.lease_until > now + LONGEST),
            returning=(leases.c.key, leases.c.fence),
        ),
        confirm=OF_KEYS.values(lease_until=until if is_postgresql else given),
        release=OF_KEYS.values(lease_until=now if is_postgresql else given, holder=""),
    )


OF_A_FILE, OF_POSTGRESQL = _statements(is_postgresql=False), _statements(is_postgresql=True)


class LeaseTable:
    """The leases of the memory database. Its clock decides when a lease ends, for the machines' clocks may differ."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._statements = OF_POSTGRESQL if database.is_postgresql else OF_A_FILE

    def acquire(self, account: str, keys: Collection[str], holder: str) -> dict[str, int]:
        """Take the leases of keys that no process holds, and return the fence of each; the others are left out."""
        with self._database.write() as connection:
            row: dict[str, Any] = {"account": account, "holder": holder, "fence": 1}
            if not self._database.is_postgresql:
                row["lease_until"] = time.time() + LEASE
            # Sort the keys so that concurrent transactions lock rows in the same order (no deadlock).
            rows = [row | {"key": key} for key in sorted(keys)]
            return {each.key: each.fence for each in self._statements.acquire.run(connection, rows)}

    def extend(self, holder: str) -> None:
        """Extend every lease of a holder."""
        with self._database.write() as connection:
            until = self._database.now() + LEASE
            extended = update(leases).where(leases.c.holder == holder).values(lease_until=until)
            if not self._database.is_postgresql:
                connection.execute(extended)
                return
            # A row that is locked now is one that its holder ends or extends itself. To wait for it, with others
            # locked, would be a deadlock as soon as the holder waits for one of these.
            address = tuple_(leases.c.account, leases.c.key)
            free = select(leases.c.account, leases.c.key).where(leases.c.holder == holder)
            found = [tuple(row) for row in connection.execute(free.with_for_update(skip_locked=True))]
            for chunk in chunks(found):
                connection.execute(extended.where(address.in_(chunk)))

    def confirm(self, connection: Connection, account: str, fences: Mapping[str, int], holder: str) -> set[str]:
        """Return the keys whose fence is still the current one, within a transaction, and extend their leases.

        No other holder can take one of them over before the transaction ends.
        """
        return self._update(connection, account, fences, holder, self._statements.confirm, seconds=LEASE)

    def release(
        self,
        connection: Connection,
        account: str,
        fences: Mapping[str, int],
        holder: str,
        *,
        failures: Mapping[str, str],
    ) -> set[str]:
        """End leases within a transaction, noting the failures; return the keys whose fence was still the current one.

        The rows stay, so that the next holder gets a higher fence and processes that wait can read the failure.
        """
        current = self._update(connection, account, fences, holder, self._statements.release, seconds=0.0)
        for key, failure in failures.items():
            if key in current:
                of_key = (leases.c.account == account) & (leases.c.key == key)
                connection.execute(update(leases).where(of_key).values(failure=failure))
        return current

    def states(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], LeaseState]:
        """Return the states of some leases, each by account and key; a key without a lease is left out."""
        found: dict[tuple[str, str], LeaseState] = {}
        with self._database.read(before_readers=True) as connection:
            now = self._database.now()
            until = leases.c.lease_until
            held = and_(until > now, until <= now + LONGEST)
            for chunk in chunks(keys):
                query = select(leases.c.account, leases.c.key, held, leases.c.fence, leases.c.failure)
                for account, key, is_held, fence, failure in connection.execute(
                    query.where(tuple_(leases.c.account, leases.c.key).in_(chunk))
                ):
                    found[account, key] = LeaseState(bool(is_held), fence, failure)
        return found

    def _update(
        self,
        connection: Connection,
        account: str,
        fences: Mapping[str, int],
        holder: str,
        change: Update,
        *,
        seconds: float,
    ) -> set[str]:
        """Change the leases whose fence is still the current one, and return their keys.

        They are read first, and are locked from then on, so that no other holder takes one over before the change.
        """
        current: set[str] = set()
        for chunk in chunks(sorted(fences)):
            rows = connection.execute(
                HELD_AND_LOCKED if self._database.is_postgresql else HELD,
                {"of_account": account, "keys": chunk, "by_holder": holder},
            )
            current |= {key for key, fence in rows if fence == fences[key]}
        for chunk in chunks(sorted(current)):
            changed = {"of_account": account, "keys": chunk}
            # The moment of a file comes with the statement.
            moment = {} if self._database.is_postgresql else {"moment": time.time() + seconds}
            connection.execute(change, changed | moment)
        return current

    def delete(self, connection: Connection, account: str) -> None:
        """Delete the leases of an account within a transaction; what is being fetched is then not committed."""
        lock_in_order(connection, leases, leases.c.account == account)
        connection.execute(delete(leases).where(leases.c.account == account))

    def sweep(self, connection: Connection) -> None:
        """Delete leases that ended long ago, within a transaction."""
        # After a deletion fences start again at 1. So a row must outlive any holder that could still come back.
        is_old = leases.c.lease_until < self._database.now() - KEEP_FENCES_FOR
        lock_in_order(connection, leases, is_old)
        connection.execute(delete(leases).where(is_old))
