"""The queries of the endpoints over single media and stories."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from routes import parameter_types, patterns
from routes.query_parameters import AccountName, AccountQuery, Time
from services.media.catalogue import EVERY_TYPE, MEDIA_METRICS

MAX_STORIES = 200

MediaId = Annotated[
    str,
    BeforeValidator(parameter_types.media_id),
    Field(description="Id of a post, a reel or a story."),
    WithJsonSchema({"type": "string", "pattern": patterns.ID, "examples": ["17932174733377207"]}),
]


StoryId = Annotated[
    str,
    BeforeValidator(parameter_types.story_id),
    Field(description="Id of a story."),
    WithJsonSchema({"type": "string", "pattern": patterns.ID, "examples": ["17932174733377207"]}),
]


class OwnedMediaQuery(AccountQuery):
    """The parameters of every endpoint over one media or story; the gateway may know whose it is."""

    account: Annotated[
        AccountName | None,
        Field(description="Id or username of the account; by default the one that the media is known to belong to."),
    ] = None


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


class StoriesQuery(AccountQuery):
    """The query of /stories."""

    since: Annotated[
        Time | None, Field(description="Stories from this moment on: a date (a Pacific day) or Unix seconds.")
    ] = None
    until: Annotated[
        Time | None,
        Field(description="Stories up to this moment, or to the end of this day; by default the live ones too."),
    ] = None
    limit: Annotated[
        int,
        Field(ge=1, le=MAX_STORIES, description=f"How many stories, the newest, 1 to {MAX_STORIES}."),
        parameter_types.whole_number(1, MAX_STORIES),
    ] = 50


class StoryQuery(OwnedMediaQuery):
    """The query of /stories/{story_id}."""

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
