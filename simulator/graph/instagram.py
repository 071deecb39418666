"""graph.instagram.com: the same accounts as an Instagram login sees them, without Facebook around them."""

from collections.abc import Sequence
from dataclasses import replace

from simulator.faults import Fault
from simulator.graph.access import Caller, check_proof, sent_token
from simulator.graph.dialect import in_instagrams_words
from simulator.graph.errors import GraphError, parameter
from simulator.graph.fields import Node
from simulator.graph.instagram_login import InstagramLogin
from simulator.graph.instagram_tokens import InstagramTokens, unsupported_request
from simulator.graph.permissions import check_reads
from simulator.graph.profile import instagram_login_user
from simulator.graph.provider import GraphProvider, Json
from simulator.graph.scope import Scope
from simulator.messages import Request
from simulator.switches import Switches
from simulator.webhooks.subscriptions import Subscriptions
from simulator.world.accounts import APP_ID, Account, Accounts


class InstagramProvider(GraphProvider):
    """The host that knows Instagram users only."""

    subscriber = "IGUser"

    def __init__(
        self, accounts: Accounts, switches: Switches, subscriptions: Subscriptions, *, tokens_from: float
    ) -> None:
        super().__init__(accounts, switches, subscriptions)
        self._grants = InstagramTokens(accounts, switches, tokens_from)
        self.login = InstagramLogin(self._grants, switches)

    def reset(self) -> None:
        """Forget the calls that were counted and the tokens that were given."""
        super().reset()
        self._grants.reset()

    def spoken(self, error: GraphError) -> GraphError:
        """Return a refusal without the code in its text, in the language of the account's owner."""
        return error if error.is_literal else in_instagrams_words(error, self._switches["locale"])

    def _tokens(self, steps: Sequence[str], request: Request, now: float) -> Json | None:
        match steps:
            case ["access_token"] if request.method == "GET":
                return self._grants.exchange(request.query, now)
            case ["refresh_access_token"] if request.method == "GET":
                return self._grants.refresh(request.query, now)
            case ["access_token" | "refresh_access_token" | "debug_token"] | ["oauth", "access_token"]:
                raise unsupported_request(request.method.lower())
        return None

    def _refused_batch(self) -> GraphError | None:
        return GraphError(f"(#200) Cannot call API for app {APP_ID} on behalf of user 0", 200)

    def _known(self, token: str, now: float) -> Caller | None:
        grant = self._grants.of(token, now)
        return Caller(token, grant.account, state=grant.state) if grant else None

    def _caller(self, request: Request, now: float) -> Caller:
        token = sent_token(request, bearer=self._switches["igl_bearer"])
        grant = self._grants.valid(token, now)
        proof = request.query.get("appsecret_proof")
        if self._switches["igl_appsecret_proof"] == "verified":
            check_proof(token, proof)
        elif proof is not None and self._switches["igl_appsecret_proof"] == "refused":
            raise parameter("The parameter appsecret_proof is not supported")
        return Caller(token, grant.account, state=grant.state)

    def _scope(self, request: Request, caller: Caller, faults: Sequence[Fault], now: float) -> Scope:
        scope = super()._scope(request, caller, faults, now)
        clicks = frozenset({"website_clicks"})
        refused = clicks if self._switches["igl_website_clicks"] == "refused" else frozenset()
        dropped = clicks if self._switches["igl_website_clicks"] == "missing" else frozenset()
        return replace(
            scope,
            by_instagram=True,
            refused_metrics=scope.refused_metrics | refused,
            dropped_metrics=scope.dropped_metrics | dropped | {"profile_views"},
        )

    def _person(self, object_id: str, account: Account, scope: Scope) -> Node | None:
        is_account = object_id in ("me", account.id, account.scoped_id)
        if is_account:
            check_reads(scope, object_id)
        return instagram_login_user(account, scope) if is_account else None
