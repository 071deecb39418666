"""The store: the one place where SQL is spoken."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from sqlalchemy.engine import URL

from services.store.accounts import AccountRow, AccountTable
from services.store.connections import Connections
from services.store.database import Database, SchemaError, StoreAway
from services.store.history import History
from services.store.jobs import Jobs
from services.store.ledger import Ledger
from services.store.memories import Memories
from services.store.paces import Paces
from services.store.reports import Reports
from services.store.schema import GATEWAY, MEMORY
from services.store.spending import Spending
from services.store.usages import Usages
from services.store.workers import Workers

__all__ = [
    "AccountRow",
    "AccountTable",
    "History",
    "Ledger",
    "Reports",
    "SchemaError",
    "Spending",
    "Store",
    "StoreAway",
    "Usages",
    "addresses",
]


def addresses(database_url: str, instance_path: str) -> dict[str, URL | str]:
    """Return where each database is: both in PostgreSQL where its address is given, else a file for each."""
    if database_url:
        _, _, rest = database_url.partition("://")
        return dict.fromkeys((MEMORY, GATEWAY), f"postgresql+psycopg://{rest}")
    return {name: URL.create("sqlite", database=f"{instance_path}/{name}.db") for name in (MEMORY, GATEWAY)}


@dataclass(frozen=True)
class Store:
    """Both databases, and what is kept in them."""

    databases: tuple[Database, ...]
    memories: Memories
    usages: Usages
    paces: Paces
    history: History
    accounts: AccountTable
    reports: Reports
    ledger: Ledger
    spending: Spending
    jobs: Jobs
    workers: Workers

    @classmethod
    def open(cls, database_url: str, instance_path: str) -> Self:
        """Describe the store; nothing is opened before it is used."""
        urls = addresses(database_url, instance_path)
        # A row of the ledger must outlive a power cut, else what it stands for is paid for twice.
        pools = {url: Connections(url, durable=url == urls[GATEWAY]) for url in set(urls.values())}
        memory, gateway = (Database(name, pools[url]) for name, url in urls.items())
        reports = Reports(gateway)
        return cls(
            (memory, gateway),
            Memories(memory),
            Usages(memory),
            Paces(memory),
            History(gateway),
            AccountTable(gateway),
            reports,
            Ledger(gateway, reports),
            Spending(gateway),
            Jobs(gateway),
            Workers(gateway),
        )

    def check_versions(self) -> None:
        """Raise `SchemaError` where a database is not at the version this code needs; one that is away may be."""
        for database in self.databases:
            try:
                database.check_version()
            except StoreAway:
                continue

    def sweep(self) -> None:
        """Delete what is of no use any more."""
        self.memories.sweep(time.time())
        self.workers.sweep()

    def sweep_alone(self) -> None:
        """Delete what is of no use any more, where no worker is there to do it."""
        with suppress(StoreAway):
            if self.workers.seen().alive:
                return
        self.memories.sweep(time.time())

    def faults(self) -> dict[str, str]:
        """Return what stands in the way of each database that is away, after trying it."""
        for database in self.databases:
            database.probe()
        return {database.name: database.fault for database in self.databases if database.fault is not None}

    def close(self) -> None:
        """Let go of every connection."""
        for database in self.databases:
            database.close()
