"""Finds out what a post refuses that has a page refused: all insights, some metrics, or what its whole type lacks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from services.clients.graph.client import GraphClient
from services.clients.graph.models import Account, Item
from services.errors import InsufficientViewersError, ProviderError, ProviderRefusedError, RetryStrategy
from services.media.known_refusals import FEW, OF_ONE_MEDIA, OF_WHOLE_MEDIA
from services.media.metric_names import MetricNames
from services.media.values import MediaValue, read_item

ALIKE = 2  # other posts of a type that are asked for a metric that one refuses, before it is refused for the type


@dataclass(frozen=True)
class ListedPost:
    """A post in the order of the list, newest first: its id, its time (Unix seconds) and its product type, or ""."""

    id: str
    posted_at: float
    product_type: str


def is_about_a_post(error: ProviderError) -> bool:
    """Return whether the refusal of a call for one post may be about that post or a metric of it."""
    if isinstance(error, OF_ONE_MEDIA):
        return True
    return isinstance(error, ProviderRefusedError) and error.retry_strategy is RetryStrategy.SPLIT


class PostCulprits:
    """The calls for single posts of one reading; `due` are the ids of the posts that it is for.

    `answered` are the metrics that the reading had answered, each with the product type of the post.
    """

    def __init__(
        self,
        graph: GraphClient,
        account: Account,
        names: MetricNames,
        posts: Sequence[ListedPost],
        due: Collection[str],
    ) -> None:
        self._graph = graph
        self._account = account
        self._names = names
        self._due = [post for post in posts if post.id in due]
        self.answered: set[tuple[str, str]] = set()

    def take_apart(
        self, post_id: str, error: ProviderError, metrics: Sequence[str]
    ) -> tuple[dict[str, MediaValue], dict[str, tuple[str, str]]]:
        """Ask a post for fewer and fewer metrics; return the answered values, and the reasons of those refused.

        Raises the failure of the whole post, of which a metric is no cause: it may be deleted meanwhile.
        """
        answered: dict[str, MediaValue] = {}
        refused: dict[str, tuple[str, str]] = {}
        if len(metrics) == 1:
            return {}, {metrics[0]: ("refused", error.words or error.message)}
        parts = _halves(metrics)
        while parts:
            part = parts.pop()
            try:
                named = self.fetch_alone(post_id, part)
            except ProviderError as raised:
                if isinstance(raised, OF_WHOLE_MEDIA) or not is_about_a_post(raised):
                    raise
                if len(part) > 1:
                    parts += _halves(part)
                else:
                    is_few = isinstance(raised, InsufficientViewersError)
                    refused[part[0]] = (FEW if is_few else "refused", raised.words or raised.message)
            else:
                answered |= {metric: read_item(named.get(metric)) for metric in part}
        return answered, refused

    def is_refused_to_type(self, product_type: str, metric: str, *, seen: Collection[str]) -> bool:
        """Return whether a type lacks a metric: posts that were not `seen` refuse it too, and none had it so far."""
        if (product_type, metric) in self.answered:
            return False
        # The newest of them: old ones may be from before the conversion, which says nothing of their type.
        others = [post.id for post in self._due if post.product_type == product_type and post.id not in seen]
        for post_id in others[:ALIKE]:
            try:
                self.fetch_alone(post_id, (metric,))
            except ProviderError as error:
                if not is_about_a_post(error):
                    raise
                if isinstance(error, OF_ONE_MEDIA):
                    return False
            else:
                self.answered.add((product_type, metric))
                return False
        return bool(others)

    def answers_another(self, culprit: str, product_type: str) -> bool:
        """Return whether Instagram answers another post, of another type if there is one."""
        others = [post for post in self._due if post.id != culprit]
        if not others:
            return False
        other = next((post for post in others if post.product_type != product_type), others[-1])
        try:
            return bool(self.fetch_alone(other.id, self._names.metrics))
        except ProviderError as error:
            if isinstance(error, OF_ONE_MEDIA):
                return True
            if not is_about_a_post(error):
                raise
            return False

    def fetch_alone(self, post_id: str, metrics: Sequence[str]) -> Mapping[str, Item]:
        """Return what a post alone answers; raises its refusal."""
        return self._graph.media_insights(self._account, post_id, metrics, as_total=self._names.as_totals)


def _halves(metrics: Sequence[str]) -> list[tuple[str, ...]]:
    middle = (len(metrics) + 1) // 2
    return [tuple(metrics[middle:]), tuple(metrics[:middle])]
