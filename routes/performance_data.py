"""GET /performance-data: what Modash knows of a creator's last posts and reels."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from routes.delegation import services
from routes.queries import PerformanceDataQuery, takes
from routes.replies import reply

bp = Blueprint("performance_data", __name__)


@bp.get("/performance-data")
@bp.get("/api/discovery/performance-data")
@takes(PerformanceDataQuery)
def performance_data(query: PerformanceDataQuery) -> ResponseReturnValue:
    """Read the report of a creator; each success costs 0.25 credits."""
    return reply(services().performance_data.of(query.url), as_csv=query.as_csv)
