"""Media: one post, or one picture of an album, as a node."""

from typing import Any

from simulator.graph.errors import GraphError, missing_object
from simulator.graph.fields import Field, Node
from simulator.graph.media_flags import numbers_of
from simulator.graph.media_insights import insights_of
from simulator.graph.scope import Scope
from simulator.world.days import utc_text
from simulator.world.draw import digits
from simulator.world.media_numbers import is_boosted
from simulator.world.posts import Post, shortcode
from simulator.world.stories import Story

TOTALS = {  # fields of direct reads, each with its metric
    "saved_count": None,  # Came back empty in every live test.
    "shares_count": "shares",
    "reposts_count": "reposts",
    "total_like_count": "total_likes",
    "total_comments_count": "total_comments",
    "total_views_count": "total_views",
}
FACEBOOK_ONLY = frozenset(
    {"view_count", "copyright_check_information", "boost_eligibility_info", "boost_ads_list", "collaborators", *TOTALS}
)


def media_node(post: Post, scope: Scope, *, is_direct: bool) -> Node:
    """Return a post; read through an edge it keeps hidden likes and the counts of direct reads to itself."""
    counts = post.counts(scope.now)
    hides_likes = post.likes_hidden and not is_direct and scope.switches["hidden_likes_omitted"]
    hides_comments = hides_likes and scope.switches["hidden_counts"] == "all"
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
        "comments_count": None if hides_comments else counts["comments_count"],
        "view_count": _business_discovery_only,
        "boost_ads_list": _ads(post),
        "children": tuple(child_node(post, child) for child in post.children),
        "is_comment_enabled": True,
        "is_shared_to_feed": True if post.media_product_type == "REELS" else None,
        "copyright_check_information": _copyright(post),
        "collaborators": lambda _: collaborators(post, scope),
        "insights": insights_of(post, scope),
        **dict.fromkeys(("alt_text", "media_audio_type", "is_ai_generated", "boost_eligibility_info")),
        **(_totals(post, scope) if is_direct else dict.fromkeys(TOTALS)),
    }
    if scope.by_instagram:
        values = {name: value for name, value in values.items() if name not in FACEBOOK_ONLY}
    return Node("IGMedia", values)


def collaborative_node(post: Post, scope: Scope) -> Node:
    """Return a post of another account as one of its partners sees it: the sums inline, and no insights of its own."""
    node = media_node(post, scope, is_direct=False)
    totals = _totals(post, scope)
    if post.media_type != "VIDEO":
        totals["total_views_count"] = None  # Only those of videos came in live tests.
    if post.likes_hidden:
        totals["total_like_count"] = None
    if post.likes_hidden and scope.switches["hidden_counts"] == "all":
        totals = dict.fromkeys(totals)

    def insights(_: Field) -> None:
        if scope.switches["collaborative_insights"] == "refused":
            raise missing_object(post.id)

    is_answered = scope.switches["collaborative_insights"] == "answered"
    return Node(node.type, {**node.values, **totals, **({} if is_answered else {"insights": insights})})


def collaborators(post: Post, scope: Scope) -> tuple[Node, ...]:
    """Return the accounts that were invited to a post and not removed from it."""
    return tuple(
        Node(
            "IGUser",
            {
                "id": partner.account.id,
                "username": partner.account.username,
                "invite_status": "Accepted" if partner.is_accepted else "Pending",
            },
        )
        for partner in scope.collaborations.partners(post)
        if partner.is_in(scope.now) or not partner.is_accepted
    )


def story_node(story: Story, scope: Scope) -> Node | None:
    """Return a story, or None once it is over; by a switch it then answers with its id alone."""
    if story.is_live(scope.now):
        return media_node(story, scope, is_direct=True)
    if scope.switches["expired_story"] == "missing":
        return None
    node = media_node(story, scope, is_direct=True)
    return Node(node.type, {**dict.fromkeys(node.values), "id": story.id, "insights": lambda _: {"data": []}})


def child_node(post: Post, child_id: str) -> Node:
    """Return one picture of an album: it has no counts, no caption and no link of its own."""
    absent = ("permalink", "caption", "thumbnail_url", "like_count", "comments_count", "insights")
    values: dict[str, Any] = dict.fromkeys(absent)
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


def _totals(post: Post, scope: Scope) -> dict[str, int | float | None]:
    metrics = numbers_of(post, scope.now, scope.switches).metrics
    return {name: metrics[metric] if metric else None for name, metric in TOTALS.items()}


def _copyright(post: Post) -> Any:
    def checked(_: Field) -> dict[str, Any]:
        if post.media_type != "VIDEO":
            raise GraphError("Video content was not found.", 9005, subcode=1452042)
        return {"status": {"status": "completed", "matches_found": post.muted}}

    return checked


def _ads(post: Post) -> list[dict[str, str]] | None:
    """Return the advertisements that were made of a post; their interactions are not among its own counts."""
    if not is_boosted(post):
        return None
    return [{"ad_id": digits(17, "ad", post.id), "ad_status": "ACTIVE"}]


def _file(post: Post, suffix: str) -> str:
    return f"https://scontent.cdninstagram.com/v/{post.id}.{suffix}?oe=6A000000"


def _business_discovery_only(_: Field) -> None:
    raise GraphError(
        "(#36104) You do not have permission to access this field outside of the Business Discovery API.", 36104
    )
