"""The Graph API, whichever host serves it: from a path to an answer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from simulator.faults import Fault
from simulator.graph.access import Caller
from simulator.graph.batch import answer_batch, is_batch
from simulator.graph.bodies import unpacked
from simulator.graph.errors import GraphError, ids_are_gone, missing_object, no_object, nonexisting_field, unknown_path
from simulator.graph.fields import Node, parse_fields, select
from simulator.graph.insights import insights_edge
from simulator.graph.listing import media_edge, stories_edge
from simulator.graph.media import child_node, media_node, story_node
from simulator.graph.media_insights import media_insights_edge
from simulator.graph.refusals import refusal
from simulator.graph.scope import Expansions, Scope
from simulator.graph.subscribed_apps import subscribed_apps
from simulator.graph.usage import Usage
from simulator.graph.versions import VERSION, is_released, serving, split_version
from simulator.messages import Reply, Request
from simulator.switches import Switches
from simulator.webhooks.subscriptions import Subscriptions
from simulator.world.accounts import Account, Accounts
from simulator.world.collaborations import collaborations_of
from simulator.world.posts import posts_of
from simulator.world.stories import stories_of

Json = Mapping[str, Any]


class GraphProvider(ABC):
    """What both hosts have in common; a host adds its tokens, its nodes and its dialect."""

    name = "instagram"

    subscriber: str  # the type of the node with the edge subscribed_apps

    def __init__(self, accounts: Accounts, switches: Switches, subscriptions: Subscriptions) -> None:
        self._accounts = accounts
        self._collaborations = collaborations_of(accounts)
        self._switches = switches
        self._subscriptions = subscriptions
        self._usage = Usage(switches)

    def reset(self) -> None:
        """Forget the calls that were counted."""
        self._usage.reset()

    def answer(self, request: Request, faults: Sequence[Fault], now: float) -> Reply:
        """Answer a call, with the faults that are about single metrics."""
        try:
            given = unpacked(request)
            if not is_batch(given):
                return self._answer_one(given, faults, now)
            if (refused := self._refused_batch()) is not None:
                raise refused
            in_time = self._switches["batch_answers"]
            return answer_batch(given, lambda call: self._answer_one(unpacked(call), faults, now), in_time=in_time)
        except GraphError as error:
            return self._refused(request, now, error)

    def _answer_one(self, request: Request, faults: Sequence[Fault], now: float) -> Reply:
        expansions = Expansions()
        try:
            body = self._body(request, faults, now, expansions)
        except GraphError as error:
            return self._refused(request, now, error, weight=expansions.weight(self._switches))
        return self._reply(request, now, 200, body, weight=expansions.weight(self._switches))

    def refuse(self, request: Request, fault: Fault, now: float) -> Reply | None:
        """Return the answer that a fault stands for, if this API has words for it."""
        error = refusal(fault, request)
        return self._refused(request, now, error) if error else None

    @abstractmethod
    def spoken(self, error: GraphError) -> GraphError:
        """Return a refusal in the dialect of this host."""

    @abstractmethod
    def _refused_batch(self) -> GraphError | None:
        """Return the refusal of a batch, if this host takes none."""

    @abstractmethod
    def _tokens(self, steps: Sequence[str], request: Request, now: float) -> Json | None:
        """Answer a call that is about tokens themselves."""

    @abstractmethod
    def _known(self, token: str, now: float) -> Caller | None:
        """Return the bearer of a token, if there is one on this host."""

    @abstractmethod
    def _caller(self, request: Request, now: float) -> Caller:
        """Return who sent a request, or refuse it."""

    @abstractmethod
    def _person(self, object_id: str, account: Account, scope: Scope) -> Node | None:
        """Return the account, or what stands around it, by its id on this host."""

    def _scope(self, request: Request, caller: Caller, faults: Sequence[Fault], now: float) -> Scope:
        refused, dropped = (
            frozenset(fault.options["metric"] for fault in faults if fault.kind == kind)
            for kind in ("refuse_metric", "drop_metric")
        )
        version, _ = split_version(request.path)
        served = serving(version, now)
        return Scope(request, caller, served, now, self._switches, self._collaborations, refused, dropped)

    def _body(self, request: Request, faults: Sequence[Fault], now: float, expansions: Expansions) -> Json:
        version, path = split_version(request.path)
        if self._switches["unknown_version"] == "refused" and not is_released(version, now):
            raise unknown_path(f"/{version}{path}")
        steps = [step for step in path.split("/") if step]
        if not steps and "ids" in request.query:
            raise ids_are_gone()
        answer = self._tokens(steps, request, now)
        if answer is not None:
            return answer
        if steps and VERSION.fullmatch(steps[0]):
            raise unknown_path(path)
        caller = self._caller(request, now)
        self._usage.check()
        return self._object(steps, replace(self._scope(request, caller, faults, now), expansions=expansions))

    def _object(self, steps: Sequence[str], scope: Scope) -> Json:
        if not steps:
            raise no_object()
        account = scope.caller.account
        match steps:
            case [object_id, "subscribed_apps"] if account:
                node = self._node(object_id, account, scope)
                if node.type == self.subscriber:
                    return subscribed_apps(node.type, account, scope, self._subscriptions)
        if scope.request.method not in ("GET", "HEAD"):
            raise missing_object(steps[0], method=scope.request.method.lower())
        if account is None:
            raise missing_object(steps[0])
        match steps:
            case [object_id]:
                fields = parse_fields(scope.request.query.get("fields", ""))
                return select(self._node(object_id, account, scope), fields)
            case [object_id, edge]:
                return self._edge(self._node(object_id, account, scope), edge, account, scope)
        raise unknown_path(f"/{'/'.join(steps[2:])}")

    def _node(self, object_id: str, account: Account, scope: Scope) -> Node:
        person = self._person(object_id, account, scope)
        if person:
            return person
        if not object_id.isdecimal():
            raise GraphError(f"(#803) Some of the aliases you requested do not exist: {object_id}", 803)
        if story := stories_of(account).identified(object_id, scope.now):
            if node := story_node(story, scope):
                return node
            raise missing_object(object_id)
        post = posts_of(account).identified(object_id, scope.now)
        if post is None:
            raise missing_object(object_id)
        return media_node(post, scope, is_direct=True) if post.id == object_id else child_node(post, object_id)

    def _edge(self, node: Node, edge: str, account: Account, scope: Scope) -> Json:
        query = scope.request.query
        if node.type == "IGUser" and edge == "insights":
            return insights_edge(account, scope)
        fields = parse_fields(query.get("fields", ""))
        if node.type == "IGUser" and edge == "media":
            return media_edge(account, scope, fields, query)
        if node.type == "IGUser" and edge == "stories":
            return stories_edge(account, scope, fields, query)
        if node.type == "IGMedia" and edge == "insights":
            return media_insights_edge(node, scope, fields)
        if node.type == "IGMedia" and edge == "children":
            children = node.values.get("children") or ()
            return {"data": [select(child, fields) for child in children]}
        raise nonexisting_field(edge, node.type)

    def _refused(self, request: Request, now: float, error: GraphError, *, weight: int = 1) -> Reply:
        spoken = self.spoken(error)
        return self._reply(request, now, spoken.http_status, spoken.envelope(), error=spoken, weight=weight)

    def _reply(
        self,
        request: Request,
        now: float,
        status: int,
        body: Json,
        *,
        error: GraphError | None = None,
        weight: int,
    ) -> Reply:
        caller = self._known(request.query.get("access_token") or request.bearer or "", now)
        account = caller.account if caller else None
        self._usage.count(account, weight)
        version, _ = split_version(request.path)
        headers = {"facebook-api-version": serving(version, now), **self._usage.headers(account, error)}
        given = error.headers if error else {}
        headers |= {name.lower(): text for name, text in given.items()}
        return replace(Reply.json(status, body, headers), weight=weight)
