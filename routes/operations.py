"""GET /healthz, /readyz and /metrics: whether this process is alive and has what it needs, and what was counted."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue

from routes.access import require
from routes.context import config, services
from routes.documentation import VERSION
from routes.query_parameters import NoQuery
from routes.validation import is_local_caller, takes
from services import request_context
from services.caller import Scope

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # of Prometheus

bp = Blueprint("operations", __name__)


@bp.get("/healthz")
@takes(NoQuery)
def healthz(_: NoQuery) -> ResponseReturnValue:
    """Confirm that the process is alive, and name the configured providers; no provider is called."""
    settings = config()
    return jsonify(
        {
            "status": "ok",
            "providers": settings.providers,
            "instagram": "configured" if services().accounts.configured else "not_configured",
            "modash": "configured" if settings.modash_configured else "not_configured",
        }
    )


@bp.get("/readyz")
@takes(NoQuery)
def readyz(_: NoQuery) -> ResponseReturnValue:
    """Say whether the gateway can serve, and what it has to do without; it answers without its database, too."""
    response = jsonify(services().readiness.report(detailed=is_local_caller()))
    response.headers["Cache-Control"] = "no-store"
    return response


@bp.get("/metrics")
@takes(NoQuery)
def metrics(_: NoQuery) -> ResponseReturnValue:
    """Show counts of requests, calls and credits, and the state of the gateway, for Prometheus; for the scope admin."""
    require(Scope.ADMIN)
    text = services().monitoring.exposition(version=VERSION, accounts=request_context.caller().accounts)
    return Response(text, content_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})
