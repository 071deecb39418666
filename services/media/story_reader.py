"""Reads the live stories of an account with their insights, in as few calls as Instagram allows.

One call lists the stories with all plain metrics, and one more for each metric with a breakdown. A story that Instagram
refuses, for instance one with fewer than 5 viewers, has such a page refused as a whole: it is isolated, and asked for
alone from then on.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial

from services.clients.graph.client import GraphClient
from services.clients.graph.models import MEDIA_PAGE, Account, MediaPage
from services.errors import TRANSIENT, ProviderError, log_fields
from services.executors import Executor
from services.media.catalogue import MEDIA_METRICS, STORY
from services.media.fetcher import Viewers
from services.media.known_refusals import MediaRefusals
from services.media.live_story import FIELDS, LiveStory, StoriesAlong
from services.media.metric_names import MetricNames
from services.media.page_walk import PageWalk
from services.media.single_stories import SingleStories
from services.media.story_pages import Keep, StoryList, StoryPages
from services.media.too_few_viewers import ViewersCheck

log = logging.getLogger(__name__)


def plain_metrics(login: str) -> tuple[str, ...]:
    """Return the metrics of a story that share one call by a login."""
    return tuple(
        metric.name
        for metric in MEDIA_METRICS.values()
        if metric.is_answered(STORY, login)
        and not metric.breakdowns
        and not metric.asked_alone
        and metric.successor is None
    )


class StoryReader:
    """Reads live stories."""

    def __init__(
        self, graph: GraphClient, executor: Executor, *, refusals: MediaRefusals, viewers: ViewersCheck
    ) -> None:
        self._graph = graph
        self._executor = executor
        self._refusals = refusals
        self._viewers = viewers
        self._single = SingleStories(graph, executor, refusals=refusals, viewers=viewers)

    def along(self, account: Account, known: Sequence[LiveStory], *, at: float) -> StoriesAlong:
        """Return how the live stories may come along with another call; `known` are those of the last reading.

        They come only where there are any, and their numbers only where none of them is known to be refused: that would
        refuse the whole call.
        """
        if not known:
            return StoriesAlong(at)
        names = self._names(account, plain_metrics(account.login))
        ids = [story.id for story in known]
        is_refused = any(story.is_refused for story in known)
        if is_refused or self._refusals.of_single_media(account.id, ids, names.metrics):
            return StoriesAlong(at, with_list=True)
        return StoriesAlong(at, with_list=True, metrics=names.metrics, as_totals=names.as_totals)

    def read(
        self,
        account: Account,
        *,
        by_breakdown: Sequence[str],
        keep: Keep,
        known: Sequence[LiveStory] = (),
        listed: StoriesAlong | None = None,
    ) -> list[LiveStory]:
        """Return the live stories; `by_breakdown` names the metrics that are read by their breakdowns.

        `known` are those of the last reading, the newest first, so that no page contains one that was refused. `keep`
        gets stories as their numbers come. What has been `listed` with another call is not asked for again. A failure
        that concerns all calls is raised.
        """
        found, plain = StoryList([story.id for story in known]), plain_metrics(account.login)
        refused = {story.id for story in known if story.is_refused}
        self._read_pages(account, found, plain, apart=refused, keep=keep, listed=listed)
        unread = [story for story in found.stories.values() if not story.is_read]
        self._read_alone(account, found, unread, [*plain, *by_breakdown], few=refused, keep=keep)
        for metric in by_breakdown:
            self._read_by_breakdown(account, found, metric, keep)
        return [found.stories[story] for story in found.order if story in found.stories]

    def first_page(self, account: Account) -> MediaPage:
        """Return the first page of live stories, without numbers; raises the failure of the call."""
        return self._graph.stories_page(account, (), fields=FIELDS, after=None, limit=MEDIA_PAGE)

    def read_some(
        self,
        account: Account,
        stories: Sequence[LiveStory],
        *,
        by_breakdown: Sequence[str],
        keep: Keep,
        few: Collection[str],
        is_last: bool,
    ) -> list[LiveStory]:
        """Return some live stories with their numbers, without a list of all: for one it takes fewer calls.

        Of those that had too `few` viewers, that number is asked for first. At their last reading, metrics of which
        they had too little are asked for once more.
        """
        found = StoryList([], {story.id: story for story in stories})
        metrics = [*plain_metrics(account.login), *by_breakdown]
        self._read_alone(account, found, stories, metrics, keep=keep, few=few, is_last=is_last)
        return list(found.stories.values())

    def _read_pages(
        self,
        account: Account,
        found: StoryList,
        metrics: Sequence[str],
        *,
        apart: Collection[str],
        keep: Keep,
        listed: StoriesAlong | None = None,
    ) -> None:
        """Read metrics that share a call, page by page; stories that refuse one of them are left for later."""
        names = self._names(account, metrics)
        if names.metrics or not found.is_listed:
            own = self._refusals.of_single_media(account.id, found.order, names.metrics)
            pages = StoryPages(
                self._graph,
                self._single,
                account,
                names,
                found,
                refusals=self._refusals,
                viewers=self._viewers,
                apart={*apart, *own},
                keep=keep,
            )
            if listed is not None and listed.page is not None:
                pages.use_page(listed.page, listed.metrics)
            if pages.takes_fewer_calls():
                PageWalk(pages, names, read_page=pages.read_page).run()
            elif not found.is_listed:
                pages.list_all()
            pages.end()
        if unknown := names.unknown():
            read = [story for story in found.stories.values() if story.is_read]
            found.stories |= {each.id: replace(each, values={**unknown, **each.values}) for each in read}

    def _names(self, account: Account, metrics: Sequence[str]) -> MetricNames:
        """Return those of some metrics that Instagram is not known to refuse of any story."""
        names = MetricNames(self._refusals, account.id, (STORY,), metrics)
        names.drop(self._refusals.of_metrics(account.id, STORY, metrics))
        return names

    def _read_by_breakdown(self, account: Account, found: StoryList, metric: str, keep: Keep) -> None:
        """Read a metric by its breakdown; what has the plain numbers refused has this one refused too."""
        for story in [each for each in found.stories.values() if each.is_refused]:
            unknown = next(iter(story.values.values()))
            found.stories[story.id] = replace(story, values={metric: unknown, **story.values})
        lacking = {story.id for story in found.stories.values() if story.is_read and metric not in story.values}
        if lacking:
            self._read_pages(account, found, (metric,), apart=found.stories.keys() - lacking, keep=keep)
        rest = [found.stories[story] for story in lacking if metric not in found.stories[story].values]
        self._read_alone(account, found, rest, (metric,), keep=keep, has_viewers=True)

    def _read_alone(
        self,
        account: Account,
        found: StoryList,
        stories: Sequence[LiveStory],
        metrics: Sequence[str],
        *,
        keep: Keep,
        few: Collection[str] = (),
        has_viewers: bool = False,
        is_last: bool = False,
    ) -> None:
        """Ask for each story alone; keep each as it comes. A story whose call fails is not read."""
        usual: Viewers = "enough" if has_viewers else "unknown"
        calls = [
            partial(
                self._single.fetch,
                account,
                story,
                metrics,
                viewers="few" if story.id in few else usual,
                is_last=is_last,
            )
            for story in stories
        ]
        answers = self._executor.gather(calls, fatal=_concerns_all, on_result=lambda _index, story: keep([story]))
        for story, answer in zip(stories, answers, strict=True):
            if not isinstance(answer, ProviderError):
                found.stories[story.id] = answer
            elif _concerns_all(answer):
                raise answer
            else:
                found.stories[story.id] = replace(story, is_read=False, fault=answer)
        faults = [each.fault for story in stories if (each := found.stories[story.id]).fault is not None]
        if faults:
            log.warning(
                "Numbers of stories could not be read",
                extra={**log_fields(faults[0], account=account.id), "stories": len(faults)},
            )


def _concerns_all(error: ProviderError) -> bool:
    return not isinstance(error, TRANSIENT)
