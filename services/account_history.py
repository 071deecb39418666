"""Account history: the kept values of an account by day, week or month, without a provider call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from typing_extensions import TypedDict

from services.accounts.resolver import AccountResolver
from services.answers import Answer, Freshness, Origin, Table, Warning_
from services.cache.policies import HISTORY_REPLY_TTL
from services.clients.graph.models import Account
from services.clock import Clock
from services.days import EndTime, pacific_day
from services.errors import BusyError, InvalidRequestError
from services.history.cursors import cursor_of, first_day_of
from services.history.kept_pages import KeptPage, KeptPageReader, SeriesOfPage
from services.history.kept_series import (
    COLUMNS,
    KNOWN_BREAKDOWNS,
    PROFILE_COUNTS,
    SelectedMetric,
    accepted_breakdowns,
    as_series,
    by_catalogue,
    by_kept,
    reasons_of,
    refuse_impossible,
    table_rows,
)
from services.history.period_values import NOT_KEPT, NOT_OVER
from services.history.periods import Interval, period_around, whole_periods
from services.insights.catalogue import METRICS
from services.media.catalogue import MEDIA_METRICS
from services.reasons import Unavailable, explain
from services.rendering.nearest_name import did_you_mean_any
from services.store.database import DatabaseUnavailableError
from services.store.follower_counts import FollowerCounts
from services.store.history import History
from services.windows import Bound, Window, between, check_range

MOST_METRICS = 25  # in one request
USUAL_DAYS: Mapping[Interval, int] = {"day": 30, "week": 182, "month": 365}


class KeptKind(TypedDict):
    """A metric of which something is kept, and the breakdown by which it is."""

    metric: str
    breakdown: str | None


class AccountHistory:
    """What is kept of an account."""

    def __init__(
        self,
        *,
        accounts: AccountResolver,
        history: History,
        follower_counts: FollowerCounts,
        end_time: EndTime,
        origin: Origin,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._history = history
        self._follower_counts = follower_counts
        self._pages = KeptPageReader(history, follower_counts)
        self._end_time = end_time
        self._origin = origin
        self._clock = clock

    def series(
        self,
        metrics: Sequence[str],
        *,
        interval: Interval = "day",
        breakdown: Sequence[str] = (),
        since: Bound | None = None,
        until: Bound | None = None,
        cursor: str | None = None,
        limit: int,
        account: str | None = None,
    ) -> Answer:
        """Return the kept values of some metrics, at most `limit` days, weeks or months from the `cursor` on.

        Raises `InvalidRequestError` for metrics and breakdowns that are neither known nor kept, for a range that cannot
        be, and for a cursor of another query; `BusyError` where the database is unavailable.
        """
        range_ = self._range(since, until, interval)
        selected_account = self._accounts.find(account)
        try:
            selected = self._select(selected_account, metrics, tuple(breakdown))
            periods, rest = whole_periods(range_, interval) if range_ is not None else ([], [])
            query = (selected_account.id, metrics, interval, breakdown, since, until)
            left = periods
            if cursor is not None:
                begins = [period.first for period in periods]
                left = periods[begins.index(first_day_of(cursor, query, begins)) :]
            page = self._pages.read(selected_account.id, selected, left[:limit], interval)
            pages = [page.series(each) for each in selected]
            kept = self._kept(selected_account, pages)
            self._note_today(pages)
        except DatabaseUnavailableError:
            raise BusyError(
                "The database is unavailable, so nothing that is kept can be read.",
                hint="Try again; /readyz says what is wrong.",
            ) from None
        series = [as_series(each, interval, *of_page) for each, of_page in zip(selected, pages, strict=True)]
        following = cursor_of(left[limit].first, query) if len(left) > limit else None
        warnings = [_left_over(days) for days in rest]
        if range_ is None:
            warnings.append({"code": "empty_range", "message": "No day ends between since and until."})
        return Answer(
            body={"series": series},
            account=selected_account.id,
            origin=self._origin,
            freshness=self._freshness(page),
            meta={
                "account": selected_account.id,
                "username": self._accounts.username(selected_account),
                "api_version": self._origin.api_version,
                "next_cursor": following,
                **({} if kept is None else {"kept": kept}),
            },
            unavailable=list(_unavailable(selected, pages)),
            substitutions=[
                {"requested": each.name, "answered_by": each.metric, "since": successor.since}
                for each in selected
                if each.name != each.metric and (successor := METRICS[each.name].successor) is not None
            ],
            warnings=warnings,
            table=Table(COLUMNS, table_rows(series, [each.points for each in pages])),
        )

    def _range(self, since: Bound | None, until: Bound | None, interval: Interval) -> Window | None:
        today = pacific_day(self._clock.now())
        check_range(since, until, today)
        range_ = between(since, until, length=USUAL_DAYS[interval], today=today, end_time=self._end_time)
        if range_ is None or since is not None:
            return range_
        return Window(period_around(range_.first, interval).first, range_.last)

    def _select(self, account: Account, names: Sequence[str], breakdown: tuple[str, ...]) -> list[SelectedMetric]:
        """Return which rows answer each name; what is kept is looked up only where the catalogue does not decide."""
        decided = {name: by_catalogue(name, breakdown) for name in names}
        if all(decided.values()) and set(breakdown) <= set(KNOWN_BREAKDOWNS):
            refuse_impossible(breakdown, decided)
            return list(chain.from_iterable(decided.values()))
        kinds = self._history.kept_metrics(account.id)
        accepted = accepted_breakdowns(kinds)
        if wrong := [each for each in breakdown if each not in accepted]:
            raise InvalidRequestError(
                f"breakdown: {', '.join(wrong)} is no breakdown of any metric.{did_you_mean_any(wrong, accepted)}",
                hint=f"Accepted: {', '.join(accepted)}; or two of them, comma-separated.",
            )
        found = {name: each or by_kept(name, breakdown, kinds, account.login) for name, each in decided.items()}
        if unknown := [name for name, each in found.items() if not each]:
            kept = list(dict.fromkeys([*PROFILE_COUNTS, *(metric for metric, _ in kinds)]))
            of_media = [name for name in unknown if name in MEDIA_METRICS]
            elsewhere = (
                f" {', '.join(of_media)} is kept of single posts and stories: /history/posts/{{id}}, /stories/{{id}}."
                if of_media
                else ""
            )
            misspelt = did_you_mean_any([name for name in unknown if name not in of_media], [*kept, *METRICS])
            raise InvalidRequestError(
                f"metrics: {', '.join(map(ascii, unknown))} is not kept of this account, and cannot be.{misspelt}",
                hint=f"Kept: {', '.join(kept)}. Accepted, also where nothing is kept: {', '.join(METRICS)}.{elsewhere}",
            )
        refuse_impossible(breakdown, found, kinds)
        return list(chain.from_iterable(found.values()))

    def _note_today(self, pages: Sequence[SeriesOfPage]) -> None:
        """Say of a day that is not over that it is not, instead of that it is not kept."""
        today = pacific_day(self._clock.now()).isoformat()
        for points in [each.points for each in pages if isinstance(each.points, list)]:
            if points and points[-1]["date"] >= today and points[-1]["reason"] == NOT_KEPT:
                points[-1]["reason"] = NOT_OVER

    def _kept(self, account: Account, pages: Sequence[SeriesOfPage]) -> list[KeptKind] | None:
        """Return what is kept of an account, where a series has no value at all; else None."""
        lists = [each.points for each in pages if isinstance(each.points, list)]
        if not any(all(point["reason"] == NOT_KEPT for point in points) for points in lists):
            return None
        kinds = self._history.kept_metrics(account.id)
        counts: list[KeptKind] = [
            {"metric": name, "breakdown": None} for name in self._follower_counts.known_counts(account.id)
        ]
        return counts + [{"metric": metric, "breakdown": ",".join(each) or None} for metric, each in kinds]

    def _freshness(self, page: KeptPage) -> Freshness:
        """Return the age of the rows; others may be added at any time, so the answer expires soon."""
        now = self._clock.timestamp()
        # At a multiple of the lifetime, so that equal requests until then get equal bytes. Midnight in California is
        # one, so no answer goes on into another day.
        return Freshness(page.read_at(now), (now // HISTORY_REPLY_TTL + 1) * HISTORY_REPLY_TTL)


def _left_over(days: Window) -> Warning_:
    message = f"{days.first} to {days.last} is no whole week or month and is not part of the answer."
    return {"code": "days_left_over", "message": message}


def _unavailable(selected: Sequence[SelectedMetric], pages: Sequence[SeriesOfPage]) -> Iterator[Unavailable]:
    """Explain each reason of each series once."""
    for each, of_page in zip(selected, pages, strict=True):
        if each.buckets_reason is not None:
            yield explain(each.name, each.buckets_reason)
        for reason in reasons_of(of_page.points):
            yield explain(each.name, reason)
