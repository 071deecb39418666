"""GET /history and what else rests on kept values: how a post grew, posting times and formats."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from routes.context import services
from routes.history_query_parameters import FormatsQuery, HistoryQuery, PostHistoryQuery, PostingTimesQuery
from routes.replies import reply
from routes.validation import takes

bp = Blueprint("history", __name__)


@bp.get("/history")
@takes(HistoryQuery)
def history(query: HistoryQuery) -> ResponseReturnValue:
    """Read what is kept of some metrics, without a provider call."""
    answer = services().account_history.series(
        query.metrics,
        interval=query.interval,
        breakdown=query.dimensions,
        since=query.since,
        until=query.until,
        cursor=query.cursor,
        limit=query.limit,
        account=query.account,
    )
    return reply(answer, format_=query.format)


@bp.get("/history/posts/<post_id>")
@takes(PostHistoryQuery)
def post_history(query: PostHistoryQuery) -> ResponseReturnValue:
    """Show how a post grew, beside the account's medians at the same ages, without a provider call."""
    return reply(services().post_history.one(query.post_id, account=query.account), format_=query.format)


@bp.get("/posting-times")
@takes(PostingTimesQuery)
def posting_times(query: PostingTimesQuery) -> ResponseReturnValue:
    """Compare weekdays and hours by the posts published in them, without a provider call."""
    answer = services().posting_times.by_hour(
        query.period, query.tz, media_product_type=query.media_product_type, account=query.account
    )
    return reply(answer, format_=query.format)


@bp.get("/formats")
@takes(FormatsQuery)
def formats(query: FormatsQuery) -> ResponseReturnValue:
    """Compare posts, reels, carousels and stories, without a provider call."""
    return reply(services().formats.medians(query.period, account=query.account), format_=query.format)
