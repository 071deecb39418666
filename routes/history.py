"""GET /history: the kept values of an account by day, week or month."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from routes.context import services
from routes.history_queries import HistoryQuery
from routes.replies import reply
from routes.validation import takes

bp = Blueprint("history", __name__)


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
