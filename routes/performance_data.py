"""GET /performance-data and its history: Modash's report about a creator's last posts and reels."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import MethodNotAllowed

from routes.context import services
from routes.replies import reply
from routes.report_query_parameters import PerformanceDataQuery, PerformanceHistoryQuery
from routes.validation import takes

bp = Blueprint("performance_data", __name__)


@bp.before_request
def only_get() -> None:
    """Refuse HEAD: it would pay for a report and drop it."""
    if request.method == "HEAD":
        raise MethodNotAllowed(valid_methods=["GET", "OPTIONS"])


@bp.get("/performance-data")
@bp.get("/api/discovery/performance-data")
@takes(PerformanceDataQuery)
def performance_data(query: PerformanceDataQuery) -> ResponseReturnValue:
    """Read the report of a creator; a new one costs 0.25 credits, a kept one nothing."""
    reports = services().performance_data
    if query.dry_run:
        return reply(reports.price(query.url, refresh=query.refresh), format_="json", cacheable=False)
    return reply(reports.report(query.url, wait=query.wait, refresh=query.refresh), format_=query.format)


@bp.get("/performance-data/history")
@takes(PerformanceHistoryQuery)
def performance_history(query: PerformanceHistoryQuery) -> ResponseReturnValue:
    """List the stored reports of a creator, the newest first; no provider is called."""
    return reply(
        services().performance_data.history(query.url, limit=query.limit), format_=query.format, cacheable=False
    )
