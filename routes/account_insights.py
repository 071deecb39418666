"""GET /account-insights: the account's metrics by day, week or four weeks."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from routes.context import services
from routes.query_parameters import AccountInsightsQuery
from routes.replies import reply
from routes.validation import takes

bp = Blueprint("account_insights", __name__)


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
