"""Who is calling: tokens, app tokens and the proof that a caller knows the app's secret."""

import hashlib
import hmac
from dataclasses import dataclass

from simulator.graph.errors import METHOD, GraphError
from simulator.messages import Request
from simulator.switches import Switches
from simulator.world.accounts import APP_ID, APP_SECRET, Account, Accounts

APP_TOKEN = f"{APP_ID}|{APP_SECRET}"


@dataclass(frozen=True)
class Caller:
    """The bearer of a token; `account` is None for the app itself."""

    token: str
    account: Account | None
    is_page: bool = False


def caller_of(request: Request, accounts: Accounts, switches: Switches) -> Caller:
    """Return who sent a request, or refuse it."""
    token = request.query.get("access_token") or (request.bearer if switches["bearer"] else None)
    if not token:
        raise GraphError("An access token is required to request this resource.", 104)
    caller = known(token, accounts)
    if caller is None:
        raise GraphError("Invalid OAuth access token - Cannot parse access token", 190)
    _check_proof(token, request.query.get("appsecret_proof"), switches)
    return caller


def known(token: str, accounts: Accounts) -> Caller | None:
    """Return the bearer of a token if there is one."""
    if token == APP_TOKEN:
        return Caller(token, None)
    account = accounts.by_token(token)
    return Caller(token, account, token == account.page_token) if account else None


def _check_proof(token: str, proof: str | None, switches: Switches) -> None:
    if proof is None:
        if switches["require_app_secret"]:
            raise GraphError("API calls from the server require an appsecret_proof argument", 100, METHOD)
        return
    expected = hmac.new(APP_SECRET.encode(), token.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(proof.encode(), expected.encode()):
        raise GraphError("Invalid appsecret_proof provided in the API argument", 100, METHOD)
