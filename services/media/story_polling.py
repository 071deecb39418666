"""When stories are read in the background: hourly, and at two ages shortly before their end.

Instagram forgets the numbers of a story after 24 hours. So the last reading counts most: it is tried at 23 h 30 min,
and again at 23 h 50 min for what came in between. The hourly look at the posts brings the live stories along, or, while
none is known, whether there is one; only where that did not come in time, the list of stories is read for it.

A story that is refused, mostly for want of viewers, keeps the numbers of all others out of the look. So while there is
one, each story has calls of its own, at fixed ages only: an hour then costs a call or two more for each of the few
stories that reached one, and not one for each live story.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from services import request_context
from services.accounts.resolver import AccountResolver
from services.cache.policies import HOUR, MINUTE
from services.clients.graph.models import Account
from services.clients.guard.usage import QUOTA_PAUSE
from services.clock import Clock
from services.errors import ProviderError, log_fields
from services.media.kept_stories import LAST, USUALLY, KeptStories
from services.media.live_story import StoriesAlong, live_story
from services.media.story_values import STORY_LIFE, polled
from services.store.posts import PostTable
from services.store.stories import Stories, StoryRow

READ_EVERY = HOUR
AGES = tuple(age * HOUR for age in (1, 2, 4, 6, 9, 12, 16, 20))  # of a story whose numbers cannot come with the look
MOST_APART = 4  # stories that are read by calls of their own; more of them come in fewer calls by the page
LAST_AGES = (23.5 * HOUR, 23.5 * HOUR + 20 * MINUTE)
INCOMPLETE_AFTER = 10 * MINUTE  # before a story that could not be read is tried again
NEVER_WITHIN = 2 * MINUTE  # of the beginning of the last reading or look, for instance after its process was killed
LOOK_DELAY = 5 * MINUTE  # by which a look at the posts may be late, before the list of stories is read instead

log = logging.getLogger(__name__)


class PollRun(NamedTuple):
    """When an account is due next (Unix seconds), and whether what was due is read."""

    due_at: float
    is_read: bool = True


def due_at(
    stories: Sequence[StoryRow],
    *,
    last_read_at: float | None,
    now: float,
    looked_at: float | None = None,
    listed: Collection[str] | None = None,
) -> float:
    """Return when the stories of an account are to be read next: now, or earlier, if that is overdue.

    `looked_at` is when its posts were looked at last. The next look may make the hourly reading needless, which
    waits for it, but not for long. `listed` are the ids of the stories that the last reading found, if they are known:
    one that was deleted is not tried again.
    """
    hourly = now if last_read_at is None else last_read_at + READ_EVERY
    if looked_at is not None and last_read_at is not None:
        after_look = looked_at + READ_EVERY + LOOK_DELAY
        if after_look <= hourly + 2 * LOOK_DELAY:
            hourly = max(hourly, after_look)
    moments = [hourly, *last_moments(stories, now=now)]
    there = [story for story in _live(stories, now) if listed is None or story.id in listed]
    if last_read_at is not None and any(is_due(story, at=last_read_at) for story in there):
        moments.append(last_read_at + INCOMPLETE_AFTER)
    return min(moments)


def is_due(story: StoryRow, *, at: float) -> bool:
    """Return whether a story has to be read by calls of its own at a moment: once after each fixed age."""
    if story.read_at is None or story.created_at is None:
        return story.read_at is None
    read_at, age = story.read_at, at - story.created_at
    return any(each <= age and read_at < story.created_at + each for each in AGES)


def _live(stories: Sequence[StoryRow], now: float) -> list[StoryRow]:
    return [each for each in stories if each.created_at is not None and now < each.created_at + STORY_LIFE]


def last_moments(stories: Sequence[StoryRow], *, now: float) -> list[float]:
    """Return the moments shortly before the end of live stories at which they have not been read yet."""
    return [
        created_at + age
        for story in stories
        if (created_at := story.created_at) is not None and now < created_at + STORY_LIFE
        for age in LAST_AGES
        if story.read_at is None or story.read_at < created_at + age
    ]


def _is_ending(story: StoryRow, now: float) -> bool:
    """Return whether a story is due to be read for the last time."""
    return any(moment <= now for moment in last_moments([story], now=now))


class StoryPolling:
    """Reads the stories of each account when that is due."""

    def __init__(
        self,
        accounts: AccountResolver,
        kept: KeptStories,
        table: Stories,
        posts: PostTable,
        *,
        may_work: Callable[[str], bool],
        clock: Clock,
    ) -> None:
        """Build the polling; `may_work` says whether the quota of an account has room for background work."""
        self._accounts = accounts
        self._kept = kept
        self._table = table
        self._posts = posts
        self._may_work = may_work
        self._clock = clock

    def accounts(self) -> list[str]:
        """Return the accounts whose stories are read; raises `BusyError` where they are not known."""
        return [account.id for account in self._accounts.all()]

    def read(self, account_id: str) -> PollRun:
        """Read the stories of an account if that is due; they count as read also where the last look has brought them.

        Raises `AccountUnknownError` for an account that was removed, the failure of the provider, and
        `DatabaseUnavailableError`.
        """
        account = self._accounts.still_here(account_id)
        now = self._clock.timestamp()
        due = self._next(account_id, now)
        if due > now:
            return PollRun(due, is_read=self._is_read(account_id))
        if not self._may_work(account_id):
            return PollRun(now + QUOTA_PAUSE, is_read=False)
        ending = self._ending(account_id, now)
        last_read_at = self._table.last_read_at(account_id)
        if ending and last_read_at is not None and now < last_read_at + READ_EVERY:
            self._kept.read_again(account, ending)
        elif not self._read_apart(account, self._kept.list_refused(account)):
            # What was read since the reading became due will do, for instance for a caller of GET /stories.
            request_context.accept_since(due)
            live = self._kept.live(account, by_breakdown=LAST if ending else USUALLY)
            self._kept.keep(account_id, live.rows)
            if live.entry.failure is not None:
                raise live.entry.failure
            if live.entry.is_older_than(due):
                return PollRun(self._before_the_last(account_id, now + INCOMPLETE_AFTER), is_read=False)
        return PollRun(self._next(account_id, self._clock.timestamp()))

    def along(self, account: Account) -> StoriesAlong:
        """Return how live stories come along with a look at the posts; raises `DatabaseUnavailableError`."""
        return self._kept.along(account)

    def use_look(self, account: Account, listed: StoriesAlong) -> None:
        """Take what has come along with a look at the posts.

        Where there are no live stories, nothing is left to read. Where all have come, the numbers that they lack are
        read: without any, those of the stories that are due. Where it has come only that there are some, they are left
        for their own reading, which is due; so is what fails here.
        """
        if not listed.has_come:
            return
        is_empty = self._kept.was_listed(account.id) if listed.page is None else not listed.page.posts
        if is_empty:
            self._kept.note_none(account.id, at=listed.at)
        elif listed.has_all:
            try:
                self._read_numbers(account, listed)
            except ProviderError as error:
                log.warning("Stories of a look could not be read", extra=log_fields(error, account=account.id))

    def _read_numbers(self, account: Account, listed: StoriesAlong) -> None:
        if self._read_apart(account, listed):
            return
        request_context.accept_since(listed.at)
        by_breakdown = LAST if self._ending(account.id, listed.at) else USUALLY
        live = self._kept.live(account, by_breakdown=by_breakdown, listed=listed)
        self._kept.keep(account.id, live.rows)
        if live.entry.failure is not None:
            raise live.entry.failure

    def next_last_moment(self, account_id: str) -> float | None:
        """Return the next moment at which a story has to be read for the last time, or None."""
        now = self._clock.timestamp()
        coming = last_moments(self._table.young(account_id, since=now - STORY_LIFE), now=now)
        return min((moment for moment in coming if moment > now), default=None)

    def _read_apart(self, account: Account, listed: StoriesAlong) -> bool:
        """Read those of all live stories that are due, each by calls of its own, where the list came without numbers.

        Return False where that is not known to be for one of them, or where pages take fewer calls.
        """
        if listed.page is None or listed.metrics or not listed.has_all:
            return False
        known = {row.id: row for row in self._table.young(account.id, since=listed.at - STORY_LIFE)}
        live = [story for item in listed.page.posts if (story := live_story(item)) is not None]
        rows = [known.get(story.id) or polled(story, listed.at) for story in live]
        ending = [row for row in rows if _is_ending(row, listed.at)]
        due = [row for row in rows if row not in ending and is_due(row, at=listed.at)]
        is_new = any(row.id not in known for row in due)
        if len(due) + len(ending) > MOST_APART or not (is_new or self._kept.has_refused(account)):
            return False
        self._kept.read_again(account, ending, begun_at=listed.at)
        self._kept.read_again(account, due, is_last=False, begun_at=listed.at)
        if not self._kept.has_refused(account):
            return False
        self._kept.note_listed(account.id, [story.id for story in live], at=listed.at)
        return True

    def _ending(self, account_id: str, now: float) -> list[StoryRow]:
        """Return the stories that are due to be read for the last time."""
        stories = self._table.young(account_id, since=now - STORY_LIFE)
        return [story for story in stories if _is_ending(story, now)]

    def _is_read(self, account_id: str) -> bool:
        """Return whether the stories were read when that was tried last, here or along with a look."""
        read_at, begun_at = self._table.last_read_at(account_id), self._table.begun_at(account_id)
        return read_at is not None and (begun_at is None or read_at >= begun_at)

    def _before_the_last(self, account_id: str, moment: float) -> float:
        """Return a moment, or the earlier one at which a story has to be read for the last time."""
        return min(moment, self.next_last_moment(account_id) or moment)

    def _next(self, account_id: str, now: float) -> float:
        stories = self._table.young(account_id, since=now - STORY_LIFE)
        look = self._posts.look(account_id)
        due = due_at(
            stories,
            last_read_at=self._table.last_read_at(account_id),
            now=now,
            looked_at=None if look is None else look[1],
            listed=self._kept.last_listed(account_id),
        )
        begun_at = self._table.begun_at(account_id)
        return due if begun_at is None else max(due, begun_at + NEVER_WITHIN)
