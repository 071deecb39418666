"""GET /top-posts: the account's best posts of the last days."""

from __future__ import annotations

from typing import Annotated, Literal

from flask import Blueprint
from flask.typing import ResponseReturnValue
from pydantic import Field, WithJsonSchema

from routes import parameter_types, patterns
from routes.context import services
from routes.query_parameters import AccountQuery
from routes.replies import reply
from routes.suggestions import which_metric
from routes.validation import takes
from services.top_posts import INCLUDED, MOST_RANKED, RANKINGS

bp = Blueprint("top_posts", __name__)

MAX_DAYS_OF_POSTS = 30


class TopPostsQuery(AccountQuery):
    """The query of /top-posts."""

    time_range: Annotated[
        int,
        parameter_types.days_up_to(MAX_DAYS_OF_POSTS),
        Field(description=f"The last days, 1d to {MAX_DAYS_OF_POSTS}d."),
        WithJsonSchema({"type": "string", "pattern": patterns.days_up_to(MAX_DAYS_OF_POSTS), "examples": ["7d"]}),
    ]
    limit: Annotated[
        int,
        Field(ge=1, le=MOST_RANKED, description=f"How many posts, 1 to {MOST_RANKED}."),
        parameter_types.whole_number(1, MOST_RANKED),
    ] = 5
    media_product_type: Annotated[
        Literal["AD", "FEED", "REELS"] | None,
        parameter_types.choice(("AD", "FEED", "REELS"), "media product type"),
        Field(description="Only posts of this type: AD, FEED or REELS."),
    ] = None
    by: Annotated[
        Literal["engagement_score", "reach", "views", "saved", "shares", "total_interactions", "engagement_rate"],
        parameter_types.choice(RANKINGS, "ranking", which_metric),
        Field(description="What the posts are ranked by; engagement_score is likes + comments."),
    ] = "engagement_score"
    include: Annotated[
        tuple[str, ...],
        parameter_types.list_of(INCLUDED, "addition"),
        Field(
            description="collaborations adds posts of others on which the account collaborates (Facebook login only)."
        ),
        parameter_types.csv(INCLUDED, "collaborations"),
    ] = ()


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
