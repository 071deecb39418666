"""GET /audience: who the audience is, and when it is online."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from routes.context import services
from routes.query_parameters import AudienceQuery
from routes.replies import reply
from routes.validation import takes

bp = Blueprint("audience", __name__)


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
