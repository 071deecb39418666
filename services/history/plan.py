"""Which values of an account's past are asked for, and in which order.

One call answers all metrics of one day and one breakdown, and one call a whole month of a metric that comes by day. So
a day costs five calls: its totals, and one for each breakdown. They are made when no value of the day can change any
more; only its totals are also read the day after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

from services.cache.policies import DAY, HOUR
from services.days import ONE_DAY, Window, first_provisional, midnight, pacific_day, utc
from services.errors import ProviderResponseError, ProviderTimeoutError, ProviderUnavailableError
from services.insights.caching import history_key
from services.insights.catalogue import (
    METRICS,
    PROVISIONAL_HOURS_OF_FOLLOWS,
    RETENTION_DAYS,
    Shape,
    first_retained,
)
from services.insights.request import Breakdown, InsightsRequest
from services.store.history import DayState, HistoryKey

SETTLED_DAYS = 7  # finished days that the daily snapshot looks at; the back-fill is for those before
RETRIES = 4  # calls of a daily snapshot for days that Instagram has not answered yet
VANISHING_DAYS = 7  # before a day is forgotten it goes first
PROMISED_DAYS = 90  # Meta's pages promise them only, though it answers two years
SILENT_DAYS = 30  # a value that was known on none of them is asked for with new days only
REFUSED_FOR = 7 * DAY  # before a refused metric is asked for again
# The codes of failures that concern one call; its values are asked for again on the next day.
FAILED = frozenset({each.code for each in (ProviderResponseError, ProviderTimeoutError, ProviderUnavailableError)})

Kind = tuple[str, Breakdown]
States = Mapping[HistoryKey, DayState]


def kinds(login: str) -> list[Kind]:
    """Return the metrics and breakdowns that have a value for each day by a login."""
    found: list[Kind] = []
    for metric in METRICS.values():
        if metric.successor is None and metric.shape is not Shape.LIFETIME and login in metric.logins:
            found.append((metric.name, ()))
            found += [(metric.name, (breakdown,)) for breakdown in metric.breakdowns]
            if metric.combined:
                found.append((metric.name, metric.breakdowns))
    return found


def first_day_kept(today: date) -> date:
    """Return the first day of which Instagram may have any value."""
    return today - timedelta(days=RETENTION_DAYS)


def last_settled_day(now: float) -> date:
    """Return the last day of which no value can change any more."""
    return first_provisional(utc(now), PROVISIONAL_HOURS_OF_FOLLOWS) - ONE_DAY


def settled_at(day: date) -> float:
    """Return the moment (Unix seconds) from which no value of a day can change."""
    return midnight(day + ONE_DAY) + PROVISIONAL_HOURS_OF_FOLLOWS * HOUR


@dataclass(frozen=True)
class Plan:
    """What is to be asked of one account, from the states of all its days since `first_day_kept`, at a moment."""

    login: str
    states: States
    now: float

    def daily(self) -> list[InsightsRequest]:
        """Return the requests of the daily snapshot, of which each is about one call."""
        yesterday = self._today - ONE_DAY
        totals = [kind for kind in self._totals() if not kind[1] and self._state(kind, yesterday) is None]
        settled = Window(max(self._first, self._last - timedelta(days=SETTLED_DAYS - 1)), self._last)
        due = [
            (day, kind)
            for day in settled
            for kind in self._totals()
            if self._is_missing(kind, day) or self._is_provisional(kind, day)
        ]
        return [*self.series(), *_requests((yesterday, kind) for kind in totals), *_requests(due), *self._retries()]

    def series(self) -> list[InsightsRequest]:
        """Return the requests of the metrics that come by day: all days of each that are not final, at once."""
        requests = []
        for kind in self._kinds:
            if METRICS[kind[0]].shape is Shape.DAILY:
                kept = Window(self._first_of(kind), self._today - ONE_DAY)
                if days := [day for day in kept if not self._is_final(kind, day)]:
                    requests.append(InsightsRequest((kind[0],), Window(days[0], days[-1]), series=True))
        return requests

    def backfill(self, *, since: date | None = None, until: date | None = None) -> list[InsightsRequest]:
        """Return the requests of days that were never read, those about to vanish first, then the newest.

        The days of a range only, both ends included.
        """
        first, last = max(since or self._first, self._first), min(until or self._last, self._last)
        days = list(Window(first, last)) if first <= last else []
        due = [(day, kind) for day in days for kind in self._totals() if self._is_missing(kind, day)]
        requests = _requests(due)
        for kind in self._kinds:
            if METRICS[kind[0]].shape is Shape.DAILY and (
                by_day := [day for day in days if self._is_missing(kind, day)]
            ):
                requests.append(InsightsRequest((kind[0],), Window(by_day[0], by_day[-1]), series=True))
        return sorted(requests, key=self._urgency)

    def _retries(self) -> list[InsightsRequest]:
        """Return a few requests of days that Instagram did not answer; where there are more, they take turns."""
        settled = self._last - timedelta(days=SETTLED_DAYS - 1)
        today = midnight(self._today)
        due = []
        for kind in self._totals():
            if self._is_silent(kind):
                continue
            for day, state in self._by_kind.get(kind, {}).items():
                is_old_provisional = state.known and not state.final and day < settled
                is_unknown = not state.known and state.reason not in FAILED and state.read_at < today
                if self._first_of(kind) <= day <= self._last and (is_old_provisional or is_unknown):
                    due.append((day, kind))
        requests = sorted(_requests(due), key=self._urgency)
        urgent = [request for request in requests if self._urgency(request)[0] == 0][:RETRIES]
        others = [request for request in requests if request not in urgent]
        turn = self._today.toordinal() * (RETRIES - len(urgent)) % len(others) if others else 0
        return (urgent + others[turn:] + others[:turn])[:RETRIES]

    def _urgency(self, request: InsightsRequest) -> tuple[int, int]:
        day = request.window.first
        vanishes = min((day - self._first_of((metric, request.breakdown))).days for metric in request.metrics)
        leaves_promise = PROMISED_DAYS - (self._today - day).days
        is_urgent = vanishes < VANISHING_DAYS or 0 <= leaves_promise < VANISHING_DAYS
        return (0, day.toordinal()) if is_urgent else (1, -day.toordinal())

    def _is_missing(self, kind: Kind, day: date) -> bool:
        """Return whether a day was never answered: it was not asked for, or the call failed before today."""
        if day < self._first_of(kind):
            return False
        state = self._state(kind, day)
        if state is None:
            return True
        return not state.known and state.reason in FAILED and state.read_at < midnight(self._today)

    def _is_provisional(self, kind: Kind, day: date) -> bool:
        state = self._state(kind, day)
        return day >= self._first_of(kind) and state is not None and state.known and not state.final

    def _is_final(self, kind: Kind, day: date) -> bool:
        state = self._state(kind, day)
        return state is not None and state.final

    def _is_silent(self, kind: Kind) -> bool:
        """Return whether nothing was known of a kind lately; the newest days show when that ends."""
        recent = self._last - timedelta(days=SILENT_DAYS)
        return not any(state.known for day, state in self._by_kind.get(kind, {}).items() if day > recent)

    def _state(self, kind: Kind, day: date) -> DayState | None:
        return self._by_kind.get(kind, {}).get(day)

    def _first_of(self, kind: Kind) -> date:
        return self._retained[kind]

    def _totals(self) -> list[Kind]:
        return [kind for kind in self._kinds if METRICS[kind[0]].shape is not Shape.DAILY]

    @cached_property
    def _kinds(self) -> Sequence[Kind]:
        """The kinds that Instagram does not refuse: a refused one is asked for once a week."""
        return [kind for kind in kinds(self.login) if not self._is_refused(kind)]

    def _is_refused(self, kind: Kind) -> bool:
        # A refusal of older days may be about the days.
        recent = self._today - timedelta(days=PROMISED_DAYS)
        states = [state for day, state in self._by_kind.get(kind, {}).items() if day >= recent]
        newest = max(states, key=lambda state: state.read_at, default=None)
        return newest is not None and newest.reason == "refused" and self.now < newest.read_at + REFUSED_FOR

    @cached_property
    def _by_kind(self) -> Mapping[Kind, Mapping[date, DayState]]:
        found: dict[Kind, dict[date, DayState]] = {}
        for key, state in self.states.items():
            found.setdefault((key.metric, key.breakdown), {})[date.fromisoformat(key.first_day)] = state
        return found

    @cached_property
    def _retained(self) -> Mapping[Kind, date]:
        return {
            (metric, breakdown): first_retained(self.login, metric, breakdown, today=self._today)
            for metric, breakdown in kinds(self.login)
        }

    @cached_property
    def _today(self) -> date:
        return pacific_day(utc(self.now))

    @cached_property
    def _first(self) -> date:
        return first_day_kept(self._today)

    @cached_property
    def _last(self) -> date:
        return last_settled_day(self.now)


def keys_of(requests: Iterable[InsightsRequest]) -> list[HistoryKey]:
    """Return the key in the history of each value that requests are for."""
    return [history_key(*key) for request in requests for key in request.value_keys()]


def _requests(due: Iterable[tuple[date, Kind]]) -> list[InsightsRequest]:
    """Put all metrics of a day and a breakdown into one request."""
    groups: dict[tuple[date, Breakdown], dict[str, None]] = {}
    for day, (metric, breakdown) in due:
        groups.setdefault((day, breakdown), {})[metric] = None
    return [InsightsRequest(tuple(names), Window(day, day), each) for (day, each), names in groups.items()]
