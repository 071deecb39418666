"""The calls for the audience of an account: one for each breakdown, and one for 30 days of followers online.

What Instagram refuses is taken apart, so that a refusal is that of its own metric or day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from itertools import groupby

from services.clients.graph.client import GraphClient
from services.clients.graph.models import Account
from services.clock import Clock
from services.days import ONE_DAY, EndTime, pacific_day
from services.errors import ProviderError, ProviderRefusedError, RetryStrategy
from services.insights.audience import ONLINE_FOLLOWERS, DemographicKey, read_demographics, read_hours, spans
from services.insights.fetcher import SPLIT_FOR, concerns_all
from services.insights.values import MetricValue
from services.windows import Window

NOT_REPORTED_YET = timedelta(days=2)  # Instagram may refuse followers online of the last two days, or send nothing.

Key = DemographicKey | date
Outcomes = Mapping[Key, MetricValue | ProviderError]

LATE = MetricValue(None, "not_answered")
"""The value of a day that is not reported yet: Instagram was not asked for it alone."""


class AudienceCalls:
    """Makes the calls; the failures of single ones are their results, and one that concerns all calls is raised."""

    def __init__(self, graph: GraphClient, *, end_time: EndTime, clock: Clock) -> None:
        self._graph = graph
        self._end_time = end_time
        self._clock = clock

    def of(self, account: Account, group: Sequence[Key]) -> Callable[[], Outcomes]:
        """Return the call for what one answer has together."""
        tables = [key for key in group if isinstance(key, DemographicKey)]
        if tables:
            return partial(self._tables, account, tables)
        return partial(self._days, account, spans([key for key in group if isinstance(key, date)]))

    def _tables(self, account: Account, tables: Sequence[DemographicKey]) -> Outcomes:
        """Ask for the metrics of one breakdown, and for each alone where they are refused together."""
        _, breakdown, timeframe = tables[0]
        names = [table.metric for table in tables]
        try:
            answer = self._graph.audience_insights(
                account, names, breakdown=breakdown, timeframe=timeframe, in_parts=len(names) > 1
            )
        except ProviderError as error:
            if error.retry_strategy in SPLIT_FOR and len(tables) > 1:
                return {key: each for table in tables for key, each in self._tables(account, [table]).items()}
            return dict.fromkeys(tables, _outcome(error))
        return {table: read_demographics(answer.get(table.metric), breakdown, timeframe) for table in tables}

    def _days(self, account: Account, window: Window) -> Outcomes:
        """Ask for some days of followers online; where they are refused, without those that come last."""
        try:
            answer = self._graph.audience_insights(
                account, [ONLINE_FOLLOWERS], since=window.since, until=self._end_time.of(window.last)
            )
        except ProviderError as error:
            reported = pacific_day(self._clock.now()) - NOT_REPORTED_YET - ONE_DAY
            # The range ends at the midnight that ends its last day, which may count as a part of the next day.
            if not is_refusal(_outcome(error)) or window.last < reported:
                return dict.fromkeys(window, _outcome(error))
            last = min(reported, window.last - ONE_DAY)
            # A refusal of days that are not reported yet says nothing of the metric.
            others = self._days(account, Window(window.first, last)) if window.first <= last else {}
            return {**others, **{day: LATE for day in window if day > last}}
        hours = read_hours(answer.get(ONLINE_FOLLOWERS), window, self._end_time)
        return dict[Key, MetricValue | ProviderError](hours.items())


def groups_of(keys: Sequence[Key]) -> list[list[Key]]:
    """Put together what one call answers: the metrics of a breakdown, or days that one call can have."""

    def group_of(key: DemographicKey) -> tuple[str, str]:
        return key.breakdown, key.timeframe

    tables = [key for key in keys if isinstance(key, DemographicKey)]
    days = [key for key in keys if isinstance(key, date)]
    groups: list[list[Key]] = [list(group) for _, group in groupby(sorted(tables, key=group_of), group_of)]
    for piece in spans(days).pieces() if days else ():
        groups.append([day for day in days if piece.first <= day <= piece.last])
    return [group for group in groups if group]


def _outcome(error: ProviderError) -> ProviderError:
    """Return the failure of one call; one that concerns all calls is raised."""
    if concerns_all(error):
        raise error
    return error


def is_refusal(error: ProviderError) -> bool:
    """Return whether a failure says that Instagram refuses the metrics of its call."""
    return isinstance(error, ProviderRefusedError) and error.retry_strategy is RetryStrategy.SPLIT
