"""api.instagram.com: the exchange of an authorization code for a short-lived token of the Instagram login.

https://developers.facebook.com/docs/instagram-platform/instagram-api-with-instagram-login/business-login
"""

from collections.abc import Mapping, Sequence

from simulator.faults import Fault
from simulator.graph.authorization_codes import Codes
from simulator.graph.bodies import unpacked
from simulator.graph.errors import GraphError
from simulator.graph.instagram_tokens import PERMISSIONS, InstagramTokens
from simulator.graph.refusals import refusal
from simulator.messages import Reply, Request
from simulator.switches import Switches
from simulator.world.accounts import INSTAGRAM_APP_ID, INSTAGRAM_APP_SECRET

NEEDED = ("client_id", "client_secret", "grant_type", "redirect_uri", "code")


class InstagramLogin:
    """The host with one path, whose refusals have a shape of their own."""

    name = "instagram"

    def __init__(self, tokens: InstagramTokens, switches: Switches) -> None:
        self._tokens = tokens
        self._switches = switches
        self._codes = Codes()

    def reset(self) -> None:
        """Forget the codes that were exchanged."""
        self._codes.reset()

    def answer(self, request: Request, _faults: Sequence[Fault], now: float) -> Reply:
        """Answer a call."""
        try:
            given = unpacked(request)
        except GraphError as error:
            return _refused(error.message)
        if given.path.strip("/") != "oauth/access_token":
            return _refused("Unknown path", status=404)
        if given.method != "POST":
            return _refused("This endpoint needs POST", status=405)
        return self._exchanged(given.query, now)

    def refuse(self, request: Request, fault: Fault, _now: float) -> Reply | None:
        """Return the answer that a fault stands for, if this host has words for it."""
        error = refusal(fault, request)
        return _refused(error.message, status=error.http_status) if error else None

    def _exchanged(self, query: Mapping[str, str], now: float) -> Reply:
        if reason := _fault(query) or self._fault_of_code(query["code"]):
            return _refused(reason)
        state = self._tokens.state_of_code(query["code"])
        if state and state.code_refusal:
            return _refused(state.code_refusal)
        permissions = ",".join(state.permissions) if state else PERMISSIONS
        token, account = self._tokens.give_short(query["code"], now)
        if self._switches["igl_code_answer"] == "flat":
            return Reply.json(200, {"access_token": token, "user_id": int(account.id), "permissions": permissions})
        granted = {"access_token": token, "user_id": account.id, "permissions": permissions}
        return Reply.json(200, {"data": [granted]})

    def _fault_of_code(self, code: str) -> str | None:
        is_accepted = self._codes.is_known(code) and self._codes.use(code)
        return None if is_accepted else "Matching code was not found or was already used"


def _fault(query: Mapping[str, str]) -> str | None:
    missing = next((name for name in NEEDED if not query.get(name)), None)
    if missing:
        return f"Missing required field {missing}"
    if query["client_id"] != INSTAGRAM_APP_ID:
        return "Invalid platform app"
    if query["client_secret"] != INSTAGRAM_APP_SECRET:
        return "Error validating client secret"
    return None if query["grant_type"] == "authorization_code" else "Invalid grant_type"


def _refused(message: str, *, status: int = 400) -> Reply:
    return Reply.json(status, {"error_type": "OAuthException", "code": status, "error_message": message})
