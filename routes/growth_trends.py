"""GET /growth-trends: how the account does now against the window before."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from routes.delegation import services
from routes.queries import GrowthTrendsQuery
from routes.replies import reply
from routes.taking import takes

bp = Blueprint("growth_trends", __name__)


@bp.get("/growth-trends")
@takes(GrowthTrendsQuery)
def growth_trends(query: GrowthTrendsQuery) -> ResponseReturnValue:
    """Compare followers and engagement with the days before."""
    answer = services().growth_trends.over(query.period, metrics=query.metrics, account=query.account)
    return reply(answer, format_=query.format)
