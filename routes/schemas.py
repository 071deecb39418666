"""The shape of each endpoint's reply for the OpenAPI document, composed of the services' own types."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from routes.meta_schemas import (
    AccountInsightsMeta,
    AccountMeta,
    AudienceMeta,
    CompareMeta,
    CreatorMeta,
    GrowthTrendsMeta,
    HistoryMeta,
    Meta,
    PendingMeta,
    PerformanceDataMeta,
    ReportCost,
    TopPostsMeta,
)
from services.account_list import AccountEntry, AccountsSummary
from services.answers import BreakdownOfValue
from services.audience import Demographic, OnlineFollowers
from services.capabilities import Capability
from services.compare import ComparedAccount
from services.credits import Overview
from services.export import ExportLine
from services.formats import Format
from services.growth.trends import Trend
from services.history.kept_series import HistorySeries
from services.history.snapshots import HistoryProgress
from services.insights.shown_insights import Insight
from services.insights_test import InsightsTestResult
from services.media.kept_stories import StoryProgress
from services.media.shown_metrics import MediaInsight
from services.media_insights import RecommendedMetric
from services.monitoring.readiness import BackgroundWork, ReadinessReport
from services.post_history import KeptPost, MedianPoint, PostPoint
from services.posting_times import PostingTime
from services.posts.compared import ComparedAt, ComparedCounts, PeriodOfPosts
from services.posts.kept_posts import PostProgress
from services.posts.top_post_fields import TopPost
from services.quota import BreakerStatus, Limit
from services.stories import Story
from services.webhooks.handshake import WEBHOOK_PATH


class AccountInsightsBody(TypedDict):
    """The account's metrics."""

    data: list[Insight]
    meta: AccountInsightsMeta


class GrowthTrendsBody(TypedDict):
    """The account's changes."""

    trends: list[Trend]
    meta: GrowthTrendsMeta


class CompareBody(TypedDict):
    """Accounts side by side, in the order of the request."""

    accounts: list[ComparedAccount]
    meta: CompareMeta


class ComparedWith(TypedDict):
    """When the other posts were published of which the medians are, and how many are kept."""

    since: str
    until: str
    posts: int


class PostHistoryMeta(AccountMeta):
    """`meta` with the posts of which the medians are; a median of fewer than `floor` numbers is null."""

    floor: int
    compared_with: ComparedWith


class PostHistoryBody(TypedDict):
    """How a post grew, and the medians of the account's other posts at the same ages."""

    post: KeptPost
    points: list[PostPoint]
    account_median: list[MedianPoint]
    meta: PostHistoryMeta


class ComparedPostsMeta(AccountMeta):
    """`meta` with the posts that are compared; a median of fewer than `floor` numbers is null."""

    window: PeriodOfPosts
    posts: ComparedCounts
    compared_at: ComparedAt
    floor: int


class PostingTimesBody(TypedDict):
    """Every hour of every weekday in the time zone `tz`, Monday first."""

    tz: str
    cells: list[PostingTime]
    meta: ComparedPostsMeta


class StoryCounts(TypedDict):
    """How many stories of the period are kept, and how many are compared: those that were read until their end."""

    kept: int
    compared: int


class FormatsMeta(ComparedPostsMeta):
    """`meta` with the stories that are compared."""

    stories: StoryCounts


class FormatsBody(TypedDict):
    """The formats of the account's posts."""

    formats: list[Format]
    meta: FormatsMeta


class HistoryBody(TypedDict):
    """What is kept of an account."""

    series: list[HistorySeries]
    meta: HistoryMeta


class TopPostsBody(TypedDict):
    """The account's best posts."""

    top_posts: list[TopPost]
    meta: TopPostsMeta


class AudienceBody(TypedDict):
    """The account's audience."""

    demographics: list[Demographic]
    online_followers: list[OnlineFollowers]
    meta: AudienceMeta


class MediaInsightsBody(TypedDict):
    """The numbers of one media; `timestamp` is the same as `meta.fetched_at`."""

    success: Literal[True]
    media_id: str
    media_type: Annotated[
        str | None, Field(description="FEED, REELS or STORY: Instagram's media_product_type; null if it gives none.")
    ]
    insights: list[MediaInsight]
    timestamp: str
    meta: AccountMeta


class MediaBreakdownBody(TypedDict):
    """One metric of a media with its breakdown; that is empty where the buckets are unknown."""

    success: Literal[True]
    data: MediaInsight
    breakdown: list[BreakdownOfValue]
    meta: AccountMeta


class RecommendedMetricsBody(TypedDict):
    """The metrics that are recommended for a type of media."""

    success: Literal[True]
    media_type: Literal["FEED", "REELS", "STORY"]
    metrics: list[RecommendedMetric]


class AccountsMeta(Meta):
    """`meta` with how many accounts match, how many there are of each state, and where the next page begins."""

    total: int
    states: dict[str, int]
    next_cursor: str | None


class AccountsBody(TypedDict):
    """The accounts that the caller may see, ordered by id."""

    accounts: list[AccountEntry]
    meta: AccountsMeta


class CapabilitiesMeta(AccountMeta):
    """`meta` with the login of the account."""

    login: Literal["facebook", "instagram"]


class CapabilitiesBody(TypedDict):
    """What works for an account and its media."""

    capabilities: list[Capability]
    meta: CapabilitiesMeta


class StoriesBody(TypedDict):
    """Stories, the newest first."""

    stories: list[Story]
    meta: AccountMeta


@with_config(ConfigDict(extra="allow"))
class PerformanceDataBody(TypedDict):
    """A creator's report, as Modash gives it, unknown parts included."""

    posts: dict[str, object] | None
    reels: dict[str, object] | None
    unrecognized: NotRequired[dict[str, object]]
    meta: PerformanceDataMeta


class DryRunBody(TypedDict):
    """What a request for a report would cost now, and how it would end."""

    dry_run: Literal[True]
    would_call: bool
    credits: float
    outcome: Literal[
        "kept", "in_flight", "away", "uncertain", "pending", "given_up", "limit", "budget", "unknown", "ask"
    ]
    message: str
    kept_from: str | None
    meta: CreatorMeta


@with_config(ConfigDict(extra="allow"))
class KeptReportBody(TypedDict):
    """One of the stored reports of a creator."""

    fetched_at: str
    cost: ReportCost
    posts: dict[str, object] | None
    reels: dict[str, object] | None
    unrecognized: NotRequired[dict[str, object]]
    windows: dict[str, dict[str, dict[str, list[int]]]]


class PerformanceHistoryBody(TypedDict):
    """The stored reports of a creator, the newest first."""

    reports: list[KeptReportBody]
    meta: CreatorMeta


class RetryLaterBody(TypedDict):
    """A report that is being made."""

    status: Literal["retry_later"]
    message: str
    retry_after: int
    meta: PendingMeta


class HealthBody(TypedDict):
    """Whether the process is alive, and which providers are configured."""

    status: Literal["ok"]
    providers: Literal["live", "sandbox"]
    instagram: Literal["configured", "not_configured"]
    modash: Literal["configured", "not_configured"]


class QuotaBody(TypedDict):
    """How much of the providers' limits is used, and which circuit breakers are open."""

    limits: list[Limit]
    breakers: list[BreakerStatus]


class CauseBody(TypedDict):
    """One cause of a failed check, what shows it, and what to do."""

    code: str
    fact: str
    next_step: str


class CheckBody(TypedDict):
    """One check; `ok` is null if there was nothing to check, and true for a warning. `message` is the same as `fact`.

    `code` says why it failed. Where Meta's answers leave several causes, `causes` names all of them.
    """

    name: str
    state: Literal["ok", "warning", "failing", "not_checked"]
    ok: bool | None
    fact: str
    message: str
    next_step: str | None
    code: str | None
    causes: list[CauseBody]


class StatusBody(QuotaBody):
    """What works and what does not, and when that was checked."""

    status: Literal["ok", "failing"]
    checked_at: str
    checks: list[CheckBody]
    accounts: AccountsSummary | None
    work: BackgroundWork | None
    stories: StoryProgress | None
    posts: PostProgress | None
    history: HistoryProgress | None


class DeliveryBody(TypedDict):
    """That a delivery is kept."""

    status: Literal["kept"]


BODIES: dict[str, dict[int, object]] = {
    "/account-insights": {200: AccountInsightsBody},
    "/growth-trends": {200: GrowthTrendsBody},
    "/compare": {200: CompareBody},
    "/history": {200: HistoryBody},
    "/history/posts/{post_id}": {200: PostHistoryBody},
    "/posting-times": {200: PostingTimesBody},
    "/formats": {200: FormatsBody},
    "/top-posts": {200: TopPostsBody},
    "/stories": {200: StoriesBody},
    "/stories/{story_id}": {200: StoriesBody},
    "/export": {200: ExportLine},
    "/audience": {200: AudienceBody},
    "/api/instagram/insights/{media_id}": {200: MediaInsightsBody},
    "/api/instagram/insights/{media_id}/profile-activity": {200: MediaBreakdownBody},
    "/api/instagram/insights/{story_id}/navigation": {200: MediaBreakdownBody},
    "/api/instagram/insights/metrics/{media_type}": {200: RecommendedMetricsBody},
    "/api/instagram/insights/test": {200: InsightsTestResult},
    "/accounts": {200: AccountsBody},
    "/capabilities": {200: CapabilitiesBody},
    "/performance-data": {200: PerformanceDataBody | DryRunBody, 202: RetryLaterBody},
    "/api/discovery/performance-data": {200: PerformanceDataBody | DryRunBody, 202: RetryLaterBody},
    "/performance-data/history": {200: PerformanceHistoryBody},
    "/credits": {200: Overview},
    "/healthz": {200: HealthBody},
    "/readyz": {200: ReadinessReport},
    "/metrics": {200: str},
    "/status": {200: StatusBody},
    "/quota": {200: QuotaBody},
    WEBHOOK_PATH: {200: str},
    "/openapi.json": {200: dict[str, object]},
}
POST_BODIES: dict[str, dict[int, object]] = {WEBHOOK_PATH: {200: DeliveryBody}}
