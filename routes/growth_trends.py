"""GET /growth-trends: the account's changes against the window before."""

from __future__ import annotations

from typing import Annotated, Literal

from flask import Blueprint
from flask.typing import ResponseReturnValue
from pydantic import BeforeValidator, Field, WithJsonSchema

from routes import parameter_types, patterns
from routes.context import services
from routes.query_parameters import MAX_DAYS_OF_GROWTH, AccountQuery, EndOfPeriod
from routes.replies import reply
from routes.suggestions import which_metric
from routes.validation import takes
from services.growth.trends import TITLES

bp = Blueprint("growth_trends", __name__)


class GrowthTrendsQuery(AccountQuery):
    """The query of /growth-trends."""

    period: Annotated[
        int,
        parameter_types.days_up_to(MAX_DAYS_OF_GROWTH),
        Field(description=f"The last days, 1d to {MAX_DAYS_OF_GROWTH}d."),
        WithJsonSchema({"type": "string", "pattern": patterns.days_up_to(MAX_DAYS_OF_GROWTH), "examples": ["30d"]}),
    ]
    metrics: Annotated[
        tuple[str, ...],
        BeforeValidator(parameter_types.trends),
        Field(description="Comma-separated trends to add to followers and engagement_rate, which are always included."),
        parameter_types.csv(tuple(TITLES), "reach,views"),
    ] = ()
    until: EndOfPeriod = "yesterday"
    er_basis: Annotated[
        Literal["followers", "reach", "views"],
        parameter_types.choice(("followers", "reach", "views"), "basis of the engagement rate", which_metric),
        Field(
            description="followers: (likes + comments) / followers. reach or views: each post's own "
            "total_interactions / its own reach or views."
        ),
    ] = "followers"
    er_method: Annotated[
        Literal["mean_of_posts", "ratio_of_sums", "median"],
        parameter_types.choice(("mean_of_posts", "ratio_of_sums", "median"), "method"),
        Field(description="How the posts' rates become one: their mean, the ratio of the sums, or their median."),
    ] = "mean_of_posts"


@bp.get("/growth-trends")
@takes(GrowthTrendsQuery)
def growth_trends(query: GrowthTrendsQuery) -> ResponseReturnValue:
    """Compare followers and engagement with the days before."""
    answer = services().growth_trends.over(
        query.period,
        metrics=query.metrics,
        until=query.until,
        er_basis=query.er_basis,
        er_method=query.er_method,
        account=query.account,
        refresh=query.refresh,
    )
    return reply(answer, format_=query.format)
