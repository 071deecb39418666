"""Reads the live stories of an account with their insights, in as few calls as Instagram allows.

One call lists the stories with all plain metrics, and one more for each metric with a breakdown. Instagram refuses such
a page as a whole where it refuses one story, for instance one with fewer than 5 viewers. Then each story is asked for
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from services.clients.graph.client import GraphClient, insights_field, listed_insights
from services.clients.graph.models import Account, Item
from services.days import parse_provider_time
from services.errors import InsufficientViewersError, MediaTooOldError, ObjectNotFoundError, ProviderError
from services.executors import Executor
from services.insights.fetcher import SPLIT_FOR, TRANSIENT
from services.media.catalogue import MEDIA_METRICS, STORY
from services.media.metric_names import MetricNames
from services.media.refusals import MediaRefusals
from services.media.values import MediaValue, read_item
from services.media.viewers import ViewersCheck

FIELDS = ("id", "timestamp", "media_type", "permalink")
MAX_PAGES = 20
MAX_ID = 64  # characters
FEW = "insufficient_viewers"
VIEWERS = "reach"  # the number that says whether a story has enough viewers
WORTH_A_PAGE = 2  # so many stories are asked for alone at most where a page would take two calls
OF_ONE_STORY = (InsufficientViewersError, MediaTooOldError, ObjectNotFoundError)

Values = Mapping[str, MediaValue]


@dataclass(frozen=True)
class LiveStory:
    """A live story: when it was posted (Unix seconds), and its numbers.

    `is_read` is false where Instagram did not answer for its numbers; that they are too few is an answer.
    """

    id: str
    created_at: float | None
    media_type: str | None
    permalink: str | None
    values: Values = field(default_factory=dict)
    is_read: bool = False

    @property
    def has_few_viewers(self) -> bool:
        """Whether Instagram shows no numbers of the story because too few people have seen it."""
        return bool(self.values) and all(value.reason == FEW for value in self.values.values())

    def with_values(self, values: Values, *, is_read: bool) -> LiveStory:
        """Return the story with further numbers."""
        return replace(self, values={**self.values, **values}, is_read=is_read)


@dataclass(frozen=True)
class _Page:
    """The live stories: those that a page behind the cursor `after` may have, and those that were read `apart`."""

    stories: list[LiveStory]
    after: str | None = None
    apart: frozenset[str] = frozenset()


Keep = Callable[[Sequence[LiveStory]], None]


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

    def read(self, account: Account, *, by_breakdown: Sequence[str], keep: Keep) -> list[LiveStory]:
        """Return the live stories; `by_breakdown` names the metrics that are read by their breakdowns.

        `keep` gets stories as their numbers come. A failure that concerns all calls is raised.
        """
        names = self._names(account)
        page = self._with_few_viewers_apart(account, names, keep)
        stories = {story.id: story for story in page.stories}
        keep(page.stories)
        for metric in self._accepted(account, by_breakdown):
            readable = [story for story in stories.values() if story.is_read and not story.has_few_viewers]
            asked = [story for story in readable if story.id not in page.apart]
            is_page = len(asked) == len(stories) - len(page.apart)
            broken_down = self._broken_down(account, asked, metric, keep, after=page.after, is_page=is_page)
            apart = [story for story in readable if story.id in page.apart]
            broken_down += self._one_by_one(apart, partial(self._one_broken_down, account, metric), keep)
            stories |= {story.id: story for story in broken_down}
            too_few = {metric: MediaValue(None, FEW)}
            few = [story for story in stories.values() if story.has_few_viewers]
            stories |= {story.id: story.with_values(too_few, is_read=story.is_read) for story in few}
        return list(stories.values())

    def read_some(
        self, account: Account, stories: Sequence[LiveStory], *, by_breakdown: Sequence[str], keep: Keep
    ) -> list[LiveStory]:
        """Return some live stories with their numbers, without a list of all: for one it takes fewer calls."""
        plain = partial(self._one_apart, account, names=self._names(account), is_last=True)
        found = {story.id: story for story in self._one_by_one(stories, plain, keep)}
        for metric in self._accepted(account, by_breakdown):
            asked = [story for story in found.values() if story.is_read and not story.has_few_viewers]
            broken_down = self._one_by_one(asked, partial(self._one_broken_down, account, metric), keep)
            found |= {story.id: story for story in broken_down}
        return list(found.values())

    def _accepted(self, account: Account, metrics: Sequence[str]) -> tuple[str, ...]:
        """Return the metrics that Instagram does not refuse for stories of this account."""
        refused = self._refusals.of_metrics(account.id, STORY, metrics)
        return tuple(metric for metric in metrics if metric not in refused)

    def _names(self, account: Account) -> MetricNames:
        plain = plain_metrics(account.login)
        names = MetricNames(self._refusals, account.id, (STORY,), plain)
        names.drop(self._refusals.of_metrics(account.id, STORY, plain))
        return names

    def _with_few_viewers_apart(self, account: Account, names: MetricNames, keep: Keep) -> _Page:
        """Read the list with all plain metrics; where a page is refused, those first that too few people have seen.

        They are the newest ones nearly always, and one of them has the whole page refused.
        """
        try:
            return _Page(self._plain_page(account, names))
        except ProviderError as error:
            if not _is_about_stories(error):
                raise
            is_about_metric = not isinstance(error, OF_ONE_STORY)
        listed = self._page(account, FIELDS)
        alone = partial(self._one_apart, account, names=names, is_last=False)
        if is_about_metric:
            # One story shows which metric it is, and the page without it is answered.
            first, before = self._one_by_one(listed[-1:], alone, keep), names.metrics
            names.drop(self._refusals.of_metrics(account.id, STORY, before))
            found = self._accepted_page(account, names) if names.metrics != before else None
            return _Page([*self._one_by_one(listed[:-1], alone, keep), *first] if found is None else found)
        if not listed:
            return _Page([])
        young: list[LiveStory] = []
        for story in listed:
            young += self._one_by_one([story], alone, keep)
            if not young[-1].has_few_viewers:
                break
        rest = listed[len(young) :]
        if young[0].has_few_viewers and len(rest) > WORTH_A_PAGE:
            # The last of those comes again on the page behind them, if something is published meanwhile.
            after = self._graph.stories_page(account, ("id",), after=None, limit=len(young)).after
            found = self._accepted_page(account, names, after=after) if after else None
            behind = [] if found is None else [story for story in found if story.id != young[-1].id]
            if [story.id for story in behind] == [story.id for story in rest]:
                return _Page([*young, *behind], after, frozenset(story.id for story in young))
        return _Page([*young, *self._one_by_one(rest, alone, keep)])

    def _accepted_page(
        self, account: Account, names: MetricNames, *, after: str | None = None
    ) -> list[LiveStory] | None:
        """Read the list with all plain metrics; return None where it is refused for one of its stories."""
        try:
            return self._plain_page(account, names, after=after)
        except ProviderError as error:
            if not _is_about_stories(error):
                raise
            return None

    def _plain_page(self, account: Account, names: MetricNames, *, after: str | None = None) -> list[LiveStory]:
        """Read the list with all plain metrics whose names Instagram accepts."""
        while True:
            metrics, as_totals = names.metrics, names.as_totals
            expansion = [insights_field(metrics, as_totals=as_totals)] if metrics else []
            try:
                found = self._page(account, [*FIELDS, *expansion], metrics, after=after)
            except ProviderError as error:
                if not names.learn(error, metrics, as_totals=as_totals):
                    raise
            else:
                names.confirm((STORY,))
                return [story.with_values(names.unknown(), is_read=True) for story in found]

    def _broken_down(
        self,
        account: Account,
        stories: Sequence[LiveStory],
        metric: str,
        keep: Keep,
        *,
        after: str | None,
        is_page: bool,
    ) -> list[LiveStory]:
        """Read one metric by its breakdown: with a page, unless that would be refused, or there is one story only."""
        ask = partial(self._one_broken_down, account, metric)
        found: list[LiveStory] = []
        if is_page and len(stories) > 1:
            breakdown = MEDIA_METRICS[metric].breakdowns[0]
            try:
                fields = [*FIELDS, insights_field((metric,), breakdown=breakdown)]
                page = {story.id: story for story in self._page(account, fields, (metric,), breakdown, after=after)}
            except ProviderError as error:
                if not _is_about_stories(error):
                    raise
                # It may be about the metric: then one story shows it, and the others need not be asked.
                found = self._one_by_one(stories[-1:], ask, keep)
            else:
                found = [
                    story.with_values(page[story.id].values if story.id in page else {}, is_read=True)
                    for story in stories
                ]
                keep(found)
                return found
        rest = stories[: len(stories) - len(found)]
        return [*self._one_by_one(rest, ask, keep), *found]

    def _page(
        self,
        account: Account,
        fields: Sequence[str],
        metrics: Sequence[str] = (),
        breakdown: str | None = None,
        *,
        after: str | None = None,
    ) -> list[LiveStory]:
        """Read the live stories behind a cursor with some fields, and the numbers that they expand."""
        found: dict[str, LiveStory] = {}
        for _ in range(MAX_PAGES):
            try:
                page = self._graph.stories_page(account, fields, after=after)
            except ProviderError as error:
                raise (self._viewers.explained(account, error) if metrics else error) from None
            for item in page.posts:
                story = _story(item)
                if story is not None:
                    found.setdefault(story.id, story.with_values(_values(item, metrics, breakdown), is_read=True))
            if not page.more or page.after is None or page.after == after:
                break
            after = page.after
        return list(found.values())

    def _one_by_one(
        self, stories: Sequence[LiveStory], ask: Callable[[LiveStory], Values], keep: Keep
    ) -> list[LiveStory]:
        """Ask for each story alone; keep each as it comes. A story whose call fails is not read."""
        answers = self._executor.gather(
            [partial(ask, story) for story in stories],
            fatal=_concerns_all,
            on_result=lambda index, values: keep([_with(stories[index], values)]),
        )
        for answer in answers:
            if isinstance(answer, ProviderError) and _concerns_all(answer):
                raise answer
        return [
            replace(story, is_read=False) if isinstance(answer, ProviderError) else _with(story, answer)
            for story, answer in zip(stories, answers, strict=True)
        ]

    def _one_apart(self, account: Account, story: LiveStory, *, names: MetricNames, is_last: bool) -> Values:
        """Ask for the plain numbers of one story.

        Metrics of which it had too little within the last day are asked for alone, and only if `is_last`.
        """
        few = self._refusals.few_before(account.id, story.id, names.metrics)
        values = self._one(account, story, [metric for metric in names.metrics if metric not in few], names)
        if is_last:
            return {**values, **self._each_alone(account, story, sorted(few), names)}
        return {**values, **dict.fromkeys(few, MediaValue(None, FEW))}

    def _one_broken_down(self, account: Account, metric: str, story: LiveStory) -> Values:
        if refused := self._refusals.of_metrics(account.id, STORY, (metric,)).get(metric):
            return {metric: MediaValue(None, refused.reason, refused.message)}
        return self._one(account, story, (metric,))

    def _one(
        self, account: Account, story: LiveStory, metrics: Sequence[str], names: MetricNames | None = None
    ) -> Values:
        """Ask for the numbers of one story: all in one call, and each alone where they are refused together.

        Without `names` the metric is asked for by its breakdown.
        """
        if names is not None:
            metrics = [metric for metric in metrics if metric in names.metrics]
        if not metrics:
            return {} if names is None else names.unknown()
        breakdown = MEDIA_METRICS[metrics[0]].breakdowns[0] if names is None else None
        as_totals = names is not None and names.as_totals
        try:
            answer = self._graph.media_insights(account, story.id, metrics, breakdown=breakdown, as_total=as_totals)
        except ProviderError as raised:
            if names is not None and names.learn(raised, metrics, as_totals=as_totals):
                return self._one(account, story, metrics, names)
            return self._refused(account, story, metrics, names, self._viewers.explained(account, raised))
        values = {metric: read_item(answer.get(metric), breakdown) for metric in metrics}
        if names is None:
            return values
        names.confirm((STORY,))
        return {**names.unknown(), **values}

    def _refused(
        self,
        account: Account,
        story: LiveStory,
        metrics: Sequence[str],
        names: MetricNames | None,
        error: ProviderError,
    ) -> Values:
        """Find out what a refused call says of the story and of the metrics; raise what says nothing of either."""
        if isinstance(error, MediaTooOldError | ObjectNotFoundError):
            return {metric: MediaValue(None, error.code, error.message) for metric in metrics}
        if isinstance(error, InsufficientViewersError):
            return self._with_few(account, story, metrics, names, MediaValue(None, FEW, error.message))
        if error.retry_strategy not in SPLIT_FOR:
            raise error
        if len(metrics) > 1:
            return self._each_alone(account, story, metrics, names)
        words = error.words or error.message
        self._refusals.note_metrics(account.id, STORY, {metrics[0]: ("refused", words)})
        return {metrics[0]: MediaValue(None, "refused", words)}

    def _with_few(
        self,
        account: Account,
        story: LiveStory,
        metrics: Sequence[str],
        names: MetricNames | None,
        few: MediaValue,
    ) -> Values:
        """Find out whether a story has too few viewers, or too little of some metrics.

        Meta's rule is about each value, so a call is refused although others of its metrics would be answered.
        """
        if len(metrics) == 1 or VIEWERS not in metrics:
            return dict.fromkeys(metrics, few)
        reach = self._one(account, story, (VIEWERS,), names)
        if reach[VIEWERS].reason == FEW:
            return dict.fromkeys(metrics, few)
        others = self._each_alone(account, story, [name for name in metrics if name != VIEWERS], names)
        noted = {name: (FEW, few.message or "") for name, value in others.items() if value.reason == FEW}
        self._refusals.note_metrics(account.id, STORY, noted, media_id=story.id)
        return {**reach, **others}

    def _each_alone(
        self, account: Account, story: LiveStory, metrics: Sequence[str], names: MetricNames | None
    ) -> Values:
        return {name: value for each in metrics for name, value in self._one(account, story, (each,), names).items()}


def _with(story: LiveStory, values: Values) -> LiveStory:
    return story.with_values(values, is_read=True)


def _story(item: Item) -> LiveStory | None:
    """Read a story as a list has it; None where it has no id."""
    story, posted = item.get("id"), parse_provider_time(item.get("timestamp"))
    if not isinstance(story, str) or not 0 < len(story) <= MAX_ID:
        return None
    return LiveStory(
        story, None if posted is None else posted.timestamp(), _text(item, "media_type"), _text(item, "permalink")
    )


def _text(item: Item, name: str) -> str | None:
    value = item.get(name)
    return value if isinstance(value, str) and value else None


def _values(item: Item, metrics: Sequence[str], breakdown: str | None) -> Values:
    named = listed_insights(item)
    return {metric: read_item(named.get(metric), breakdown) for metric in metrics}


def _is_about_stories(error: ProviderError) -> bool:
    """Return whether a page was refused for one of its stories or metrics, so that smaller calls may be answered."""
    return isinstance(error, OF_ONE_STORY) or error.retry_strategy in SPLIT_FOR


def _concerns_all(error: ProviderError) -> bool:
    return not isinstance(error, TRANSIENT)
