"""Media: one post, or one picture of an album, as a node."""

from collections.abc import Mapping
from typing import Any

from simulator.graph.errors import GraphError
from simulator.graph.fields import Field, Node
from simulator.graph.scope import Scope
from simulator.world.days import utc_text
from simulator.world.draw import digits
from simulator.world.posts import Post, shortcode

FACEBOOK_ONLY = frozenset(
    {
        *("view_count", "copyright_check_information", "boost_eligibility_info", "saved_count", "shares_count"),
        *("reposts_count", "total_like_count", "total_comments_count", "total_views_count"),
    }
)


def media_node(post: Post, scope: Scope, *, is_direct: bool) -> Node:
    """Return a post; read through an edge it keeps hidden likes and the counts of direct reads to itself."""
    counts = post.counts(scope.now)
    hides_likes = post.likes_hidden and not is_direct and scope.switches["hidden_likes_omitted"]
    values = {
        "id": post.id,
        "ig_id": digits(19, "ig_id", post.id),
        "legacy_instagram_media_id": digits(19, "ig_id", post.id),
        "shortcode": post.shortcode,
        "permalink": post.permalink,
        "username": post.account.username,
        "owner": Node("IGUser", {"id": post.account.id, "username": post.account.username}),
        "media_type": post.media_type,
        "media_product_type": post.media_product_type,
        "timestamp": utc_text(post.timestamp),
        "caption": post.caption,
        "media_url": None if post.muted else _file(post, "mp4" if post.media_type == "VIDEO" else "jpg"),
        "thumbnail_url": _file(post, "jpg") if post.media_type == "VIDEO" else None,
        "like_count": None if hides_likes else counts["like_count"],
        "comments_count": counts["comments_count"],
        "view_count": _business_discovery_only,
        "children": tuple(child_node(post, child) for child in post.children),
        "is_comment_enabled": True,
        "is_shared_to_feed": True if post.media_product_type == "REELS" else None,
        "copyright_check_information": _copyright(post),
        **dict.fromkeys(("alt_text", "media_audio_type", "is_ai_generated", "boost_eligibility_info")),
        **_totals(counts, is_direct=is_direct),
    }
    if scope.by_instagram:
        values = {name: value for name, value in values.items() if name not in FACEBOOK_ONLY}
    return Node("IGMedia", values)


def child_node(post: Post, child_id: str) -> Node:
    """Return one picture of an album: it has no counts, no caption and no link of its own."""
    values: dict[str, Any] = dict.fromkeys(("permalink", "caption", "thumbnail_url", "like_count", "comments_count"))
    return Node(
        "IGMedia",
        {
            **values,
            "id": child_id,
            "shortcode": shortcode(child_id),
            "username": post.account.username,
            "owner": Node("IGUser", {"id": post.account.id, "username": post.account.username}),
            "media_type": "IMAGE",
            "media_product_type": post.media_product_type,
            "media_url": f"https://scontent.cdninstagram.com/v/{child_id}.jpg?oe=6A000000",
            "timestamp": utc_text(post.timestamp),
        },
    )


def _totals(counts: Mapping[str, int], *, is_direct: bool) -> dict[str, int | None]:
    totals = {
        "saved_count": None,  # Came back empty in every live test.
        "shares_count": counts["shares"],
        "reposts_count": counts["reposts"],
        "total_like_count": counts["like_count"],
        "total_comments_count": counts["comments_count"],
        "total_views_count": counts["views"],
    }
    return {name: value if is_direct else None for name, value in totals.items()}


def _copyright(post: Post) -> Any:
    def checked(_: Field) -> dict[str, Any]:
        if post.media_type != "VIDEO":
            raise GraphError("Video content was not found.", 9005, subcode=1452042)
        return {"status": {"status": "completed", "matches_found": post.muted}}

    return checked


def _file(post: Post, suffix: str) -> str:
    return f"https://scontent.cdninstagram.com/v/{post.id}.{suffix}?oe=6A000000"


def _business_discovery_only(_: Field) -> None:
    raise GraphError(
        "(#36104) You do not have permission to access this field outside of the Business Discovery API.", 36104
    )
