"""GET /export: the kept history as lines, one value each."""

from __future__ import annotations

from typing import Annotated, Literal

from flask import Blueprint
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from routes import parameter_types, patterns
from routes.context import services
from routes.query_parameters import OneAccount, Time
from routes.replies import NDJSON, prefers_csv, streamed
from routes.validation import takes
from services.history.transfer.text import Format

bp = Blueprint("export", __name__)

MOST_EXPORTED = 100  # metrics that one export names


class ExportQuery(BaseModel):
    """The query of /export."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account: OneAccount = None
    metrics: Annotated[
        tuple[str, ...],
        parameter_types.names_up_to(MOST_EXPORTED, "metric"),
        Field(
            description="Comma-separated metrics, by default everything: those of /history, of posts and stories, and "
            f"every other one that is kept; at most {MOST_EXPORTED}."
        ),
        WithJsonSchema(
            {
                "type": "string",
                "pattern": patterns.list_of(patterns.KEPT_NAME, MOST_EXPORTED),
                "examples": ["reach,views"],
            }
        ),
    ] = ()
    since: Annotated[
        Time | None, Field(description="Values of this day and later: a date (a Pacific day) or Unix seconds.")
    ] = None
    until: Annotated[Time | None, Field(description="Values up to this day, which is included.")] = None
    format: Annotated[
        Literal["ndjson", "json", "csv"] | None,
        parameter_types.choice(("ndjson", "json", "csv"), "format"),
        Field(description="csv for a table, ndjson (or json) for one JSON object a line; by default as Accept says."),
    ] = None


@bp.get("/export")
@takes(ExportQuery)
def export(query: ExportQuery) -> ResponseReturnValue:
    """Export the kept history of an account, one value a line; no provider is called for its numbers."""
    format_: Format = "csv" if prefers_csv(query.format, NDJSON) else "ndjson"
    exported = services().export.of(
        account=query.account, metrics=query.metrics, since=query.since, until=query.until, format_=format_
    )
    return streamed(exported.parts, "history", exported.account, format_=format_)
