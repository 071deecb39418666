"""GET /status, /quota and /credits: the health of accounts and providers, used limits, and the next steps."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from routes.context import services
from routes.queries import CreditsQuery, NoQuery
from routes.validation import takes
from services import request_context

bp = Blueprint("status", __name__)


@bp.get("/status")
@takes(NoQuery)
def status(_: NoQuery) -> ResponseReturnValue:
    """Report what works, what does not, and the next step; providers are called every five minutes at most.

    A key with a list of accounts gets the health of these, without a call, and nothing of the gateway as a whole.
    """
    services_ = services()
    if request_context.caller().accounts is not None:
        of_all = dict.fromkeys(("work", "stories", "posts", "history"))
        return _uncached({**services_.account_list.status(), **of_all, **_used()})
    return _uncached(
        {
            **services_.status.latest(),
            "work": services_.readiness.work(),
            "stories": services_.kept_stories.progress(),
            "posts": services_.kept_posts.progress(),
            "history": services_.snapshots.progress(),
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
