"""The query strings of the endpoints over several accounts, or over what is kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from routes import parameters
from routes.queries import MAX_DAYS_OF_GROWTH, TableQuery
from services.compare import MOST_ACCOUNTS


class CompareQuery(TableQuery):
    """The query of /compare."""

    accounts: Annotated[
        tuple[str, ...],
        parameters.accounts_up_to(MOST_ACCOUNTS),
        Field(description=f"Comma-separated ids or usernames of accounts, 1 to {MOST_ACCOUNTS}."),
        WithJsonSchema(
            {"type": "string", "pattern": "^@?[A-Za-z0-9._]{1,30}(,@?[A-Za-z0-9._]{1,30})*$", "examples": ["us,them"]}
        ),
    ]
    period: Annotated[
        int,
        parameters.days_up_to(MAX_DAYS_OF_GROWTH),
        # A factory, because a default in the schema would have to be a text.
        Field(default_factory=lambda: 28, description=f"The last days, 1d to {MAX_DAYS_OF_GROWTH}d; by default 28d."),
        WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,2}d$", "examples": ["28d"]}),
    ]
    until: Annotated[
        Literal["yesterday", "complete"],
        parameters.choice(("yesterday", "complete"), "end of the period"),
        Field(description="The last day: yesterday, or the last one whose views, reach and interactions are complete."),
    ] = "yesterday"
    refresh: Annotated[
        bool,
        BeforeValidator(parameters.flag),
        Field(description="true reads everything again that can change; local callers only."),
    ] = False
