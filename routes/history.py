"""GET /history and what else rests on kept values: how a post grew, posting times and formats."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from flask import Blueprint
from flask.typing import ResponseReturnValue
from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from routes import parameter_types, patterns
from routes.context import services
from routes.query_parameters import AccountName, FirstDay, LastDay, OneAccount, TableQuery
from routes.replies import reply
from routes.validation import takes
from services.account_history import MOST_METRICS
from services.formats import MOST_DAYS as MOST_DAYS_OF_FORMATS
from services.formats import USUAL_DAYS as USUAL_DAYS_OF_FORMATS
from services.insights.catalogue import BREAKDOWN_SPELLINGS
from services.posting_times import MOST_DAYS as MOST_DAYS_OF_TIMES
from services.posting_times import USUAL_DAYS as USUAL_DAYS_OF_TIMES

bp = Blueprint("history", __name__)

MOST_POINTS = 1000  # of each series, on one page


class PostHistoryQuery(TableQuery):
    """The query of /history/posts/{post_id}."""

    post_id: Annotated[
        str,
        BeforeValidator(parameter_types.post_id),
        Field(description="Id of a post or reel."),
        WithJsonSchema({"type": "string", "pattern": patterns.ID, "examples": ["17932174733377207"]}),
    ]
    account: Annotated[
        AccountName | None,
        Field(description="Id or username of the account; by default the one that the post is known to belong to."),
    ] = None


class PostingTimesQuery(TableQuery):
    """The query of /posting-times."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    period: Annotated[
        int,
        parameter_types.days_up_to(MOST_DAYS_OF_TIMES),
        Field(
            default_factory=lambda: USUAL_DAYS_OF_TIMES,
            description=f"Posts of the last days, 1d to {MOST_DAYS_OF_TIMES}d; by default {USUAL_DAYS_OF_TIMES}d.",
        ),
        WithJsonSchema({"type": "string", "pattern": patterns.days_up_to(MOST_DAYS_OF_TIMES), "examples": ["90d"]}),
    ]
    tz: Annotated[
        ZoneInfo,
        BeforeValidator(parameter_types.time_zone),
        Field(
            default_factory=lambda: ZoneInfo("UTC"),
            description="Time zone of weekdays and hours, an IANA name; by default UTC.",
        ),
        WithJsonSchema({"type": "string", "pattern": patterns.TIME_ZONE, "examples": ["Europe/Berlin"]}),
    ]
    media_product_type: Annotated[
        Literal["AD", "FEED", "REELS"] | None,
        parameter_types.choice(("AD", "FEED", "REELS"), "media product type"),
        Field(description="Only posts of this type: AD, FEED or REELS."),
    ] = None
    account: OneAccount = None


class FormatsQuery(TableQuery):
    """The query of /formats."""

    period: Annotated[
        int,
        parameter_types.days_up_to(MOST_DAYS_OF_FORMATS),
        Field(
            default_factory=lambda: USUAL_DAYS_OF_FORMATS,
            description=f"Posts of the last days, 1d to {MOST_DAYS_OF_FORMATS}d; by default {USUAL_DAYS_OF_FORMATS}d.",
        ),
        WithJsonSchema({"type": "string", "pattern": patterns.days_up_to(MOST_DAYS_OF_FORMATS), "examples": ["90d"]}),
    ]
    account: OneAccount = None


class HistoryQuery(TableQuery):
    """The query of /history."""

    metrics: Annotated[
        tuple[str, ...],
        parameter_types.names_up_to(MOST_METRICS, "metric"),
        Field(
            description="Comma-separated metrics: followers, follows, media_count, those of /account-insights, and "
            f"every other one that is kept; at most {MOST_METRICS}."
        ),
        WithJsonSchema(
            {
                "type": "string",
                "pattern": patterns.list_of(patterns.KEPT_NAME, MOST_METRICS),
                "examples": ["followers,views"],
            }
        ),
    ]
    interval: Annotated[
        Literal["day", "week", "month"],
        parameter_types.choice(("day", "week", "month"), "interval"),
        Field(description="day, week (Monday to Sunday) or month; Pacific days."),
    ] = "day"
    breakdown: Annotated[
        tuple[str, ...],
        parameter_types.names_up_to(2, "breakdown"),
        Field(description="A breakdown, or two together, comma-separated."),
        WithJsonSchema(
            {"type": "string", "pattern": patterns.list_of(patterns.KEPT_NAME, 2), "examples": ["follow_type"]}
        ),
    ] = ()
    since: FirstDay = None
    until: LastDay = None
    limit: Annotated[
        int,
        Field(ge=1, le=MOST_POINTS, description=f"Days, weeks or months on one page, 1 to {MOST_POINTS}."),
        parameter_types.whole_number(1, MOST_POINTS),
    ] = 400
    cursor: Annotated[
        str | None,
        BeforeValidator(parameter_types.cursor),
        Field(description="Where to go on: `meta.next_cursor` of the page before, with the same other parameters."),
        WithJsonSchema(
            {
                "type": "string",
                "pattern": f"^{parameter_types.CURSOR_PATTERN}$",
                "examples": ["2026-03-01.9c56cc51b374"],
            }
        ),
    ] = None
    account: OneAccount = None

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The breakdown in the spelling in which it is kept."""
        return tuple(BREAKDOWN_SPELLINGS.get(name, name) for name in self.breakdown)


@bp.get("/history")
@takes(HistoryQuery)
def history(query: HistoryQuery) -> ResponseReturnValue:
    """Read what is kept of some metrics, without a provider call."""
    answer = services().account_history.series(
        query.metrics,
        interval=query.interval,
        breakdown=query.dimensions,
        since=query.since,
        until=query.until,
        cursor=query.cursor,
        limit=query.limit,
        account=query.account,
    )
    return reply(answer, format_=query.format)


@bp.get("/history/posts/<post_id>")
@takes(PostHistoryQuery)
def post_history(query: PostHistoryQuery) -> ResponseReturnValue:
    """Show how a post grew, beside the account's medians at the same ages, without a provider call."""
    return reply(services().post_history.one(query.post_id, account=query.account), format_=query.format)


@bp.get("/posting-times")
@takes(PostingTimesQuery)
def posting_times(query: PostingTimesQuery) -> ResponseReturnValue:
    """Compare weekdays and hours by the posts published in them, without a provider call."""
    answer = services().posting_times.by_hour(
        query.period, query.tz, media_product_type=query.media_product_type, account=query.account
    )
    return reply(answer, format_=query.format)


@bp.get("/formats")
@takes(FormatsQuery)
def formats(query: FormatsQuery) -> ResponseReturnValue:
    """Compare posts, reels, carousels and stories, without a provider call."""
    return reply(services().formats.medians(query.period, account=query.account), format_=query.format)
