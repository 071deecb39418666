"""graph.facebook.com: Instagram's Graph API as a Facebook login sees it."""

from collections.abc import Sequence

from simulator.graph.access import Caller, caller_of, known
from simulator.graph.app_subscriptions import app_subscriptions
from simulator.graph.codes import Codes
from simulator.graph.errors import GraphError
from simulator.graph.fields import Field, Node, parse_fields, select
from simulator.graph.listing import collaborative_edge
from simulator.graph.profile import facebook_user, instagram_user, page
from simulator.graph.provider import GraphProvider, Json
from simulator.graph.scope import Scope
from simulator.graph.tokens import SCOPES, debug_token, exchange
from simulator.messages import Request
from simulator.switches import Switches
from simulator.webhooks.webhooks import Webhooks
from simulator.world.accounts import APP_ID, Account, Accounts


class FacebookProvider(GraphProvider):
    """The host with the Facebook user and the Page around each account."""

    subscriber = "Page"

    def __init__(self, accounts: Accounts, switches: Switches, webhooks: Webhooks) -> None:
        super().__init__(accounts, switches, webhooks.subscriptions)
        self._webhooks = webhooks
        self._codes = Codes()

    def reset(self) -> None:
        """Forget the calls that were counted and the codes that were exchanged."""
        super().reset()
        self._codes.reset()

    def spoken(self, error: GraphError) -> GraphError:
        """Return a refusal as it is: all of them are written in this host's dialect."""
        return error

    def _refused_batch(self) -> GraphError | None:
        return None

    def _tokens(self, steps: Sequence[str], request: Request, now: float) -> Json | None:
        match steps:
            case ["oauth", "access_token"]:
                return exchange(request.query, self._accounts, self._codes)
            case ["debug_token"]:
                caller = self._caller(request, now)
                return debug_token(
                    caller, request.query.get("input_token"), self._accounts, now, scopes=self._granted()
                )
        return None

    def _granted(self) -> Sequence[str]:
        is_granted = self._switches["portfolio_pages"] == "listed"
        return [scope for scope in SCOPES if is_granted or scope != "business_management"]

    def _known(self, token: str, now: float) -> Caller | None:
        return known(token, self._accounts)

    def _caller(self, request: Request, now: float) -> Caller:
        return caller_of(request, self._accounts, self._switches)

    def _object(self, steps: Sequence[str], scope: Scope) -> Json:
        if steps == [APP_ID, "subscriptions"]:
            return app_subscriptions(scope, self._webhooks)
        return super()._object(steps, scope)

    def _person(self, object_id: str, account: Account, scope: Scope) -> Node | None:
        if object_id == "me":
            return page(account, scope) if scope.caller.is_page else facebook_user(account)
        if object_id == account.id:
            return instagram_user(account, scope)
        if object_id == account.page_id:
            return page(account, scope)
        return facebook_user(account) if object_id == account.user_id else None

    def _edge(self, node: Node, edge: str, account: Account, scope: Scope) -> Json:
        if node.type == "User" and edge == "accounts":
            fields = parse_fields(scope.request.query.get("fields", "") or "access_token,category,name,id,tasks")
            if scope.switches["portfolio_pages"] == "left_out":
                return {"data": []}
            return {
                "data": [select(page(account, scope), fields)],
                "paging": {"cursors": {"before": "MAZDZD", "after": "MAZDZD"}},
            }
        if node.type == "User" and edge == "permissions":
            return {"data": [{"permission": scope, "status": "granted"} for scope in self._granted()]}
        if node.type == "IGUser" and edge == "collaborative_media":
            query = scope.request.query
            return collaborative_edge(account, scope, parse_fields(query.get("fields", "")), query)
        if node.type == "IGMedia" and edge == "collaborators" and edge in node.values:
            partners = node.values[edge](Field(edge))
            fields = parse_fields(scope.request.query.get("fields", "") or "id,username,invite_status")
            return {"data": [select(partner, fields) for partner in partners]}
        return super()._edge(node, edge, account, scope)
