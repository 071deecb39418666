"""Insights of many posts in few calls: pages of the list of posts, each post with its insights (field expansion).

A post that is refused is remembered with what it refuses, so that no later page contains it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from services.clients.graph.client import GraphClient
from services.clients.graph.lists import listed_insights
from services.clients.graph.models import Account, Item, MediaPage, media_id_of
from services.errors import Charge, MediaTooOldError, ObjectNotFoundError, ProviderError, ProviderRefusedError
from services.media.known_refusals import FEW, OF_ONE_MEDIA, OF_WHOLE_MEDIA, MediaRefusals
from services.media.metric_names import MetricNames
from services.media.page_walk import PageWalk, Run
from services.media.refusal_check import ListedPost, PostCulprits, is_about_a_post
from services.media.values import MediaValue, read_item
from services.store.posts import INSIGHTS

POST_METRICS = INSIGHTS
"""What every type of post has, so that one expansion asks it of all; each has a column of its own where it is kept."""

SMALL_GAP = 10  # posts that are not due are asked for too where so few stand between others: that saves a call
MAX_CULPRITS = 10  # of one reading; the next one goes on behind them

PostValues = Mapping[str, MediaValue]
"""A value for each of `POST_METRICS`."""


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
        pages = _PostPages(self._graph, self._refusals, account, posts, due, alone=alone, keep=keep)
        pages.read()
        return {post_id: pages.values.get(post_id) or unknown_values("not_answered") for post_id in due}


class _PostPages:
    """The list of an account's posts, as one reading walks over it."""

    asks_culprits = False  # Their page of one post shows it; another list may have moved on since the posts were read.

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
        self._culprits = PostCulprits(graph, account, self._names, posts, self._due)
        self._found = 0  # culprits
        self._place = 0  # of the next post in `posts`
        self._seen: set[str] = set()
        self._refused: dict[tuple[str, str], MediaValue] = {}  # by post and metric
        self._plan: list[tuple[str, ...]] = []
        self.values: dict[str, PostValues] = {}

    def read(self) -> None:
        """Walk as far as posts are due."""
        self._read_refusals()
        try:
            read_page = partial(self._graph.media_page_with_insights, self._account)
            PageWalk(self, self._names, read_page=read_page).run()
        finally:
            for product_type in {each for each, _ in self._culprits.answered}:
                metrics = [metric for each, metric in self._culprits.answered if each == product_type]
                self._refusals.note_answered(self._account.id, product_type, metrics)

    def next_run(self) -> Run | None:
        """Return the metrics that the next post is asked for, and how many posts in a row are asked for the same."""
        places = range(self._place, len(self._posts))
        if not any(self._plan[place] and self._posts[place].id not in self._seen for place in places):
            return None
        metrics, end = self._plan[self._place], self._place + 1
        if metrics and (self._posts[self._place].id in self._alone or self._is_behind_refused(metrics)):
            return Run(metrics, 1)
        while end < len(self._plan) and self._plan[end] == metrics:
            if metrics and self._posts[end].id in self._alone:
                break
            end += 1
        return Run(metrics, end - self._place)

    def _is_behind_refused(self, metrics: Sequence[str]) -> bool:
        """Return whether the post before refuses a metric: a page may repeat it, if a post is published meanwhile.

        A page of one was never seen to repeat anything.
        """
        before = self._posts[self._place - 1].id if self._place else None
        return any((before, metric) in self._refused for metric in metrics)

    def passed(self, page: MediaPage, metrics: Sequence[str]) -> int:
        """Read the values of a page, and take the place behind it."""
        ids = {_id_of(item) for item in page.posts}
        new = len(ids - self._seen)
        if metrics:
            self._names.confirm({self._types.get(post_id, "") for post_id in ids})
            self._record(page.posts, metrics)
        listed = [self._places[post_id] for item in page.posts if (post_id := _id_of(item)) in self._places]
        self._seen |= {self._posts[place].id for place in listed}
        if listed == sorted(listed) and listed:
            self._place = max(self._place, listed[-1] + 1)
        else:  # A pinned post, or only posts that are newer than the list.
            unseen = (place for place, post in enumerate(self._posts) if post.id not in self._seen)
            self._place = next(unseen, len(self._posts))
        return new

    def names_changed(self) -> None:
        """Ask no post for a metric whose name Instagram does not accept."""
        for metric, (reason, message) in self._names.refused.items():
            self._refused |= {(post.id, metric): MediaValue(None, reason, message) for post in self._posts}
        self._make_plan()

    def explained(self, error: ProviderError) -> ProviderError:
        """Return a refusal as it is: the viewers of posts are not counted."""
        return error

    def is_about_media(self, error: ProviderError) -> bool:
        """Return whether a page may be refused for one of its posts; what a page does not find is the account."""
        return is_about_a_post(error) and not isinstance(error, ObjectNotFoundError)

    def suspects(self, error: ProviderError, limit: int) -> int:
        """Return how many posts have the culprit among them: those of the page."""
        return limit

    def isolate(self, error: ProviderError, metrics: Sequence[str], *, after: str | None) -> MediaPage:
        """Find out which post was refused, and what of it; return the page that has only that post.

        The post before may have been deleted since the list was read, so the place alone does not tell.
        """
        page = self._graph.media_page_with_insights(self._account, (), after=after, limit=1)
        culprit = _id_of(page.posts[0]) if page.posts else ""
        if culprit in self._places:
            self._attribute(culprit, error, metrics)
        return page

    def _attribute(self, culprit: str, error: ProviderError, metrics: Sequence[str]) -> None:
        """Remember what a post refuses, and ask for that no more."""
        if isinstance(error, OF_ONE_MEDIA):
            self._note_media(culprit, error)
        else:
            self._note_metrics(culprit, error, metrics)
        self._keep({culprit: self.values[culprit]})
        self._found += 1
        if self._found >= MAX_CULPRITS:
            # Not the failure of this culprit, which is no reason for the posts that were not asked for yet.
            raise ProviderRefusedError(
                "Instagram refuses the insights of many posts.",
                provider="instagram",
                hint="Ask again: the refusals are remembered, and the next request reads the rest.",
                charge=Charge.NONE,
            )
        self._make_plan()

    def _note_media(self, culprit: str, failure: ProviderError) -> None:
        self._refusals.note_media(self._account.id, culprit, failure)
        self._rule_out(culprit, failure)

    def _note_metrics(self, culprit: str, error: ProviderError, metrics: Sequence[str]) -> None:
        """Remember the metrics that a post refuses, or that its whole type does."""
        try:
            answered, refused = self._culprits.take_apart(culprit, error, metrics)
        except OF_WHOLE_MEDIA as failure:
            self._note_media(culprit, failure)
            return
        if (
            not answered
            and not self._culprits.answered
            and not self._culprits.answers_another(culprit, self._types[culprit])
        ):
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
            if reason == FEW:  # Viewers are of this post, and say nothing of its type.
                continue
            if not self._culprits.is_refused_to_type(product_type, metric, seen=self._seen | {culprit}):
                continue
            # What one type does not have any more, the others may not have either.
            others = [
                each
                for each in set(self._types.values()) - {product_type}
                if self._culprits.is_refused_to_type(each, metric, seen=self._seen)
            ]
            for each in (product_type, *others):
                self._refusals.note_metrics(self._account.id, each, {metric: (reason, message)})
                same = [post.id for post in self._posts if post.product_type == each]
                self._refused |= {(post_id, metric): MediaValue(None, reason, message) for post_id in same}
        self.values[culprit] = {
            metric: answered.get(metric) or self._refused_value(culprit, metric) for metric in POST_METRICS
        }

    def _record(self, items: Sequence[Item], metrics: Sequence[str]) -> None:
        """Read the values of a page and hand them over."""
        if not metrics:
            return
        found: dict[str, PostValues] = {}
        omitted: list[str] = []
        for item in items:
            post_id = _id_of(item)
            if post_id not in self._places:
                continue
            if "insights" not in item:
                omitted.append(post_id)
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
        for post_id in omitted:
            if post_id in self._due and post_id not in self.values:
                self._fetch_omitted(post_id, metrics)

    def _fetch_omitted(self, post_id: str, metrics: Sequence[str]) -> None:
        """Ask for a post alone that came without insights, as refused ones may come instead of refusing the page."""
        try:
            named = self._culprits.fetch_alone(post_id, metrics)
        except ProviderError as error:
            if not is_about_a_post(error):
                raise
            self._attribute(post_id, error, metrics)
            return
        values = {
            metric: read_item(named.get(metric)) if metric in metrics else self._refused_value(post_id, metric)
            for metric in POST_METRICS
        }
        self.values[post_id] = values
        self._keep({post_id: values})

    def _refused_value(self, post_id: str, metric: str) -> MediaValue:
        return self._refused.get((post_id, metric)) or MediaValue(None, "not_answered")

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


def _id_of(item: Item) -> str:
    return media_id_of(item) or ""
