"""GET /accounts: the accounts that a caller may see, with their health and the next step."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint
from flask.typing import ResponseReturnValue
from pydantic import BeforeValidator, Field, WithJsonSchema

from routes import parameter_types, patterns
from routes.context import services
from routes.query_parameters import TableQuery
from routes.replies import reply
from routes.validation import fails_with, takes
from services.accounts.account_states import HealthState
from services.errors import BusyError

bp = Blueprint("accounts", __name__)

MAX_ACCOUNTS = 1000  # on one page
HEALTH_STATES = tuple(HealthState)


class AccountsQuery(TableQuery):
    """The query of /accounts."""

    cacheable = False

    state: Annotated[
        tuple[str, ...],
        parameter_types.list_of(HEALTH_STATES, "state"),
        Field(description=f"Comma-separated states, by default all: {', '.join(HEALTH_STATES)}."),
        parameter_types.csv(HEALTH_STATES, "needs_login,expiring"),
    ] = ()
    limit: Annotated[
        int,
        Field(ge=1, le=MAX_ACCOUNTS, description=f"How many accounts, 1 to {MAX_ACCOUNTS}."),
        parameter_types.whole_number(1, MAX_ACCOUNTS),
    ] = 100
    cursor: Annotated[
        str | None,
        BeforeValidator(parameter_types.account_cursor),
        Field(description="`meta.next_cursor` of the page before."),
        WithJsonSchema({"type": "string", "pattern": patterns.ID, "examples": ["17841400000000000"]}),
    ] = None


@bp.get("/accounts")
@fails_with(BusyError)
@takes(AccountsQuery)
def accounts(query: AccountsQuery) -> ResponseReturnValue:
    """List the accounts that the caller may see, with their health and the next step; no provider is called."""
    answer = services().account_list.page(query.state, limit=query.limit, cursor=query.cursor)
    return reply(answer, format_=query.format, cacheable=query.cacheable)
