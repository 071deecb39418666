"""Who is calling: tokens, app tokens and the proof that a caller knows the app's secret."""

import hashlib
import hmac
from dataclasses import dataclass

from simulator.graph.error_table import TOKEN_TEXTS
from simulator.graph.errors import METHOD, GraphError, cannot_parse
from simulator.messages import Request
from simulator.switches import Switches
from simulator.world.accounts import APP_ID, APP_SECRET, Account, Accounts
from simulator.world.grants import GivenToken
from simulator.world.logins import EXPIRED, OWN, LoginState

AGE = 5 * 86_400  # seconds; how old a token is that was there from the start
APP_TOKEN = f"{APP_ID}|{APP_SECRET}"
SHORT = "EAASHORT"  # Any token that begins so is a short-lived one, of the sandbox account where it names no state.


@dataclass(frozen=True)
class Caller:
    """The bearer of a token; `account` is None for the app itself."""

    token: str
    account: Account | None
    is_page: bool = False
    is_short: bool = False
    state: LoginState | None = None  # of a login that went wrong
    page: int | None = None  # whose token it is, of the Pages of `state`
    given: GivenToken | None = None  # the token, where it was given since the start


def caller_of(request: Request, accounts: Accounts, switches: Switches, now: float) -> Caller:
    """Return who sent a request, or refuse it."""
    token = sent_token(request, bearer=switches["bearer"])
    caller = known(token, accounts)
    if caller is None:
        raise cannot_parse()
    proof = request.query.get("appsecret_proof")
    if proof is None and switches["require_app_secret"]:
        raise GraphError("API calls from the server require an appsecret_proof argument", 100, METHOD)
    check_state(caller, proof)
    check_life(caller, accounts, now)
    check_proof(token, proof)
    return caller


def known(token: str, accounts: Accounts) -> Caller | None:
    """Return the bearer of a token if there is one."""
    if token == APP_TOKEN:
        return Caller(token, None)
    if found := accounts.logins.by_facebook_token(token):
        is_page = found.page is not None
        granted = found.state.pages[found.page] if found.page is not None else None
        name = OWN if granted is None else granted.shows or granted.owner
        return Caller(token, accounts.special(name), is_page, found.is_short, found.state, found.page)
    if given := accounts.grants.of(token):
        is_mine = given.login == "facebook"
        return Caller(token, accounts.at(given.index), given.is_page, given=given) if is_mine else None
    if token.startswith(SHORT):
        return Caller(token, accounts.at(0), is_short=True)
    account = accounts.by_token(token)
    return Caller(token, account, token == account.page_token) if account else None


def check_life(caller: Caller, accounts: Accounts, now: float) -> None:
    """Refuse a token that is over, or that its person took back."""
    if subcode := life_subcode(caller, accounts, now):
        raise GraphError(TOKEN_TEXTS[subcode], 190, subcode=subcode)


def life_subcode(caller: Caller, accounts: Accounts, now: float) -> int | None:
    """Return the subcode of the refusal of a token that is over or was taken back, or None while it is accepted."""
    if caller.account is None:
        return None
    # A token that was not given since the start is always five days old.
    issued = caller.given.issued if caller.given else now - AGE
    if subcode := accounts.grants.refusal(caller.account.index, "facebook", issued):
        return subcode
    is_over = caller.given is not None and caller.given.ends is not None and now >= caller.given.ends
    return EXPIRED if is_over else None


def check_state(caller: Caller, proof: str | None = None) -> None:
    """Refuse the token of a login whose tokens are not accepted, or not with a proof of this app's secret."""
    if caller.state is None:
        return
    if subcode := caller.state.token_subcode:
        raise GraphError(TOKEN_TEXTS[subcode], 190, subcode=subcode)
    if caller.state.of_other_app and proof is not None:
        raise invalid_proof()


def invalid_proof() -> GraphError:
    """Return the refusal of a proof that was made with another secret, or of another token."""
    return GraphError("Invalid appsecret_proof provided in the API argument", 100, METHOD)


def sent_token(request: Request, *, bearer: bool) -> str:
    """Return the token that a request carries in its query or, where that is accepted, in its Authorization header."""
    token = request.query.get("access_token") or (request.bearer if bearer else None)
    if not token:
        raise GraphError("An access token is required to request this resource.", 104)
    return token


def check_proof(token: str, proof: str | None) -> None:
    """Refuse a proof that is not the token's; no proof is none to refuse."""
    expected = hmac.new(APP_SECRET.encode(), token.encode(), hashlib.sha256).hexdigest()
    if proof is not None and not hmac.compare_digest(proof.encode(), expected.encode()):
        raise invalid_proof()
