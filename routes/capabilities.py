"""GET /capabilities: which metrics Instagram gives for an account, and why not the others."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from routes.context import services
from routes.query_parameters import OneAccount, TableQuery
from routes.replies import reply
from routes.validation import takes

bp = Blueprint("capabilities", __name__)


class CapabilitiesQuery(TableQuery):
    """The query of /capabilities."""

    cacheable = False

    account: OneAccount = None


@bp.get("/capabilities")
@takes(CapabilitiesQuery)
def capabilities(query: CapabilitiesQuery) -> ResponseReturnValue:
    """List which metrics work for an account and its media, and why the others do not; no provider is called."""
    answer = services().capabilities.of(query.account)
    return reply(answer, format_=query.format, cacheable=query.cacheable)
