"""The store: both databases and all their tables."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from sqlalchemy.engine import URL

from services.clock import Clock
from services.store.account_health import AccountHealthTable
from services.store.account_snapshots import AccountSnapshots
from services.store.account_tokens import AccountTokens
from services.store.account_troubles import AccountTroubleTable
from services.store.accounts import AccountTable
from services.store.api_keys import ApiKeyTable
from services.store.cache_entries import CacheEntryTable
from services.store.cache_leases import LeaseTable
from services.store.connections import Connections
from services.store.counters import Counters
from services.store.database import Database, DatabaseFault, DatabaseUnavailableError, SchemaError
from services.store.database_clock import DatabaseClock
from services.store.deletion import Deletion
from services.store.follower_counts import FollowerCounts
from services.store.history import History
from services.store.instance_lock import InstanceLock, InUseError
from services.store.jobs import Jobs
from services.store.ledger import Ledger
from services.store.media import MediaTable
from services.store.notifications import NotificationTable
from services.store.posts import PostTable
from services.store.provider_turns import ProviderTurns
from services.store.quota_usage import QuotaUsage
from services.store.reports import Reports
from services.store.request_counts import RequestCountTable
from services.store.schema_versions import GATEWAY, MEMORY
from services.store.settlement_spool import SettlementSpool
from services.store.spending import Spending
from services.store.stories import Stories
from services.store.throttles import ThrottleTable
from services.store.transfer import Transfer
from services.store.webhooks import WebhookTable
from services.store.workers import Workers


def addresses(database_url: str, instance_path: str) -> dict[str, URL | str]:
    """Return the address of each database: both in PostgreSQL if `database_url` is given, else a SQLite file each."""
    if database_url:
        _, _, rest = database_url.partition("://")
        return dict.fromkeys((MEMORY, GATEWAY), f"postgresql+psycopg://{rest}")
    return {name: URL.create("sqlite", database=f"{instance_path}/{name}.db") for name in (MEMORY, GATEWAY)}


@dataclass(frozen=True)
class Store:
    """Both databases and their tables, as one mode sees them."""

    databases: tuple[Database, ...]
    clock: DatabaseClock
    cache_entries: CacheEntryTable
    leases: LeaseTable
    quota_usage: QuotaUsage
    throttles: ThrottleTable
    provider_turns: ProviderTurns
    request_counts: RequestCountTable
    history: History
    follower_counts: FollowerCounts
    account_snapshots: AccountSnapshots
    accounts: AccountTable
    account_health: AccountHealthTable
    api_keys: ApiKeyTable
    account_tokens: AccountTokens
    media: MediaTable
    posts: PostTable
    reports: Reports
    ledger: Ledger
    settlement_spool: SettlementSpool
    spending: Spending
    stories: Stories
    jobs: Jobs
    workers: Workers
    webhooks: WebhookTable
    notifications: NotificationTable
    counters: Counters
    account_troubles: AccountTroubleTable
    transfer: Transfer
    deletion: Deletion
    lock: InstanceLock | None

    @classmethod
    def open(cls, database_url: str, instance_path: str, *, mode: str, clock: Clock | None = None) -> Self:
        """Build the store of one mode (`live` or `sandbox`); connections are opened on first use.

        `clock` is that of the machine. Raises `SchemaError` while a restore replaces a file.
        """
        lock = None if database_url else _shared_lock(instance_path)
        urls = addresses(database_url, instance_path)
        # A row of the ledger has to survive a power cut, or its report could be paid for twice.
        pools = {url: Connections(url, mode=mode, durable=url == urls[GATEWAY]) for url in set(urls.values())}
        memory, gateway = (Database(name, pools[url]) for name, url in urls.items())
        leases = LeaseTable(memory)
        reports = Reports(gateway)
        machine = clock or Clock()
        database_clock = DatabaseClock(gateway, machine)
        memory.clock, gateway.clock = machine, database_clock  # as the times of their rows
        return cls(
            databases=(memory, gateway),
            clock=database_clock,
            cache_entries=CacheEntryTable(memory, leases),
            leases=leases,
            quota_usage=QuotaUsage(memory),
            throttles=ThrottleTable(memory),
            provider_turns=ProviderTurns(memory),
            request_counts=RequestCountTable(memory),
            history=History(gateway),
            follower_counts=FollowerCounts(gateway),
            account_snapshots=AccountSnapshots(gateway),
            accounts=AccountTable(gateway),
            account_health=AccountHealthTable(gateway),
            api_keys=ApiKeyTable(gateway),
            account_tokens=AccountTokens(gateway),
            media=MediaTable(gateway),
            posts=PostTable(gateway),
            reports=reports,
            ledger=Ledger(gateway, reports, database_clock),
            settlement_spool=SettlementSpool(instance_path, mode=mode),
            spending=Spending(gateway),
            stories=Stories(gateway),
            jobs=Jobs(gateway),
            workers=Workers(gateway),
            webhooks=WebhookTable(gateway),
            notifications=NotificationTable(gateway),
            counters=Counters(memory),
            account_troubles=AccountTroubleTable(gateway),
            transfer=Transfer(gateway),
            deletion=Deletion((memory, gateway)),
            lock=lock,
        )

    def check_versions(self) -> None:
        """Raise `SchemaError` if a database is not at the version this code needs; an unavailable one is skipped."""
        for database in self.databases:
            try:
                database.check_version()
            except DatabaseUnavailableError:
                continue

    def sweep(self) -> None:
        """Delete expired rows."""
        self.cache_entries.sweep(time.time())
        self.workers.sweep()
        self.counters.sweep()
        self.request_counts.sweep()

    def sweep_without_worker(self) -> None:
        """Delete expired cache entries and counts of requests, unless a worker is alive: it does that as a job."""
        with suppress(DatabaseUnavailableError):
            if self.workers.seen().alive:
                return
        self.cache_entries.sweep(time.time())
        self.request_counts.sweep()

    def faults(self) -> dict[str, DatabaseFault]:
        """Try each database and return the fault of each that cannot be used as it should be."""
        faults = {database.name: database.probe() for database in self.databases}
        return {name: fault for name, fault in faults.items() if fault is not None}

    def close(self) -> None:
        """Close every connection, and let a restore replace the files."""
        for database in self.databases:
            database.close()
        if self.lock is not None:
            self.lock.release()


def _shared_lock(instance_path: str) -> InstanceLock:
    lock = InstanceLock(instance_path)
    try:
        lock.share()
    except InUseError as error:
        raise SchemaError(str(error)) from None
    return lock
