"""The shape of each endpoint's reply, for the OpenAPI document; the services' own types, put together."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from services.account_insights import Insight
from services.answers import Substitution, Unavailable, Warning_
from services.background import Work
from services.credits import Overview
from services.growth_trends import Trend
from services.limits import Breaking, Limit
from services.top_posts import TopPost


class Meta(TypedDict):
    """Whence the numbers come, how old they are, and what is wrong with them."""

    source: Literal["instagram", "modash", "history", "sandbox"]
    fetched_at: str
    expires_at: str
    stale: bool
    unavailable: list[Unavailable]
    substitutions: list[Substitution]
    warnings: list[Warning_]


class AccountMeta(Meta):
    """`meta` of what Instagram answers about an account."""

    account: str
    api_version: str


class AccountInsightsMeta(AccountMeta):
    """`meta` with the first day whose values may still change."""

    provisional_from: str | None


class TimeRange(TypedDict):
    """The moments between which posts were looked at, and how many were found."""

    since: str
    until: str
    posts: int


class TopPostsMeta(AccountMeta):
    """`meta` with the time range."""

    time_range: TimeRange


class Cost(TypedDict):
    """What a report cost, and what was left afterwards; null where Modash did not tell."""

    credits: float
    credits_left: float | None


class CreatorMeta(Meta):
    """`meta` of what is kept about a creator."""

    creator: str


class PendingMeta(CreatorMeta):
    """`meta` of a report that is being made."""

    cost: Cost


class PerformanceDataMeta(PendingMeta):
    """`meta` of a report; `windows` tells for each block, statistic and measure which of 6, 12 and 30 it has."""

    windows: dict[str, dict[str, dict[str, list[int]]]]


class AccountInsightsBody(TypedDict):
    """The account's metrics."""

    data: list[Insight]
    meta: AccountInsightsMeta


class GrowthTrendsBody(TypedDict):
    """The account's changes."""

    trends: list[Trend]
    meta: AccountMeta


class TopPostsBody(TypedDict):
    """The account's best posts."""

    top_posts: list[TopPost]
    meta: TopPostsMeta


class PerformanceDataBody(TypedDict):
    """A creator's report, as Modash gives it."""

    posts: dict[str, object] | None
    reels: dict[str, object] | None
    unrecognized: NotRequired[dict[str, object]]
    meta: PerformanceDataMeta


class DryRunBody(TypedDict):
    """What a request for a report would cost now, and what would come of it."""

    dry_run: Literal[True]
    would_call: bool
    credits: float
    outcome: Literal["kept", "away", "uncertain", "pending", "given_up", "limit", "unknown", "ask"]
    message: str
    kept_from: str | None
    meta: CreatorMeta


class KeptReportBody(TypedDict):
    """One of the kept reports of a creator."""

    fetched_at: str
    cost: Cost
    posts: dict[str, object] | None
    reels: dict[str, object] | None
    unrecognized: NotRequired[dict[str, object]]
    windows: dict[str, dict[str, dict[str, list[int]]]]


class PerformanceHistoryBody(TypedDict):
    """The kept reports of a creator, the newest first."""

    reports: list[KeptReportBody]
    meta: CreatorMeta


class RetryLaterBody(TypedDict):
    """A report that is being made."""

    status: Literal["retry_later"]
    message: str
    retry_after: int
    meta: PendingMeta


class HealthBody(TypedDict):
    """Whether the process is alive, and what it is set up for."""

    status: Literal["ok"]
    providers: Literal["live", "sandbox"]
    instagram: Literal["configured", "not_configured"]
    modash: Literal["configured", "not_configured"]


class ReadyBody(TypedDict):
    """What the gateway has to do without: `store` has "ok" or a fault for each database.

    `worker` is "ok", "not seen", "last seen <n> s ago", or "unknown" while the store is away.
    """

    status: Literal["ok", "degraded"]
    store: dict[str, str]
    worker: str
    breakers: list[Breaking]


class QuotaBody(TypedDict):
    """How much of the providers' limits is used, and who is left alone for a while."""

    limits: list[Limit]
    breakers: list[Breaking]


class CheckBody(TypedDict):
    """One thing that was looked at; `ok` is null where there was nothing to look at."""

    name: str
    ok: bool | None
    message: str
    next_step: str | None


class StatusBody(QuotaBody):
    """What works and what does not, and when that was looked at."""

    status: Literal["ok", "failing"]
    checked_at: str
    checks: list[CheckBody]
    work: Work | None


BODIES: dict[str, dict[int, object]] = {
    "/account-insights": {200: AccountInsightsBody},
    "/growth-trends": {200: GrowthTrendsBody},
    "/top-posts": {200: TopPostsBody},
    "/performance-data": {200: PerformanceDataBody | DryRunBody, 202: RetryLaterBody},
    "/api/discovery/performance-data": {200: PerformanceDataBody | DryRunBody, 202: RetryLaterBody},
    "/performance-data/history": {200: PerformanceHistoryBody},
    "/credits": {200: Overview},
    "/healthz": {200: HealthBody},
    "/readyz": {200: ReadyBody},
    "/status": {200: StatusBody},
    "/quota": {200: QuotaBody},
    "/openapi.json": {200: dict[str, object]},
}
