"""GET /compare: the headline numbers of several accounts side by side."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint
from flask.typing import ResponseReturnValue
from pydantic import Field, WithJsonSchema

from routes import parameter_types, patterns
from routes.context import services
from routes.query_parameters import MAX_DAYS_OF_GROWTH, EndOfPeriod, Refresh, TableQuery
from routes.replies import reply
from routes.validation import takes
from services.compare import MOST_ACCOUNTS

bp = Blueprint("compare", __name__)


class CompareQuery(TableQuery):
    """The query of /compare."""

    accounts: Annotated[
        tuple[str, ...],
        parameter_types.accounts_up_to(MOST_ACCOUNTS),
        Field(description=f"Comma-separated ids or usernames of accounts, 1 to {MOST_ACCOUNTS}."),
        WithJsonSchema(
            {
                "type": "string",
                "pattern": patterns.list_of(patterns.ACCOUNT_NAME, MOST_ACCOUNTS),
                "examples": ["us,them"],
            }
        ),
    ]
    period: Annotated[
        int,
        parameter_types.days_up_to(MAX_DAYS_OF_GROWTH),
        # A factory, because a default in the schema would have to be a text.
        Field(default_factory=lambda: 28, description=f"The last days, 1d to {MAX_DAYS_OF_GROWTH}d; by default 28d."),
        WithJsonSchema({"type": "string", "pattern": patterns.days_up_to(MAX_DAYS_OF_GROWTH), "examples": ["28d"]}),
    ]
    until: EndOfPeriod = "yesterday"
    refresh: Refresh = False


@bp.get("/compare")
@takes(CompareQuery)
def compare(query: CompareQuery) -> ResponseReturnValue:
    """Compare accounts by followers, engagement, reach, views, interactions and posts."""
    answer = services().compare.of(query.accounts, query.period, until=query.until, refresh=query.refresh)
    return reply(answer, format_=query.format)
