"""GET /status, /quota and /credits: what works, what is used of the limits, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from routes.delegation import services
from routes.queries import CreditsQuery, NoQuery
from routes.taking import takes

bp = Blueprint("status", __name__)


@bp.get("/status")
@takes(NoQuery)
def status(_: NoQuery) -> ResponseReturnValue:
    """Tell what works and what does not, and what to do next; providers are asked every five minutes at most."""
    known = services()
    found = known.status.remembered()
    work = known.background.work()
    return _unkept({**found, "work": work, "limits": known.limits.limits(), "breakers": known.limits.breakers()})


@bp.get("/quota")
@takes(NoQuery)
def quota(_: NoQuery) -> ResponseReturnValue:
    """Tell how much of the providers' limits is used, as far as they have told; no provider is asked."""
    limits = services().limits
    return _unkept({"limits": limits.limits(), "breakers": limits.breakers()})


@bp.get("/credits")
@takes(CreditsQuery)
def credits_spent(_: CreditsQuery) -> ResponseReturnValue:
    """Tell what Modash credits were spent by month and caller, and what is left; no provider is asked."""
    return _unkept(services().credits.overview())


def _unkept(body: Mapping[str, object]) -> ResponseReturnValue:
    response = jsonify(body)
    response.headers["Cache-Control"] = "no-store"
    return response
