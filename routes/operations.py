"""GET /healthz and GET /readyz: whether this process is alive, and whether everything that it needs is."""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from routes.context import config, services
from routes.queries import NoQuery
from routes.validation import is_local_caller, takes

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
