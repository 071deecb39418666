"""Every query string as a model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from difflib import get_close_matches
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from services.account_insights import PERIOD_DAYS
from services.catalogue import BREAKDOWN_SPELLINGS, BREAKDOWNS, METRICS
from services.creators import creator_name
from services.days import Bound
from services.growth_trends import TITLES

MAX_DAYS_OF_GROWTH = 365
MAX_DAYS_OF_POSTS = 30
MAX_POSTS = 50
MAX_REPORTS = 100
MAX_WAIT = 25  # seconds; proxies and browsers give up a little later
EARLIEST, LATEST = date(2010, 1, 1), date(2100, 1, 1)
EARLIEST_UNIX, LATEST_UNIX = 1_262_304_000, 4_102_444_800


def _one_of(accepted: Sequence[str], text: str, what: str) -> str:
    if text in accepted:
        return text
    near = get_close_matches(text, accepted, n=1)
    guess = f" Did you mean {near[0]}?" if near else ""
    raise ValueError(f"{text[:60]!r} is no {what}.{guess} Accepted: {', '.join(accepted)}.")


def _names(text: str, accepted: Sequence[str], what: str, spellings: Mapping[str, str]) -> tuple[str, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise ValueError(f"it is empty. Accepted: {', '.join(accepted)}.")
    return tuple(dict.fromkeys(_one_of(accepted, spellings.get(part, part), what) for part in parts))


def _list_of(accepted: Sequence[str], what: str, spellings: Mapping[str, str] | None = None) -> BeforeValidator:
    return BeforeValidator(lambda text: _names(str(text), accepted, what, spellings or {}))


def _whole_number(low: int, high: int) -> BeforeValidator:
    def read(text: object) -> int:
        if not re.fullmatch(r"\d{1,9}", str(text), re.ASCII) or not low <= int(str(text)) <= high:
            raise ValueError(f"{str(text)[:60]!r} is out of range. Accepted: {low} to {high}.")
        return int(str(text))

    return BeforeValidator(read)


def _days_up_to(most: int) -> BeforeValidator:
    def read(text: object) -> int:
        matched = re.fullmatch(r"([1-9]\d{0,2})d", str(text).strip(), re.ASCII)
        if not matched or not 1 <= int(matched[1]) <= most:
            guess = f" Did you mean {text}d?" if re.fullmatch(r"[1-9]\d{0,2}", str(text), re.ASCII) else ""
            raise ValueError(f"{str(text)[:60]!r} is no number of days.{guess} Accepted: 1d to {most}d, such as 7d.")
        return int(matched[1])

    return BeforeValidator(read)


def _bound(text: object) -> Bound:
    accepted = "Accepted: Unix seconds (1763625600) or a date (2026-11-20), from 2010 to 2100."
    given = str(text).strip()
    if re.fullmatch(r"\d{1,12}", given, re.ASCII):
        if EARLIEST_UNIX <= int(given) <= LATEST_UNIX:
            return int(given)
        raise ValueError(f"{given} is outside the range. {accepted}")
    try:
        day = date.fromisoformat(given)
    except ValueError:
        raise ValueError(f"{given[:60]!r} is no time. {accepted}") from None
    if not EARLIEST <= day <= LATEST:
        raise ValueError(f"{given[:60]!r} is outside the range. {accepted}")
    return day


def _creator(text: object) -> str:
    try:
        return creator_name(str(text))
    except ValueError as error:
        raise ValueError(f"{str(text)[:60]!r} names no creator: {error}.") from None


def _account(text: object) -> str:
    given = str(text).strip()
    if not re.fullmatch(r"@?[A-Za-z0-9._]{1,30}", given):
        raise ValueError(f"{given[:60]!r} names no account. Accepted: its id or its username.")
    return given


def _flag(text: object) -> bool:
    if str(text).strip().lower() not in {"true", "false"}:
        raise ValueError(f"{str(text)[:60]!r} is neither true nor false. Accepted: true, false.")
    return str(text).strip().lower() == "true"


def _choice(accepted: Sequence[str], what: str) -> BeforeValidator:
    by_lower = {name.lower(): name for name in accepted}
    return BeforeValidator(lambda text: _one_of(accepted, by_lower.get(str(text).strip().lower(), str(text)), what))


def _trend(text: object) -> tuple[str, ...]:
    by_title = {title.lower(): name for name, title in TITLES.items()}
    spellings = by_title | {title.replace(" ", "_"): name for title, name in by_title.items()}
    return _names(str(text).lower(), tuple(TITLES), "trend", spellings)


def _csv(accepted: Sequence[str], example: str) -> WithJsonSchema:
    """Describe a comma-separated list to the OpenAPI document."""
    names = "|".join(accepted)
    return WithJsonSchema({"type": "string", "pattern": f"^({names})(,({names}))*$", "examples": [example]})


Time = Annotated[
    Bound, BeforeValidator(_bound), WithJsonSchema({"type": "string", "examples": ["2026-11-01", "1763625600"]})
]
ACCEPTED_BREAKDOWNS = (*BREAKDOWNS, *BREAKDOWN_SPELLINGS)


class TableQuery(BaseModel):
    """What every endpoint over an answer with a table takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Annotated[
        Literal["json", "csv"] | None,
        _choice(("json", "csv"), "format"),
        Field(description="csv for a table, json for JSON; by default what the Accept header asks for."),
    ] = None


class AccountQuery(TableQuery):
    """What every endpoint over an account takes."""

    refresh: Annotated[
        bool,
        BeforeValidator(_flag),
        Field(description="true reads everything anew that can change; local callers only."),
    ] = False
    account: Annotated[
        str | None,
        BeforeValidator(_account),
        Field(description="Id or username of the account; by default the configured one, or the only one."),
    ] = None


class AccountInsightsQuery(AccountQuery):
    """The query of /account-insights."""

    period: Annotated[
        Literal["day", "week", "days_28"],
        _choice(tuple(PERIOD_DAYS), "period"),
        Field(description="Window of each value: day, week or days_28. Without a range: the last finished one."),
    ]
    metrics: Annotated[
        tuple[str, ...],
        _list_of(tuple(METRICS), "metric"),
        Field(description=f"Comma-separated metrics: {', '.join(METRICS)}."),
        _csv(tuple(METRICS), "impressions,reach"),
    ]
    since: Annotated[Time | None, Field(description="First day, as a date (a Pacific day) or Unix seconds.")] = None
    until: Annotated[
        Time | None, Field(description="Last day, both ends included; by default the last finished one.")
    ] = None
    breakdown: Annotated[
        tuple[str, ...],
        _list_of(ACCEPTED_BREAKDOWNS, "breakdown", dict(BREAKDOWN_SPELLINGS)),
        Field(description="Comma-separated breakdowns of the metrics that have them."),
        _csv(ACCEPTED_BREAKDOWNS, "follow_type"),
    ] = ()


class GrowthTrendsQuery(AccountQuery):
    """The query of /growth-trends."""

    period: Annotated[
        int,
        _days_up_to(MAX_DAYS_OF_GROWTH),
        Field(description=f"The last days, 1d to {MAX_DAYS_OF_GROWTH}d."),
        WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,2}d$", "examples": ["30d"]}),
    ]
    metrics: Annotated[
        tuple[str, ...],
        BeforeValidator(_trend),
        Field(description="Comma-separated trends beside followers and engagement_rate, which always come."),
        _csv(tuple(TITLES), "reach,views"),
    ] = ()


class TopPostsQuery(AccountQuery):
    """The query of /top-posts."""

    time_range: Annotated[
        int,
        _days_up_to(MAX_DAYS_OF_POSTS),
        Field(description=f"The last days, 1d to {MAX_DAYS_OF_POSTS}d."),
        WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]?d$", "examples": ["7d"]}),
    ]
    limit: Annotated[
        int, Field(ge=1, le=MAX_POSTS, description=f"How many posts, 1 to {MAX_POSTS}."), _whole_number(1, MAX_POSTS)
    ] = 5
    media_product_type: Annotated[
        Literal["AD", "FEED", "REELS"] | None,
        _choice(("AD", "FEED", "REELS"), "media product type"),
        Field(description="Only posts of this type: AD, FEED or REELS."),
    ] = None


Creator = Annotated[
    str,
    BeforeValidator(_creator),
    Field(description="The creator: handle, @handle, numeric id or link to the profile."),
    WithJsonSchema({"type": "string", "maxLength": 2000, "examples": ["nasa"]}),
]


class PerformanceDataQuery(TableQuery):
    """The query of /performance-data."""

    url: Creator
    wait: Annotated[
        int,
        Field(ge=0, le=MAX_WAIT, description=f"Seconds to wait for a report that is not ready, 0 to {MAX_WAIT}."),
        _whole_number(0, MAX_WAIT),
    ] = 0
    dry_run: Annotated[
        bool, BeforeValidator(_flag), Field(description="true tells the price and what would be done; nothing is.")
    ] = False
    refresh: Annotated[
        bool, BeforeValidator(_flag), Field(description="true pays for a new report; local callers only.")
    ] = False


class PerformanceHistoryQuery(TableQuery):
    """The query of /performance-data/history."""

    url: Creator
    limit: Annotated[
        int,
        Field(ge=1, le=MAX_REPORTS, description=f"How many reports, 1 to {MAX_REPORTS}."),
        _whole_number(1, MAX_REPORTS),
    ] = 10


class NoQuery(BaseModel):
    """The query of an endpoint that takes no parameter."""

    model_config = ConfigDict(extra="forbid")


class CreditsQuery(NoQuery):
    """The query of /credits, which takes none either, but may fail for want of a ledger."""
