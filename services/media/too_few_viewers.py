"""Distinguishes too few viewers from a missing permission: both have code 10, and the words are localised."""

from __future__ import annotations

from services.cache.cache import Cache
from services.cache.policies import INSIGHTS_GRANTED
from services.clients.graph.client import GraphClient
from services.clients.graph.error_codes import PERMISSION_OR_VIEWERS, VIEWERS
from services.clients.graph.models import Account
from services.clock import Clock
from services.errors import Charge, InsufficientViewersError, PermissionDeniedError, ProviderError
from services.store.cache_entries import CacheKey
from services.windows import last_days


class ViewersCheck:
    """Finds out what a refusal of media insights is about where its words do not say it."""

    def __init__(self, graph: GraphClient, cache: Cache, clock: Clock) -> None:
        self._graph = graph
        self._cache = cache
        self._clock = clock

    def settled(self, account: Account, error: ProviderError) -> ProviderError:
        """Return a failure as `explained` does, for a caller's own token, of which nothing is kept.

        A token of the Facebook login does not show its account, so its failure stays unclear; Instagram was seen to
        localise texts by the other login only.
        """
        if error.reason != PERMISSION_OR_VIEWERS or account.login != "instagram":
            return error
        try:
            return _explained(error, is_granted=self._can_read_insights(account))
        except ProviderError as failure:
            return failure

    def explained(self, account: Account, error: ProviderError) -> ProviderError:
        """Return a failure, as one of too few viewers where the token is known to have the permission.

        Insights of the account need the same permission, and no viewers: one call an hour finds it out.
        """
        if error.reason != PERMISSION_OR_VIEWERS or not isinstance(error, PermissionDeniedError):
            return error
        try:
            is_granted = self._is_granted(account)
        except ProviderError as failure:
            return failure
        return _explained(error, is_granted=is_granted)

    def _is_granted(self, account: Account) -> bool:
        key = CacheKey("insights granted")
        known = self._cache.peek(account.id, {key: INSIGHTS_GRANTED}).get(key)
        if known is not None:
            return known.value["granted"] is True
        is_granted = self._can_read_insights(account)
        self._cache.put(account.id, {key: ({"granted": is_granted}, INSIGHTS_GRANTED)})
        return is_granted

    def _can_read_insights(self, account: Account) -> bool:
        day = last_days(1, now=self._clock.now())
        try:
            self._graph.account_insights(account, ["reach"], since=day.since, until=day.until, series=True)
        except PermissionDeniedError:
            return False
        return True


def _explained(error: ProviderError, *, is_granted: bool) -> ProviderError:
    if not is_granted:
        return PermissionDeniedError(
            error.message, provider=error.provider, hint=error.hint, words=error.words, charge=Charge.NONE
        )
    return InsufficientViewersError(
        VIEWERS.message, provider=error.provider, hint=VIEWERS.hint, words=error.words, charge=Charge.NONE
    )
