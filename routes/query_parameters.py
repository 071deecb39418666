"""What the query models of several endpoints share; the model of each stands beside its view."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from routes import parameter_types, patterns
from services.windows import Bound

MAX_DAYS_OF_GROWTH = 365

Time = Annotated[
    Bound,
    BeforeValidator(parameter_types.bound),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": patterns.time(parameter_types.EARLIEST_UNIX, parameter_types.LATEST_UNIX),
            "examples": ["2026-11-01", "1763625600"],
        }
    ),
]
FirstDay = Annotated[Time | None, Field(description="First day, as a date (a Pacific day) or Unix seconds.")]
LastDay = Annotated[Time | None, Field(description="Last day, both ends included; by default the last finished one.")]
EndOfPeriod = Annotated[
    Literal["yesterday", "complete"],
    parameter_types.choice(("yesterday", "complete"), "end of the period"),
    Field(description="The last day: yesterday, or the last one whose views, reach and interactions are complete."),
]
Refresh = Annotated[
    bool,
    BeforeValidator(parameter_types.flag),
    Field(description="true reads everything again that can change; with a key of the scope refresh."),
]
AccountName = Annotated[
    str,
    BeforeValidator(parameter_types.account),
    WithJsonSchema({"type": "string", "pattern": patterns.ACCOUNT, "examples": ["us"]}),
]
OneAccount = Annotated[
    AccountName | None,
    Field(description="Id or username of the account; by default the configured one, or the only one."),
]


class TableQuery(BaseModel):
    """The parameters of every endpoint whose reply is also a table.

    `cacheable` says whether the response cache may keep the reply.
    """

    cacheable: ClassVar[bool] = True

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Annotated[
        Literal["json", "csv"] | None,
        parameter_types.choice(("json", "csv"), "format"),
        Field(description="csv for a table, json for JSON; by default as the Accept header says."),
    ] = None


class AccountQuery(TableQuery):
    """The parameters of every endpoint over an account."""

    refresh: Refresh = False
    account: OneAccount = None


class NoQuery(BaseModel):
    """The query of an endpoint that takes no parameter."""

    model_config = ConfigDict(extra="forbid")


class AnyQuery(BaseModel):
    """The query of an endpoint that takes no parameter and ignores those that a provider may add."""

    model_config = ConfigDict(extra="ignore")


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
