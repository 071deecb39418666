"""What services give back: a body, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self

from typing_extensions import TypedDict

from services.days import ONE_DAY, midnight, our_time, pacific_day
from services.memory.records import Memo
from services.memory.rules import FOR_EVER

GAPS_KEPT_FOR = timedelta(seconds=5)  # What could not be fetched is tried again soon.


class Unavailable(TypedDict):
    """Something that was asked for and cannot be told."""

    metric: str
    reason: str
    message: str


class Substitution(TypedDict):
    """A metric that another one answers, since Meta removed it."""

    requested: str
    answered_by: str
    since: str


class Warning_(TypedDict):  # noqa: N801  # `Warning` is a built-in.
    """Something the reader of the numbers should know."""

    code: str
    message: str


@dataclass(frozen=True)
class Freshness:
    """When a body was fetched and until when it holds; over several reads the oldest and the soonest.

    What is final does not age: it counts only where everything is. What depends on the day holds until the next
    midnight of California at most, for then other days are the last ones.
    """

    fetched_at: datetime
    expires_at: datetime
    stale: bool = False

    @classmethod
    def of(cls, memos: Iterable[Memo], *, now: datetime, by_day: bool = True, gaps: bool = False) -> Self:
        """Return the freshness of what was made of some memos.

        `by_day` says that it depends on which day it is, `gaps` that something could not be fetched.
        """
        read = list(memos)
        ageing = [memo for memo in read if memo.expires_at != FOR_EVER]
        fetched_at = min((_moment(memo.fetched_at) for memo in ageing or read), default=now)
        tomorrow = [_moment(midnight(pacific_day(now) + ONE_DAY))] if by_day else []
        expires_at = min([*tomorrow, *(_moment(memo.expires_at) for memo in ageing)])
        if gaps:
            expires_at = min(expires_at, now + GAPS_KEPT_FOR)
        return cls(fetched_at, expires_at, any(memo.stale for memo in read))

    def as_meta(self) -> dict[str, object]:
        """Return the part of `meta` that tells it."""
        return {
            "fetched_at": our_time(self.fetched_at),
            "expires_at": our_time(self.expires_at),
            "stale": self.stale,
        }


@dataclass(frozen=True)
class Provenance:
    """Whose memory a reply was made of, when that was fetched, until when it holds (Unix seconds), if it still does."""

    account: str
    fetched_at: float
    expires_at: float
    stale: bool


@dataclass(frozen=True)
class Table:
    """A body as rows and columns, for callers that want CSV."""

    columns: Sequence[str]
    rows: Sequence[Mapping[str, object]]


@dataclass(frozen=True)
class Answer:
    """A body with its provenance, and the same as a table where it is one.

    `account` is whose memory it was made of. `status` 202 with `retry_after` (seconds) says that the answer is being
    made and worth asking for again.
    """

    body: Mapping[str, object]
    freshness: Freshness
    source: str
    account: str
    meta: Mapping[str, object] = field(default_factory=dict)
    table: Table | None = None
    status: int = 200
    retry_after: int | None = None

    def as_json(self) -> dict[str, object]:
        """Return the body with its `meta`."""
        return {**self.body, "meta": {**self.meta, "source": self.source, **self.freshness.as_meta()}}


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
