"""GET /audience: who the audience is, and when it is online."""

from __future__ import annotations

from typing import Annotated, Literal

from flask import Blueprint
from flask.typing import ResponseReturnValue
from pydantic import Field

from routes import parameter_types
from routes.context import services
from routes.query_parameters import AccountQuery
from routes.replies import reply
from routes.validation import takes
from services.insights.audience import AUDIENCE_BREAKDOWNS, AUDIENCE_METRICS, MOST_DAYS_ONLINE, TIMEFRAME_DAYS

bp = Blueprint("audience", __name__)

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


@bp.get("/audience")
@takes(AudienceQuery)
def audience(query: AudienceQuery) -> ResponseReturnValue:
    """Read followers and engaged accounts by age, gender, city and country, and the hours of followers online."""
    answer = services().audience.of(
        query.selected_metrics,
        query.selected_breakdowns,
        timeframe=query.timeframe,
        days=query.days,
        account=query.account,
        refresh=query.refresh,
    )
    return reply(answer, format_=query.format)
