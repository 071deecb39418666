"""GET /account-insights: the account's metrics by day, week or four weeks."""

from __future__ import annotations

from typing import Annotated, Literal

from flask import Blueprint
from flask.typing import ResponseReturnValue
from pydantic import Field

from routes import parameter_types
from routes.context import services
from routes.query_parameters import AccountQuery, FirstDay, LastDay
from routes.replies import reply
from routes.validation import takes
from services.account_insights import PERIOD_DAYS
from services.insights.catalogue import BREAKDOWN_SPELLINGS, BREAKDOWNS, METRICS

bp = Blueprint("account_insights", __name__)

ACCEPTED_BREAKDOWNS = (*BREAKDOWNS, *BREAKDOWN_SPELLINGS)


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


@bp.get("/account-insights")
@takes(AccountInsightsQuery)
def account_insights(query: AccountInsightsQuery) -> ResponseReturnValue:
    """Read the account's metrics for each day or window of a range."""
    answer = services().account_insights.between(
        query.metrics,
        query.period,
        since=query.since,
        until=query.until,
        breakdown=query.breakdown,
        account=query.account,
        refresh=query.refresh,
    )
    return reply(answer, format_=query.format)
