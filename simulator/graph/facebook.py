"""graph.facebook.com: Instagram's Graph API as a Facebook login sees it."""

from collections.abc import Sequence

from simulator.graph.access import Caller, caller_of, known
from simulator.graph.errors import GraphError
from simulator.graph.fields import Node, parse_fields, select
from simulator.graph.profile import facebook_user, instagram_user, page
from simulator.graph.provider import GraphProvider, Json
from simulator.graph.scope import Scope
from simulator.graph.tokens import debug_token, exchange
from simulator.messages import Request
from simulator.world.accounts import Account


class FacebookProvider(GraphProvider):
    """The host with the Facebook user and the Page around each account."""

    def spoken(self, error: GraphError) -> GraphError:
        """Return a refusal as it is: all of them are written in this host's dialect."""
        return error

    def _tokens(self, steps: Sequence[str], request: Request, now: float) -> Json | None:
        match steps:
            case ["oauth", "access_token"]:
                return exchange(request.query, self._accounts)
            case ["debug_token"]:
                caller = self._caller(request, now)
                return debug_token(caller, request.query.get("input_token"), self._accounts, now)
        return None

    def _known(self, token: str, now: float) -> Caller | None:
        return known(token, self._accounts)

    def _caller(self, request: Request, now: float) -> Caller:
        return caller_of(request, self._accounts, self._switches)

    def _person(self, object_id: str, account: Account, scope: Scope) -> Node | None:
        if object_id == "me":
            return page(account) if scope.caller.is_page else facebook_user(account)
        if object_id == account.id:
            return instagram_user(account, scope)
        if object_id == account.page_id:
            return page(account)
        return facebook_user(account) if object_id == account.user_id else None

    def _edge(self, node: Node, edge: str, account: Account, scope: Scope) -> Json:
        if node.type == "User" and edge == "accounts":
            fields = parse_fields(scope.request.query.get("fields", "") or "access_token,category,name,id,tasks")
            return {
                "data": [select(page(account), fields)],
                "paging": {"cursors": {"before": "MAZDZD", "after": "MAZDZD"}},
            }
        return super()._edge(node, edge, account, scope)
