"""The simulator's own paths, all below /_simulator: what there is, what is true, what was called, what goes wrong."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from simulator.clock import moment_of
from simulator.graph.rows import described_rows as graph_rows
from simulator.messages import BadInputError, Reply, Request
from simulator.modash.rows import described_rows as modash_rows
from simulator.truth import account_truth, creator_truth
from simulator.world.accounts import APP_ID, APP_SECRET, MODASH_KEY, Account

if TYPE_CHECKING:
    from simulator.simulator import Simulator

Json = dict[str, Any]
USERNAME = re.compile(r"[a-z0-9._]{1,30}")
View = Callable[["Simulator", Request], Json]


class NotFoundError(Exception):
    """There is nothing below this path."""


def own_path(simulator: "Simulator", request: Request) -> Reply:
    """Answer a call to one of the simulator's own paths."""
    method = "GET" if request.method == "HEAD" else request.method
    path = request.path.rstrip("/")
    views = VIEWS.get(path) or BELOW.get(path[: path.find("/", 1) + 1], {})
    try:
        if method in views:
            return Reply.json(200, views[method](simulator, request))
        if views:
            return Reply.json(405, {"error": f"{path} takes {', '.join(views)}"}, {"Allow": ", ".join(views)})
        raise NotFoundError(f"no such path; there are {', '.join([*VIEWS, *MORE])}")
    except (BadInputError, OverflowError) as error:
        return Reply.json(400, {"error": str(error)})
    except NotFoundError as error:
        return Reply.json(404, {"error": str(error)})


def accounts(simulator: "Simulator", _: Request) -> Json:
    """List the accounts with what it takes to read them."""
    return {
        "accounts": [_account(account) for account in simulator.accounts],
        "app": {"id": APP_ID, "secret": APP_SECRET},
        "modash": {"key": MODASH_KEY},
    }


def rename(simulator: "Simulator", request: Request) -> Json:
    """Give an account another username."""
    account = simulator.accounts.by_id(request.path.rstrip("/").removeprefix("/accounts/"))
    if account is None:
        raise NotFoundError("no such account")
    order = _body(request)
    username = order.get("username")
    if set(order) != {"username"} or not isinstance(username, str) or not USERNAME.fullmatch(username):
        raise BadInputError("an account takes a username: at most 30 lower-case letters, digits, dots and underscores")
    if simulator.accounts.by_username(username) not in (None, account):
        raise BadInputError("another account has this username")
    simulator.accounts.rename(account, username)
    return _account(account)


def truth(simulator: "Simulator", request: Request) -> Json:
    """Tell the truth about an account or a creator."""
    name = request.path.rstrip("/").removeprefix("/truth/")
    if name.startswith("creators/"):
        handle = simulator.creators.handle_of(name.removeprefix("creators/"))
        if handle is None:
            raise NotFoundError("no such creator")
        return creator_truth(simulator.creators.named(handle))
    account = simulator.accounts.by_id(name)
    if account is None:
        raise NotFoundError("no such account")
    return account_truth(
        account,
        simulator.clock.now(),
        since=_date(request, "since"),
        until=_date(request, "until"),
        by_day=request.query.get("by_day") == "true",
    )


def calls(simulator: "Simulator", _: Request) -> Json:
    """Tell what was called and what it cost."""
    return simulator.calls.describe()


def forget_calls(simulator: "Simulator", request: Request) -> Json:
    """Count from zero again."""
    simulator.calls.reset()
    return calls(simulator, request)


def faults(simulator: "Simulator", _: Request) -> Json:
    """List the faults that can still hit."""
    return {"faults": simulator.faults.describe(simulator.clock.now())}


def fault_rows(simulator: "Simulator", _: Request) -> Json:
    """List the refusals that a fault of kind `refusal` can give."""
    return {"instagram": graph_rows(simulator.switches["locale"]), "modash": modash_rows()}


def add_fault(simulator: "Simulator", request: Request) -> Json:
    """Order a fault."""
    return simulator.faults.add(_body(request), simulator.clock.now()).describe()


def clear_faults(simulator: "Simulator", request: Request) -> Json:
    """Call all faults off."""
    simulator.faults.clear()
    return faults(simulator, request)


def switches(simulator: "Simulator", _: Request) -> Json:
    """Show the switches."""
    return simulator.switches.describe()


def set_switches(simulator: "Simulator", request: Request) -> Json:
    """Move some switches."""
    simulator.switches.set(_body(request))
    return simulator.switches.describe()


def clock(simulator: "Simulator", _: Request) -> Json:
    """Show the clock."""
    return simulator.clock.describe()


def set_clock(simulator: "Simulator", request: Request) -> Json:
    """Freeze, advance or release the clock."""
    order = _body(request)
    if set(order) == {"advance"}:
        if not isinstance(order["advance"], int | float) or isinstance(order["advance"], bool):
            raise BadInputError("advance must be a number of seconds")
        simulator.clock.advance(order["advance"])
    elif set(order) == {"now"}:
        if order["now"] is None:
            simulator.clock.release()
        else:
            simulator.clock.freeze(moment_of(order["now"]))
    else:
        raise BadInputError("the clock takes either now or advance")
    return simulator.clock.describe()


def reset(simulator: "Simulator", _: Request) -> Json:
    """Put everything back."""
    simulator.reset()
    return {"reset": True}


VIEWS: Mapping[str, Mapping[str, View]] = {
    "/accounts": {"GET": accounts},
    "/calls": {"GET": calls},
    "/calls/reset": {"POST": forget_calls},
    "/faults": {"GET": faults, "POST": add_fault, "DELETE": clear_faults},
    "/faults/rows": {"GET": fault_rows},
    "/switches": {"GET": switches, "POST": set_switches},
    "/clock": {"GET": clock, "POST": set_clock},
    "/reset": {"POST": reset},
}
BELOW: Mapping[str, Mapping[str, View]] = {"/truth/": {"GET": truth}, "/accounts/": {"POST": rename}}
MORE = ("/truth/<id>", "/truth/creators/<handle>", "/accounts/<id>")


def _account(account: Account) -> Json:
    return {
        "id": account.id,
        "username": account.username,
        "login": "facebook",
        "kind": account.kind.name,
        "token": account.token,
        "page_id": account.page_id,
        "page_token": account.page_token,
        "instagram_token": account.instagram_token,
        "instagram_scoped_id": account.scoped_id,
    }


def _body(request: Request) -> Json:
    try:
        body = json.loads(request.body or b"{}")
    except ValueError:
        raise BadInputError("the body is not JSON") from None
    if not isinstance(body, dict):
        raise BadInputError("the body must be a JSON object")
    return body


def _date(request: Request, name: str) -> date | None:
    text = request.query.get(name)
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise BadInputError(f"{name} must be a date such as 2026-11-21") from None
