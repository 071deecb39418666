"""Comparison: the headline numbers of several accounts side by side, each as `/growth-trends` has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from services import request_context
from services.accounts.resolver import AccountResolver
from services.answers import Answer, Freshness, Origin, Table
from services.cache.policies import UNKNOWN_ACCOUNT_REPLY_TTL
from services.clients.graph.models import Account
from services.clock import Clock
from services.days import our_time, pacific_day
from services.errors import AccountUnknownError, BusyError, InsightsError, ProviderError, reason_of
from services.executors import Executor
from services.growth.reader import GrowthReader
from services.growth.shown_trends import ShownGrowth, ShownTrend, TrendsRequest
from services.growth.trends import ALWAYS, TITLES, UNITS, TrendKey, WindowDays
from services.growth_trends import Until, warnings_of, window_of
from services.reasons import Unavailable

MOST_ACCOUNTS = 20  # in one comparison; each is read as /growth-trends reads it
ADDED: tuple[TrendKey, ...] = tuple(key for key in TITLES if key not in ALWAYS)
HeadlineKey = Literal["followers", "follower_growth", "engagement_rate", "reach", "views", "interactions", "posts"]
HEADLINES: tuple[HeadlineKey, ...] = (
    *("followers", "follower_growth", "engagement_rate", "reach", "views", "interactions", "posts"),
)
COLUMNS = (
    *("account", "username", "since", "until", *HEADLINES, "error"),
    *(f"{key}_reason" for key in HEADLINES),
)


class Headline(TypedDict):
    """One number of an account; `value` is null where it is unknown, and `reason` says why.

    `growth_rate` is its change in percent against `previous_value`, null with `growth_reason`. The number
    `follower_growth` is such a change itself, and has none.
    """

    value: float | None
    reason: str | None
    unit: str
    basis: str | None
    approximate: bool
    provisional_from: str | None
    previous_value: NotRequired[float | None]
    growth_rate: NotRequired[float | None]
    growth_reason: NotRequired[str | None]


class AccountFailure(TypedDict):
    """Why nothing is known of an account; `status` is that of a request for this account alone."""

    code: str
    status: int
    message: str
    hint: str | None
    provider: str | None
    retry_after: int | None


class ComparedAccount(TypedDict):
    """One account of a comparison: its numbers, or with `error` each of them null."""

    account: str
    username: str | None
    metrics: Mapping[HeadlineKey, Headline]
    fetched_at: str | None
    stale: bool
    error: AccountFailure | None


@dataclass(frozen=True)
class _Read:
    """What came of one account: its trends, or why there are none."""

    reference: str
    account: Account | None
    growth: ShownGrowth | InsightsError


class Comparison:
    """Several accounts side by side."""

    def __init__(
        self,
        *,
        accounts: AccountResolver,
        growth: GrowthReader,
        executor: Executor,
        origin: Origin,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._growth = growth
        self._executor = executor
        self._origin = origin
        self._clock = clock

    def of(self, references: Sequence[str], days: int, *, until: Until = "yesterday", refresh: bool = False) -> Answer:
        """Return the numbers of some accounts, named by id or username, over the last `days` days.

        One that several names are of has one row, where the first of them stands. An account that cannot be read has
        its failure in its own row. Raises `BusyError`: a moment later each row may be there.
        """
        request_context.accept_only_new(refresh=refresh)
        now = self._clock.now()
        days_ = window_of(days, until, now)
        request = TrendsRequest(days_, pacific_day(now), ALWAYS + ADDED, "followers", "mean_of_posts")
        found = self._each_once(references)
        calls = [
            partial(self._growth.read, each, request, now=now) for each in found.values() if isinstance(each, Account)
        ]
        results = iter(self._executor.gather(calls, fatal=lambda _: False))
        read = [
            _Read(reference, each, next(results)) if isinstance(each, Account) else _Read(reference, None, each)
            for reference, each in found.items()
        ]
        window: WindowDays = {"since": days_.first.isoformat(), "until": days_.last.isoformat()}
        rows = [self._row(each) for each in read]
        accounts = [each.account.id for each in read if each.account is not None]
        return Answer(
            body={"accounts": rows},
            account=accounts[0] if accounts else "",
            further_accounts=accounts[1:],
            origin=self._origin,
            freshness=self._freshness([each.growth for each in read]),
            meta={"api_version": self._origin.api_version, "window": window},
            unavailable=[*chain.from_iterable(map(_unavailable, read))],
            warnings=[
                {**entry, "account": account}
                for account, growth in _known(read)
                for entry in warnings_of(growth, days_, now)
            ],
            table=Table(COLUMNS, (_cells(row, window) for row in rows)),
        )

    def _each_once(self, references: Sequence[str]) -> Mapping[str, Account | InsightsError]:
        """Return what each name is of, by name, without further names of an account that has one.

        Names that a provider has to be asked about share one call, and its failure.
        """
        calls = [partial(self._accounts.find, reference) for reference in references]
        results = self._executor.gather(calls, fatal=_is_busy, failures=InsightsError)
        found: dict[str, Account | InsightsError] = {}
        ids: set[str] = set()
        for reference, each in zip(references, results, strict=True):
            if isinstance(each, Account):
                if each.id in ids:
                    continue
                ids.add(each.id)
            found[reference] = each
        return found

    def _row(self, read: _Read) -> ComparedAccount:
        growth, account = read.growth, read.account
        row: ComparedAccount = {
            "account": read.reference if account is None else account.id,
            "username": None if account is None else self._accounts.username(account),
            "metrics": {},
            "fetched_at": None,
            "stale": False,
            "error": None,
        }
        if isinstance(growth, InsightsError):
            unknown = {key: _unknown(key, reason_of(growth)) for key in HEADLINES}
            return {**row, "metrics": unknown, "error": _failure(growth)}
        trends = {trend.key: trend for trend in growth.trends}
        return {
            **row,
            "metrics": {key: _headline(key, trends) for key in HEADLINES},
            "fetched_at": our_time(growth.sources.freshness.fetched_at),
            "stale": growth.sources.freshness.stale,
        }

    def _freshness(self, read: Sequence[ShownGrowth | InsightsError]) -> Freshness:
        """Return the age of the oldest account's numbers, and the first expiry; a failure expires soon."""
        parts = [each.sources.freshness for each in read if not isinstance(each, InsightsError)]
        failures = [each for each in read if isinstance(each, InsightsError)]
        may_pass = not all(isinstance(each, AccountUnknownError) for each in failures)
        none = Freshness.of([], now=self._clock.now(), gaps=may_pass)
        limits = [self._clock.timestamp() + UNKNOWN_ACCOUNT_REPLY_TTL] if failures else []
        return Freshness(
            fetched_at=min((part.fetched_at for part in parts), default=none.fetched_at),
            expires_at=min([none.expires_at, *limits, *(part.expires_at for part in parts)]),
            stale=any(part.stale for part in parts),
        )


def _unavailable(read: _Read) -> Iterator[Unavailable]:
    """Explain each headline of an account that is unknown, itself or its change."""
    name = read.reference if read.account is None else read.account.id
    growth = read.growth
    if not isinstance(growth, InsightsError):
        trends = {trend.key: trend for trend in growth.trends}
        for key in HEADLINES:
            if (entry := trends[_trend_of(key)].unavailable) is not None:
                yield {**entry, "metric": key, "account": name}
        return
    reason, wait = reason_of(growth), growth.retry_after
    for key in HEADLINES:
        failed: Unavailable = {"metric": key, "reason": reason, "message": growth.message, "account": name}
        yield failed if wait is None else {**failed, "retry_after": wait}


def _trend_of(key: HeadlineKey) -> TrendKey:
    return "followers" if key == "follower_growth" else key


def _known(read: Sequence[_Read]) -> Iterator[tuple[str, ShownGrowth]]:
    for each in read:
        if each.account is not None and not isinstance(each.growth, InsightsError):
            yield each.account.id, each.growth


def _is_busy(error: InsightsError) -> bool:
    return isinstance(error, BusyError)


def _headline(key: HeadlineKey, trends: Mapping[TrendKey, ShownTrend]) -> Headline:
    """Return one number out of the trends: the current value of a trend, or the growth of the followers."""
    trend = trends[_trend_of(key)]
    if key == "follower_growth":
        return _number(key, trend.growth_rate, trend.reason, trend)
    return {
        **_number(key, trend.current_value, trend.reason, trend),
        "previous_value": trend.previous_value,
        "growth_rate": trend.growth_rate,
        "growth_reason": trend.reason,
    }


def _number(key: HeadlineKey, value: float | None, reason: str | None, trend: ShownTrend) -> Headline:
    # The reason of a trend is that of its change; where the current value is unknown, it is that of the value too.
    return {
        "value": value,
        "reason": reason if value is None or key == "follower_growth" else None,
        "unit": _unit(key),
        "basis": trend.basis,
        "approximate": trend.approximate,
        "provisional_from": trend.provisional_from,
    }


def _unknown(key: HeadlineKey, reason: str) -> Headline:
    unknown: Headline = {
        "value": None,
        "reason": reason,
        "unit": _unit(key),
        "basis": None,
        "approximate": False,
        "provisional_from": None,
    }
    if key == "follower_growth":
        return unknown
    return {**unknown, "previous_value": None, "growth_rate": None, "growth_reason": reason}


def _unit(key: HeadlineKey) -> str:
    return "percent" if key == "follower_growth" else UNITS.get(key, key)


def _failure(error: InsightsError) -> AccountFailure:
    return {
        "code": error.code,
        "status": error.status,
        "message": error.message,
        "hint": error.hint,
        "provider": error.provider if isinstance(error, ProviderError) else None,
        "retry_after": error.retry_after,
    }


def _cells(row: ComparedAccount, window: WindowDays) -> Mapping[str, object]:
    metrics, error = row["metrics"], row["error"]
    values: dict[str, object] = {key: metrics[key]["value"] for key in HEADLINES}
    reasons = {f"{key}_reason": metrics[key]["reason"] for key in HEADLINES}
    known = {"account": row["account"], "username": row["username"], "error": error and error["code"]}
    return {**known, **window, **values, **reasons}
