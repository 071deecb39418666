"""Walks over a list of media by its cursors, each page with insights, and isolates the media that have a page refused.

Instagram refuses a whole page for a single media that has no insights, or not all of the metrics. The page is then
halved, its cursor kept, until the culprit is alone: at most 2 x log2(page) calls fail. What is listed remembers it, and
from then on no page contains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.clients.graph.models import MEDIA_PAGE, MediaPage
from services.errors import ProviderError, RetryStrategy
from services.media.metric_names import MetricNames
from services.media.page_size import PageSize

INSIGHTS_PAGE_SIZES = (50, 25, 6, 1)  # media; where a page is too much for Instagram (code 1), the next smaller size


@dataclass(frozen=True)
class Run:
    """Media in a row: the metrics that all of them are asked for, none to pass over them, and how many they are.

    `after` is the cursor before them, where it is another one than that of the last page.
    """

    metrics: tuple[str, ...]
    length: int
    after: str | None = None


class MediaList(Protocol):
    """A list of media that comes in pages, what is asked of it, and what is known of it.

    `asks_culprits` says that `isolate` asks the media itself, so that a page of it alone need not be refused before.
    """

    asks_culprits: bool

    def next_run(self) -> Run | None:
        """Return what to ask of the media behind the last page, or None where nothing is left."""

    def passed(self, page: MediaPage, metrics: Sequence[str]) -> int:
        """Take what a page has; return how many of its media did not come before."""

    def names_changed(self) -> None:
        """Take note that Instagram refuses the names of metrics, or accepts them as totals only."""

    def explained(self, error: ProviderError) -> ProviderError:
        """Return what the refusal of a page with metrics means, where its code does not say."""

    def is_about_media(self, error: ProviderError) -> bool:
        """Return whether a page may be refused for one of its media."""

    def suspects(self, error: ProviderError, limit: int) -> int:
        """Return how many of the next media have the culprit among them; 0 where it is known by now.

        A page of `limit` media was refused.
        """

    def isolate(self, error: ProviderError, metrics: Sequence[str], *, after: str | None) -> MediaPage | None:
        """Find out what the media behind a cursor refuses; return its page, or None where it is still ahead."""


class ReadPage(Protocol):
    """Returns the page behind a cursor, each media with metrics; raises the failure of the call."""

    def __call__(self, metrics: Sequence[str], *, after: str | None, limit: int, as_totals: bool) -> MediaPage:
        """Make the call."""


class PageWalk:
    """One walk over a list, from its first media on."""

    def __init__(self, media: MediaList, names: MetricNames, *, read_page: ReadPage) -> None:
        """Build a walk; `read_page` is the client's method for pages of the list, with its account."""
        self._media = media
        self._read_page = read_page
        self._names = names
        self._size = PageSize(INSIGHTS_PAGE_SIZES)
        self._cursor: str | None = None
        self._cursors: set[str] = set()
        self._repeats = 0  # media at the head of the last page that came before; something was published meanwhile
        self._suspects = 0  # so many of the next media have the culprit among them
        self._refusal: ProviderError | None = None  # of the last page that was refused

    def run(self) -> None:
        """Walk until nothing is left, or the list ends; raises the first failure that is about more than one media."""
        while (run := self._media.next_run()) is not None:
            self._cursor = run.after or self._cursor
            if self._suspects == 1 and run.metrics and self._media.asks_culprits and self._refusal is not None:
                page = self._isolate(run, self._refusal)
            else:
                limit, as_totals = self._limit(run), self._names.as_totals
                try:
                    page = self._read_page(run.metrics, after=self._cursor, limit=limit, as_totals=as_totals)
                except ProviderError as error:
                    page = self._refused(run, error, limit, as_totals=as_totals)
                else:
                    self._passed(run, page)
            if page is not None and not self._go_on(page):
                return

    def _passed(self, run: Run, page: MediaPage) -> None:
        new = self._media.passed(page, run.metrics)
        if run.metrics:
            self._size.passed(len(page.posts))
            self._repeats = int(new < len(page.posts))
            self._suspects = max(0, self._suspects - new)

    def _refused(self, run: Run, refusal: ProviderError, limit: int, *, as_totals: bool) -> MediaPage | None:
        """Learn from the refusal of a page; return the page of the culprit where that is found by now.

        Raises the failure where it is not about single media.
        """
        error = self._media.explained(refusal) if run.metrics else refusal
        if self._names.learn(error, run.metrics, as_totals=as_totals):
            self._media.names_changed()
            return None
        if error.retry_strategy is RetryStrategy.SHRINK and self._size.shrink_below(limit):
            return None
        if not run.metrics or not self._media.is_about_media(error):
            raise error from None
        self._suspects, self._refusal = self._media.suspects(error, limit), error
        return self._isolate(run, error) if self._suspects == 1 else None

    def _isolate(self, run: Run, error: ProviderError) -> MediaPage | None:
        self._suspects = 0
        page = self._media.isolate(error, run.metrics, after=self._cursor)
        if page is not None:
            self._media.passed(page, ())
        return page

    def _limit(self, run: Run) -> int:
        limit = min(run.length, max(1, self._suspects // 2)) if self._suspects and run.metrics else run.length
        # Where the last page repeated a media, the next one may too, so that it has room for one more.
        return min(limit + self._repeats if limit > 1 else 1, self._size.limit if run.metrics else MEDIA_PAGE)

    def _go_on(self, page: MediaPage) -> bool:
        """Take the cursor behind a page; return whether there is a new one."""
        if not page.more or page.after is None or page.after in self._cursors:
            return False
        self._cursors.add(page.after)
        self._cursor = page.after
        return True
