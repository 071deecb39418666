"""The nodes around an account: the Instagram user, the Facebook user and the Page."""

from types import EllipsisType
from typing import Any

from simulator.graph.errors import GraphError, missing_object
from simulator.graph.fields import Field, Node, expression
from simulator.graph.listing import collaborative_edge, media_edge, stories_edge
from simulator.graph.media import collaborative_node
from simulator.graph.scope import Scope
from simulator.world.accounts import Account
from simulator.world.draw import digits
from simulator.world.history import history_of
from simulator.world.posts import posts_of

ACCOUNT_TYPES = ("Business", "Media_Creator")
WEBSITE_SHARE = 3  # One account of so many has no website.


def instagram_user(account: Account, scope: Scope) -> Node:
    """Return the account as a Facebook login sees it."""
    return Node(
        "IGUser",
        {
            **_profile(account, scope),
            "id": account.id,
            "ig_id": int(digits(10, "ig_id", account.id)),
            "legacy_instagram_user_id": digits(10, "ig_id", account.id),
            "has_profile_pic": True,
            "is_published": True,
            "owner_business": None,
            "shopping_product_tag_eligibility": _without_permission,
            "shopping_review_status": _without_permission,
            "collaborative_media": lambda asked: collaborative_edge(account, scope, asked.children, _options(asked)),
            "collaborative_media_search": lambda asked: _shared_post(account, scope, asked),
        },
    )


def instagram_login_user(account: Account, scope: Scope) -> Node:
    """Return the account as an Instagram login sees it: its `id` is the app's own, the real one is `user_id`."""
    return Node(
        "IGUser",
        {
            **_profile(account, scope),
            "id": account.scoped_id,
            "user_id": account.id,
            "account_type": ACCOUNT_TYPES[account.index % 2],
        },
    )


def facebook_user(account: Account) -> Node:
    """Return the person who granted access."""
    return Node("User", {"id": account.user_id, "name": f"Owner of {account.name}"})


def page(account: Account, scope: Scope, *, shows: Account | EllipsisType | None = ..., token: str = "") -> Node:
    """Return the Page of the account; one of a business portfolio may hide which account is linked to it.

    By default that is its own; a login that went wrong shows another one (`shows`), or none, and has its own `token`.
    """
    linked = account if isinstance(shows, EllipsisType) else shows
    shown = None
    if linked is not None and scope.switches["portfolio_pages"] != "without_account":
        shown = Node("IGUser", {"id": linked.id, "username": linked.username, "name": linked.name})
    return Node(
        "Page",
        {
            "id": account.page_id,
            "name": account.name,
            "access_token": token or account.page_token,
            "category": "Local business",
            "instagram_business_account": shown,
            "connected_instagram_account": shown,
            "tasks": ["ANALYZE", "ADVERTISE", "MESSAGING", "MODERATE", "CREATE_CONTENT", "MANAGE"],
        },
    )


def media_count(account: Account, now: float) -> int:
    """Return the number on the profile, which is never quite what a walk over the posts finds."""
    published = posts_of(account).published(now)
    return published + 1 + int(digits(1, "media_count", account.id)) if published else 0


def _profile(account: Account, scope: Scope) -> dict[str, Any]:
    def media(asked: Field) -> Any:
        return media_edge(account, scope, asked.children, _options(asked))

    def stories(asked: Field) -> Any:
        return stories_edge(account, scope, asked.children, _options(asked))

    return {
        "username": account.username,
        "name": account.name,
        "biography": f"{account.name}. A place to try things out." if account.index % 4 else None,
        "website": f"https://{account.username}.example/" if account.index % WEBSITE_SHARE == 0 else None,
        "profile_picture_url": f"https://scontent.cdninstagram.com/v/{account.id}.jpg?oe=6A000000",
        "followers_count": history_of(account).followers(scope.now),
        "follows_count": int(digits(3, "follows", account.id)),
        "media_count": media_count(account, scope.now),
        "media": media,
        "stories": stories,
    }


def _options(asked: Field) -> dict[str, str]:
    return {**asked.modifiers, "fields": expression(asked.children)}


def _shared_post(account: Account, scope: Scope, asked: Field) -> Node:
    media_id = asked.modifiers.get("media_id", "")
    post = scope.collaborations.of(account).identified(media_id, scope.now)
    if post is None:
        raise missing_object(media_id)
    return collaborative_node(post, scope)


def _without_permission(_: Field) -> None:
    raise GraphError("(#10) Application does not have permission for this action", 10)
