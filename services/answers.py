"""What services give back: a body, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from typing_extensions import TypedDict

from services.days import our_time


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
    """Whence and when a body was fetched; over several fetches, the oldest."""

    source: str
    fetched_at: datetime

    def as_meta(self) -> dict[str, object]:
        """Return the part of `meta` that tells it."""
        return {"source": self.source, "fetched_at": our_time(self.fetched_at), "stale": False}


@dataclass(frozen=True)
class Table:
    """A body as rows and columns, for callers that want CSV."""

    columns: Sequence[str]
    rows: Sequence[Mapping[str, object]]


@dataclass(frozen=True)
class Answer:
    """A body with its provenance, and the same as a table where it is one.

    `status` 202 with `retry_after` (seconds) says that the answer is being made and worth asking for again.
    """

    body: Mapping[str, object]
    freshness: Freshness
    meta: Mapping[str, object] = field(default_factory=dict)
    table: Table | None = None
    status: int = 200
    retry_after: int | None = None

    def as_json(self) -> dict[str, object]:
        """Return the body with its `meta`."""
        return {**self.body, "meta": {**self.meta, **self.freshness.as_meta()}}
