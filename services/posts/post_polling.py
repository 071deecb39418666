"""When an account's posts are looked at in the background: hourly for new ones, and at the fixed ages of each post.

A look is one call where nothing stands in its way: the list of posts, together with their insights where a post is due,
and with the live stories or whether there are any. Where there are none, the reading of stories has no call to make in
that hour; where there are, it has one for each metric with a breakdown.
A post is due from each fixed age on until it was read after that, by whichever request. So a reading that was missed
comes once, late, and a young post is read often and an old one seldom. Posts beyond the first page cost further calls,
so they wait for each other within the tolerance of their age.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services import request_context
from services.accounts.resolver import AccountResolver
from services.cache.policies import DAY, HOUR, MINUTE
from services.clients.graph.models import Account
from services.clients.guard.usage import QUOTA_PAUSE
from services.clock import Clock
from services.errors import PermissionDeniedError, log_fields
from services.media.expansion import POST_METRICS, PostValues
from services.media.known_refusals import MediaRefusals
from services.media.page_walk import INSIGHTS_PAGE_SIZES
from services.media.story_polling import NEVER_WITHIN, PollRun, StoryPolling
from services.posts.ages import FIRST_LOOK_DAYS, PUNCTUAL, due_since, may_wait_until, moments
from services.posts.insights import PostInsightsReader
from services.posts.kept_posts import KeptPosts
from services.posts.listed_posts import PostListPolicy
from services.posts.ordered_posts import Posts
from services.posts.post import Post
from services.posts.reader import PostReader
from services.posts.with_profile import InsightsAlong
from services.store.posts import SEEN_AGAIN, PostRow, PostTable

LOOK_EVERY = HOUR
ACCEPTED_AGE = HOUR / 2  # of a list that was read for a caller, where no post is due
WATCHED = 35 * DAY  # age up to which posts are read: a week after the last fixed age
MOST_WATCHED = 1_000  # posts; an account that publishes more has its oldest ones not read, which would cost most
FIRST_PAGE = INSIGHTS_PAGE_SIZES[0]  # posts whose insights come with the list
GONE_AFTER = 2 * SEEN_AGAIN + 2 * HOUR  # before the last look; a post that was not listed since is not read
MOST_AT_ONCE = 200  # posts that are read in one look; the next one goes on
GO_ON_AFTER = 2 * MINUTE
LIST_RETRY_AFTER = 10 * MINUTE  # after a list that was not read although no call for it failed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Watched:
    """The young posts of an account that it still lists, and when each was read last (Unix seconds).

    Where there are more than may be watched, `cut_at` is when the oldest one was published.
    """

    rows: Sequence[PostRow]
    read_at: Mapping[str, float]
    begun_at: float | None
    looked_at: float | None
    cut_at: float | None

    def overdue(self, now: float) -> list[float]:
        """Return since when each post that a look would read now is due."""
        due = {row.id: due_since(row.posted_at, self.read_at.get(row.id), now=now) for row in self.rows}
        chosen = _in_this_look([(row.id, row.posted_at, due[row.id]) for row in self.rows], now)
        return [moment for row in self.rows if row.id in chosen and (moment := due[row.id]) is not None]

    def next_look(self, now: float) -> float:
        """Return when the posts are to be looked at next: now, or earlier, if that is overdue."""
        if self.looked_at is None:
            due = now
        else:
            coming = (
                moment
                for row in self.rows
                for moment in moments(row.posted_at, PUNCTUAL)
                if moment > max(self.looked_at, self.read_at.get(row.id, 0.0))
            )
            due = min([self.looked_at + LOOK_EVERY, *coming])
        return due if self.begun_at is None else max(due, self.begun_at + NEVER_WITHIN)


class DueInsights(NamedTuple):
    """What became of the insights that were due: whether all were tried, and whether a call failed."""

    is_done: bool = True
    has_failed: bool = False


class PostPolling:
    """Looks at the posts of each account when that is due."""

    def __init__(
        self,
        accounts: AccountResolver,
        posts: PostReader,
        insights: PostInsightsReader,
        stories: StoryPolling,
        *,
        kept: KeptPosts,
        table: PostTable,
        refusals: MediaRefusals,
        may_work: Callable[[str], bool],
        clock: Clock,
    ) -> None:
        """Build the polling; `may_work` says whether the quota of an account has room for background work."""
        self._accounts = accounts
        self._posts = posts
        self._insights = insights
        self._stories = stories
        self._kept = kept
        self._table = table
        self._refusals = refusals
        self._may_work = may_work
        self._clock = clock

    def accounts(self) -> list[str]:
        """Return the accounts whose posts are looked at; raises `BusyError` where they are not known."""
        return [account.id for account in self._accounts.all()]

    def look(self, account_id: str) -> PollRun:
        """Look at the posts of an account if that is due.

        Raises `AccountUnknownError` for an account that was removed, the failure of the provider, and
        `DatabaseUnavailableError`.
        """
        account = self._accounts.still_here(account_id)
        now = self._clock.timestamp()
        watched = self._watched(account_id, now)
        if (due := watched.next_look(now)) > now:
            return PollRun(due, is_read=False)
        if not self._may_work(account_id):
            return PollRun(now + QUOTA_PAUSE, is_read=False)
        self._table.begin_look(account_id, now=now)
        may_read = self._insights.may_read(account)
        is_first, overdue = watched.looked_at is None, watched.overdue(now) if may_read else []
        since = now - FIRST_LOOK_DAYS * DAY if is_first else watched.cut_at or now - WATCHED
        # What was read since then will do, for instance for a caller of GET /top-posts.
        needed_since = max(overdue, default=now - ACCEPTED_AGE)
        request_context.accept_since(needed_since)
        needs_insights = may_read and (overdue or (is_first and not watched.rows))
        along = self._along(account, watched.rows) if needs_insights else None
        stories = self._stories.along(account)
        listed = self._posts.read(account, PostListPolicy(since=since), insights=along, stories=stories, raises=True)
        if listed.failure is not None:
            raise listed.failure
        if listed.read_at.timestamp() < needed_since:
            return PollRun(now + LIST_RETRY_AFTER, is_read=False)
        insights = self._read_due(account, listed, since, is_first=is_first) if may_read else DueInsights()
        self._stories.use_look(account, stories)
        if not insights.is_done:
            return PollRun(now + GO_ON_AFTER)
        self._table.end_look(account_id, looked_at=listed.read_at.timestamp())
        now = self._clock.timestamp()
        return PollRun(self._watched(account_id, now).next_look(now), is_read=not insights.has_failed)

    def _read_due(self, account: Account, listed: Posts, since: float, *, is_first: bool) -> DueInsights:
        """Read the insights of the posts that are due."""
        now = self._clock.timestamp()
        posts = [post for post in listed.posts if post.timestamp.timestamp() >= since][:MOST_WATCHED]
        due = self._due(account, posts, now, all_=is_first)
        if not due:
            return DueInsights()
        chosen = due[:MOST_AT_ONCE]
        found = self._insights.read(account, chosen, listed=listed.posts)
        failure = found.failure or found.stale_for
        if isinstance(failure, PermissionDeniedError):
            self._insights.note_denied(account)
        elif is_first and failure is not None:
            raise failure
        if failure is not None:
            log.warning("Insights of posts could not be read", extra=log_fields(failure, account=account.id))
        # What has no insights is answered without a call, and what was cached while the database was unavailable too.
        for post in self._due(account, chosen, now, all_=True):
            if (read_at := found.read_at.get(post.id)) is not None:
                self._kept.read(account, [post], {post.id: found.values[post.id]}, read_at=read_at)
        return DueInsights(
            is_done=len(due) == len(chosen) or failure is not None,
            has_failed=failure is not None and not isinstance(failure, PermissionDeniedError),
        )

    def _due(self, account: Account, posts: Sequence[Post], now: float, *, all_: bool) -> list[Post]:
        """Return which of the newest posts are due; without those that may wait, unless `all_` are needed."""
        read_at = self._table.last_insights(account.id, [post.id for post in posts])
        ages = [
            (post.id, posted := post.timestamp.timestamp(), due_since(posted, read_at.get(post.id), now=now))
            for post in posts
        ]
        chosen = {post_id for post_id, _, due in ages if due is not None} if all_ else _in_this_look(ages, now)
        return [post for post in posts if post.id in chosen]

    def _along(self, account: Account, rows: Sequence[PostRow]) -> InsightsAlong | None:
        """Return how insights come with the list, or None where Instagram is known to refuse some of them."""
        newest = {row.id: row.media_product_type or "" for row in rows[:FIRST_PAGE]}
        refused = self._refusals.of_media(account.id, list(newest))
        if refused or self._refusals.of_many(account.id, newest, POST_METRICS):
            return None
        answered = [self._refusals.answered(account.id, each).as_totals for each in set(newest.values())]

        def note(posts: Sequence[Post], values: Mapping[str, PostValues]) -> None:
            self._kept.read(account, posts, values)
            self._insights.note(account, posts, values)

        return InsightsAlong(note, as_totals=any(each & set(POST_METRICS) for each in answered))

    def _watched(self, account_id: str, now: float) -> _Watched:
        look = self._table.look(account_id)
        begun_at, looked_at = (None, None) if look is None else look
        rows = self._table.between(account_id, now - WATCHED, now)[:MOST_WATCHED]
        listed = [row for row in rows if looked_at is None or row.last_seen_at >= looked_at - GONE_AFTER]
        read_at = self._table.last_insights(account_id, [row.id for row in listed])
        cut_at = rows[-1].posted_at if len(rows) == MOST_WATCHED else None
        return _Watched(listed, read_at, begun_at, looked_at, cut_at)


def _in_this_look(posts: Sequence[tuple[str, float, float | None]], now: float) -> set[str]:
    """Return the ids of the posts that one look reads: of each its id, when it was published and since when it is due.

    They are sorted, the newest first. Those beyond the first page are left out while all of them may wait.
    """
    first, rest = posts[:FIRST_PAGE], posts[FIRST_PAGE:]
    is_urgent = any(due is not None and now >= may_wait_until(posted, due) for _, posted, due in rest)
    return {post_id for post_id, _, due in (posts if is_urgent else first) if due is not None}
