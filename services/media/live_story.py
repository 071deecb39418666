"""A live story with its numbers, as lists and single calls have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.clients.graph.lists import insights_field
from services.clients.graph.models import Item, MediaPage, media_id_of
from services.days import parse_provider_time
from services.errors import ProviderError
from services.media.known_refusals import FEW, OF_ONE_MEDIA
from services.media.values import MediaValue
from services.store.types import MAX_NAME

FIELDS = ("id", "timestamp", "media_type", "permalink")

Values = Mapping[str, MediaValue]


@dataclass(frozen=True)
class LiveStory:
    """A live story: when it was posted (Unix seconds), and its numbers.

    `is_read` is false where Instagram did not answer for its numbers, for a `fault` if that is known; that they are too
    few is an answer.
    """

    id: str
    created_at: float | None
    media_type: str | None
    permalink: str | None
    values: Values = field(default_factory=dict)
    is_read: bool = False
    fault: ProviderError | None = field(default=None, compare=False)

    @property
    def has_few_viewers(self) -> bool:
        """Whether Instagram shows no numbers of the story because too few people have seen it."""
        return self._lacks_all({FEW})

    @property
    def is_refused(self) -> bool:
        """Whether Instagram refuses all numbers of the story, so that it would have a page refused."""
        return self._lacks_all({error.code for error in OF_ONE_MEDIA})

    def _lacks_all(self, reasons: set[str]) -> bool:
        values = self.values.values()
        return any(value.reason in reasons for value in values) and not any(value.is_known for value in values)

    def with_values(self, values: Values, *, is_read: bool, fault: ProviderError | None = None) -> LiveStory:
        """Return the story with further numbers."""
        return replace(self, values={**self.values, **values}, is_read=is_read, fault=fault)


@dataclass
class StoriesAlong:
    """That live stories come along with the list of posts, and what has come.

    Without `metrics` their list comes without numbers, and without the list only whether there are any. Where Instagram
    refuses that call, the list of posts is read without stories, and nothing has come. The moment is that before the
    call, so that no story is taken for older than it is.
    """

    at: float  # Unix seconds
    with_list: bool = False
    metrics: Sequence[str] = ()
    as_totals: bool = False
    page: MediaPage | None = None  # None also where the answer leaves out the list of stories
    has_come: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of each story."""
        numbers = (insights_field(self.metrics, as_totals=self.as_totals),) if self.metrics else ()
        return (*FIELDS, *numbers) if self.with_list else ()

    @property
    def has_all(self) -> bool:
        """Whether all live stories have come."""
        return self.with_list and self.page is not None and not self.page.more

    def leave(self, *, numbers_only: bool) -> None:
        """Let them come without their numbers, or only whether there are any."""
        self.with_list, self.metrics = self.with_list and numbers_only, ()

    def come(self, page: MediaPage | None) -> None:
        """Take the list of stories of an answer."""
        self.page, self.has_come = page, True


def live_story(item: Item) -> LiveStory | None:
    """Read a story as a list has it; None where it has no id."""
    story, posted = media_id_of(item), parse_provider_time(item.get("timestamp"))
    if story is None or len(story) > MAX_NAME:
        return None
    return LiveStory(
        story, None if posted is None else posted.timestamp(), _text(item, "media_type"), _text(item, "permalink")
    )


def _text(item: Item, name: str) -> str | None:
    value = item.get(name)
    return value if isinstance(value, str) and value else None
