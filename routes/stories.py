"""GET /stories and GET /stories/<id>: live and kept stories."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from routes.context import services
from routes.media_query_parameters import StoriesQuery, StoryQuery
from routes.replies import reply
from routes.validation import takes

bp = Blueprint("stories", __name__)


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
