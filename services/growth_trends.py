"""Growth trends: an account's followers, engagement and totals, compared with the window before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from services import request_context
from services.accounts.resolver import AccountResolver
from services.answers import Answer, Origin, Table, Unavailable, Warning_, explain, unexpected_end_time
from services.clock import Clock
from services.days import Window, last_days, pacific_day
from services.errors import ProviderError
from services.growth.followers import Followers
from services.growth.parts import Fetched, GrowthReader
from services.growth.trends import ALWAYS, METRIC_OF, TITLES, Trend, engagement_trend, followers_trend, total_trend
from services.insights.catalogue import PROVISIONAL_HOURS, PROVISIONAL_HOURS_OF_FOLLOWS
from services.posts.engagement import Method
from services.posts.post import reason_of
from services.posts.rates import Basis

Until = Literal["yesterday", "complete"]

COLUMNS = (
    *("metric", "key", "current_value", "previous_value", "growth_rate", "reason"),
    *("unit", "basis", "approximate", "since", "until", "provisional_from"),
    *("er_method", "numerator", "denominator", "posts_used", "posts_left_out", "previous_since", "previous_until"),
)


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
        totals = [METRIC_OF[key] for key in metrics if key in METRIC_OF]
        before = window.before()
        fetched = self._reader.read(
            selected, window, before, now=now, totals=totals, with_post_insights=er_basis != "followers"
        )
        followers = Followers.of(window, fetched.insights_read_at, pacific_day(now), fetched.counts)
        trends = [
            followers_trend(window, followers, fetched),
            engagement_trend(window, before, fetched, followers, basis=er_basis, method=er_method),
        ]
        trends += [total_trend(key, window, before, fetched) for key in TITLES if key in metrics and key not in ALWAYS]
        provisional = [trend["provisional_from"] for trend in trends if trend["provisional_from"] is not None]
        warnings = _warnings(trends, window, fetched)
        if not isinstance(fetched.posts, ProviderError):
            warnings += fetched.posts.warnings
        return Answer(
            body={"trends": trends},
            account=selected.id,
            origin=self._origin,
            freshness=fetched.freshness,
            meta={
                "account": selected.id,
                "username": self._accounts.username(selected),
                "api_version": self._origin.api_version,
                "provisional_from": min(provisional, default=None),
            },
            unavailable=_unavailable(trends, fetched),
            warnings=warnings,
            table=Table(COLUMNS, map(_row, trends)),
        )


def window_of(days: int, until: Until, now: datetime) -> Window:
    """Return the last days: up to yesterday, or to the last one whose values are complete."""
    return last_days(days, now=now, final_after=PROVISIONAL_HOURS if until == "complete" else 0)


def _unavailable(trends: Sequence[Trend], fetched: Fetched) -> list[Unavailable]:
    """Explain each unknown change; where a failure is the reason, with its wait."""
    failures = [fetched.profile, fetched.posts, getattr(fetched.posts, "failure", None)]
    failures.append(getattr(fetched.post_insights, "failure", None))
    waits = {value.reason: value.retry_after for value in fetched.metric_values.values()}
    waits |= {reason_of(each): each.retry_after for each in failures if isinstance(each, ProviderError)}
    unknown = [trend for trend in trends if trend["growth_rate"] is None]
    return [
        explain(
            trend["metric"],
            trend["reason"],
            retry_after=waits.get(trend["reason"]),
            of_media=trend["key"] == "engagement_rate",
        )
        for trend in unknown
        if trend["reason"] is not None
    ]


def _warnings(trends: Sequence[Trend], window: Window, fetched: Fetched) -> list[Warning_]:
    warnings: list[Warning_] = []
    shifted = {metric for (metric, _, _), value in fetched.metric_values.items() if value.is_shifted}
    warnings += [unexpected_end_time(metric) for metric in sorted(shifted)]
    if any(trend["basis"] == "current_followers" for trend in trends):
        message = "Both engagement rates are divided by the current followers; earlier follower counts are not known."
        warnings.append({"code": "current_followers", "message": message})
    is_counted = not next(trend["approximate"] for trend in trends if trend["key"] == "followers")
    if not is_counted and fetched.insights_read_at.timestamp() - PROVISIONAL_HOURS_OF_FOLLOWS * 3600 <= window.since:
        message = (
            f"Instagram reports follows and unfollows up to {PROVISIONAL_HOURS_OF_FOLLOWS} hours late; "
            "request a longer period."
        )
        warnings.append({"code": "follows_not_reported_yet", "message": message})
    totals = {
        trend["key"]: day for trend in trends if (day := trend["provisional_from"]) and trend["key"] != "followers"
    }
    if totals:
        message = (
            f"{', '.join(totals)}: Instagram reports the days from {min(totals.values())} on only in part so far, up "
            f"to {PROVISIONAL_HOURS} hours late; until=complete ends the windows before them."
        )
        warnings.append({"code": "provisional_days", "message": message})
    return warnings


def _row(trend: Trend) -> Mapping[str, object]:
    row = {name: value for name, value in trend.items() if not isinstance(value, dict)} | trend["window"]
    if (previous := trend.get("previous_window")) is not None:
        row |= {"previous_since": previous["since"], "previous_until": previous["until"]}
    coverage = trend["coverage"]
    if (current := coverage.get("current")) is not None:
        row |= {name: value for name, value in current.items() if name in COLUMNS}
        row["er_method"] = coverage.get("method", "mean_of_posts")  # JSON leaves out the default.
    return row
