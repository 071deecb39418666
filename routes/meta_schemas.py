"""The shape of `meta` in each endpoint's reply."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from services.account_history import KeptKind
from services.answers import Substitution, Warning_
from services.growth.trends import WindowDays
from services.reasons import Unavailable


class Meta(TypedDict):
    """The source and age of the numbers, and what is missing from them."""

    source: Literal["instagram", "modash", "history", "sandbox"]
    fetched_at: str
    expires_at: str
    stale: bool
    unavailable: list[Unavailable]
    substitutions: list[Substitution]
    warnings: list[Warning_]


class AccountMeta(Meta):
    """`meta` of the endpoints over an account."""

    account: str
    username: Annotated[
        str | None,
        Field(description="The last known username; null until the profile was read. Never read only for this field."),
    ]
    api_version: str


class AccountInsightsMeta(AccountMeta):
    """`meta` with the first day whose values may still change."""

    provisional_from: str | None


class GrowthTrendsMeta(AccountMeta):
    """`meta` with the first day of all windows whose values may still change."""

    provisional_from: str | None


class CompareMeta(Meta):
    """`meta` with the first and the last Pacific day of the period."""

    api_version: str
    window: WindowDays


class HistoryMeta(AccountMeta):
    """`meta` with where the next page begins; `kept` lists what is kept, where a series has no value at all."""

    next_cursor: str | None
    kept: NotRequired[list[KeptKind]]


class TimeRange(TypedDict):
    """The time range of the posts, and how many were found."""

    since: str
    until: str
    posts: int
    posts_of_unknown_type: int
    collaborations: NotRequired[int]


class Ranking(TypedDict):
    """What the posts are ranked by, and how many have no known value of it; they come last."""

    by: str
    posts_unknown: int


class TopPostsMeta(AccountMeta):
    """`meta` with the time range and, where `by` is given, the ranking."""

    time_range: TimeRange
    ranking: NotRequired[Ranking]


class AudienceMeta(AccountMeta):
    """`meta` with the time zone of dates and hours, the followers an account needs, and how long a list can be."""

    tz: str
    minimum_followers: int
    most_results: int


class Cost(TypedDict):
    """What a request has spent, and an estimate of the credits that are left.

    `credits_left` is the last balance that Modash gave, at `as_of`, less what was booked since; null if not known.
    """

    credits: float
    credits_left: float | None
    as_of: str | None


class ReportCost(TypedDict):
    """What a report cost, and the credits that Modash said were left after it; null if it was not asked."""

    credits: float
    credits_left: float | None


class CreatorMeta(Meta):
    """`meta` of what is stored about a creator."""

    creator: str


class PendingMeta(CreatorMeta):
    """`meta` of a report that is being made; `price` is what a report costs, in credits."""

    cost: Cost
    price: float


class PerformanceDataMeta(PendingMeta):
    """`meta` of a report; `windows` lists for each block, statistic and measure the windows that have a number."""

    windows: dict[str, dict[str, dict[str, list[int]]]]
