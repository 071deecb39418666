"""Growth trends: an account's followers, engagement and totals, compared with the window before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from services import request_context
from services.accounts.resolver import AccountResolver
from services.answers import Answer, Origin, Table, Warning_, unexpected_end_time
from services.cache.policies import HOUR
from services.clock import Clock
from services.days import pacific_day
from services.growth.reader import GrowthReader
from services.growth.shown_trends import COLUMNS, ShownGrowth, TrendsRequest
from services.growth.trends import ALWAYS, TITLES
from services.insights.final_days import PROVISIONAL_HOURS, PROVISIONAL_HOURS_OF_FOLLOWS
from services.posts.engagement_rate import Method
from services.posts.rate_of_posts import Basis
from services.rendering.prepared_parts import PreparedList
from services.windows import Window, last_days

Until = Literal["yesterday", "complete"]
ADDED = tuple(key for key in TITLES if key not in ALWAYS)


class GrowthTrends:
    """The changes of an account over a period."""

    def __init__(
        self,
        *,
        accounts: AccountResolver,
        reader: GrowthReader,
        origin: Origin,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._reader = reader
        self._origin = origin
        self._clock = clock

    def over(
        self,
        days: int,
        *,
        metrics: Sequence[str] = (),
        until: Until = "yesterday",
        er_basis: Basis = "followers",
        er_method: Method = "mean_of_posts",
        account: str | None = None,
        refresh: bool = False,
    ) -> Answer:
        """Return the trends of `days` days against the days before them.

        The days end with yesterday, or with the last one whose values are `complete`. Followers are compared with the
        start of the period, engagement and the added `metrics` (keys of `TITLES`) with the window of equal length
        before it. The engagement rate is that by followers, or by each post's own reach or views (`er_basis`).
        `refresh` reads everything again that can change.
        """
        request_context.accept_only_new(refresh=refresh)
        now = self._clock.now()
        window = window_of(days, until, now)
        selected = self._accounts.find(account)
        keys = ALWAYS + tuple([key for key in ADDED if key in metrics])
        request = TrendsRequest(window, pacific_day(now), keys, er_basis, er_method)
        shown = self._reader.read(selected, request, now=now)
        provisional = [day for trend in shown.trends if (day := trend.provisional_from) is not None]
        return Answer(
            body={"trends": PreparedList([trend.json for trend in shown.trends])},
            account=selected.id,
            origin=self._origin,
            freshness=shown.sources.freshness,
            meta={
                "account": selected.id,
                "username": self._accounts.username(selected),
                "api_version": self._origin.api_version,
                "provisional_from": min(provisional, default=None),
            },
            unavailable=[trend.unavailable for trend in shown.trends if trend.unavailable is not None],
            warnings=warnings_of(shown, window, now),
            table=Table(COLUMNS, (trend.line for trend in shown.trends)),
        )


def window_of(days: int, until: Until, now: datetime) -> Window:
    """Return the last days: up to yesterday, or to the last one whose values are complete."""
    return last_days(days, now=now, final_after=PROVISIONAL_HOURS if until == "complete" else 0)


def warnings_of(shown: ShownGrowth, window: Window, now: datetime) -> list[Warning_]:
    """Explain what is less exact in the trends of a window than it looks."""
    warnings = [unexpected_end_time(metric) for metric in shown.sources.shifted]
    followers, engagement = shown.trends[:2]
    if engagement.basis == "current_followers":
        message = "Both engagement rates are divided by the current followers; earlier follower counts are not known."
        warnings.append({"code": "current_followers", "message": message})
    read_at = shown.sources.insights_read_at or now.timestamp()
    if followers.approximate and read_at - PROVISIONAL_HOURS_OF_FOLLOWS * HOUR <= window.since:
        message = (
            f"Instagram reports follows and unfollows up to {PROVISIONAL_HOURS_OF_FOLLOWS} hours late; "
            "request a longer period."
        )
        warnings.append({"code": "follows_not_reported_yet", "message": message})
    totals = {trend.key: day for trend in shown.trends[1:] if (day := trend.provisional_from) is not None}
    if totals:
        message = (
            f"{', '.join(totals)}: Instagram reports the days from {min(totals.values())} on only in part so far, up "
            f"to {PROVISIONAL_HOURS} hours late; until=complete ends the windows before them."
        )
        warnings.append({"code": "provisional_days", "message": message})
    return [*warnings, *shown.sources.warnings]
