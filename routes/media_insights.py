"""GET /api/instagram/insights/...: the numbers of one media, and whether they can be read."""

from __future__ import annotations

from typing import Annotated, Literal

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from routes import parameter_types, patterns
from routes.access import require
from routes.context import services
from routes.query_parameters import OwnedMediaQuery, StoryId
from routes.replies import reply
from routes.validation import is_local_caller, takes
from services import request_context
from services.caller import Scope
from services.errors import InvalidRequestError, LocalCallerOnlyError
from services.media.catalogue import EVERY_TYPE, MEDIA_METRICS

bp = Blueprint("media_insights", __name__, url_prefix="/api/instagram/insights")

MediaId = Annotated[
    str,
    BeforeValidator(parameter_types.media_id),
    Field(description="Id of a post, a reel or a story."),
    WithJsonSchema({"type": "string", "pattern": patterns.ID, "examples": ["17932174733377207"]}),
]


class OneMediaQuery(OwnedMediaQuery):
    """The parameters of every endpoint over one media."""

    media_id: MediaId


class MediaInsightsQuery(OneMediaQuery):
    """The query of /api/instagram/insights/{media_id}."""

    metrics: Annotated[
        tuple[str, ...],
        parameter_types.metrics_of(tuple(MEDIA_METRICS)),
        Field(
            description="Comma-separated metrics, by default those recommended for the type of media: "
            f"{', '.join(MEDIA_METRICS)}."
        ),
        parameter_types.csv(tuple(MEDIA_METRICS), "views,likes,comments"),
    ] = ()
    media_type: Annotated[
        Literal["FEED", "REELS", "STORY"] | None,
        parameter_types.choice(EVERY_TYPE, "media type"),
        Field(description="FEED, REELS or STORY; used only where Instagram does not say what type the media is."),
    ] = None


class NavigationQuery(OwnedMediaQuery):
    """The query of /api/instagram/insights/{story_id}/navigation."""

    story_id: StoryId


class RecommendedMetricsQuery(BaseModel):
    """The query of /api/instagram/insights/metrics/{media_type}."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    media_type: Annotated[
        Literal["FEED", "REELS", "STORY"],
        parameter_types.choice(EVERY_TYPE, "media type"),
        Field(description="feed, reels or story, in upper or lower case."),
    ]


class InsightsTestQuery(BaseModel):
    """The query of /api/instagram/insights/test."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    media_id: MediaId
    access_token: Annotated[
        str | None,
        BeforeValidator(parameter_types.token),
        Field(
            description="The token to try; by default that of the media's account. Better in the header "
            "X-Instagram-Access-Token: web servers log queries."
        ),
        WithJsonSchema({"type": "string", "pattern": patterns.TOKEN}),
    ] = None


TOKEN_HEADER = "X-Instagram-Access-Token"  # noqa: S105  # The name of a header, not a token.


@bp.get("/<media_id>")
@takes(MediaInsightsQuery)
def media_insights(query: MediaInsightsQuery) -> ResponseReturnValue:
    """Read the numbers of one post, reel or story."""
    answer = services().media_insights.of_media(
        query.media_id,
        query.metrics,
        media_type=query.media_type,
        account=query.account,
        refresh=query.refresh,
    )
    return reply(answer, format_=query.format)


@bp.get("/<media_id>/profile-activity")
@takes(OneMediaQuery)
def profile_activity(query: OneMediaQuery) -> ResponseReturnValue:
    """Read what people did on the profile after they saw a media, by action."""
    answer = services().media_insights.by_breakdown(
        query.media_id, "profile_activity", account=query.account, refresh=query.refresh
    )
    return reply(answer, format_=query.format)


@bp.get("/<story_id>/navigation")
@takes(NavigationQuery)
def navigation(query: NavigationQuery) -> ResponseReturnValue:
    """Read how viewers moved within a story, by action; of a story that is over what was kept."""
    answer = services().media_insights.by_breakdown(
        query.story_id, "navigation", account=query.account, refresh=query.refresh
    )
    return reply(answer, format_=query.format)


@bp.get("/metrics/<media_type>")
@takes(RecommendedMetricsQuery)
def recommended_metrics(query: RecommendedMetricsQuery) -> ResponseReturnValue:
    """List the metrics that are recommended for a type of media, with their meaning; no provider is called."""
    return jsonify(services().media_insights.recommended(query.media_type))


@bp.get("/test")
@takes(InsightsTestQuery)
def insights_test(query: InsightsTestQuery) -> ResponseReturnValue:
    """Find out with one call whether a token can read the insights of a media; for set-up.

    With a key it needs the scope admin; without one the caller has to be on this machine.
    """
    if not request_context.caller().is_anonymous:
        require(Scope.ADMIN)
    elif not is_local_caller():
        raise LocalCallerOnlyError(
            "This endpoint is for callers on the gateway's own machine.",
            hint="Call it on the gateway's machine and not through a proxy, or with an API key of the scope admin.",
        )
    in_header = request.headers.get(TOKEN_HEADER)
    if in_header is not None:
        _check_header(in_header, query.access_token)
    answer = services().insights_test.of(
        query.media_id, token=in_header or query.access_token, is_in_query=query.access_token is not None
    )
    response = jsonify(answer)
    response.headers["Cache-Control"] = "no-store"
    return response


def _check_header(in_header: str, in_query: str | None) -> None:
    """Refuse the header for what a parameter would be refused for: text that is no token, and a second one."""
    if in_query is not None:
        raise InvalidRequestError(
            f"The access token is given twice, as access_token and in {TOKEN_HEADER}; once is accepted.",
            hint="Leave access_token out: a query is written to logs of proxies.",
        )
    try:
        parameter_types.token(in_header)
    except ValueError as error:
        raise InvalidRequestError(f"{TOKEN_HEADER}: {error}") from None
