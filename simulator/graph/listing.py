"""The lists of an account's posts and of its live stories: newest first, page by page."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from simulator.graph.errors import REDUCE_DATA, GraphError, parameter
from simulator.graph.fields import Field, Node, select
from simulator.graph.media import collaborative_node, media_node
from simulator.graph.parameters import moment, positive
from simulator.graph.scope import Scope
from simulator.world.accounts import Account
from simulator.world.posts import Post, posts_of
from simulator.world.stories import stories_of

NEWEST = 10_000  # More posts are never listed.
PAGE = 25  # by default


class Listed(Protocol):
    """Media that are numbered in the order of time."""

    account: Account

    def published(self, moment: float) -> int:
        """Return how many there were at a moment."""

    def numbered(self, number: int) -> Post:
        """Return one by its number."""


def media_edge(account: Account, scope: Scope, fields: Sequence[Field], options: Mapping[str, str]) -> dict[str, Any]:
    """Return a page of an account's posts; `options` are limit, after, before, since and until."""
    posts = posts_of(account)
    published = posts.published(scope.now)
    listed = range(max(0, published - NEWEST), published)
    return _page_of(posts, listed, scope, edge="media", fields=fields, options=options)


def stories_edge(account: Account, scope: Scope, fields: Sequence[Field], options: Mapping[str, str]) -> dict[str, Any]:
    """Return a page of an account's live stories; `options` are those of its posts."""
    stories = stories_of(account)
    return _page_of(stories, stories.live(scope.now), scope, edge="stories", fields=fields, options=options)


def collaborative_edge(
    account: Account, scope: Scope, fields: Sequence[Field], options: Mapping[str, str]
) -> dict[str, Any]:
    """Return a page of the posts of others that an account takes part in; since and until have no effect on it.

    Their total views are calculated for each call, so that larger pages with them may be too much.
    """
    shared, most = scope.collaborations.of(account), scope.switches["collaborative_page"]
    listed = range(shared.published(scope.now))
    is_costly = any(field.name == "total_views_count" for field in fields)
    if most is not None and is_costly and len(_page(account, scope, listed, options)) > most:
        raise GraphError(REDUCE_DATA, 1)
    is_filtered = scope.switches["collaborative_window"] == "filtered"
    window = _window(shared, listed, scope, options if is_filtered else {})

    def node(post: Post) -> Node | None:
        return collaborative_node(post, scope) if shared.takes_part(post, scope.now) else None

    return _page_within(shared, window, scope, edge="collaborative_media", fields=fields, options=options, node=node)


def _page_of(
    posts: Listed, listed: range, scope: Scope, *, edge: str, fields: Sequence[Field], options: Mapping[str, str]
) -> dict[str, Any]:
    window = listed if scope.switches["media_window"] == "ignored" else _window(posts, listed, scope, options)

    def node(post: Post) -> Node:
        return media_node(post, scope, is_direct=False)

    return _page_within(posts, window, scope, edge=edge, fields=fields, options=options, node=node)


def _page_within(
    posts: Listed,
    window: range,
    scope: Scope,
    *,
    edge: str,
    fields: Sequence[Field],
    options: Mapping[str, str],
    node: Callable[[Post], Node | None],
) -> dict[str, Any]:
    account = posts.account
    page = _page(account, scope, window, options)
    if not page:
        return {"data": []}
    before, after = _cursor(account, page[-1]), _cursor(account, page[0])
    paging: dict[str, Any] = {"cursors": {"before": before, "after": after}}
    path = f"/{account.id}/{edge}"
    if page.start > window.start:
        paging["next"] = scope.address(path, {**options, "after": after, "before": None})
    if page.stop < window.stop:
        paging["previous"] = scope.address(path, {**options, "before": before, "after": None})
    nodes = (node(posts.numbered(number)) for number in reversed(page))
    return {"data": [select(each, fields) for each in nodes if each], "paging": paging}


def _window(posts: Listed, listed: range, scope: Scope, options: Mapping[str, str]) -> range:
    """Return which of the listed numbers lie between since and until; numbers grow with time."""
    first, end, now = listed.start, listed.stop, scope.now
    if options.get("since"):
        first = max(first, posts.published(min(now, moment("since", options["since"], scope) - 1)))
    if options.get("until"):
        end = posts.published(min(now, moment("until", options["until"], scope)))
    return range(first, max(first, end))


def _page(account: Account, scope: Scope, window: range, options: Mapping[str, str]) -> range:
    most: int = scope.switches["media_max_page"]
    limit = min(most, positive("limit", options["limit"]) if options.get("limit") else PAGE)
    if options.get("before"):
        start = max(window.start, min(window.stop, _number(account, options["before"]) + 1))
        return range(start, min(window.stop, start + limit))
    stop = window.stop
    if options.get("after"):
        # As when something was published during the walk, the last post of the page before may come once more.
        repeated = 1 if scope.switches["repeat_post"] and limit > 1 else 0
        stop = max(window.start, min(window.stop, _number(account, options["after"]) + repeated))
    return range(max(window.start, stop - limit), stop)


def _cursor(account: Account, number: int) -> str:
    return base64.urlsafe_b64encode(f"QVFIU:{account.index}:{number}".encode()).decode().rstrip("=")


def _number(account: Account, cursor: str) -> int:
    try:
        _, index, number = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().split(":")
        if int(index) == account.index:
            return int(number)
    except (ValueError, binascii.Error):
        pass
    raise parameter("Invalid cursors values")
