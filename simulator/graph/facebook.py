"""graph.facebook.com: Instagram's Graph API as a Facebook login sees it."""

from collections.abc import Sequence
from dataclasses import replace

from simulator.graph.access import Caller, caller_of, known
from simulator.graph.app_subscriptions import app_subscriptions
from simulator.graph.authorization_codes import Codes
from simulator.graph.errors import GraphError
from simulator.graph.fields import Field, Node, parse_fields, select
from simulator.graph.listing import collaborative_edge
from simulator.graph.permissions import check_reads
from simulator.graph.profile import facebook_user, instagram_user, page
from simulator.graph.provider import GraphProvider, Json
from simulator.graph.scope import Scope
from simulator.graph.tokens import debug_token, exchange
from simulator.messages import Request
from simulator.switches import Switches
from simulator.webhooks.webhooks import Webhooks
from simulator.world.accounts import APP_ID, Account, Accounts
from simulator.world.logins import SCOPES, LoginState, facebook_token
from simulator.world.posts import posts_of
from simulator.world.stories import stories_of


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
        return caller_of(request, self._accounts, self._switches, now)

    def _object(self, steps: Sequence[str], scope: Scope) -> Json:
        if steps == [APP_ID, "subscriptions"]:
            return app_subscriptions(scope, self._webhooks)
        if scope.caller.state is not None and steps:
            scope = self._about(steps[0], scope.caller.state, scope)
        return super()._object(steps, scope)

    def _about(self, object_id: str, state: LoginState, scope: Scope) -> Scope:
        """Return the scope of the account that an object belongs to, among those of a login; else as it is."""
        if scope.caller.is_page:
            return scope
        shown = (granted.shows or granted.owner for granted in state.pages)
        for account in map(self._accounts.special, shown):
            own = object_id in (account.id, account.page_id)
            is_media = object_id.isdecimal() and (
                posts_of(account).identified(object_id, scope.now)
                or stories_of(account).identified(object_id, scope.now)
            )
            if own or is_media:
                return replace(scope, caller=replace(scope.caller, account=account))
        return scope

    def _person(self, object_id: str, account: Account, scope: Scope) -> Node | None:
        pages = self._pages(scope)
        if object_id == "me":
            return pages[0] if scope.caller.is_page else facebook_user(account)
        if object_id == account.id:
            check_reads(scope, object_id)
            return instagram_user(account, scope)
        for each in pages:
            if object_id == each.values["id"]:
                return each
        return facebook_user(account) if object_id == account.user_id else None

    def _pages(self, scope: Scope) -> list[Node]:
        """Return the Pages that a caller sees: its own, or those of its login that are listed."""
        account, state = scope.caller.account, scope.caller.state
        assert account is not None  # noqa: S101 - the app itself gets no object
        if state is None:
            return [page(account, scope)]
        found = []
        for number, granted in enumerate(state.pages):
            if scope.caller.page in (None, number) and granted.is_listed:
                owner = self._accounts.special(granted.owner)
                shown = self._accounts.special(granted.shows) if granted.shows else None
                found.append(page(owner, scope, shows=shown, token=facebook_token(state, page=number)))
        return found

    def _edge(self, node: Node, edge: str, account: Account, scope: Scope) -> Json:
        if node.type == "User" and edge == "accounts":
            fields = parse_fields(scope.request.query.get("fields", "") or "access_token,category,name,id,tasks")
            if scope.switches["portfolio_pages"] == "left_out":
                return {"data": []}
            return {
                "data": [select(each, fields) for each in self._pages(scope)],
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
