"""The services behind the routes, and the one place where they are wired together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from config import Config
from services.account_insights import AccountInsights
from services.accounts import Accounts
from services.clients.graph import LOGINS, GraphClient
from services.clients.http import Transport
from services.clients.modash import ModashClient
from services.clients.retries import Retries
from services.clock import Clock
from services.days import EndTime
from services.growth_trends import GrowthTrends
from services.insights import InsightsReader
from services.media import MediaList
from services.parallel import Parallel
from services.performance_data import PerformanceData
from services.redaction import Redaction
from services.refusals import Refusals
from services.status import Status
from services.top_posts import TopPosts


@dataclass(frozen=True)
class Services:
    """What routes delegate to."""

    account_insights: AccountInsights
    growth_trends: GrowthTrends
    top_posts: TopPosts
    performance_data: PerformanceData
    status: Status

    @classmethod
    def build(cls, config: Config, clock: Clock) -> Self:
        """Wire the object graph; nothing is asked of a provider yet."""
        parallel = Parallel(config.provider_parallel)
        graph = graph_client(config, clock)
        accounts = Accounts(
            graph,
            parallel,
            account_id=config.instagram_account_id,
            page_id=config.page_id,
            token=config.access_long_lived_token,
            clock=clock,
        )
        end_time = EndTime(config.end_time_marks)
        reader = InsightsReader(graph, parallel, refusals=Refusals(clock), end_time=end_time, clock=clock)
        media = MediaList(graph)
        source = "sandbox" if config.sandbox else "instagram"
        modash = modash_client(config, clock) if config.modash_configured else None
        return cls(
            AccountInsights(accounts, reader, end_time=end_time, source=source, version=graph.version, clock=clock),
            GrowthTrends(accounts, graph, media, reader, parallel=parallel, source=source, clock=clock),
            TopPosts(accounts, media, parallel=parallel, source=source, version=graph.version, clock=clock),
            PerformanceData(
                modash,
                parallel,
                redaction=Redaction(config.secrets),
                source="sandbox" if config.sandbox else "modash",
                retry_after=config.report_retry_after,
                clock=clock,
            ),
            Status(
                graph,
                accounts,
                modash,
                app_id=config.app_id,
                page_id=config.page_id,
                token=config.access_long_lived_token,
                clock=clock,
            ),
        )


def graph_client(config: Config, clock: Clock) -> GraphClient:
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
    )


def modash_client(config: Config, clock: Clock) -> ModashClient:
    """Build the client of Modash."""
    return ModashClient(
        _transport("modash", config, clock),
        base_url=config.modash_base_url,
        key=config.modash_api_key,
        retries=Retries(budget=config.retry_budget, clock=clock),
        redaction=Redaction(config.secrets),
    )


def _transport(provider: str, config: Config, clock: Clock) -> Transport:
    return Transport(
        provider,
        connect_timeout=config.connect_timeout,
        read_timeout=config.read_timeout,
        connections=config.provider_parallel,
        clock=clock,
    )
