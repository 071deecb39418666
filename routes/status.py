"""GET /status, /quota and /credits: the health of accounts and providers, used limits, and the next steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from routes.context import services
from routes.query_parameters import NoQuery
from routes.validation import takes
from services import request_context
from services.caller import Scope
from services.status import overall

bp = Blueprint("status", __name__)


class CreditsQuery(NoQuery):
    """The query of /credits: no parameter; a model of its own, because the endpoint fails without a ledger."""


@bp.get("/status")
@takes(NoQuery)
def status(_: NoQuery) -> ResponseReturnValue:
    """Report what works, what does not, and the next step; providers are called every five minutes at most.

    A key with a list of accounts gets the health of these, without a call, and nothing of the gateway as a whole
    unless it has the scope admin.
    """
    services_, caller = services(), request_context.caller()
    is_limited = caller.accounts is not None
    of_gateway = not is_limited or caller.may(Scope.ADMIN)
    overview = services_.account_list.overview()
    report = services_.account_list.status() if is_limited else services_.status.latest()
    if not is_limited and overview.check.ok is not None:
        checks = [*cast("list[dict[str, object]]", report["checks"]), overview.check.as_json()]
        report |= {"status": overall(checks), "checks": checks}
    return _uncached(
        {
            **report,
            "accounts": overview.summary,
            "work": services_.readiness.work() if of_gateway else None,
            "stories": services_.kept_stories.progress() if of_gateway else None,
            "posts": services_.kept_posts.progress() if of_gateway else None,
            "history": services_.snapshots.progress() if of_gateway else None,
            **_used(),
        }
    )


@bp.get("/quota")
@takes(NoQuery)
def quota(_: NoQuery) -> ResponseReturnValue:
    """Report how much of the providers' limits is used, as they last reported it; no provider is called."""
    return _uncached(_used())


@bp.get("/credits")
@takes(CreditsQuery)
def credits_spent(_: CreditsQuery) -> ResponseReturnValue:
    """Report the Modash credits spent by month and caller, and those left; no provider is called.

    A key with a list of accounts, or without the scope admin, gets what it has spent itself.
    """
    return _uncached(services().credits.overview(request_context.caller()))


def _used() -> Mapping[str, object]:
    """Return what is used of the limits of the accounts that the caller may see.

    What all accounts have used together is for callers that may see all of them.
    """
    caller, quota_ = request_context.caller(), services().limits
    limits = [each for each in quota_.limits() if caller.sees(each["account"] or "")]
    breakers = [each for each in quota_.breakers() if each["account"] is None or caller.sees(each["account"])]
    return {"limits": limits, "breakers": breakers}


def _uncached(body: Mapping[str, object]) -> ResponseReturnValue:
    response = jsonify(body)
    response.headers["Cache-Control"] = "no-store"
    return response
