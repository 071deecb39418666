"""GET /healthz: whether this process is alive."""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from routes.delegation import config
from routes.queries import NoQuery, takes

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
            "instagram": "configured" if settings.instagram_configured else "not_configured",
            "modash": "configured" if settings.modash_configured else "not_configured",
        }
    )
