"""Whether Instagram refuses some metrics of an account, or all of its requests: it is asked for one other metric.

Code 100 comes for both. A refusal of everything is a failure of the request, and no metric is remembered as refused.
"""

from __future__ import annotations

from services.cache.cache import Cache
from services.cache.policies import EVERYTHING_REFUSED, REFUSAL_CHECK
from services.clients.graph.client import GraphClient
from services.clients.graph.models import Account
from services.clock import Clock
from services.days import ONE_DAY, EndTime, pacific_day
from services.errors import ProviderError, RetryStrategy
from services.insights.caching import CHECK_KEY, EVERYTHING_KEY
from services.windows import Window

SUPPORTED = "reach"  # by every login, for every account


def last_check(cache: Cache, account: Account) -> bool | None:
    """Return whether Instagram answered the last check of an account, or None if that is more than an hour ago."""
    found = cache.peek(account.id, {CHECK_KEY: REFUSAL_CHECK}).get(CHECK_KEY)
    return None if found is None else bool(found.value["answered"])


class RefusalCheck:
    """Checks the refusal of everything that was asked for, at most once an hour for each account."""

    def __init__(self, graph: GraphClient, cache: Cache, *, end_time: EndTime, clock: Clock) -> None:
        self._graph = graph
        self._cache = cache
        self._end_time = end_time
        self._clock = clock

    def failure_of_all(self, account: Account, refusal: ProviderError) -> ProviderError | None:
        """Return the failure of the whole request, or None if only the metrics that were asked for are refused."""
        is_answered = last_check(self._cache, account)
        if is_answered is None:
            yesterday = pacific_day(self._clock.now()) - ONE_DAY
            window = Window(yesterday, yesterday)
            try:
                self._graph.account_insights(
                    account, (SUPPORTED,), since=window.since, until=window.until, breakdown=(), series=False
                )
            except ProviderError as error:
                if error.retry_strategy is not RetryStrategy.SPLIT:
                    return error  # It says nothing of a refusal.
                is_answered = False
                self._cache.put(account.id, {EVERYTHING_KEY: ({"refused": True}, EVERYTHING_REFUSED)})
            else:
                is_answered = True
            self._cache.put(account.id, {CHECK_KEY: ({"answered": is_answered}, REFUSAL_CHECK)})
        return None if is_answered else refusal.unsent(retry_after=None)
