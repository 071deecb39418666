"""The live stories of an account in pages, each with some of their numbers, but for those that have a page refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, takewhile

from services.clients.graph.client import GraphClient
from services.clients.graph.lists import listed_insights
from services.clients.graph.models import MEDIA_PAGE, Account, MediaPage
from services.errors import InsufficientViewersError, ProviderError, RetryStrategy
from services.media.catalogue import MEDIA_METRICS, STORY
from services.media.fetcher import SPLIT_FOR, Viewers
from services.media.known_refusals import FEW, OF_ONE_MEDIA, MediaRefusal, MediaRefusals
from services.media.live_story import FIELDS, LiveStory, live_story
from services.media.metric_names import MetricNames
from services.media.page_walk import Run
from services.media.single_stories import SingleStories
from services.media.too_few_viewers import ViewersCheck
from services.media.values import MediaValue, read_item

MAX_PAGES = 20
MAX_CULPRITS = 3  # of one reading; then pages are no longer cheaper than asking for each story alone
MANY = 4  # stories, of which the newest is asked for before a page is halved that has one with too few viewers

NONE = MediaValue(None)
Keep = Callable[[Sequence[LiveStory]], None]


@dataclass
class StoryList:
    """Live stories, the newest first: `order` is that of the last reading until `is_listed`, then Instagram's.

    `stories` are those that Instagram listed, `cursors` those behind some of them.
    """

    order: list[str]
    stories: dict[str, LiveStory] = field(default_factory=dict)
    cursors: dict[str, str] = field(default_factory=dict)
    is_listed: bool = False


class StoryPages:
    """One walk over the live stories, for metrics that share a call or for one with a breakdown.

    Stories that are `apart` are in no page: they are passed over, and it is for the caller to ask for them.
    """

    asks_culprits = True

    def __init__(
        self,
        graph: GraphClient,
        single: SingleStories,
        account: Account,
        names: MetricNames,
        found: StoryList,
        *,
        refusals: MediaRefusals,
        viewers: ViewersCheck,
        apart: Collection[str],
        keep: Keep,
    ) -> None:
        self._single, self._account = single, account
        self._names, self._found = names, found
        self._refusals, self._viewers, self._keep = refusals, viewers, keep
        self._breakdown = breakdown_of(names.metrics)
        self.read_page = partial(graph.stories_page, account, fields=FIELDS, breakdown=self._breakdown)
        self._apart = set(apart)
        self._came: dict[str, None] = {}  # in their order
        self._passed: set[str] = set()
        self._pages = 0
        self._culprits = 0
        self._is_metric_known = self._is_newest_known = self._has_given_up = False

    def use_page(self, page: MediaPage, metrics: Sequence[str]) -> None:
        """Take a page of all stories, which came with another call; with metrics, or without."""
        stories = {story.id: story for item in page.posts if (story := live_story(item)) is not None}
        self._found.order, self._found.stories = list(stories), stories | self._found.stories
        self._found.is_listed = True
        if metrics:
            self.passed(page, metrics)

    def end(self) -> None:
        """Put the stories that came into the order of the list."""
        new = [story for story in self._came if story not in self._found.order]
        self._found.order = [*new, *self._found.order] if self._found.is_listed else list(self._came)
        self._found.is_listed = True

    def next_run(self) -> Run | None:
        """Return the stories to ask for next, up to one that is apart, or those to pass over."""
        found, ahead = self._found, self._ahead()
        is_done = found.is_listed and self._apart.issuperset(ahead)
        if self._pages >= MAX_PAGES or is_done:
            return None
        if self._has_given_up:
            return None if found.is_listed else Run((), MEDIA_PAGE)
        over = list(takewhile(self._apart.__contains__, ahead))
        after = found.cursors.get(over[-1]) if over else None
        if over and after is None:
            return Run((), len(over))
        self._passed.update(over)
        coming = self._row(ahead[len(over) :])
        is_open = len(coming) == len(ahead) - len(over)  # No story behind them is to be left out.
        length = MEDIA_PAGE if is_open else len(coming)
        # If a story is published meanwhile, a page may repeat the one before it; a page of one was never seen to.
        return Run(self._names.metrics, 1 if self._is_behind_refused(coming) else length, after)

    def passed(self, page: MediaPage, metrics: Sequence[str]) -> int:
        """Read the numbers of a page, and take the place behind it."""
        self._pages += 1
        is_reading = bool(metrics) or not self._names.metrics
        read: list[LiveStory] = []
        listed = [(story, item) for item in page.posts if (story := live_story(item)) is not None]
        for story, item in listed:
            known = self._found.stories.setdefault(story.id, story)
            if is_reading and (not metrics or "insights" in item):  # Without it, the story is asked for alone.
                named = listed_insights(item)
                values = {metric: read_item(named.get(metric), self._breakdown) for metric in metrics}
                read.append(known.with_values(values, is_read=True))
        if metrics:
            self._names.confirm((STORY,))
        self._found.stories |= {story.id: story for story in read}
        self._keep(read)
        ids = [story.id for story, _ in listed]
        new = len(set(ids) - self._came.keys())
        self._came |= dict.fromkeys(ids)
        # What the order has before the last of them does not exist any more, or is among them.
        last = max((self._found.order.index(each) for each in ids if each in self._found.order), default=-1)
        self._passed |= {*ids, *self._found.order[: last + 1]}
        if ids and page.after is not None:
            self._found.cursors[ids[-1]] = page.after
        return new

    def names_changed(self) -> None:
        """Do nothing: each run takes the metrics as they are."""

    def explained(self, error: ProviderError) -> ProviderError:
        """Return a refusal, as one of too few viewers where the token is known to have the permission."""
        return self._viewers.explained(self._account, error)

    def is_about_media(self, error: ProviderError) -> bool:
        """Return whether a page may be refused for one of its stories or metrics."""
        return isinstance(error, OF_ONE_MEDIA) or error.retry_strategy in SPLIT_FOR

    def suspects(self, error: ProviderError, limit: int) -> int:
        """Return how many stories have the culprit among them; at first it is found out how many there are."""
        if not self._found.is_listed:
            self.list_all()
        if error.retry_strategy is RetryStrategy.SPLIT and not self._is_metric_known:
            self._is_metric_known = True
            if self._find_metric():
                return 0
        over = list(takewhile(self._apart.__contains__, self._ahead()))
        coming = self._row(self._ahead()[len(over) :])
        if isinstance(error, InsufficientViewersError) and not self._is_newest_known and len(coming) >= MANY:
            self._is_newest_known = True
            return 1  # It is the newest one nearly always.
        return min(limit, len(coming))

    def isolate(self, error: ProviderError, metrics: Sequence[str], *, after: str | None) -> None:
        """Ask for the next story alone; it is passed over from then on."""
        culprit = next((story for story in self._ahead() if story not in self._apart), None)
        if culprit is None:
            return
        # With a breakdown it is known from the other page that there are viewers.
        has_viewers: Viewers = "unknown" if self._breakdown is None else "enough"
        story = self._take_apart(culprit, "few" if self._may_have_few(error) else has_viewers)
        self._culprits += 1
        reasons = {value.reason for value in story.values.values()}
        # Too little of single metrics: then the others have too little of some as well.
        is_of_values = FEW in reasons and not story.has_few_viewers and self._breakdown is None
        self._has_given_up = is_of_values or self._culprits >= MAX_CULPRITS

    def _may_have_few(self, error: ProviderError) -> bool:
        return isinstance(error, InsufficientViewersError) and self._breakdown is None

    def _take_apart(self, story: str, viewers: Viewers = "unknown") -> LiveStory:
        """Ask for a story alone."""
        found = self._single.fetch(self._account, self._found.stories[story], self._names.metrics, viewers=viewers)
        self._found.stories[story] = found
        self._apart.add(story)
        self._keep([found])
        return found

    def _find_metric(self) -> bool:
        """Find out which metric a page was refused for, and ask for it no more; return whether there is one.

        The oldest story shows it, and another one that it holds for all.
        """
        ahead = [story for story in reversed(self._ahead()) if story not in self._apart]
        if not ahead:
            return False
        before = self._names.metrics
        values = self._take_apart(ahead[0]).values
        refused = {metric: values[metric].message or "" for metric in before if values.get(metric, NONE).reason}
        if len(ahead) > 1 and refused:
            other = self._single.fetch(self._account, self._found.stories[ahead[1]], list(refused))
            if len(refused) == len(before) and not any(value.is_known for value in other.values.values()):
                # Instagram refuses everything it is asked for, so nothing shows that it is about these stories.
                now = 0.0
                self._names.drop(
                    {metric: MediaRefusal("refused", words, now, now) for metric, words in refused.items()}
                )
        self._names.drop(self._refusals.of_metrics(self._account.id, STORY, before))
        return self._names.metrics != before

    def _ahead(self) -> list[str]:
        return [story for story in self._found.order if story not in self._passed]

    def _is_behind_refused(self, coming: Sequence[str]) -> bool:
        """Return whether the story before those would have their page refused."""
        order = self._found.order
        place = order.index(coming[0]) if coming else len(order)
        before = order[place - 1] if place else None
        if before not in self._apart or before is None:
            return False
        values = self._found.stories[before].values if before in self._found.stories else {}
        return not all(metric in values and values[metric].is_known for metric in self._names.metrics)

    def _row(self, stories: Sequence[str]) -> list[str]:
        return list(takewhile(lambda story: story not in self._apart, stories))

    def takes_fewer_calls(self) -> bool:
        """Return whether pages take fewer calls than asking for each story alone, which needs the list too."""
        rows = [(is_apart, list(row)) for is_apart, row in groupby(self._found.order, self._apart.__contains__)]
        if self._found.is_listed and rows and rows[-1][0]:
            rows.pop()
        pages = sum(not is_apart or row[-1] not in self._found.cursors for is_apart, row in rows)
        pages += sum(not is_apart and len(row) > 1 for is_apart, row in rows[1:])  # The first of them is read alone.
        alone = sum(len(row) for is_apart, row in rows if not is_apart) + (not self._found.is_listed)
        return pages <= alone

    def list_all(self) -> None:
        """Read the list without numbers."""
        order: dict[str, LiveStory] = {}
        after: str | None = None
        for _ in range(MAX_PAGES):
            page = self.read_page((), after=after, limit=MEDIA_PAGE, as_totals=False)
            order |= {story.id: story for item in page.posts if (story := live_story(item)) is not None}
            if not page.more or page.after is None or page.after == after:
                break
            after = page.after
        self._found.order = list(order)
        self._found.stories = order | self._found.stories
        self._found.is_listed = True


def breakdown_of(metrics: Sequence[str]) -> str | None:
    """Return the breakdown that metrics are asked for by, which share a call; None for plain ones."""
    breakdowns = MEDIA_METRICS[metrics[0]].breakdowns if metrics else ()
    return breakdowns[0] if breakdowns else None
