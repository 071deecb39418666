"""Insights of many posts in few calls: pages of the list of posts, each post with its insights (field expansion).

Instagram refuses a whole page for a single post that has no insights. The page is then halved, its cursor kept, until
the culprit is alone: at most 2 x log2(page) calls fail. It is remembered, and from then on no page contains it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from services.clients.graph.client import GraphClient, listed_insights
from services.clients.graph.models import MEDIA_PAGE, Account, Item, MediaPage, media_id_of
from services.errors import (
    Charge,
    InsufficientViewersError,
    MediaTooOldError,
    ProviderError,
    ProviderRefusedError,
    RetryStrategy,
)
from services.media.metric_names import MetricNames
from services.media.page_size import PageSize
from services.media.refusals import MediaRefusals
from services.media.values import MediaValue, read_item

POST_METRICS = ("reach", "views", "saved", "shares", "total_interactions")
"""What every type of post has, so that one expansion asks it of all."""

PAGE_SIZES = (50, 25, 6, 1)  # posts; where a page is too much for Instagram (code 1), the next smaller size
SMALL_GAP = 10  # posts that are not due are asked for too where so few stand between others: that saves a call
MAX_CULPRITS = 10  # of one reading; the next one goes on behind them
ALIKE = 2  # other posts of a type that are asked for a metric that one refuses, before it is refused for the type

PostValues = Mapping[str, MediaValue]
"""A value for each of `POST_METRICS`."""


@dataclass(frozen=True)
class ListedPost:
    """A post in the order of the list, newest first: its id, its time (Unix seconds) and its product type, or ""."""

    id: str
    posted_at: float
    product_type: str


def unknown_values(reason: str, message: str | None = None) -> dict[str, MediaValue]:
    """Return the values of a post without insights."""
    return dict.fromkeys(POST_METRICS, MediaValue(None, reason, message))


class ExpansionReader:
    """Reads the insights of an account's posts."""

    def __init__(self, graph: GraphClient, refusals: MediaRefusals) -> None:
        self._graph = graph
        self._refusals = refusals

    def read(
        self,
        account: Account,
        posts: Sequence[ListedPost],
        due: Collection[str],
        *,
        alone: Collection[str] = (),
        keep: Callable[[Mapping[str, PostValues]], None],
    ) -> Mapping[str, PostValues]:
        """Return the values of the posts that are due, of which `posts` are the list from its newest on.

        `keep` gets the values of each page as it comes, those of posts between too. Posts that may have too few viewers
        are asked for `alone`. Raises the first failure that is about more than one post.
        """
        walk = _Walk(self._graph, self._refusals, account, posts, due, alone=alone, keep=keep)
        walk.run()
        return {post_id: walk.values.get(post_id) or unknown_values("not_answered") for post_id in due}


@dataclass
class _Culprits:
    """What one reading has found out about refusals."""

    found: int = 0
    answered: set[tuple[str, str]] = field(default_factory=set)  # product type and metric


class _Walk:
    """One walk over the list, from its newest post on."""

    def __init__(
        self,
        graph: GraphClient,
        refusals: MediaRefusals,
        account: Account,
        posts: Sequence[ListedPost],
        due: Collection[str],
        *,
        alone: Collection[str],
        keep: Callable[[Mapping[str, PostValues]], None],
    ) -> None:
        self._graph, self._refusals, self._account = graph, refusals, account
        self._posts, self._due, self._alone, self._keep = posts, set(due), alone, keep
        self._places = {post.id: place for place, post in enumerate(posts)}
        self._types = {post.id: post.product_type for post in posts}
        self._names = MetricNames(refusals, account.id, set(self._types.values()), POST_METRICS)
        self._culprits = _Culprits()
        self._place = 0  # of the next post in `posts`
        self._cursor: str | None = None
        self._seen: set[str] = set()
        self._repeats = 0  # posts at the head of the last page that came before
        self._refused: dict[tuple[str, str], MediaValue] = {}  # by post and metric
        self._plan: list[tuple[str, ...]] = []
        self.values: dict[str, PostValues] = {}

    def run(self) -> None:
        """Walk as far as posts are due."""
        self._read_refusals()
        try:
            self._walk()
        finally:
            for product_type in {each for each, _ in self._culprits.answered}:
                metrics = [metric for each, metric in self._culprits.answered if each == product_type]
                self._refusals.note_answered(self._account.id, product_type, metrics)

    def _walk(self) -> None:
        cursors: set[str] = set()
        size = PageSize(PAGE_SIZES)
        suspects = 0  # so many of the next posts have the culprit among them
        while self._is_any_left():
            metrics, run = self._next_run()
            limit = min(run, max(1, suspects // 2)) if suspects and metrics else run
            # Where the last page repeated a post, the next one may too, so that it has room for one more.
            limit = min(limit + self._repeats if limit > 1 else 1, size.limit if metrics else MEDIA_PAGE)
            as_totals = self._names.as_totals
            try:
                page = self._page(metrics, limit)
            except ProviderError as error:
                if self._names.learn(error, metrics, as_totals=as_totals):
                    self._drop_refused_names()
                    continue
                if error.retry_strategy is RetryStrategy.SHRINK and size.shrink_below(limit):
                    continue
                if not metrics or not _is_about_a_post(error):
                    raise
                suspects = limit
                if limit > 1:
                    continue
                page, suspects = self._isolate(error, metrics), 0
            else:
                if metrics:
                    self._names.confirm({self._types.get(_id_of(item), "") for item in page.posts})
                    size.passed(len(page.posts))
                    suspects = max(0, suspects - self._new_posts(page))
                    self._record(page.posts, metrics)
            if not self._go_on(page, cursors):
                return

    def _page(self, metrics: Sequence[str], limit: int) -> MediaPage:
        return self._graph.media_page_with_insights(
            self._account, metrics, after=self._cursor, limit=limit, as_totals=self._names.as_totals
        )

    def _single(self, post_id: str, metrics: Sequence[str]) -> Mapping[str, Item]:
        return self._graph.media_insights(self._account, post_id, metrics, as_total=self._names.as_totals)

    def _drop_refused_names(self) -> None:
        """Ask no post for a metric whose name Instagram does not accept."""
        for metric, (reason, message) in self._names.refused.items():
            self._refused |= {(post.id, metric): MediaValue(None, reason, message) for post in self._posts}
        self._make_plan()

    def _new_posts(self, page: MediaPage) -> int:
        """Return how many posts of a page did not come before; when something is published, one may come twice."""
        ids = {_id_of(item) for item in page.posts}
        self._repeats = 1 if ids & self._seen else 0
        return len(ids - self._seen)

    def _go_on(self, page: MediaPage, cursors: set[str]) -> bool:
        """Take the place behind a page; return whether there is one."""
        listed = [self._places[post_id] for item in page.posts if (post_id := _id_of(item)) in self._places]
        self._seen |= {self._posts[place].id for place in listed}
        if listed == sorted(listed) and listed:
            self._place = max(self._place, listed[-1] + 1)
        else:  # A pinned post, or only posts that are newer than the list.
            unseen = (place for place, post in enumerate(self._posts) if post.id not in self._seen)
            self._place = next(unseen, len(self._posts))
        if not page.more or page.after is None or page.after in cursors:
            return False
        cursors.add(page.after)
        self._cursor = page.after
        return True

    def _read_refusals(self) -> None:
        """Read what was refused before; what is older than a post from before the conversion has no insights either."""
        for post_id, refused in self._refusals.of_media(self._account.id, list(self._types)).items():
            self._rule_out(post_id, refused.failure)
        for (post_id, metric), refusal in self._refusals.of_many(self._account.id, self._types, POST_METRICS).items():
            self._refused[post_id, metric] = MediaValue(None, refusal.reason, refusal.message)
        self._make_plan()

    def _rule_out(self, post_id: str, failure: ProviderError) -> None:
        """Ask for this post no more; nor for older ones, if it is from before the conversion."""
        posts = [self._posts[self._places[post_id]]]
        if isinstance(failure, MediaTooOldError):
            posts = [post for post in self._posts if post.posted_at <= posts[0].posted_at]
        for post in posts:
            self.values[post.id] = unknown_values(failure.code)
            self._refused |= {(post.id, metric): MediaValue(None, failure.code) for metric in POST_METRICS}

    def _make_plan(self) -> None:
        """Decide for each post which metrics it is asked for; none where it is not due or has no insights."""
        accepted = [
            tuple(metric for metric in POST_METRICS if (post.id, metric) not in self._refused) for post in self._posts
        ]
        for post, metrics in zip(self._posts, accepted, strict=True):
            if not metrics:
                self.values[post.id] = {metric: self._refused[post.id, metric] for metric in POST_METRICS}
        self._plan = [
            metrics if post.id in self._due else () for post, metrics in zip(self._posts, accepted, strict=True)
        ]
        last_due: int | None = None
        for place, metrics in enumerate(self._plan):
            if not metrics:
                continue
            first = 0 if last_due is None else last_due + 1
            if place - first < SMALL_GAP and all(accepted[each] == metrics for each in range(first, place)):
                self._plan[first:place] = [metrics] * (place - first)
            last_due = place

    def _is_any_left(self) -> bool:
        return any(
            self._plan[place] and self._posts[place].id not in self._seen
            for place in range(self._place, len(self._posts))
        )

    def _next_run(self) -> tuple[tuple[str, ...], int]:
        """Return the metrics that the next post is asked for, and how many posts in a row are asked for the same."""
        metrics, end = self._plan[self._place], self._place + 1
        if self._posts[self._place].id in self._alone and metrics:
            return metrics, 1
        while end < len(self._plan) and self._plan[end] == metrics:
            if metrics and self._posts[end].id in self._alone:
                break
            end += 1
        return metrics, end - self._place

    def _record(self, items: Sequence[Item], metrics: Sequence[str]) -> None:
        """Read the values of a page and hand them over."""
        if not metrics:
            return
        found: dict[str, PostValues] = {}
        for item in items:
            post_id = _id_of(item)
            if post_id not in self._places:
                continue
            named = listed_insights(item)
            found[post_id] = {
                metric: read_item(named.get(metric)) if metric in metrics else self._refused_value(post_id, metric)
                for metric in POST_METRICS
            }
            self._culprits.answered |= {(self._types[post_id], metric) for metric in named}
        self.values |= found
        if found:
            self._keep(found)

    def _refused_value(self, post_id: str, metric: str) -> MediaValue:
        return self._refused.get((post_id, metric)) or MediaValue(None, "not_answered")

    def _isolate(self, error: ProviderError, metrics: Sequence[str]) -> MediaPage:
        """Find out which post was refused, and what of it; return the page that has only that post.

        The post before may have been deleted since the list was read, so the place alone does not tell.
        """
        page = self._page((), 1)
        culprit = _id_of(page.posts[0]) if page.posts else ""
        if culprit not in self._places:
            return page
        if isinstance(error, MediaTooOldError | InsufficientViewersError):
            self._refusals.note_media(self._account.id, culprit, error)
            self._rule_out(culprit, error)
        else:
            self._note_metrics(culprit, error, metrics)
        self._keep({culprit: self.values[culprit]})
        self._culprits.found += 1
        if self._culprits.found >= MAX_CULPRITS:
            # Not the failure of this culprit, which is no reason for the posts that were not asked for yet.
            raise ProviderRefusedError(
                "Instagram refuses the insights of many posts.",
                provider="instagram",
                hint="Ask again: the refusals are remembered, and the next request reads the rest.",
                charge=Charge.NONE,
            )
        self._make_plan()
        return page

    def _note_metrics(self, culprit: str, error: ProviderError, metrics: Sequence[str]) -> None:
        """Remember the metrics that a post refuses, or that its whole type does."""
        answered, refused = self._take_apart(culprit, error, metrics)
        if not answered and not self._culprits.answered and not self._answers_another(culprit):
            # Instagram refuses everything it is asked for, so nothing shows that it is about this post.
            for post_id in self._due:
                self.values.setdefault(post_id, unknown_values("refused", error.words))
            self._refused |= {
                (post.id, metric): MediaValue(None, "refused", error.words)
                for post in self._posts
                for metric in POST_METRICS
            }
            return
        product_type = self._types[culprit]
        self._refusals.note_metrics(self._account.id, product_type, refused, media_id=culprit)
        self._culprits.answered |= {(product_type, metric) for metric in answered}
        for metric, (reason, message) in refused.items():
            self._refused[culprit, metric] = MediaValue(None, reason, message)
            if not self._is_refused_to_type(product_type, metric, culprit):
                continue
            # What one type does not have any more, the others may not have either.
            others = [
                each for each in set(self._types.values()) - {product_type} if self._is_refused_to_type(each, metric)
            ]
            for each in (product_type, *others):
                self._refusals.note_metrics(self._account.id, each, {metric: (reason, message)})
                same = [post.id for post in self._posts if post.product_type == each]
                self._refused |= {(post_id, metric): MediaValue(None, reason, message) for post_id in same}
        self.values[culprit] = {
            metric: answered.get(metric) or self._refused_value(culprit, metric) for metric in POST_METRICS
        }

    def _is_refused_to_type(self, product_type: str, metric: str, culprit: str = "") -> bool:
        """Return whether a type lacks a metric: others of it refuse the metric too, and none had it in this reading."""
        posts = [post.id for post in self._posts if post.product_type == product_type and post.id in self._due]
        others = [post_id for post_id in reversed(posts) if post_id != culprit and post_id not in self._seen]
        if (product_type, metric) in self._culprits.answered:
            return False
        for post_id in others[:ALIKE]:
            try:
                self._single(post_id, (metric,))
            except ProviderError as error:
                if not _is_about_a_post(error):
                    raise
                if isinstance(error, MediaTooOldError | InsufficientViewersError):
                    return False
            else:
                self._culprits.answered.add((product_type, metric))
                return False
        return bool(others)

    def _take_apart(
        self, post_id: str, error: ProviderError, metrics: Sequence[str]
    ) -> tuple[dict[str, MediaValue], dict[str, tuple[str, str]]]:
        """Ask a post for fewer and fewer metrics; return the answered values, and the reasons of those refused."""
        answered: dict[str, MediaValue] = {}
        refused: dict[str, tuple[str, str]] = {}
        if len(metrics) == 1:
            return {}, {metrics[0]: ("refused", error.words or error.message)}
        parts = _halves(metrics)
        while parts:
            part = parts.pop()
            try:
                named = self._single(post_id, part)
            except ProviderError as raised:
                if not _is_about_a_post(raised):
                    raise
                if len(part) > 1:
                    parts += _halves(part)
                else:
                    refused[part[0]] = ("refused", raised.words or raised.message)
            else:
                answered |= {metric: read_item(named.get(metric)) for metric in part}
        return answered, refused

    def _answers_another(self, culprit: str) -> bool:
        """Return whether Instagram answers another post, of another type if there is one."""
        others = [post for post in self._posts if post.id in self._due and post.id != culprit]
        if not others:
            return False
        other = next((post for post in others if post.product_type != self._types[culprit]), others[-1])
        try:
            return bool(self._single(other.id, self._names.metrics))
        except ProviderError as error:
            if isinstance(error, MediaTooOldError | InsufficientViewersError):
                return True
            if not _is_about_a_post(error):
                raise
            return False


def _is_about_a_post(error: ProviderError) -> bool:
    """Return whether a refusal may be about a single post or metric of the page."""
    if isinstance(error, MediaTooOldError | InsufficientViewersError):
        return True
    return isinstance(error, ProviderRefusedError) and error.retry_strategy is RetryStrategy.SPLIT


def _halves(metrics: Sequence[str]) -> list[tuple[str, ...]]:
    middle = (len(metrics) + 1) // 2
    return [tuple(metrics[middle:]), tuple(metrics[:middle])]


def _id_of(item: Item) -> str:
    return media_id_of(item) or ""
