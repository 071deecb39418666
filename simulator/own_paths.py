"""The simulator's own paths, all below /_simulator: accounts, true numbers, calls, faults, switches, clock."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from simulator.clock import moment_of
from simulator.graph.error_table import TOKEN_TEXTS
from simulator.graph.error_table import described_rows as graph_rows
from simulator.messages import BadInputError, Reply, Request
from simulator.modash.ordered_answers import described_rows as modash_rows
from simulator.truth import account_truth, audience_truth, collaborations_truth, creator_truth, stories_truth
from simulator.world.accounts import (
    APP_ID,
    APP_SECRET,
    INSTAGRAM_APP_ID,
    INSTAGRAM_APP_SECRET,
    MODASH_KEY,
    Account,
    Accounts,
)
from simulator.world.collaborations import collaborations_of
from simulator.world.logins import STATES, LoginState, facebook_token, instagram_token

if TYPE_CHECKING:
    from simulator.simulator import Simulator

Json = dict[str, Any]
EVENT_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
MOST_DAYS = 60  # how old a token can be that is given
SECONDS = re.compile(r"\d{1,12}(\.\d{1,6})?")
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
    """List the accounts with the tokens to read them."""
    return {
        "accounts": [_account(account) for account in simulator.accounts],
        "app": {"id": APP_ID, "secret": APP_SECRET},
        "instagram_app": {"id": INSTAGRAM_APP_ID, "secret": INSTAGRAM_APP_SECRET},
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


def logins(simulator: "Simulator", _: Request) -> Json:
    """List the logins that went wrong, with the tokens and codes to try them."""
    return {"logins": [_login(simulator.accounts, state) for state in simulator.accounts.logins]}


def repair_login(simulator: "Simulator", request: Request) -> Json:
    """Remove the cause of a login that went wrong, or bring it back."""
    name = request.path.rstrip("/").removeprefix("/logins/")
    state = simulator.accounts.logins.state(name)
    if state is None:
        raise NotFoundError(f"no such login; there are {', '.join(STATES)}")
    order = _body(request)
    if set(order) != {"repaired"} or not isinstance(order["repaired"], bool):
        raise BadInputError('a login takes {"repaired": true} or {"repaired": false}')
    simulator.accounts.logins.repair(name, is_repaired=order["repaired"])
    return _login(simulator.accounts, STATES[name])


def truth(simulator: "Simulator", request: Request) -> Json:
    """Return the true numbers of an account, of its stories, of its audience, or of a creator."""
    name = request.path.rstrip("/").removeprefix("/truth/")
    if name.startswith("creators/"):
        handle = simulator.creators.handle_of(name.removeprefix("creators/"))
        if handle is None:
            raise NotFoundError("no such creator")
        return creator_truth(simulator.creators.named(handle))
    account_id, _, part = name.partition("/")
    account, now = simulator.accounts.by_id(account_id), _moment(request, "at") or simulator.clock.now()
    if account is None:
        raise NotFoundError("no such account")
    since, until = _date(request, "since"), _date(request, "until")
    switches = simulator.switches if request.query.get("insights") == "true" else None
    match part:
        case "":
            is_by_day = request.query.get("by_day") == "true"
            return account_truth(account, now, since=since, until=until, by_day=is_by_day, switches=switches)
        case "stories":
            return stories_truth(account, now, since=since, until=until, switches=switches)
        case "audience":
            return audience_truth(account, now)
        case "collaborations":
            collaborations = collaborations_of(simulator.accounts)
            return collaborations_truth(account, now, collaborations, simulator.switches)
    raise NotFoundError("the truth about an account has the parts stories, audience and collaborations")


def calls(simulator: "Simulator", _: Request) -> Json:
    """Return the calls and what they cost."""
    return simulator.calls.describe()


def forget_calls(simulator: "Simulator", request: Request) -> Json:
    """Reset the counters."""
    simulator.calls.reset()
    return calls(simulator, request)


def faults(simulator: "Simulator", _: Request) -> Json:
    """List the faults that can still hit."""
    return {"faults": simulator.faults.describe(simulator.clock.now())}


def fault_rows(simulator: "Simulator", _: Request) -> Json:
    """List the refusals that a fault of kind `refusal` can give."""
    return {"instagram": graph_rows(simulator.switches["locale"]), "modash": modash_rows()}


def add_fault(simulator: "Simulator", request: Request) -> Json:
    """Switch a fault on."""
    return simulator.faults.add(_body(request), simulator.clock.now()).describe()


def clear_faults(simulator: "Simulator", request: Request) -> Json:
    """Switch all faults off."""
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


def webhooks(simulator: "Simulator", _: Request) -> Json:
    """Show callbacks, subscriptions and how deliveries fared."""
    return simulator.webhooks.describe()


def register_callback(simulator: "Simulator", request: Request) -> Json:
    """Shake hands with a callback."""
    return simulator.webhooks.register(_body(request))


def forget_webhooks(simulator: "Simulator", _: Request) -> Json:
    """Forget callbacks, changes and deliveries."""
    return simulator.webhooks.forget()


def give_token(simulator: "Simulator", request: Request) -> Json:
    """Give a token of an account, of any age, or take all back that it gave so far."""
    order, now = _body(request), simulator.clock.now()
    account = simulator.accounts.by_id(str(order.get("account")))
    login, subcode = order.get("login"), order.get("taken_back")
    if account is None or login not in ("facebook", "instagram"):
        raise BadInputError("a token takes account (an id) and login (facebook or instagram)")
    if "taken_back" in order:
        if subcode is not None and subcode not in TOKEN_TEXTS:
            raise BadInputError(f"taken_back takes one of {', '.join(map(str, TOKEN_TEXTS))}, or null")
        if subcode is None:
            simulator.accounts.grants.restore(account.index, login)
        else:
            simulator.accounts.grants.take_back(account.index, login, now, subcode)
        return {"taken_back": subcode}
    age = order.get("age_days", 0)
    if isinstance(age, bool) or not isinstance(age, int | float) or not 0 <= age <= MOST_DAYS:
        raise BadInputError(f"age_days takes a number from 0 to {MOST_DAYS}")
    is_page = login == "facebook" and order.get("page") is True
    given = simulator.accounts.grants.give(account.index, login, now - age * 86_400, is_page=is_page)
    return {"token": given.token, "issued_at": given.issued, "expires_at": given.ends}


def send_webhooks(simulator: "Simulator", request: Request) -> Json:
    """Let something happen that is delivered."""
    return simulator.webhooks.send(_body(request))


def run_webhooks(simulator: "Simulator", request: Request) -> Json:
    """Send what is due."""
    return simulator.webhooks.run(_body(request))


def webhook_changes(simulator: "Simulator", _: Request) -> Json:
    """List what happened."""
    return simulator.webhooks.changes()


def webhook_deliveries(simulator: "Simulator", _: Request) -> Json:
    """List what was sent, or waits to be."""
    return simulator.webhooks.deliveries()


def events(simulator: "Simulator", _: Request) -> Json:
    """List the newest events of an outgoing webhook."""
    return {"events": [*simulator.events]}


def keep_event(simulator: "Simulator", request: Request) -> Json:
    """Accept an event of an outgoing webhook, as a program of its operator does."""
    missing = [name for name in EVENT_HEADERS if name not in request.headers]
    if missing:
        raise BadInputError(f"an event has the headers {', '.join(EVENT_HEADERS)}")
    simulator.events.append({**{name: request.headers[name] for name in EVENT_HEADERS}, "body": _body(request)})
    return {"accepted": True}


def reset(simulator: "Simulator", _: Request) -> Json:
    """Put everything back."""
    simulator.reset()
    return {"reset": True}


VIEWS: Mapping[str, Mapping[str, View]] = {
    "/accounts": {"GET": accounts},
    "/logins": {"GET": logins},
    "/calls": {"GET": calls},
    "/calls/reset": {"POST": forget_calls},
    "/faults": {"GET": faults, "POST": add_fault, "DELETE": clear_faults},
    "/faults/rows": {"GET": fault_rows},
    "/switches": {"GET": switches, "POST": set_switches},
    "/tokens": {"POST": give_token},
    "/clock": {"GET": clock, "POST": set_clock},
    "/webhooks": {"GET": webhooks, "POST": register_callback, "DELETE": forget_webhooks},
    "/webhooks/send": {"POST": send_webhooks},
    "/webhooks/run": {"POST": run_webhooks},
    "/webhooks/changes": {"GET": webhook_changes},
    "/webhooks/deliveries": {"GET": webhook_deliveries},
    "/events": {"GET": events, "POST": keep_event},
    "/reset": {"POST": reset},
}
BELOW: Mapping[str, Mapping[str, View]] = {
    "/truth/": {"GET": truth},
    "/accounts/": {"POST": rename},
    "/logins/": {"POST": repair_login},
}
MORE = (
    *("/truth/<id>", "/truth/<id>/stories", "/truth/<id>/audience", "/truth/<id>/collaborations"),
    *("/truth/creators/<handle>", "/accounts/<id>", "/logins/<state>"),
)


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


def _login(accounts: Accounts, state: LoginState) -> Json:
    by_facebook, by_instagram = ("facebook" in state.logins), ("instagram" in state.logins)
    return {
        "state": state.name,
        "about": state.about,
        "repaired": accounts.logins.is_repaired(state.name),
        "facebook_token": facebook_token(state, short=True) if by_facebook else None,
        "instagram_token": instagram_token(state, short=True) if by_instagram else None,
        "code": f"AQSANDBOX-{state.name}",
    }


def _body(request: Request) -> Json:
    try:
        body = json.loads(request.body or b"{}")
    except ValueError:
        raise BadInputError("the body is not JSON") from None
    if not isinstance(body, dict):
        raise BadInputError("the body must be a JSON object")
    return body


def _moment(request: Request, name: str) -> float | None:
    text = request.query.get(name)
    return moment_of(float(text) if SECONDS.fullmatch(text) else text) if text else None


def _date(request: Request, name: str) -> date | None:
    text = request.query.get(name)
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise BadInputError(f"{name} must be a date such as 2026-11-21") from None
