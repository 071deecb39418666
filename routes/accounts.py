"""GET /accounts: the accounts that a caller may see, with their health and the next step."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from routes.context import services
from routes.query_parameters import AccountsQuery
from routes.replies import reply
from routes.validation import fails_with, takes
from services.errors import BusyError

bp = Blueprint("accounts", __name__)


@bp.get("/accounts")
@fails_with(BusyError)
@takes(AccountsQuery)
def accounts(query: AccountsQuery) -> ResponseReturnValue:
    """List the accounts that the caller may see, with their health and the next step; no provider is called."""
    answer = services().account_list.page(query.state, limit=query.limit, cursor=query.cursor)
    return reply(answer, format_=query.format, cacheable=False)
