"""GET /healthz and GET /readyz: whether this process is alive, and whether all that it needs is."""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from routes.delegation import config, services
from routes.queries import NoQuery
from routes.taking import takes

bp = Blueprint("operations", __name__)


@bp.get("/healthz")
@takes(NoQuery)
def healthz(_: NoQuery) -> ResponseReturnValue:
    """Say that the process is alive, and which providers it is set up for; no provider is asked."""
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
    """Say whether the gateway can serve, and what it has to do without; without its store it still answers."""
    known = services()
    faults = known.store.faults()
    work = known.background.work()
    late = work is not None and work["late"] > 0
    breakers = [each for each in known.limits.breakers() if each["state"] != "closed"]
    response = jsonify(
        {
            "status": "degraded" if faults or breakers or late else "ok",
            "store": {database.name: faults.get(database.name, "ok") for database in known.store.databases},
            "worker": known.background.worker(),
            "breakers": breakers,
        }
    )
    response.headers["Cache-Control"] = "no-store"
    return response
