"""The query strings of the endpoints over reports of creators."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, WithJsonSchema

from routes import parameter_types, patterns
from routes.query_parameters import TableQuery

MAX_REPORTS = 100
MAX_WAIT = 25  # seconds; proxies and browsers time out a little later

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
        Field(ge=0, le=MAX_WAIT, description=f"Seconds to wait for a report that is not ready, 0 to {MAX_WAIT}."),
        parameter_types.whole_number(0, MAX_WAIT),
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

    url: Creator
    limit: Annotated[
        int,
        Field(ge=1, le=MAX_REPORTS, description=f"How many reports, 1 to {MAX_REPORTS}."),
        parameter_types.whole_number(1, MAX_REPORTS),
    ] = 10
