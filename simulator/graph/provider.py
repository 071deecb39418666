"""graph.facebook.com: from a path to an answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from simulator.faults import Fault
from simulator.graph.access import caller_of, known
from simulator.graph.errors import GraphError, missing_object, nonexisting_field, unknown_path
from simulator.graph.fields import Node, parse_fields, select
from simulator.graph.insights import insights_edge
from simulator.graph.listing import media_edge
from simulator.graph.media import child_node, media_node
from simulator.graph.profile import facebook_user, instagram_user, page
from simulator.graph.refusals import ids_are_gone, no_object, refusal
from simulator.graph.scope import Scope
from simulator.graph.tokens import debug_token, exchange
from simulator.graph.usage import Usage
from simulator.graph.versions import VERSION, serving, split_version
from simulator.messages import Reply, Request
from simulator.switches import Switches
from simulator.world.accounts import Account, Accounts
from simulator.world.posts import posts_of

Json = Mapping[str, Any]


class GraphProvider:
    """Instagram's Graph API as a Facebook login sees it."""

    name = "instagram"

    def __init__(self, accounts: Accounts, switches: Switches) -> None:
        self._accounts = accounts
        self._switches = switches
        self._usage = Usage(switches)

    def reset(self) -> None:
        """Forget the calls that were counted."""
        self._usage.reset()

    def answer(self, request: Request, faults: Sequence[Fault], now: float) -> Reply:
        """Answer a call, with the faults that are about single metrics."""
        try:
            return self._reply(request, now, 200, self._body(request, faults, now))
        except GraphError as error:
            return self._refused(request, now, error)

    def refuse(self, request: Request, fault: Fault, now: float) -> Reply | None:
        """Return the answer that a fault stands for, if this API has words for it."""
        error = refusal(fault, request)
        return self._refused(request, now, error) if error else None

    def _body(self, request: Request, faults: Sequence[Fault], now: float) -> Json:
        version, path = split_version(request.path)
        steps = [step for step in path.split("/") if step]
        if not steps and "ids" in request.query:
            raise ids_are_gone()
        if steps == ["oauth", "access_token"]:
            return exchange(request.query, self._accounts)
        if steps and VERSION.fullmatch(steps[0]):
            raise unknown_path(path)
        caller = caller_of(request, self._accounts, self._switches)
        if steps == ["debug_token"]:
            return debug_token(caller, request.query.get("input_token"), self._accounts, now)
        self._usage.check()
        refused, dropped = (
            frozenset(fault.options["metric"] for fault in faults if fault.kind == kind)
            for kind in ("refuse_metric", "drop_metric")
        )
        return self._object(steps, Scope(request, caller, serving(version, now), now, self._switches, refused, dropped))

    def _object(self, steps: Sequence[str], scope: Scope) -> Json:
        if not steps:
            raise no_object()
        if scope.request.method not in ("GET", "HEAD"):
            raise missing_object(steps[0], method=scope.request.method.lower())
        account = scope.caller.account
        if account is None:
            raise missing_object(steps[0])
        match steps:
            case [object_id]:
                fields = parse_fields(scope.request.query.get("fields", ""))
                return select(self._node(object_id, account, scope), fields)
            case [object_id, edge]:
                return self._edge(object_id, edge, account, scope)
        raise unknown_path(f"/{'/'.join(steps[2:])}")

    def _node(self, object_id: str, account: Account, scope: Scope) -> Node:
        if object_id == "me":
            return page(account) if scope.caller.is_page else facebook_user(account)
        if not object_id.isdecimal():
            raise GraphError(f"(#803) Some of the aliases you requested do not exist: {object_id}", 803)
        if object_id == account.id:
            return instagram_user(account, scope)
        if object_id == account.page_id:
            return page(account)
        if object_id == account.user_id:
            return facebook_user(account)
        post = posts_of(account).identified(object_id, scope.now)
        if post is None:
            raise missing_object(object_id)
        return media_node(post, scope, is_direct=True) if post.id == object_id else child_node(post, object_id)

    def _edge(self, object_id: str, edge: str, account: Account, scope: Scope) -> Json:
        node = self._node(object_id, account, scope)
        query = scope.request.query
        if node.type == "IGUser" and edge == "insights":
            return insights_edge(account, scope)
        fields = parse_fields(query.get("fields", ""))
        if node.type == "IGUser" and edge == "media":
            return media_edge(account, scope, fields, query)
        if node.type == "User" and edge == "accounts":
            asked = fields or parse_fields("access_token,category,name,id,tasks")
            return {
                "data": [select(page(account), asked)],
                "paging": {"cursors": {"before": "MAZDZD", "after": "MAZDZD"}},
            }
        if node.type == "IGMedia" and edge == "children":
            children = node.values.get("children") or ()
            return {"data": [select(child, fields) for child in children]}
        raise nonexisting_field(edge, node.type)

    def _refused(self, request: Request, now: float, error: GraphError) -> Reply:
        return self._reply(request, now, error.http_status, error.envelope(), error)

    def _reply(self, request: Request, now: float, status: int, body: Json, error: GraphError | None = None) -> Reply:
        caller = known(request.query.get("access_token") or request.bearer or "", self._accounts)
        account = caller.account if caller else None
        self._usage.count(account)
        version, _ = split_version(request.path)
        headers = {"facebook-api-version": serving(version, now), **self._usage.headers(account, error)}
        return Reply.json(status, body, headers)
