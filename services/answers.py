"""What services return: a body with its freshness and origin, and what callers should know of its numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple, NotRequired, Self

from typing_extensions import TypedDict

from services.cache.entries import CacheEntry
from services.cache.policies import FOR_EVER, INCOMPLETE_REPLY_TTL
from services.days import ONE_DAY, midnight, our_time, pacific_day
from services.reasons import Unavailable
from services.rendering.prepared_parts import PreparedPart


class Substitution(TypedDict):
    """A metric that Meta removed, the metric that answers it, and since when."""

    requested: str
    answered_by: str
    since: str


class Warning_(TypedDict):  # noqa: N801  # `Warning` is a built-in.
    """Something that the reader of the numbers should know; of which `account`, in replies about several."""

    code: str
    message: str
    account: NotRequired[str]


def unexpected_end_time(metric: str) -> Warning_:
    """Return the warning that Instagram marks the days of a metric by another time than midnight in California."""
    message = (
        f"{metric}: Instagram's end_time is not midnight in California; "
        "each value is given to the day whose midnight is nearest."
    )
    return {"code": "unexpected_end_time", "message": message}


VIEWS_FROM_IMPRESSIONS: Warning_ = {
    "code": "views_from_impressions",
    "message": "Views of a story that only a webhook reported are its impressions, which Meta replaced by views.",
}
"""Wherever the number of views is one that Meta reported as impressions."""


@dataclass(frozen=True)
class Origin:
    """The provider behind an answer (`meta.source`), and the version of its API where it has one."""

    source: str
    api_version: str | None = None


class Freshness(NamedTuple):
    """When an answer was fetched and when it expires, in Unix seconds; stale once a part of it has expired."""

    fetched_at: float
    expires_at: float
    stale: bool = False

    @classmethod
    def of(cls, entries: Iterable[CacheEntry], *, now: datetime, gaps: bool = False) -> Self:
        """Return the freshness of an answer made from some cache entries; `gaps` if a part could not be fetched.

        The oldest entry and the earliest expiry count. Final entries do not age, so they count only where all are
        final. The answer expires at the next Pacific midnight at the latest, because "the last 7 days" are then other
        days.
        """
        known = list(entries)
        ageing = [entry for entry in known if entry.expires_at != FOR_EVER]
        tomorrow = float(midnight(pacific_day(now) + ONE_DAY))
        limits = [tomorrow, now.timestamp() + INCOMPLETE_REPLY_TTL] if gaps else [tomorrow]
        return cls(
            fetched_at=min([entry.fetched_at for entry in ageing or known], default=now.timestamp()),
            expires_at=min([*limits, *[entry.expires_at for entry in ageing]]),
            stale=any(entry.stale for entry in known),
        )

    def as_meta(self) -> dict[str, object]:
        """Return the freshness as the last part of `meta`."""
        return {
            "fetched_at": our_time(self.fetched_at),
            "expires_at": our_time(self.expires_at),
            "stale": self.stale,
        }


def deciding_entry(entries: Collection[CacheEntry]) -> CacheEntry | None:
    """Return one entry that makes an answer as fresh as some entries do, or None of none; it has no value.

    `Freshness.of` says why final ones do not count beside others.
    """
    counted = [entry for entry in entries if entry.expires_at != FOR_EVER] or entries
    if not counted:
        return None
    fetched_at, expires_at = min([each.fetched_at for each in counted]), min([each.expires_at for each in counted])
    return CacheEntry({}, fetched_at, expires_at, any(each.stale for each in entries))


class Provenance(NamedTuple):
    """What the response cache must know of a reply: the accounts whose cached values it shows, and their freshness.

    `complete` is false while the reply lacks a username: any later request may make that known, and no change of the
    account's values announces it.
    """

    accounts: frozenset[str]
    freshness: Freshness
    complete: bool = True


class BucketValue(TypedDict):
    """One bucket of a breakdown, named as Instagram's answers name it."""

    dimension_values: list[str]
    value: float | None


class BreakdownOfValue(TypedDict):
    """A value by the buckets of one breakdown, or of two together."""

    dimension_keys: list[str]
    results: list[BucketValue]


class Table(NamedTuple):
    """A body as rows and columns, for callers that want CSV; the rows may be read once only, and are made then.

    A row is a mapping, or a tuple of the cells as they stand in the file (`services.rendering.csv_cells`), or the
    finished lines of several rows. Where all are prepared parts, nothing is written again.
    """

    columns: Sequence[str]
    rows: Iterable[Mapping[str, object] | tuple[object, ...] | str | PreparedPart]


def rows_with_buckets(
    row: Mapping[str, object], value: float | None, reason: str | None, breakdowns: Iterable[BreakdownOfValue]
) -> Iterator[Mapping[str, object]]:
    """Yield the row of a value and, below it, one for each of its buckets."""
    yield {**row, "breakdown": "", "bucket": "", "value": value, "reason": reason or ""}
    for part in breakdowns:
        for result in part["results"]:
            yield {
                **row,
                "breakdown": ",".join(part["dimension_keys"]),
                "bucket": ",".join(result["dimension_values"]),
                "value": result["value"],
                "reason": "" if result["value"] is not None else "bucket_unknown",
            }


class Answer(NamedTuple):
    """A body with its origin and freshness, and the same as a table where it is one; built by the names of its fields.

    `account` is the account (or the source of reports) whose cached values the body shows; `further_accounts` are the
    others where there are several. `meta` is the part of `meta` that only this endpoint has. Status 202 with
    `retry_after` (seconds) says that the answer is not ready yet.
    """

    body: Mapping[str, object]
    account: str
    origin: Origin
    freshness: Freshness
    meta: Mapping[str, object] = MappingProxyType({})
    unavailable: Sequence[Unavailable] = ()
    substitutions: Sequence[Substitution] = ()
    warnings: Sequence[Warning_] = ()
    table: Table | None = None
    status: int = 200
    retry_after: int | None = None
    further_accounts: Collection[str] = ()

    def as_json(self) -> dict[str, object]:
        """Return the body with its `meta`."""
        meta = {
            **self.meta,
            "unavailable": list(self.unavailable),
            "substitutions": list(self.substitutions),
            "warnings": list(self.warnings),
            "source": self.origin.source,
            **self.freshness.as_meta(),
        }
        return {**self.body, "meta": meta}

    @property
    def provenance(self) -> Provenance:
        """Return what the response cache must know of the reply."""
        accounts = frozenset({self.account, *self.further_accounts} - {""})
        return Provenance(accounts, self.freshness, complete=self.meta.get("username", "") is not None)
