"""GET /compare: the headline numbers of several accounts side by side."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from routes.context import services
from routes.history_query_parameters import CompareQuery
from routes.replies import reply
from routes.validation import takes

bp = Blueprint("compare", __name__)


@bp.get("/compare")
@takes(CompareQuery)
def compare(query: CompareQuery) -> ResponseReturnValue:
    """Compare accounts by followers, engagement, reach, views, interactions and posts."""
    answer = services().compare.of(query.accounts, query.period, until=query.until, refresh=query.refresh)
    return reply(answer, format_=query.format)
