"""Account insights: the metrics of an account by day, week or four weeks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache

from services import request_context
from services.accounts.resolver import AccountResolver
from services.answers import Answer, Freshness, Origin, Substitution, Table, Warning_, unexpected_end_time
from services.cache.cache import Cache
from services.clock import Clock
from services.days import EndTime, pacific_day, utc
from services.errors import InvalidRequestError
from services.insights.final_days import first_provisional
from services.insights.reader import InsightsReader
from services.insights.request import ResolvedMetric, requests_of, resolve
from services.insights.shown_insights import COLUMNS, MOST_DAYS, ShownInsights
from services.rendering.prepared_parts import PreparedList
from services.windows import Bound, Window, between, check_range

PERIOD_DAYS: Mapping[str, int] = {"day": 1, "week": 7, "days_28": 28}


class AccountInsights:
    """The account's metrics, in the shape of the user's documents, which the provider once had."""

    def __init__(
        self,
        *,
        accounts: AccountResolver,
        reader: InsightsReader,
        cache: Cache,
        end_time: EndTime,
        origin: Origin,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._reader = reader
        self._end_time = end_time
        self._origin = origin
        self._clock = clock
        self._shown = ShownInsights(cache, end_time)

    def between(
        self,
        metrics: Sequence[str],
        period: str,
        *,
        since: Bound | None = None,
        until: Bound | None = None,
        breakdown: Sequence[str] = (),
        account: str | None = None,
        refresh: bool = False,
    ) -> Answer:
        """Return the metrics for each day (`day`), 7 days (`week`) or 28 days (`days_28`) of a range.

        `refresh` reads everything again that can change. Raises `InvalidRequestError` where the range has more than 93
        days, and the provider's failures.
        """
        request_context.accept_only_new(refresh=refresh)
        now = self._clock.now()
        today = pacific_day(now)
        check_range(since, until, today)
        windows, warnings = _windows(since, until, period, today, self._end_time)
        selected = self._accounts.find(account)
        resolved = [resolve(name, tuple(breakdown), selected.login) for name in metrics]
        series = None if refresh else self._shown.known(selected.id, resolved, period, windows, now=now.timestamp())
        if series is None:
            reading = self._shown.begin(selected.id)
            totals_of = {(want.source.name, want.breakdown) for want in resolved if want.bucket is None}
            insights = self._reader.read(selected, requests_of(resolved, windows), totals_of=totals_of)
            freshness = Freshness.of(insights.entries, now=now, gaps=insights.gaps)
            series = self._shown.add(reading, resolved, period, windows, insights)
        else:
            freshness = Freshness.of([each.entry for each in series if each.entry is not None], now=now)
        return Answer(
            body={"data": PreparedList([each.insight for each in series])},
            account=selected.id,
            origin=self._origin,
            freshness=freshness,
            meta={
                "account": selected.id,
                "username": self._accounts.username(selected),
                "api_version": self._origin.api_version,
                "provisional_from": _provisional_from(resolved, windows, freshness.fetched_at),
            },
            unavailable=[entry for each in series for entry in each.unavailable],
            substitutions=list(_substitutions(resolved)),
            warnings=[*warnings, *(unexpected_end_time(each.name) for each in series if each.is_shifted)],
            table=Table(COLUMNS, (each.lines for each in series)),
        )


@lru_cache(maxsize=64)
def _windows(
    since: Bound | None, until: Bound | None, period: str, today: date, end_time: EndTime
) -> tuple[Sequence[Window], Sequence[Warning_]]:
    """Return the windows of a range on a Pacific day, oldest first; raise `InvalidRequestError` where it is too long.

    Callers request the same few ranges all day long.
    """
    length = PERIOD_DAYS[period]
    range_ = between(since, until, length=length, today=today, end_time=end_time)
    if range_ is None:
        return (), [{"code": "empty_range", "message": "No day ends between since and until."}]
    if len(range_) > MOST_DAYS:
        raise InvalidRequestError(
            f"since and until span {len(range_)} days.", hint=f"Accepted: at most {MOST_DAYS} days in one request."
        )
    windows, rest = range_.counted_back(length)
    if rest is None:
        return windows, []
    message = f"{rest.first} to {rest.last} is shorter than the period and is not part of the answer."
    return windows, [{"code": "days_left_over", "message": message}]


def _substitutions(metrics: Iterable[ResolvedMetric]) -> Iterator[Substitution]:
    for resolved in metrics:
        if (successor := resolved.metric.successor) is not None:
            yield {
                "requested": resolved.metric.name,
                "answered_by": resolved.source.name,
                "since": successor.since,
            }


def _provisional_from(metrics: Sequence[ResolvedMetric], windows: Sequence[Window], fetched_at: float) -> str | None:
    """Return the first day whose values may still change, or None where all are final."""
    hours = max((resolved.source.provisional_hours for resolved in metrics), default=0)
    if not windows:
        return None
    first = first_provisional(utc(fetched_at), hours)
    return max(first, windows[0].first).isoformat() if first <= windows[-1].last else None
