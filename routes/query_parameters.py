"""The query string of each endpoint as a model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from routes import parameter_types, patterns
from routes.did_you_mean import which_metric
from services.account_insights import PERIOD_DAYS
from services.accounts.health import HealthState
from services.days import Bound
from services.growth.trends import TITLES
from services.insights.audience import AUDIENCE_BREAKDOWNS, AUDIENCE_METRICS, MOST_DAYS_ONLINE, TIMEFRAME_DAYS
from services.insights.catalogue import BREAKDOWN_SPELLINGS, BREAKDOWNS, METRICS
from services.top_posts import INCLUDED, RANKINGS

MAX_DAYS_OF_GROWTH = 365
MAX_DAYS_OF_POSTS = 30
MAX_POSTS = 50
MAX_ACCOUNTS = 1000  # on one page
MOST_EXPORTED = 100  # metrics that one export names

Time = Annotated[
    Bound,
    BeforeValidator(parameter_types.bound),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": patterns.time(parameter_types.EARLIEST_UNIX, parameter_types.LATEST_UNIX),
            "examples": ["2026-11-01", "1763625600"],
        }
    ),
]
FirstDay = Annotated[Time | None, Field(description="First day, as a date (a Pacific day) or Unix seconds.")]
LastDay = Annotated[Time | None, Field(description="Last day, both ends included; by default the last finished one.")]
EndOfPeriod = Annotated[
    Literal["yesterday", "complete"],
    parameter_types.choice(("yesterday", "complete"), "end of the period"),
    Field(description="The last day: yesterday, or the last one whose views, reach and interactions are complete."),
]
Refresh = Annotated[
    bool,
    BeforeValidator(parameter_types.flag),
    Field(description="true reads everything again that can change; with a key of the scope refresh."),
]
AccountName = Annotated[
    str,
    BeforeValidator(parameter_types.account),
    WithJsonSchema({"type": "string", "pattern": patterns.ACCOUNT, "examples": ["us"]}),
]
OneAccount = Annotated[
    AccountName | None,
    Field(description="Id or username of the account; by default the configured one, or the only one."),
]
HEALTH_STATES = tuple(HealthState)
ACCEPTED_BREAKDOWNS = (*BREAKDOWNS, *BREAKDOWN_SPELLINGS)


class TableQuery(BaseModel):
    """The parameters of every endpoint whose reply is also a table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Annotated[
        Literal["json", "csv"] | None,
        parameter_types.choice(("json", "csv"), "format"),
        Field(description="csv for a table, json for JSON; by default as the Accept header says."),
    ] = None


class AccountQuery(TableQuery):
    """The parameters of every endpoint over an account."""

    refresh: Refresh = False
    account: OneAccount = None


class AccountInsightsQuery(AccountQuery):
    """The query of /account-insights."""

    period: Annotated[
        Literal["day", "week", "days_28"],
        parameter_types.choice(tuple(PERIOD_DAYS), "period"),
        Field(description="Window of each value: day, week or days_28. Without a range: the last finished one."),
    ]
    metrics: Annotated[
        tuple[str, ...],
        parameter_types.metrics_of(tuple(METRICS)),
        Field(description=f"Comma-separated metrics: {', '.join(METRICS)}."),
        parameter_types.csv(tuple(METRICS), "impressions,reach"),
    ]
    since: FirstDay = None
    until: LastDay = None
    breakdown: Annotated[
        tuple[str, ...],
        parameter_types.list_of(ACCEPTED_BREAKDOWNS, "breakdown", dict(BREAKDOWN_SPELLINGS)),
        Field(description="Comma-separated breakdowns of the metrics that have them."),
        parameter_types.csv(ACCEPTED_BREAKDOWNS, "follow_type"),
    ] = ()


class GrowthTrendsQuery(AccountQuery):
    """The query of /growth-trends."""

    period: Annotated[
        int,
        parameter_types.days_up_to(MAX_DAYS_OF_GROWTH),
        Field(description=f"The last days, 1d to {MAX_DAYS_OF_GROWTH}d."),
        WithJsonSchema({"type": "string", "pattern": patterns.days_up_to(MAX_DAYS_OF_GROWTH), "examples": ["30d"]}),
    ]
    metrics: Annotated[
        tuple[str, ...],
        BeforeValidator(parameter_types.trends),
        Field(description="Comma-separated trends to add to followers and engagement_rate, which are always included."),
        parameter_types.csv(tuple(TITLES), "reach,views"),
    ] = ()
    until: EndOfPeriod = "yesterday"
    er_basis: Annotated[
        Literal["followers", "reach", "views"],
        parameter_types.choice(("followers", "reach", "views"), "basis of the engagement rate", which_metric),
        Field(
            description="followers: (likes + comments) / followers. reach or views: each post's own "
            "total_interactions / its own reach or views."
        ),
    ] = "followers"
    er_method: Annotated[
        Literal["mean_of_posts", "ratio_of_sums", "median"],
        parameter_types.choice(("mean_of_posts", "ratio_of_sums", "median"), "method"),
        Field(description="How the posts' rates become one: their mean, the ratio of the sums, or their median."),
    ] = "mean_of_posts"


class TopPostsQuery(AccountQuery):
    """The query of /top-posts."""

    time_range: Annotated[
        int,
        parameter_types.days_up_to(MAX_DAYS_OF_POSTS),
        Field(description=f"The last days, 1d to {MAX_DAYS_OF_POSTS}d."),
        WithJsonSchema({"type": "string", "pattern": patterns.days_up_to(MAX_DAYS_OF_POSTS), "examples": ["7d"]}),
    ]
    limit: Annotated[
        int,
        Field(ge=1, le=MAX_POSTS, description=f"How many posts, 1 to {MAX_POSTS}."),
        parameter_types.whole_number(1, MAX_POSTS),
    ] = 5
    media_product_type: Annotated[
        Literal["AD", "FEED", "REELS"] | None,
        parameter_types.choice(("AD", "FEED", "REELS"), "media product type"),
        Field(description="Only posts of this type: AD, FEED or REELS."),
    ] = None
    by: Annotated[
        Literal["engagement_score", "reach", "views", "saved", "shares", "total_interactions", "engagement_rate"],
        parameter_types.choice(RANKINGS, "ranking", which_metric),
        Field(description="What the posts are ranked by; engagement_score is likes + comments."),
    ] = "engagement_score"
    include: Annotated[
        tuple[str, ...],
        parameter_types.list_of(INCLUDED, "addition"),
        Field(
            description="collaborations adds posts of others on which the account collaborates (Facebook login only)."
        ),
        parameter_types.csv(INCLUDED, "collaborations"),
    ] = ()


Breakdowns = Annotated[
    tuple[str, ...],
    parameter_types.list_of(AUDIENCE_BREAKDOWNS, "breakdown"),
    parameter_types.csv(AUDIENCE_BREAKDOWNS, "age,country"),
]


class AudienceQuery(AccountQuery):
    """The query of /audience."""

    metrics: Annotated[
        tuple[str, ...],
        parameter_types.metrics_of(AUDIENCE_METRICS),
        Field(description=f"Comma-separated metrics, by default all: {', '.join(AUDIENCE_METRICS)}."),
        parameter_types.csv(AUDIENCE_METRICS, "follower_demographics"),
    ] = ()
    breakdowns: Annotated[
        Breakdowns, Field(description=f"Comma-separated breakdowns, by default all: {', '.join(AUDIENCE_BREAKDOWNS)}.")
    ] = ()
    breakdown: Annotated[Breakdowns, Field(description="The same as `breakdowns`.")] = ()
    timeframe: Annotated[
        Literal["this_week", "this_month"],
        parameter_types.choice(tuple(TIMEFRAME_DAYS), "time frame"),
        Field(description="The time frame of demographics: this_week is the last 7 days, this_month the last 30."),
    ] = "this_month"
    days: Annotated[
        int,
        Field(ge=1, le=MOST_DAYS_ONLINE, description=f"Days of followers online, 1 to {MOST_DAYS_ONLINE}."),
        parameter_types.whole_number(1, MOST_DAYS_ONLINE),
    ] = 7

    @property
    def selected_metrics(self) -> tuple[str, ...]:
        """The metrics that were named, or all."""
        return self.metrics or AUDIENCE_METRICS

    @property
    def selected_breakdowns(self) -> tuple[str, ...]:
        """The breakdowns of both parameters, or all."""
        return tuple(dict.fromkeys(self.breakdowns + self.breakdown)) or AUDIENCE_BREAKDOWNS


class ExportQuery(BaseModel):
    """The query of /export."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account: OneAccount = None
    metrics: Annotated[
        tuple[str, ...],
        parameter_types.names_up_to(MOST_EXPORTED, "metric"),
        Field(
            description="Comma-separated metrics, by default everything: those of /history, of posts and stories, and "
            f"every other one that is kept; at most {MOST_EXPORTED}."
        ),
        WithJsonSchema(
            {
                "type": "string",
                "pattern": patterns.list_of(patterns.KEPT_NAME, MOST_EXPORTED),
                "examples": ["reach,views"],
            }
        ),
    ] = ()
    since: Annotated[
        Time | None, Field(description="Values of this day and later: a date (a Pacific day) or Unix seconds.")
    ] = None
    until: Annotated[Time | None, Field(description="Values up to this day, which is included.")] = None
    format: Annotated[
        Literal["ndjson", "json", "csv"] | None,
        parameter_types.choice(("ndjson", "json", "csv"), "format"),
        Field(description="csv for a table, ndjson (or json) for one JSON object a line; by default as Accept says."),
    ] = None


class CapabilitiesQuery(TableQuery):
    """The query of /capabilities."""

    account: OneAccount = None


class AccountsQuery(TableQuery):
    """The query of /accounts."""

    state: Annotated[
        tuple[str, ...],
        parameter_types.list_of(HEALTH_STATES, "state"),
        Field(description=f"Comma-separated states, by default all: {', '.join(HEALTH_STATES)}."),
        parameter_types.csv(HEALTH_STATES, "needs_login,expiring"),
    ] = ()
    limit: Annotated[
        int,
        Field(ge=1, le=MAX_ACCOUNTS, description=f"How many accounts, 1 to {MAX_ACCOUNTS}."),
        parameter_types.whole_number(1, MAX_ACCOUNTS),
    ] = 100
    cursor: Annotated[
        str | None,
        BeforeValidator(parameter_types.account_cursor),
        Field(description="`meta.next_cursor` of the page before."),
        WithJsonSchema({"type": "string", "pattern": patterns.ID, "examples": ["17841400000000000"]}),
    ] = None


class NoQuery(BaseModel):
    """The query of an endpoint that takes no parameter."""

    model_config = ConfigDict(extra="forbid")


class AnyQuery(BaseModel):
    """The query of an endpoint that takes no parameter and ignores those that a provider may add."""

    model_config = ConfigDict(extra="ignore")


class HandshakeQuery(AnyQuery):
    """The query of Meta's check of a callback URL."""

    mode: str = Field(alias="hub.mode", description="`subscribe`.", examples=["subscribe"])
    token: str = Field(
        alias="hub.verify_token",
        description="The text of WEBHOOK_VERIFY_TOKEN, as it was entered in the app's dashboard.",
        examples=["sandbox-verify-token"],
    )
    challenge: str = Field(
        alias="hub.challenge", description="The text that the reply has to repeat.", examples=["1158201444"]
    )


class CreditsQuery(NoQuery):
    """The query of /credits: no parameter; a model of its own, because the endpoint fails without a ledger."""
