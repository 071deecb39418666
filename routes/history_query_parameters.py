"""The query strings of the endpoints over several accounts, or over what is kept."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from routes import parameter_types, patterns
from routes.query_parameters import (
    MAX_DAYS_OF_GROWTH,
    AccountName,
    EndOfPeriod,
    FirstDay,
    LastDay,
    OneAccount,
    Refresh,
    TableQuery,
)
from services import formats, posting_times
from services.account_history import MOST_METRICS
from services.compare import MOST_ACCOUNTS
from services.insights.catalogue import BREAKDOWN_SPELLINGS

MOST_POINTS = 1000  # of each series, on one page


class CompareQuery(TableQuery):
    """The query of /compare."""

    accounts: Annotated[
        tuple[str, ...],
        parameter_types.accounts_up_to(MOST_ACCOUNTS),
        Field(description=f"Comma-separated ids or usernames of accounts, 1 to {MOST_ACCOUNTS}."),
        WithJsonSchema(
            {
                "type": "string",
                "pattern": patterns.list_of(patterns.ACCOUNT_NAME, MOST_ACCOUNTS),
                "examples": ["us,them"],
            }
        ),
    ]
    period: Annotated[
        int,
        parameter_types.days_up_to(MAX_DAYS_OF_GROWTH),
        # A factory, because a default in the schema would have to be a text.
        Field(default_factory=lambda: 28, description=f"The last days, 1d to {MAX_DAYS_OF_GROWTH}d; by default 28d."),
        WithJsonSchema({"type": "string", "pattern": patterns.days_up_to(MAX_DAYS_OF_GROWTH), "examples": ["28d"]}),
    ]
    until: EndOfPeriod = "yesterday"
    refresh: Refresh = False


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
        parameter_types.days_up_to(posting_times.MOST_DAYS),
        Field(
            default_factory=lambda: posting_times.USUAL_DAYS,
            description=f"Posts of the last days, 1d to {posting_times.MOST_DAYS}d; "
            f"by default {posting_times.USUAL_DAYS}d.",
        ),
        WithJsonSchema(
            {"type": "string", "pattern": patterns.days_up_to(posting_times.MOST_DAYS), "examples": ["90d"]}
        ),
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
        parameter_types.days_up_to(formats.MOST_DAYS),
        Field(
            default_factory=lambda: formats.USUAL_DAYS,
            description=f"Posts of the last days, 1d to {formats.MOST_DAYS}d; by default {formats.USUAL_DAYS}d.",
        ),
        WithJsonSchema({"type": "string", "pattern": patterns.days_up_to(formats.MOST_DAYS), "examples": ["90d"]}),
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
