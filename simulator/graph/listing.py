"""The list of an account's posts: newest first, page by page."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from simulator.graph.errors import parameter
from simulator.graph.fields import Field, select
from simulator.graph.media import media_node
from simulator.graph.parameters import moment, positive
from simulator.graph.scope import Scope
from simulator.world.accounts import Account
from simulator.world.posts import posts_of

NEWEST = 10_000  # More posts are never listed.
PAGE = 25  # by default


def media_edge(account: Account, scope: Scope, fields: Sequence[Field], options: Mapping[str, str]) -> dict[str, Any]:
    """Return a page of an account's posts; `options` are limit, after, before, since and until."""
    window = _window(account, scope.now, options)
    page = _page(account, scope, window, options)
    if not page:
        return {"data": []}
    before, after = _cursor(account, page[-1]), _cursor(account, page[0])
    paging: dict[str, Any] = {"cursors": {"before": before, "after": after}}
    path = f"/{account.id}/media"
    if page.start > window.start:
        paging["next"] = scope.address(path, {**options, "after": after, "before": None})
    if page.stop < window.stop:
        paging["previous"] = scope.address(path, {**options, "before": before, "after": None})
    posts = posts_of(account)
    nodes = (media_node(posts.numbered(number), scope, is_direct=False) for number in reversed(page))
    return {"data": [select(node, fields) for node in nodes], "paging": paging}


def _window(account: Account, now: float, options: Mapping[str, str]) -> range:
    """Return the numbers of the posts that a walk without end would list; numbers grow with time."""
    posts = posts_of(account)
    first, end = max(0, posts.published(now) - NEWEST), posts.published(now)
    if options.get("since"):
        first = max(first, posts.published(min(now, moment("since", options["since"]) - 1)))
    if options.get("until"):
        end = posts.published(min(now, moment("until", options["until"])))
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
