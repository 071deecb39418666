"""GET /performance-data and its history: what Modash knows of a creator's last posts and reels."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import MethodNotAllowed

from routes.delegation import services
from routes.queries import PerformanceDataQuery, PerformanceHistoryQuery
from routes.replies import reply
from routes.taking import takes

bp = Blueprint("performance_data", __name__)


@bp.before_request
def only_get() -> None:
    """Refuse HEAD, which would pay for a report and throw it away."""
    if request.method == "HEAD":
        raise MethodNotAllowed(valid_methods=["GET", "OPTIONS"])


@bp.get("/performance-data")
@bp.get("/api/discovery/performance-data")
@takes(PerformanceDataQuery)
def performance_data(query: PerformanceDataQuery) -> ResponseReturnValue:
    """Read the report of a creator; a new one costs 0.25 credits, a kept one nothing."""
    known = services().performance_data
    if query.dry_run:
        return reply(known.price(query.url), format_="json", keep=False)
    return reply(known.of(query.url, wait=query.wait), format_=query.format)


@bp.get("/performance-data/history")
@takes(PerformanceHistoryQuery)
def performance_history(query: PerformanceHistoryQuery) -> ResponseReturnValue:
    """List the kept reports of a creator, the newest first; no provider is asked."""
    return reply(services().performance_data.history(query.url, limit=query.limit), format_=query.format, keep=False)
