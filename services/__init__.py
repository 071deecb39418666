"""The services behind the routes, and the one place where they are wired together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from config import Config
from services.account_insights import AccountInsights
from services.accounts import Accounts
from services.background import Background
from services.clients.gate import Gate
from services.clients.graph import LOGINS, GraphClient
from services.clients.http import Transport
from services.clients.modash import ModashClient
from services.clients.pace import Pace
from services.clients.retries import Retries
from services.clock import Clock
from services.days import EndTime
from services.growth_trends import GrowthTrends
from services.insights import InsightsReader
from services.limits import Limits, shared_turns
from services.media import MediaList
from services.memory import Memory
from services.memory.asking import Places, patience
from services.parallel import Beside, Parallel
from services.performance_data import PerformanceData
from services.redaction import Redaction
from services.status import Status
from services.store import Store
from services.top_posts import TopPosts

SPARE_THREADS = 8  # for parts that need not wait


@dataclass(frozen=True)
class Services:
    """What routes delegate to."""

    account_insights: AccountInsights
    growth_trends: GrowthTrends
    top_posts: TopPosts
    performance_data: PerformanceData
    status: Status
    limits: Limits
    background: Background
    memory: Memory
    store: Store
    places: Places
    executors: tuple[Parallel, Beside]

    @classmethod
    def build(cls, config: Config, clock: Clock) -> Self:
        """Wire the object graph; nothing is asked of a provider yet, and the store is not opened."""
        parallel = Parallel(config.provider_parallel)
        beside = Beside(2 * config.waiting_places + SPARE_THREADS)
        gates = {name: Gate(name, clock) for name in ("instagram", "modash")}
        graph = graph_client(config, clock, gate=gates["instagram"])
        store = Store.open(config.database_url, config.instance_path)
        pace = Pace("modash", config.modash_rate, clock, shared=shared_turns("modash", store.paces), patience=patience)
        modash = modash_client(config, clock, gate=gates["modash"], pace=pace) if config.modash_configured else None
        memory = Memory(
            store, clock, may_refresh=gates["instagram"].may_refresh, redact=Redaction(config.secrets).known
        )
        token = config.access_long_lived_token
        accounts = Accounts(
            graph, parallel, memory, account_id=config.instagram_account_id, page_id=config.page_id, token=token
        )
        end_time = EndTime(config.end_time_marks)
        reader = InsightsReader(graph, parallel, memory=memory, history=store.history, end_time=end_time, clock=clock)
        limits = Limits(gates, store.usages)
        memory.pulse.chores.append(limits.share)
        media = MediaList(graph, parallel, memory, clock)
        source = "sandbox" if config.sandbox else "instagram"
        return cls(
            AccountInsights(accounts, reader, end_time=end_time, source=source, version=graph.version, clock=clock),
            GrowthTrends(accounts, media, reader, beside=beside, source=source, version=graph.version, clock=clock),
            TopPosts(accounts, media, source=source, version=graph.version, clock=clock),
            PerformanceData(
                modash,
                parallel,
                memory,
                redaction=Redaction(config.secrets),
                source="sandbox" if config.sandbox else "modash",
                retry_after=config.report_retry_after,
                clock=clock,
            ),
            Status(
                graph, accounts, modash, memory, app_id=config.app_id, page_id=config.page_id, token=token, clock=clock
            ),
            limits,
            Background(store, clock),
            memory,
            store,
            Places(config.waiting_places),
            (parallel, beside),
        )

    def close(self) -> None:
        """End every thread, and let go of the store."""
        self.memory.close()
        for executor in self.executors:
            executor.close()
        self.store.close()


def graph_client(config: Config, clock: Clock, *, gate: Gate | None = None) -> GraphClient:
    """Build the client of the Graph API."""
    return GraphClient(
        _transport("instagram", config, clock),
        login=LOGINS[config.graph_login],
        auth_in=config.graph_auth_in,
        base_url=config.graph_base_url,
        version=config.graph_api_version,
        app_secret=config.app_secret,
        retries=Retries(budget=config.retry_budget, clock=clock),
        redaction=Redaction(config.secrets),
        gate=gate or Gate("instagram", clock),
    )


def modash_client(config: Config, clock: Clock, *, gate: Gate | None = None, pace: Pace | None = None) -> ModashClient:
    """Build the client of Modash."""
    return ModashClient(
        _transport("modash", config, clock),
        base_url=config.modash_base_url,
        key=config.modash_api_key,
        retries=Retries(budget=config.retry_budget, clock=clock),
        redaction=Redaction(config.secrets),
        gate=gate or Gate("modash", clock),
        pace=pace or Pace("modash", config.modash_rate, clock),
    )


def _transport(provider: str, config: Config, clock: Clock) -> Transport:
    return Transport(
        provider,
        connect_timeout=config.connect_timeout,
        read_timeout=config.read_timeout,
        connections=config.provider_parallel,
        clock=clock,
    )
