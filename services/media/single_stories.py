"""Asks for the numbers of one live story alone, and remembers what Instagram refuses of it."""

from __future__ import annotations

from collections.abc import Sequence

from services.clients.graph.client import GraphClient
from services.clients.graph.models import Account
from services.errors import TRANSIENT, ProviderError, RetryStrategy
from services.executors import Executor
from services.media.catalogue import STORY
from services.media.fetcher import MediaFetcher, Viewers, note_refusals
from services.media.known_refusals import FEW, OF_ONE_MEDIA, MediaRefusals
from services.media.live_story import LiveStory
from services.media.too_few_viewers import ViewersCheck
from services.media.values import MediaValue


class SingleStories:
    """The calls for single stories."""

    def __init__(
        self, graph: GraphClient, executor: Executor, *, refusals: MediaRefusals, viewers: ViewersCheck
    ) -> None:
        self._graph = graph
        self._executor = executor
        self._refusals = refusals
        self._viewers = viewers

    def fetch(
        self,
        account: Account,
        story: LiveStory,
        metrics: Sequence[str],
        *,
        viewers: Viewers = "unknown",
        is_last: bool = False,
    ) -> LiveStory:
        """Return a story with a value for each metric; a number that it lacks has its reason.

        Metrics of which it had too little within the last day are asked for only if `is_last`, each alone. It is not
        read where Instagram has a fault. A failure that concerns all calls is raised.
        """
        values = self._remembered(account, story, metrics, is_last=is_last)
        asked = [metric for metric in metrics if metric not in values]
        if not asked:
            return story.with_values(values, is_read=True)
        fetcher = MediaFetcher(
            self._graph,
            self._executor,
            account,
            story.id,
            product_type=STORY,
            known=self._refusals.answered(account.id, STORY),
            viewers=self._viewers,
            apart=self._refusals.few_before(account.id, story.id, asked),
        )
        found = fetcher.fetch(asked, viewers=viewers)
        note_refusals(self._refusals, account, story.id, STORY, found)
        read = {metric: found.values.get(metric) or found.failure for metric in asked}
        answers = {metric: each for metric, each in read.items() if each is not None}
        values |= {metric: value for metric, each in answers.items() if (value := _value(each)) is not None}
        faults = [each for metric, each in answers.items() if isinstance(each, ProviderError) and metric not in values]
        fault = faults[0] if faults else None
        return story.with_values(values, is_read=values.keys() >= set(metrics), fault=fault)

    def _remembered(
        self, account: Account, story: LiveStory, metrics: Sequence[str], *, is_last: bool
    ) -> dict[str, MediaValue]:
        """Return the values of metrics that need not be asked for, because Instagram has refused them before."""
        refusals = self._refusals.of_metrics(account.id, STORY, metrics, media_id=story.id)
        if is_last:
            refusals = {metric: each for metric, each in refusals.items() if each.reason != FEW}
        values = {metric: MediaValue(None, each.reason, each.message or None) for metric, each in refusals.items()}
        if is_last:
            return values
        few = self._refusals.few_before(account.id, story.id, metrics)
        refused = self._refusals.of_media(account.id, [story.id]).get(story.id)
        unknown = MediaValue(None, FEW) if refused is None else MediaValue(None, refused.failure.code)
        others = few if refused is None else set(metrics)
        return dict.fromkeys(others, unknown) | values


def _value(answer: MediaValue | ProviderError) -> MediaValue | None:
    """Return the value of an answer, None for a fault; raises a failure that concerns all calls."""
    if isinstance(answer, MediaValue):
        return answer
    if isinstance(answer, OF_ONE_MEDIA):
        return MediaValue(None, answer.code, answer.message)
    if answer.retry_strategy is RetryStrategy.SPLIT:
        return MediaValue(None, "refused", answer.words or answer.message)
    if not isinstance(answer, TRANSIENT):
        raise answer
    return None
