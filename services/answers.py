"""What services return: a body with its freshness and origin, and the reasons for unknown numbers in words."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NotRequired, Self

from typing_extensions import TypedDict

from services.cache.entries import CacheEntry
from services.cache.policies import FOR_EVER, INCOMPLETE_REPLY_TTL
from services.days import ONE_DAY, midnight, our_time, pacific_day
from services.rendering.prepared_parts import PreparedPart

REASONS: Mapping[str, str] = {
    "beyond_retention": "Instagram does not keep this metric for that long.",
    "breakdown_not_supported": "Instagram does not give this metric by that breakdown.",
    "bucket_unknown": "The listed buckets do not add up to the total, or have unknown names; the others may not be 0.",
    "not_answered": "Instagram gave no value; fewer than 100 followers, a quiet account or a recent day may be why.",
    "not_by_login": "The Instagram login does not give this metric; Facebook's does (GRAPH_LOGIN=facebook).",
    "not_by_day": "This metric describes the present and is not kept by day.",
    "no_total": "Instagram gives this metric by its breakdown only.",
    "total_not_reported": "A webhook reported parts of this metric only, and the whole was not read.",
    "provider_response_invalid": "Instagram's answer could not be read.",
    "provider_timeout": "Instagram did not answer in time.",
    "provider_unavailable": "Instagram had a temporary fault.",
    "throttled": "Instagram limits the calls; ask again after `retry_after` seconds, then only the rest is fetched.",
    "refused": "Instagram refuses this metric.",
    "unreadable": "Instagram's answer is not a number.",
    "window_too_long": "Instagram does not count people over that many days, and they are never added up.",
    "permission_denied": "The token has no permission for it.",
    # Media
    "insufficient_viewers": "Fewer than 5 people have seen the story, or its value is below 5.",
    "no_successor": "Meta removed this metric, and nothing that it gives now measures the same.",
    "not_for_product_type": "Instagram does not give this metric for this type of media.",
    "not_documented": "Meta does not say whether this type of media has the metric; it is asked for when requested.",
    "not_for_this_media": "Instagram gives this metric only for newer media.",
    "not_shared_to_facebook": "The media is not shared to Facebook.",
    "story_expired": "The story is over, and this metric of it was not kept.",
    "media_too_old": "The media was posted before the account became a professional one; it never has insights.",
    "not_own_post": "The post is another account's; Instagram gives its insights to its owner.",
    "no_reach": "The post has reached no account yet, so there is nothing to divide by.",
    "no_views": "The post has no views yet, so there is nothing to divide by.",
    # History
    "not_kept": "No value of this is kept. `make backfill` reads what Instagram still has of past days.",
    "not_over": "The day is not over yet.",
    "days_missing": "No value is kept of some days; `missing_days` lists them.",
    "unique_not_summed": "People are never added up over days, and no value of exactly this period is kept.",
    "not_summed": "Whether the days of this metric may be added up is not known.",
    # Kept posts
    "too_few_posts": "Fewer posts than `meta.floor` have it; a median of so few says little.",
    "not_read_at_age": "The post was not read at this age, and Instagram does not keep past numbers of posts.",
    # Growth
    "current_unknown": "The current value is unknown.",
    "previous_unknown": "The previous value is unknown.",
    "truncated": "Instagram lists more posts than could be read, so those of the window are not all known.",
    "zero_base": "The previous value is 0, so the rate is set: 100 for any increase, 0 for none.",
    "few_followers": "Instagram gives this only for accounts with 100 followers or more.",
    "followers_unknown": "Instagram gave no number of followers.",
    "inconsistent": "The reported gains and losses do not fit the number of followers.",
    "likes_hidden": "All posts of the window hide their likes.",
    "comments_hidden": "All posts of the window hide their comments.",
    "not_seen_yet": "The list of posts was read before the window ended, and could not be read again.",
    "no_followers": "The account has no followers to divide by.",
    "no_posts": "There is no post in the window.",
}

OF_MEDIA: Mapping[str, str] = {
    "not_answered": "Instagram gave no value of this media; it may be new, or a kind of media that has none.",
}
"""The same for numbers of media, where the words above are about accounts."""


class Unavailable(TypedDict):
    """A requested number that is unknown, with the reason as a code and in words.

    `retry_after` (seconds) says when it may be asked for again, where a failed call is the reason. `account` is there
    in replies about several accounts.
    """

    metric: str
    reason: str
    message: str
    retry_after: NotRequired[int]
    account: NotRequired[str]


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


def explain(
    metric: str, reason: str, detail: str | None = None, *, retry_after: int | None = None, of_media: bool = False
) -> Unavailable:
    """Return the entry of `meta.unavailable` for a metric of an account or `of_media`.

    `detail` is the provider's own text.
    """
    words = {**REASONS, **OF_MEDIA} if of_media else REASONS
    text = words.get(reason, "It could not be read from Instagram.")  # Other reasons are codes of failures.
    entry: Unavailable = {"metric": metric, "reason": reason, "message": f"{text} ({detail})" if detail else text}
    if retry_after is not None:
        entry["retry_after"] = retry_after
    return entry


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


@dataclass(frozen=True, slots=True)
class Freshness:
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


@dataclass(frozen=True, slots=True)
class Provenance:
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


@dataclass(frozen=True)
class Table:
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


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A body with its origin and freshness, and the same as a table where it is one.

    `account` is the account (or the source of reports) whose cached values the body shows; `further_accounts` are the
    others where there are several. `meta` is the part of `meta` that only this endpoint has. Status 202 with
    `retry_after` (seconds) says that the answer is not ready yet.
    """

    body: Mapping[str, object]
    account: str
    origin: Origin
    freshness: Freshness
    meta: Mapping[str, object] = field(default_factory=dict)
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
