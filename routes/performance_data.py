"""GET /performance-data and its history: Modash's report about a creator's last posts and reels."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Annotated, ClassVar

from flask import Blueprint
from flask.typing import ResponseReturnValue
from pydantic import BeforeValidator, Field, WithJsonSchema
from werkzeug.exceptions import MethodNotAllowed

from routes import parameter_types, patterns
from routes.context import current_request, services
from routes.query_parameters import TableQuery
from routes.replies import reply
from routes.validation import takes

bp = Blueprint("performance_data", __name__)

MAX_REPORTS = 100
MAX_REPORT_WAIT = 25  # seconds; proxies and browsers time out a little later
Creator = Annotated[
    str,
    BeforeValidator(parameter_types.creator),
    Field(description="The creator: handle, @handle, numeric id or link to the profile."),
    WithJsonSchema({"type": "string", "pattern": patterns.CREATOR, "examples": ["nasa"]}),
]


class PerformanceDataQuery(TableQuery):
    """The query of /performance-data."""

    # Not by `Cache-Control: no-cache`, which browsers send with a forced reload: it would pay for a report each time.
    refreshes_by_header: ClassVar[bool] = False

    url: Creator
    wait: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_REPORT_WAIT,
            description=f"Seconds to wait for a report that is not ready, 0 to {MAX_REPORT_WAIT}.",
        ),
        parameter_types.whole_number(0, MAX_REPORT_WAIT),
    ] = 0
    dry_run: Annotated[
        bool,
        BeforeValidator(parameter_types.flag),
        Field(description="true reports the price and what a request would do, without doing it."),
    ] = False
    refresh: Annotated[
        bool,
        BeforeValidator(parameter_types.flag),
        Field(description="true pays for a new report; with a key of the scope refresh."),
    ] = False


class PerformanceHistoryQuery(TableQuery):
    """The query of /performance-data/history."""

    cacheable = False

    url: Creator
    limit: Annotated[
        int,
        Field(ge=1, le=MAX_REPORTS, description=f"How many reports, 1 to {MAX_REPORTS}."),
        parameter_types.whole_number(1, MAX_REPORTS),
    ] = 10


def only_get(view: Callable[..., ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
    """Refuse HEAD: it would pay for a report and drop it."""

    @wraps(view)
    def wrapped(**path: str) -> ResponseReturnValue:
        if current_request().method == "HEAD":
            raise MethodNotAllowed(valid_methods=["GET", "OPTIONS"])
        return view(**path)

    return wrapped


@bp.get("/performance-data")
@bp.get("/api/discovery/performance-data")
@only_get
@takes(PerformanceDataQuery)
def performance_data(query: PerformanceDataQuery) -> ResponseReturnValue:
    """Read the report of a creator; a new one costs 0.25 credits, a kept one nothing."""
    reports = services().performance_data
    if query.dry_run:
        return reply(reports.price(query.url, refresh=query.refresh), format_="json", cacheable=False)
    return reply(reports.report(query.url, wait=query.wait, refresh=query.refresh), format_=query.format)


@bp.get("/performance-data/history")
@only_get
@takes(PerformanceHistoryQuery)
def performance_history(query: PerformanceHistoryQuery) -> ResponseReturnValue:
    """List the stored reports of a creator, the newest first; no provider is called."""
    return reply(
        services().performance_data.history(query.url, limit=query.limit),
        format_=query.format,
        cacheable=query.cacheable,
    )
