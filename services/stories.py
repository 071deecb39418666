"""Stories: the live ones and those that were kept, each with its last numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from math import ceil
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from services import request_context
from services.accounts.resolver import AccountResolver
from services.answers import VIEWS_FROM_IMPRESSIONS, Answer, Freshness, Origin, Table, Warning_
from services.cache.entries import CacheEntry
from services.cache.policies import FOR_EVER, MINUTE
from services.clients.graph.models import Account, Number
from services.clock import Clock
from services.days import ONE_DAY, midnight, our_time, pacific_day, provider_time
from services.errors import Charge, ObjectNotFoundError, ProviderError
from services.media.catalogue import MEDIA_METRICS, RECOMMENDED, STORY
from services.media.errors import story_expired
from services.media.index import MediaIndex
from services.media.kept_stories import KeptStories, LiveStories
from services.media.owners import MediaOwners
from services.media.story_values import STORY_LIFE, StoryValue, ends_at, newest, values_of
from services.reasons import Unavailable, explain
from services.store.database import DatabaseUnavailableError
from services.store.stories import WEBHOOK, StoryRow
from services.windows import Bound, check_range

COLUMNS = (
    *("id", "timestamp", "expires_at", "media_type", "permalink", "source"),
    *("name", "bucket", "value", "reason", "read_at"),
    *("breakdown", "number_source", "answered_by"),
)
READ_AGAIN_AFTER = MINUTE  # where a story is asked for that is not in the list; it may have been posted since

KEPT_UNAVAILABLE: Warning_ = {
    "code": "kept_unavailable",
    "message": "The database is unavailable, so that only live stories are listed.",
}
REPLIES: Warning_ = {
    "code": "replies_region",
    "message": "Instagram counts no replies of creators in Europe (since 2020-12-01) and Japan (since 2021-04-14): "
    "0 replies may mean that.",
}


class StoryBucket(TypedDict):
    """One bucket of a breakdown; null where it is unknown. `source` is there where it is not that of the total."""

    dimension_values: list[str]
    value: Number | None
    source: NotRequired[Literal["polling", "webhook"]]


class StoryBreakdown(TypedDict):
    """A number of a story by the buckets of one breakdown."""

    dimension_keys: list[str]
    results: list[StoryBucket]


class StoryInsight(TypedDict):
    """One number of a story; `value` is null where it is unknown, and `reason` says why.

    `read_at` is when it was true; `source` says whether it was polled or reported by a webhook.
    """

    name: str
    value: Number | None
    reason: str | None
    breakdowns: list[StoryBreakdown]
    read_at: str | None
    source: Literal["polling", "webhook"] | None
    answered_by: NotRequired[str]


class Story(TypedDict):
    """A story: `live` until its end, then `webhook` where a webhook has reported it, else `kept`."""

    id: str
    timestamp: str | None
    expires_at: str | None
    media_type: str | None
    permalink: str | None
    source: Literal["live", "webhook", "kept"]
    insights: list[StoryInsight]


@dataclass
class _Found:
    """What was found of an account's stories, and what was not."""

    account: Account
    now: float  # Unix seconds
    rows: dict[str, StoryRow] = field(default_factory=dict)
    live: LiveStories | None = None
    failure: ProviderError | None = None
    warnings: list[Warning_] = field(default_factory=list)

    def add(self, row: StoryRow) -> None:
        """Add a story; of one that is there already the newest numbers count."""
        known = self.rows.get(row.id)
        if known is None:
            self.rows[row.id] = row
        else:
            self.rows[row.id] = replace(known, numbers=newest(known.numbers, row.numbers, now=self.now))

    def is_live(self, row: StoryRow, now: float) -> bool:
        """Return whether Instagram listed a story, and it is not over since."""
        if self.live is None or row.id not in {each.id for each in self.live.rows}:
            return False
        return row.created_at is None or now < row.created_at + STORY_LIFE


class AccountStories:
    """The stories of an account, live and kept."""

    def __init__(
        self,
        *,
        accounts: AccountResolver,
        owners: MediaOwners,
        kept: KeptStories,
        index: MediaIndex,
        origin: Origin,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._owners = owners
        self._kept = kept
        self._index = index
        self._origin = origin
        self._clock = clock

    def between(
        self,
        since: Bound | None,
        until: Bound | None,
        *,
        limit: int,
        account: str | None = None,
        refresh: bool = False,
    ) -> Answer:
        """Return the newest `limit` stories of a range, the newest first; a date means the whole Pacific day.

        Live stories are read, unless the range ends before them. Where they cannot be, the kept ones are returned.
        Raises `InvalidRequestError` for a range that cannot be.
        """
        check_range(since, until, pacific_day(self._clock.now()))
        request_context.accept_only_new(refresh=refresh)
        first = None if since is None else float(midnight(since) if isinstance(since, date) else since)
        last = None if until is None else float(midnight(until + ONE_DAY) - 1 if isinstance(until, date) else until)
        found = _Found(self._accounts.find(account), self._clock.timestamp())
        if last is None or last >= self._clock.timestamp() - STORY_LIFE:
            self._read_live(found)
        try:
            for row in self._kept.listed(found.account.id, since=first, until=last, limit=limit + 1):
                found.add(row)
        except DatabaseUnavailableError:
            found.warnings.append(KEPT_UNAVAILABLE)
        for row in found.live.rows if found.live is not None else ():
            if (first is None or row.ordered_at >= first) and (last is None or row.ordered_at <= last):
                found.add(row)
        if found.failure is not None and not found.rows:
            raise found.failure
        rows = sorted(found.rows.values(), key=lambda row: (row.ordered_at, row.id), reverse=True)
        if len(rows) > limit:
            found.warnings.append(_more(rows[limit]))
        return self._answer(found, rows[:limit])

    def one(self, story: str, *, account: str | None = None, refresh: bool = False) -> Answer:
        """Return one story, live or kept.

        Raises `ObjectNotFoundError` for a story that is not here, `StoryExpiredError` for one that is over and of which
        nothing was read.
        """
        request_context.accept_only_new(refresh=refresh)
        found = _Found(self._owners.account_of(story, account), self._clock.timestamp())
        try:
            kept = self._kept.find(found.account.id, story)
        except DatabaseUnavailableError:
            found.warnings.append(KEPT_UNAVAILABLE)
            kept = None
        is_over = kept is not None and self._clock.timestamp() >= ends_at(kept)
        if not is_over:
            self._read_live(found)
            if kept is None and not _has(found.live, story):
                self._read_live(found, since=self._clock.timestamp() - READ_AGAIN_AFTER)
        for row in (kept, *(found.live.rows if found.live is not None else ())):
            if row is not None and row.id == story:
                found.add(row)
        row = found.rows.get(story)
        if row is None and self._was_story(found.account, story):
            raise story_expired()
        if row is None:
            raise found.failure or ObjectNotFoundError(
                "There is no such story here: neither live nor kept.",
                provider="instagram",
                hint="Check the id, and `account`. Stories are kept while the worker runs; one that was over before it "
                "was ever seen here looks like an id that does not exist.",
                reached=False,
                charge=Charge.NONE,
            )
        if not row.numbers and not found.is_live(row, self._clock.timestamp()):
            raise story_expired()
        return self._answer(found, [row])

    def _was_story(self, account: Account, story: str) -> bool:
        """Return whether a media was seen here as a story that is over; Instagram does not say that of any id."""
        media = self._index.find(story)
        if media is None or media.account != account.id or media.product_type != STORY or media.created_at is None:
            return False
        return self._clock.timestamp() >= media.created_at + STORY_LIFE

    def _read_live(self, found: _Found, *, since: float | None = None) -> None:
        if since is not None:
            request_context.accept_since(since)
        try:
            found.live, found.failure = self._kept.live(found.account), None
        except ProviderError as error:
            found.failure = error

    def _answer(self, found: _Found, rows: Sequence[StoryRow]) -> Answer:
        now = self._clock.timestamp()
        stories = [self._story(found, row, now) for row in rows]
        return Answer(
            body={"stories": stories},
            account=found.account.id,
            origin=self._origin,
            freshness=self._freshness(found, rows, now),
            meta={
                "account": found.account.id,
                "username": self._accounts.username(found.account),
                "api_version": self._origin.api_version,
            },
            unavailable=list(_unavailable(stories)),
            warnings=[*found.warnings, *_warnings(stories)],
            table=Table(COLUMNS, _rows(stories)),
        )

    def _freshness(self, found: _Found, rows: Sequence[StoryRow], now: float) -> Freshness:
        """Return the freshness: a reply with live stories expires with the first of them."""
        moments = [moment for row in rows for moment in (row.read_at, row.delivered_at) if moment is not None]
        kept = CacheEntry({}, max(moments, default=now), FOR_EVER)
        ends = [row.created_at + STORY_LIFE for row in rows if row.created_at is not None and found.is_live(row, now)]
        freshness = Freshness.of(
            [kept] if found.live is None else [found.live.entry], now=self._clock.now(), gaps=found.failure is not None
        )
        return freshness._replace(
            expires_at=min(freshness.expires_at, *ends) if ends else freshness.expires_at,
            stale=freshness.stale or found.failure is not None,
        )

    def _story(self, found: _Found, row: StoryRow, now: float) -> Story:
        values, is_live = values_of(row.numbers), found.is_live(row, now)
        names = [*RECOMMENDED[STORY], *(["link_clicks"] if found.account.login == "facebook" else [])]
        missing = "not_answered" if is_live else "story_expired"
        is_reported = any(value.source == WEBHOOK for value in values.values())
        return {
            "id": row.id,
            "timestamp": None if row.created_at is None else provider_time(int(row.created_at)),
            "expires_at": None if row.created_at is None else our_time(row.created_at + STORY_LIFE),
            "media_type": row.media_type,
            "permalink": row.permalink,
            "source": "live" if is_live else "webhook" if is_reported else "kept",
            "insights": [_insight(name, values.get(name), missing) for name in dict.fromkeys([*names, *values])],
        }


def _has(live: LiveStories | None, story: str) -> bool:
    return live is not None and any(row.id == story for row in live.rows)


def _insight(name: str, value: StoryValue | None, missing: str) -> StoryInsight:
    if value is None:
        return {"name": name, "value": None, "reason": missing, "breakdowns": [], "read_at": None, "source": None}
    found: StoryInsight = {
        "name": name,
        "value": value.value.value,
        "reason": value.value.reason if value.value.value is None else None,
        "breakdowns": _breakdowns(name, value),
        "read_at": our_time(value.read_at),
        "source": "webhook" if value.source == WEBHOOK else "polling",
    }
    if value.answered_by is not None:
        found["answered_by"] = value.answered_by
    return found


def _breakdowns(name: str, value: StoryValue) -> list[StoryBreakdown]:
    if not value.value.buckets:
        return []
    described = MEDIA_METRICS.get(name)
    dimension = described.breakdowns[0] if described is not None and described.breakdowns else name
    results: list[StoryBucket] = []
    for bucket, count in sorted(value.value.buckets.items()):
        result: StoryBucket = {"dimension_values": [bucket], "value": count}
        source = value.bucket_sources.get(bucket, value.source)
        if source != value.source:
            result["source"] = "webhook" if source == WEBHOOK else "polling"
        results.append(result)
    return [{"dimension_keys": [dimension], "results": results}]


def _more(row: StoryRow) -> Warning_:
    # Rounded up: one that only a webhook has named may stand between two seconds.
    message = f"There are older stories; ask again with until={ceil(row.ordered_at)}."
    return {"code": "limit_reached", "message": message}


def _unavailable(stories: Sequence[Story]) -> Iterator[Unavailable]:
    """Explain each reason of each metric once; the story itself says which number it is about."""
    reasons = dict.fromkeys((insight["name"], insight["reason"]) for story in stories for insight in story["insights"])
    return (explain(name, reason, of_media=True) for name, reason in reasons if reason is not None)


def _warnings(stories: Sequence[Story]) -> Iterator[Warning_]:
    insights = [insight for story in stories for insight in story["insights"]]
    if any(insight["name"] == "replies" and insight["value"] == 0 for insight in insights):
        yield REPLIES
    if any(insight.get("answered_by") == "impressions" for insight in insights):
        yield VIEWS_FROM_IMPRESSIONS


def _rows(stories: Sequence[Story]) -> Iterator[Mapping[str, object]]:
    """Yield one row for each number and, below it, one for each of its buckets."""
    for story in stories:
        head = {name: value for name, value in story.items() if name != "insights"}
        for insight in story["insights"]:
            row = head | {
                "name": insight["name"],
                "read_at": insight["read_at"],
                "number_source": insight["source"],  # `source` is that of the story.
                "answered_by": insight.get("answered_by"),
            }
            yield row | {"bucket": "", "value": insight["value"], "reason": insight["reason"] or ""}
            for part in insight["breakdowns"]:
                for result in part["results"]:
                    reason = "" if result["value"] is not None else "bucket_unknown"
                    yield row | {
                        "breakdown": ",".join(part["dimension_keys"]),
                        "number_source": result.get("source", insight["source"]),
                        "bucket": ",".join(result["dimension_values"]),
                        "value": result["value"],
                        "reason": reason,
                    }
