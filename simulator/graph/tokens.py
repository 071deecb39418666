"""Tokens: what debug_token says of one, and the exchange for a long-lived one."""

from collections.abc import Mapping, Sequence
from typing import Any

from simulator.graph.access import AGE, APP_TOKEN, Caller, check_state, known, life_subcode
from simulator.graph.authorization_codes import SHORT_LIFETIME, Codes
from simulator.graph.error_table import TOKEN_TEXTS
from simulator.graph.errors import GraphError, cannot_parse, parameter
from simulator.world.accounts import APP_ID, APP_SECRET, Account, Accounts
from simulator.world.logins import EXPIRED, LoginState, facebook_token

LIFETIME = 5_183_944  # seconds, about 60 days
DATA_ACCESS = 90 * 86_400  # seconds
MISSING = {"client_id": 101, "redirect_uri": 191}  # the codes of missing parameters
OF_PAGES, OF_ACCOUNTS = ("pages_",), ("instagram_",)  # how scopes begin that are granted for Pages, or for accounts


def debug_token(
    caller: Caller, input_token: str | None, accounts: Accounts, now: float, *, scopes: Sequence[str]
) -> dict[str, Any]:
    """Answer `GET /debug_token`; of an invalid token it says so, with HTTP 200."""
    if not input_token:
        raise parameter("The parameter input_token is required")
    if caller.is_page or (caller.account and caller.token != input_token):
        raise parameter("You must provide an app access token, or a user access token that is an owner of the app")
    inspected = known(input_token, accounts)
    if inspected is None:
        error = {"code": 190, "message": "Invalid OAuth access token.", "subcode": 467}
        return {"data": {"app_id": APP_ID, "is_valid": False, "scopes": [], "error": error}}
    if inspected.account is None:
        return {"data": {"app_id": APP_ID, "type": "APP", "application": "Sandbox", "is_valid": True, "scopes": []}}
    if inspected.state is not None:
        return {"data": _described_login(inspected, inspected.state, accounts, int(now))}
    described = _described(inspected, inspected.account, int(now))
    if subcode := life_subcode(inspected, accounts, now):
        error = {"code": 190, "message": TOKEN_TEXTS[subcode], "subcode": subcode}
        return {"data": {**described, "is_valid": False, "scopes": [], "granular_scopes": [], "error": error}}
    return {"data": {**described, "scopes": list(scopes)}}


def exchange(query: Mapping[str, str], accounts: Accounts, codes: Codes) -> dict[str, Any]:
    """Answer `/oauth/access_token` for a code, or for a short-lived or a still valid token."""
    by_code = "code" in query and query.get("grant_type") in (None, "", "authorization_code")
    for name in ("client_id", "client_secret", "redirect_uri" if by_code else "grant_type"):
        if not query.get(name):
            raise GraphError(f"Missing {name} parameter.", MISSING.get(name, 1), status=400)
    if query["client_id"] != APP_ID:
        raise GraphError("Error validating application. Cannot get application info due to a system error.", 101)
    if query["client_secret"] != APP_SECRET:
        raise GraphError("Error validating client secret.", 1, status=400)
    if by_code:
        _use(query["code"], codes)
        state = accounts.logins.by_code(query["code"], "facebook")
        token = facebook_token(state, short=True) if state else accounts.at(0).token
        return {"access_token": token, "token_type": "bearer", "expires_in": SHORT_LIFETIME}
    if query["grant_type"] == "client_credentials":
        return {"access_token": APP_TOKEN, "token_type": "bearer"}
    if query["grant_type"] != "fb_exchange_token":
        raise GraphError(f"Invalid grant_type: {query['grant_type']}", 1, status=400)
    token = _long_lived(query.get("fb_exchange_token", ""), accounts)
    return {"access_token": token, "token_type": "bearer", "expires_in": LIFETIME}


def _long_lived(token: str, accounts: Accounts) -> str:
    given = known(token, accounts)
    if given is None or given.account is None:
        raise cannot_parse()
    check_state(given)
    if given.state is None:
        return given.account.token if given.is_short else token
    if given.state.of_other_app:
        raise GraphError("Error validating access token: It was issued to another application.", 190)
    return facebook_token(given.state, page=given.page)


def _use(code: str, codes: Codes) -> None:
    if not codes.is_known(code):
        raise GraphError("Invalid verification code format.", 100)
    if not codes.use(code):
        raise GraphError("This authorization code has been used.", 100, subcode=36009)


def _described(inspected: Caller, account: Account, now: int) -> dict[str, Any]:
    targets = {
        "instagram_basic": account.id,
        "instagram_manage_insights": account.id,
        "pages_show_list": account.page_id,
    }
    return {
        "app_id": APP_ID,
        "type": "PAGE" if inspected.is_page else "USER",
        "application": "Sandbox",
        "is_valid": True,
        "issued_at": _issued(inspected, now),
        "expires_at": _end(inspected, now),
        "data_access_expires_at": int(inspected.given.data_access_ends) if inspected.given else now - AGE + DATA_ACCESS,
        "granular_scopes": [{"scope": scope, "target_ids": [target]} for scope, target in targets.items()],
        "user_id": account.user_id,
        **({"profile_id": account.page_id} if inspected.is_page else {}),
    }


def _issued(inspected: Caller, now: int) -> int:
    if inspected.given is not None:
        return int(inspected.given.issued)
    return now if inspected.is_short else now - AGE


def _end(inspected: Caller, now: int) -> int:
    if inspected.is_page:
        return 0
    if inspected.given is not None:
        return int(inspected.given.ends or 0)
    return now + SHORT_LIFETIME if inspected.is_short else now - AGE + LIFETIME


def _described_login(inspected: Caller, state: LoginState, accounts: Accounts, now: int) -> dict[str, Any]:
    """Describe a token of a login that went wrong; of another app's token nothing is said."""
    if state.of_other_app:
        raise parameter("The App_id in the input_token did not match the Viewing App")
    assert inspected.account is not None  # noqa: S101 - only the app's own token has none
    described = _described(inspected, inspected.account, now)
    if subcode := state.token_subcode:
        error = {"code": 190, "message": TOKEN_TEXTS[subcode], "subcode": subcode}
        ended = {"expires_at": now - AGE} if subcode == EXPIRED else {}
        return {**described, **ended, "is_valid": False, "scopes": [], "granular_scopes": [], "error": error}
    granular: list[dict[str, Any]] = []
    for scope in state.scopes:
        if scope.startswith(OF_PAGES + OF_ACCOUNTS):
            is_of_pages = scope.startswith(OF_PAGES)
            ticked = state.ticked_pages if is_of_pages else state.ticked_accounts
            chosen = [accounts.special(name) for name in ticked or ()]
            ids = [account.page_id if is_of_pages else account.id for account in chosen]
            # A permission that is granted for all Pages or accounts comes without targets.
            granular.append({"scope": scope} if ticked is None else {"scope": scope, "target_ids": ids})
    return {**described, "scopes": list(state.scopes), "granular_scopes": granular}
