"""The stories of an account, live and kept: read through the cache, and kept for ever as they are read."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from typing_extensions import TypedDict

from services.cache.cache import Cache
from services.cache.entries import CacheEntry
from services.cache.policies import STORIES_LISTED, STORIES_SWR, STORIES_TTL, Json
from services.clients.graph.models import Account
from services.clock import Clock
from services.days import our_time
from services.media.delivered_stories import delivered
from services.media.live_story import LiveStory, StoriesAlong
from services.media.story_reader import StoryReader
from services.media.story_values import STORY_LIFE, newest, polled, was_live
from services.store.cache_entries import CacheKey
from services.store.database import DatabaseUnavailableError
from services.store.stories import Stories, StoryNumber, StoryRow
from services.store.types import MAX_NAME

KEY = "stories"  # in the cache
LISTED_KEY = CacheKey("stories_listed")
MAX_LIVE = 200  # stories of a day of which it is known whether they were refused; Instagram takes 100 a day
USUALLY = ("navigation",)  # read by their breakdowns with every reading
LAST = ("navigation", "profile_activity")  # and shortly before the end of a story

log = logging.getLogger(__name__)


class StoryChange(Protocol):
    """What a webhook reports: the provider's value for an account, and its time in Unix seconds."""

    @property
    def account(self) -> str:
        """The id of the account."""

    @property
    def value(self) -> object:
        """The provider's JSON."""

    @property
    def time(self) -> float:
        """The moment of the delivery."""


@dataclass(frozen=True)
class LiveStories:
    """The stories that Instagram listed, and the cache entry they come from."""

    rows: Sequence[StoryRow]
    entry: CacheEntry


class StoryProgress(TypedDict):
    """How many stories are kept, and when those of any account were last read."""

    kept: int
    last_read_at: str | None


class StoriesPolicy:
    """How long the list of live stories is fresh. What is known of a story stays known when the list is fetched."""

    def expires_at(self, value: Json, fetched_at: float) -> float | None:
        """Return when a list expires."""
        _rows_of(value)  # Raises for a damaged row, which must not serve as a list.
        return fetched_at + STORIES_TTL

    def stale_while_revalidate(self, value: Json) -> float:
        """Return for how long an expired list serves at once."""
        return STORIES_SWR

    def merge(self, known: Json, new: Json) -> Json:
        """Return the new list: it has the known numbers already."""
        return new


POLICY = StoriesPolicy()


class KeptStories:
    """Live stories from Instagram, and all that were ever read or reported from the database."""

    def __init__(self, reader: StoryReader, cache: Cache, table: Stories, *, clock: Clock) -> None:
        self._reader = reader
        self._cache = cache
        self._table = table
        self._clock = clock

    def live(
        self, account: Account, *, by_breakdown: Sequence[str] = USUALLY, listed: StoriesAlong | None = None
    ) -> LiveStories:
        """Return the live stories, at most `STORIES_TTL` old; what had to be read is kept.

        What has been `listed` with another call is not asked for again.
        """
        fetch = partial(self._fetch, account, by_breakdown, listed)
        entry = self._cache.get_or_fetch(account.id, KEY, POLICY, fetch, provider="instagram")
        return LiveStories(_rows_of(entry.value), entry)

    def find(self, account: str, story: str) -> StoryRow | None:
        """Return a kept story; raises `DatabaseUnavailableError`."""
        return self._table.find(account, story)

    def listed(self, account: str, *, since: float | None, until: float | None, limit: int) -> list[StoryRow]:
        """Return kept stories, the newest first; raises `DatabaseUnavailableError`."""
        return self._table.listed(account, since=since, until=until, limit=limit)

    def known(self, account: str, story: str) -> StoryRow | None:
        """Return a kept story, or None; also where the database is unavailable."""
        with suppress(DatabaseUnavailableError):
            return self._table.find(account, story)
        return None

    def apply_webhook(self, change: StoryChange) -> None:
        """Keep what a `story_insights` webhook reports; it may be applied again and in any order.

        Raises `DatabaseUnavailableError`.
        """
        value = change.value if isinstance(change.value, Mapping) else {}
        story = value.get("media_id")
        if not isinstance(story, str | int) or isinstance(story, bool) or not 0 < len(str(story)) <= MAX_NAME:
            log.warning("A webhook reports a story without an id")
            return
        self._table.keep(change.account, [delivered(str(story), value, change.time)])
        self._cache.announce_change(change.account)

    def progress(self) -> StoryProgress | None:
        """Return how far the reading of stories is, or None where the database is unavailable."""
        try:
            counts = self._table.counts()
        except DatabaseUnavailableError:
            return None
        last = counts.last_read_at
        return {"kept": counts.kept, "last_read_at": None if last is None else our_time(last)}

    def keep(self, account: str, rows: Sequence[StoryRow]) -> None:
        """Keep stories that were read; raises `DatabaseUnavailableError`."""
        self._table.keep(account, rows)

    def along(self, account: Account) -> StoriesAlong:
        """Return how the live stories may come along with another call; raises `DatabaseUnavailableError`."""
        now = self._clock.timestamp()
        return self._reader.along(account, self._last_read(account.id, now=now), at=now)

    def was_listed(self, account_id: str) -> bool:
        """Return whether Instagram has given the list of an account's stories of late.

        An expansion may leave out an empty list; but that it leaves it out does not say for long that it is empty.
        """
        return LISTED_KEY in self._cache.peek(account_id, {LISTED_KEY: STORIES_LISTED})

    def note_none(self, account_id: str, *, at: float) -> None:
        """Note that an account had no live story at a moment (Unix seconds), unless a later reading knows better."""
        with suppress(DatabaseUnavailableError):
            if (self._table.last_read_at(account_id) or 0) > at:
                return
            self._table.end(account_id, read_at=at)
        self._cache.put(account_id, {CacheKey(KEY): (_as_json([]), POLICY)})

    def has_refused(self, account: Account) -> bool:
        """Return whether a live story is known to be refused, so that the numbers of none come with their list."""
        along = self.along(account)
        return along.with_list and not along.metrics

    def list_refused(self, account: Account) -> StoriesAlong:
        """Read the list of live stories, without numbers, where one of them is known to be refused; else nothing.

        Raises the failure of the call, and `DatabaseUnavailableError`.
        """
        along = self.along(account)
        if along.with_list and not along.metrics:
            self._table.begin(account.id, now=along.at)
            along.come(self._reader.first_page(account))
        return along

    def note_listed(self, account_id: str, ids: Sequence[str], *, at: float) -> None:
        """Note that the live stories were listed, and those that were due read; raises `DatabaseUnavailableError`."""
        self._table.end(account_id, read_at=at)
        self._cache.put(account_id, {LISTED_KEY: ({"listed": list(ids)}, STORIES_LISTED)})

    def last_listed(self, account_id: str) -> Collection[str] | None:
        """Return the ids of the stories that the last list of an account had, or None where that is not known."""
        entry = self._cache.peek(account_id, {LISTED_KEY: STORIES_LISTED}).get(LISTED_KEY)
        ids = None if entry is None else entry.value["listed"]
        return frozenset(map(str, ids)) if isinstance(ids, list) else None

    def read_again(
        self, account: Account, rows: Sequence[StoryRow], *, is_last: bool = True, begun_at: float | None = None
    ) -> None:
        """Read some live stories alone, and keep what comes; at their last reading everything that can be known.

        `begun_at` is when the reading began that they are part of. Raises the failure that concerns all of them, and
        `DatabaseUnavailableError`.
        """
        if not rows:
            return
        read_at = self._clock.timestamp()
        self._table.begin(account.id, now=read_at if begun_at is None else begun_at)
        refused = {story.id for story in self._last_read(account.id, now=read_at) if story.is_refused}
        stories = [LiveStory(row.id, row.created_at, row.media_type, row.permalink) for row in rows]
        found = self._reader.read_some(
            account,
            stories,
            by_breakdown=LAST if is_last else USUALLY,
            keep=partial(self._keep_part, account.id, read_at),
            few=refused,
            is_last=is_last,
        )
        self._table.keep(account.id, [polled(story, read_at) for story in found])
        self._cache.announce_change(account.id)

    def _keep_part(self, account: str, read_at: float, stories: Sequence[LiveStory]) -> None:
        """Keep numbers as they come, so that little is lost where the process ends.

        A story counts as read only when all its calls were answered.
        """
        with suppress(DatabaseUnavailableError):
            self._table.keep(account, [replace(polled(story, read_at), read_at=None) for story in stories])

    def _fetch(
        self, account: Account, by_breakdown: Sequence[str], listed: StoriesAlong | None, cached: CacheEntry | None
    ) -> Json:
        """Read the live stories, and keep them as they come."""
        read_at = self._clock.timestamp() if listed is None else listed.at
        with suppress(DatabaseUnavailableError):
            self._table.begin(account.id, now=read_at)
        keep = partial(self._keep_part, account.id, read_at)
        known = was_live([] if cached is None else _rows_of(cached.value), now=read_at)
        with suppress(DatabaseUnavailableError):
            known = self._last_read(account.id, now=read_at)
        stories = self._reader.read(account, by_breakdown=by_breakdown, keep=keep, known=known, listed=listed)
        self._cache.put(account.id, {LISTED_KEY: ({"listed": [story.id for story in stories]}, STORIES_LISTED)})
        rows = [polled(story, read_at) for story in stories]
        with suppress(DatabaseUnavailableError):  # The worker keeps what the cache has.
            self._table.keep(account.id, rows)
            self._table.end(account.id, read_at=read_at)
        numbers = {} if cached is None else {row.id: row.numbers for row in _rows_of(cached.value)}
        return _as_json(
            [replace(row, numbers=newest(numbers.get(row.id, ()), row.numbers, now=read_at)) for row in rows]
        )

    def _last_read(self, account_id: str, *, now: float) -> list[LiveStory]:
        """Return the stories that are live still as they were last read, the newest first."""
        rows = self._table.listed(account_id, since=now - STORY_LIFE, until=None, limit=MAX_LIVE)
        return was_live(rows, now=now)


def _as_json(rows: Sequence[StoryRow]) -> Json:
    return {"stories": [{**vars(row), "numbers": [list(number) for number in row.numbers]} for row in rows]}


def _rows_of(value: Any) -> list[StoryRow]:
    """Read what `_as_json` wrote; raise `ValueError`, `TypeError` or `KeyError` for anything else."""
    return [
        StoryRow(**{**each, "numbers": [StoryNumber(*number) for number in each["numbers"]]})
        for each in value["stories"]
    ]
