"""GET /performance-data: what Modash knows of a creator's last posts and reels."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import MethodNotAllowed

from routes.delegation import services
from routes.queries import PerformanceDataQuery
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
    """Read the report of a creator; each success costs 0.25 credits."""
    return reply(services().performance_data.of(query.url), format_=query.format)
