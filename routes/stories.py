"""GET /stories and GET /stories/<id>: live and kept stories."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint
from flask.typing import ResponseReturnValue
from pydantic import Field

from routes import parameter_types
from routes.context import services
from routes.query_parameters import AccountQuery, OwnedMediaQuery, StoryId, Time
from routes.replies import reply
from routes.validation import takes

bp = Blueprint("stories", __name__)

MAX_STORIES = 200


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


@bp.get("/stories")
@takes(StoriesQuery)
def stories(query: StoriesQuery) -> ResponseReturnValue:
    """List live and kept stories with their numbers, the newest first."""
    answer = services().stories.between(
        query.since, query.until, limit=query.limit, account=query.account, refresh=query.refresh
    )
    return reply(answer, format_=query.format)


@bp.get("/stories/<story_id>")
@takes(StoryQuery)
def story(query: StoryQuery) -> ResponseReturnValue:
    """Read one story, live or kept."""
    answer = services().stories.one(query.story_id, account=query.account, refresh=query.refresh)
    return reply(answer, format_=query.format)
