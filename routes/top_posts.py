"""GET /top-posts: the account's best posts of the last days."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from routes.context import services
from routes.query_parameters import TopPostsQuery
from routes.replies import reply
from routes.validation import takes

bp = Blueprint("top_posts", __name__)


@bp.get("/top-posts")
@takes(TopPostsQuery)
def top_posts(query: TopPostsQuery) -> ResponseReturnValue:
    """Rank the posts of a time range by engagement."""
    answer = services().top_posts.ranked(
        query.time_range,
        query.limit,
        by=query.by,
        include=query.include,
        media_product_type=query.media_product_type,
        account=query.account,
        refresh=query.refresh,
    )
    return reply(answer, format_=query.format)
