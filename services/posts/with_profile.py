"""What comes along with a page of an account's list of posts, in one call: its profile, or the posts' insights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from services.accounts.resolver import PROFILE_KEY, AccountResolver
from services.cache.cache import Cache
from services.cache.fetch_request import FetchResult
from services.cache.policies import JOINT_CALL_REFUSED, LAST_KNOWN_PROFILE, PROFILE, Json
from services.clients.graph.client import Begin, GraphClient, do_with_next
from services.clients.graph.lists import listed_insights
from services.clients.graph.models import Account, Item, MediaPage, media_id_of
from services.errors import (
    InsufficientViewersError,
    MediaTooOldError,
    PermissionDeniedError,
    ProviderError,
    ProviderRefusedError,
    RetryStrategy,
)
from services.media.expansion import POST_METRICS, PostValues
from services.media.known_refusals import OF_ONE_MEDIA
from services.media.live_story import StoriesAlong
from services.media.page_walk import INSIGHTS_PAGE_SIZES
from services.media.values import read_item
from services.posts.post import Post, as_post
from services.store.cache_entries import CacheKey

REFUSED_KEY = CacheKey("joint_call_refused")
STORIES_REFUSED_KEY = CacheKey("stories_with_posts_refused")
STORY_NUMBERS_REFUSED_KEY = CacheKey("story_numbers_with_posts_refused")
ABOUT_INSIGHTS = (InsufficientViewersError, MediaTooOldError, PermissionDeniedError, ProviderRefusedError)
"""What a call for posts with their insights may be refused with, where one without insights is answered."""


@dataclass(frozen=True)
class InsightsAlong:
    """That the newest posts' insights come with the list: how they are asked for, and what gets them.

    Where Instagram refuses that call, the list is read without them.
    """

    note: Callable[[Sequence[Post], Mapping[str, PostValues]], None]
    as_totals: bool = False


@dataclass
class Pages:
    """The pages of one reading of the list. The first call brings the profile too, if `on_profile` is there.

    Where Instagram refuses that call, the profile is left for a call of its own (`refused`). Any other failure is the
    profile's; whether the list can be read, its own call shows. `stories_refused` says that Instagram has refused to
    say beside the list whether there are live stories, `story_numbers_refused` that it has refused their numbers there.
    """

    graph: GraphClient
    account: Account
    on_profile: Callable[[Item], None] | None = None
    insights: InsightsAlong | None = None
    collaborations: bool = False  # the posts of others
    stories: StoriesAlong | None = None
    begin: Begin | None = None  # gets what may be done beside the call for the next page
    refused: bool = False
    stories_refused: bool = False
    story_numbers_refused: bool = False
    failure: ProviderError | None = None
    _is_first: bool = field(default=True, init=False)

    def page(self, after: str | None, limit: int) -> MediaPage:
        """Return the posts after a cursor, so many at most."""
        if self.collaborations:
            return self.graph.collaborative_page(self.account, after=after, limit=limit)
        is_first, self._is_first = self._is_first, False
        if is_first and after is None and self.stories is not None:
            page = self._with_stories(self.stories, limit)
            if page is not None:
                return page
        if is_first and self.insights is not None:
            return self._with_insights(self.insights, limit) or self.graph.media_page(
                self.account, after=None, limit=limit
            )
        if not is_first or after is not None or self.on_profile is None:
            return self.graph.media_page(self.account, after=after, limit=limit, begin=self.begin)
        page = None
        try:
            profile, page = self.graph.profile_and_media(self.account, limit=limit, begin=self.begin)
            self.refused = page is None
            do_with_next(partial(self.on_profile, profile), page, self.begin)
        except ProviderError as error:
            # Code 1 may say that the call asks for too much; a page alone is then asked for, smaller and smaller.
            if isinstance(error, ProviderRefusedError) or error.retry_strategy is RetryStrategy.SHRINK:
                self.refused = True
            else:
                self.failure = error
        return page or self.graph.media_page(self.account, after=after, limit=limit, begin=self.begin)

    def _with_stories(self, stories: StoriesAlong, limit: int) -> MediaPage | None:
        insights = self.insights
        try:
            found = self.graph.look(
                self.account,
                limit=min(limit, INSIGHTS_PAGE_SIZES[0]),
                with_profile=self.on_profile is not None,
                metrics=POST_METRICS if insights is not None else (),
                as_totals=insights is not None and insights.as_totals,
                story_fields=stories.fields,
            )
        except ProviderError as error:
            if not isinstance(error, ABOUT_INSIGHTS) and error.retry_strategy is not RetryStrategy.SHRINK:
                raise
            if stories.metrics:
                # Which story that is, the reading of the stories finds out and remembers.
                is_of_one = isinstance(error, OF_ONE_MEDIA)
                self.story_numbers_refused = not is_of_one
                stories.leave(numbers_only=is_of_one)
                return self._with_stories(stories, limit)
            # With insights it is most likely one of the posts that refuses them, and the next look goes without.
            self.stories_refused, self.insights = insights is None, None
            return None
        stories.come(found.stories)
        if self.on_profile is not None:
            self.on_profile(found.profile)
            self.on_profile = None
        self.stories_refused = found.posts is None
        if found.posts is not None and insights is not None:
            _hand_over(insights, found.posts)
        return found.posts

    def _with_insights(self, insights: InsightsAlong, limit: int) -> MediaPage | None:
        limit = min(limit, INSIGHTS_PAGE_SIZES[0])
        try:
            page = self.graph.media_page_with_insights(
                self.account, POST_METRICS, after=None, limit=limit, as_totals=insights.as_totals, in_full=True
            )
        except ProviderError as error:
            if isinstance(error, ABOUT_INSIGHTS) or error.retry_strategy is RetryStrategy.SHRINK:
                return None
            raise
        _hand_over(insights, page)
        return page


def _hand_over(insights: InsightsAlong, page: MediaPage) -> None:
    found = {media_id_of(item): listed_insights(item) for item in page.posts}
    posts = [post for post in map(as_post, page.posts) if post is not None]
    insights.note(
        posts,
        {
            post_id: {metric: read_item(named.get(metric)) for metric in POST_METRICS}
            for post_id, named in found.items()
            if post_id is not None
        },
    )


class ProfileAlong:
    """Takes the profile along where the list of posts is read anyway."""

    def __init__(self, accounts: AccountResolver, graph: GraphClient, cache: Cache) -> None:
        self._accounts = accounts
        self._graph = graph
        self._cache = cache

    def pages(self, account: Account, *, on_profile: Callable[[Json], None] | None = None) -> Pages:
        """Begin a reading of the list.

        `on_profile` gets the profile, as it is cached, where that is needed too. Where it is not, it still comes along
        if any endpoint uses it: then both expire together, and stay one call.
        """
        found = self._cache.peek(account.id, {PROFILE_KEY: LAST_KNOWN_PROFILE, REFUSED_KEY: JOINT_CALL_REFUSED})
        if REFUSED_KEY in found or (on_profile is None and PROFILE_KEY not in found):
            return Pages(self._graph, account)

        def keep_answered(answer: Item) -> None:
            profile = self._accounts.as_profile(account, answer)
            if on_profile is not None:
                on_profile(profile)
            elif None not in profile.values():  # What is unknown must not replace what was known.
                self._cache.put(account.id, {PROFILE_KEY: (profile, PROFILE)})

        return Pages(self._graph, account, keep_answered)

    def note(self, account: Account, pages: Pages) -> None:
        """Remember what Instagram does not give in one call with the list."""
        refused = {
            REFUSED_KEY: pages.refused,
            STORIES_REFUSED_KEY: pages.stories_refused,
            STORY_NUMBERS_REFUSED_KEY: pages.story_numbers_refused and not pages.stories_refused,
        }
        for key in [key for key, is_refused in refused.items() if is_refused]:
            self._cache.put(account.id, {key: ({"refused": True}, JOINT_CALL_REFUSED)})

    def take_stories(self, pages: Pages, stories: StoriesAlong) -> None:
        """Let live stories come along with the list, as far as Instagram has not refused that of late."""
        policies = dict.fromkeys((STORIES_REFUSED_KEY, STORY_NUMBERS_REFUSED_KEY), JOINT_CALL_REFUSED)
        found = self._cache.peek(pages.account.id, policies)
        if STORY_NUMBERS_REFUSED_KEY in found:
            stories.leave(numbers_only=False)
        if STORIES_REFUSED_KEY not in found:
            pages.stories = stories

    def alone(self, account: Account, *, again: bool) -> FetchResult:
        """Read the profile by a call of its own; `again` after the joint one was refused."""
        try:
            return self._accounts.as_profile(account, self._graph.profile(account, again=again))
        except ProviderError as error:
            return error
