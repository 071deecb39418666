"""GET /growth-trends: the account's changes against the window before."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from routes.context import services
from routes.query_parameters import GrowthTrendsQuery
from routes.replies import reply
from routes.validation import takes

bp = Blueprint("growth_trends", __name__)


@bp.get("/growth-trends")
@takes(GrowthTrendsQuery)
def growth_trends(query: GrowthTrendsQuery) -> ResponseReturnValue:
    """Compare followers and engagement with the days before."""
    answer = services().growth_trends.over(
        query.period,
        metrics=query.metrics,
        until=query.until,
        er_basis=query.er_basis,
        er_method=query.er_method,
        account=query.account,
        refresh=query.refresh,
    )
    return reply(answer, format_=query.format)
