"""The services behind the routes, and the one place where they are wired together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Self

from config import Config
from services.account_book import AccountBook
from services.account_checks import AccountChecks
from services.account_insights import AccountInsights
from services.accounts import Accounts, Configured
from services.background import Background
from services.clients.gate import Gate
from services.clients.graph import GraphClient
from services.clients.http import Transport
from services.clients.modash import ModashClient
from services.clients.pace import Pace
from services.clients.retries import Retries
from services.clock import Clock
from services.credits import Credits
from services.days import EndTime
from services.growth_trends import GrowthTrends
from services.insights import InsightsReader
from services.jobs import schedule_reports
from services.limits import Limits, shared_turns
from services.media import MediaList
from services.memory import Memory
from services.memory.asking import Places, patience
from services.parallel import Beside, Parallel
from services.performance_data import PerformanceData
from services.purchases import Purchases
from services.redaction import Redaction
from services.report_answers import Source
from services.status import Status
from services.store import Store
from services.terms import THOUSAND, Terms, longest_call
from services.top_posts import TopPosts
from services.vault import Vault

REPORT_SOURCES = ("modash", "sandbox")
SPARE_THREADS = 8  # for parts that need not wait


@dataclass(frozen=True)
class Services:
    """What routes delegate to."""

    account_insights: AccountInsights
    growth_trends: GrowthTrends
    top_posts: TopPosts
    performance_data: PerformanceData
    credits: Credits
    status: Status
    limits: Limits
    background: Background
    memory: Memory
    store: Store
    places: Places
    executors: tuple[Parallel, Beside]
    accounts: Accounts
    account_checks: AccountChecks
    vault: Vault

    @classmethod
    def build(cls, config: Config, clock: Clock, *, redaction: Redaction | None = None) -> Self:
        """Wire the object graph; nothing is asked of a provider yet, and the store is not opened.

        `redaction` is told of each token that is read from the store.
        """
        redaction = redaction or Redaction(config.secrets)
        parallel = Parallel(config.provider_parallel)
        beside = Beside(2 * config.waiting_places + SPARE_THREADS)
        gates = {name: Gate(name, clock) for name in ("instagram", "modash")}
        graph = graph_client(config, clock, gate=gates["instagram"], redaction=redaction)
        store = Store.open(config.database_url, config.instance_path)
        pace = Pace("modash", config.modash_rate, clock, shared=shared_turns("modash", store.paces), patience=patience)
        modash = (
            modash_client(config, clock, gate=gates["modash"], pace=pace, redaction=redaction)
            if config.modash_configured
            else None
        )
        memory = Memory(store, clock, may_refresh=partial(_may_refresh, gates), redact=redaction.known)
        vault = Vault(config.token_keys, learn=redaction.learn)
        configured = Configured(
            config.access_long_lived_token, config.graph_login, config.instagram_account_id, config.page_id
        )
        book = AccountBook(store, vault, memory, clock)
        accounts = Accounts(graph, parallel, memory, configured=configured, book=book)
        checks = AccountChecks(graph, app_id=config.app_id, clock=clock)
        end_time = EndTime(config.end_time_marks)
        reader = InsightsReader(graph, parallel, memory=memory, history=store.history, end_time=end_time, clock=clock)
        limits = Limits(gates, store.usages)
        memory.pulse.chores.append(limits.share)
        media = MediaList(graph, parallel, memory, clock)
        source = "sandbox" if config.sandbox else "instagram"
        sold_by, terms = REPORT_SOURCES[config.sandbox], _terms(config)
        purchases = Purchases(parallel, store, terms=terms, account=sold_by, redaction=redaction, clock=clock)
        memory.pulse.chores.append(purchases.tidy)
        performance_data = PerformanceData(
            modash,
            purchases,
            memory,
            source=Source(sold_by, store.reports, redaction=redaction, clock=clock),
            terms=terms,
            clock=clock,
        )
        schedule_reports(performance_data, store)
        return cls(
            AccountInsights(accounts, reader, end_time=end_time, source=source, version=graph.version, clock=clock),
            GrowthTrends(accounts, media, reader, beside=beside, source=source, version=graph.version, clock=clock),
            TopPosts(accounts, media, source=source, version=graph.version, clock=clock),
            performance_data,
            Credits(store.ledger, store.spending, store.reports, terms=terms, account=sold_by, clock=clock),
            Status(graph, accounts, modash, memory, configured=configured, checks=checks),
            limits,
            Background(store, clock),
            memory,
            store,
            Places(config.waiting_places),
            (parallel, beside),
            accounts,
            checks,
            vault,
        )

    def close(self) -> None:
        """End every thread, and let go of the store."""
        self.memory.close()
        for executor in self.executors:
            executor.close()
        self.store.close()


def _may_refresh(gates: Mapping[str, Gate], account: str) -> bool:
    """Return whether what is kept of an account, or of a source of reports, may be read anew."""
    return gates["modash" if account in REPORT_SOURCES else "instagram"].may_refresh(account)


def graph_client(
    config: Config, clock: Clock, *, gate: Gate | None = None, redaction: Redaction | None = None
) -> GraphClient:
    """Build the client of the Graph API."""
    return GraphClient(
        _transport("instagram", config, clock),
        base_urls=config.graph_base_urls,
        auth_in=config.graph_auth_in,
        version=config.graph_api_version,
        app_secret=config.app_secret,
        retries=Retries(budget=config.retry_budget, clock=clock),
        redaction=redaction or Redaction(config.secrets),
        gate=gate or Gate("instagram", clock),
    )


def modash_client(
    config: Config,
    clock: Clock,
    *,
    gate: Gate | None = None,
    pace: Pace | None = None,
    redaction: Redaction | None = None,
) -> ModashClient:
    """Build the client of Modash."""
    return ModashClient(
        _transport("modash", config, clock),
        base_url=config.modash_base_url,
        key=config.modash_api_key,
        retries=Retries(budget=config.retry_budget, clock=clock),
        redaction=redaction or Redaction(config.secrets),
        gate=gate or Gate("modash", clock),
        pace=pace or Pace("modash", config.modash_rate, clock),
    )


def _terms(config: Config) -> Terms:
    return Terms(
        fresh_for=config.performance_ttl,
        hold=config.uncertain_hold,
        limit=round(config.modash_credit_limit * THOUSAND),
        retry_after=config.report_retry_after,
        max_retries=config.modash_max_retries,
        longest_call=longest_call(
            connect_timeout=config.connect_timeout, read_timeout=config.read_timeout, retry_budget=config.retry_budget
        ),
    )


def _transport(provider: str, config: Config, clock: Clock) -> Transport:
    return Transport(
        provider,
        connect_timeout=config.connect_timeout,
        read_timeout=config.read_timeout,
        connections=config.provider_parallel,
        clock=clock,
    )
