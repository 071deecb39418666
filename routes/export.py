"""GET /export: the kept history as lines, one value each."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from routes.context import services
from routes.query_parameters import ExportQuery
from routes.replies import NDJSON, prefers_csv, streamed
from routes.validation import takes
from services.history.transfer.text import Format

bp = Blueprint("export", __name__)


@bp.get("/export")
@takes(ExportQuery)
def export(query: ExportQuery) -> ResponseReturnValue:
    """Export the kept history of an account, one value a line; no provider is called for its numbers."""
    format_: Format = "csv" if prefers_csv(query.format, NDJSON) else "ndjson"
    exported = services().export.of(
        account=query.account, metrics=query.metrics, since=query.since, until=query.until, format_=format_
    )
    return streamed(exported.parts, "history", exported.account, format_=format_)
