"""Posts and their numbers, kept for ever as they are read for any caller or job; keeping them costs no call."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from typing_extensions import TypedDict

from services.answers import Origin
from services.clients.graph.models import Account, Item, as_number
from services.clock import Clock
from services.days import midnight, our_time, pacific_day, utc
from services.errors import ObjectNotFoundError
from services.media.catalogue import STORY
from services.media.expansion import POST_METRICS, PostValues
from services.posts.ages import HOUR, AgeSlot, slot_of
from services.posts.post import MAX_CAPTION, Post, as_post
from services.redaction import cut
from services.store.database import DatabaseUnavailableError
from services.store.posts import SEEN_AGAIN, PartRow, PostReading, PostRow, PostTable

COUNTS_ALONE = 72 * HOUR  # age up to which likes and comments are kept although no insights were read with them
MAX_NOTED = 50_000  # posts of which this process knows what is kept already


class PostProgress(TypedDict):
    """How many posts are kept, and when those of any account were last looked at."""

    kept: int
    last_looked_at: str | None


@dataclass(frozen=True)
class _Noted:
    """What this process has written of a post: the row, and the slot of its last counts."""

    row: PostRow
    slot: AgeSlot | None = None


class KeptPosts:
    """The posts that were ever listed, with their numbers at several ages."""

    def __init__(self, table: PostTable, *, keep_days: int, origin: Origin, clock: Clock) -> None:
        """Build it; posts older than `keep_days` are not kept, 0 keeps all."""
        self._table = table
        self._keep_days = keep_days
        self._origin = origin
        self._clock = clock
        self._lock = threading.Lock()
        self._noted: OrderedDict[tuple[str, str], _Noted] = OrderedDict()  # least recently used first

    def saw(self, account: Account, items: Sequence[Item]) -> None:
        """Keep posts that Instagram has just listed, with their likes and comments.

        What is kept already costs no statement. Without the database the next list brings them again.
        """
        now = self._clock.timestamp()
        found = (as_post(item) for item in items if item.get("media_product_type") != STORY)
        posts = [post for post in found if post is not None and self._is_to_keep(post, now)]
        noted, counts = {}, []
        with self._lock:
            for post in posts:
                key, row, slot = (account.id, post.id), post_row(post, now), _counts_slot(post, now)
                known = self._noted.get(key)
                is_seen = known is not None and replace(row, first_seen_at=0, last_seen_at=0) == replace(
                    known.row, first_seen_at=0, last_seen_at=0
                )
                is_recent = known is not None and now < known.row.last_seen_at + SEEN_AGAIN
                if slot is not None and (known is None or known.slot != slot):
                    counts.append(self._counts(post, slot, now))
                    noted[key] = _Noted(row, slot)
                elif not (is_seen and is_recent):
                    noted[key] = _Noted(row, None if known is None else known.slot)
        if not noted:
            return
        with suppress(DatabaseUnavailableError):
            self._table.keep(account.id, [each.row for each in noted.values()], counts=counts)
            self._note(noted)

    def read(
        self, account: Account, posts: Iterable[Post], values: Mapping[str, PostValues], *, read_at: float | None = None
    ) -> None:
        """Keep insights of posts as Instagram has just sent them, or as it did at a moment (Unix seconds).

        A post that is listed but was not found has none, and stays due: Instagram may hide it from a token for a while.
        """
        moment = self._clock.timestamp() if read_at is None else read_at
        known = [
            post
            for post in posts
            if post.id in values and self._is_to_keep(post, moment) and not _is_not_found(values[post.id])
        ]
        insights = [self._insights(post, values[post.id], moment) for post in known]
        if insights:
            with suppress(DatabaseUnavailableError):
                self._table.keep(account.id, [post_row(post, moment) for post in known], insights=insights)

    def find(self, account: str, post: str) -> PostRow | None:
        """Return a kept post; raises `DatabaseUnavailableError`."""
        return self._table.find(account, post)

    def between(self, account: str, since: float, until: float) -> list[PostRow]:
        """Return the kept posts of a period, the newest first; raises `DatabaseUnavailableError`."""
        return self._table.between(account, since, until)

    def readings(
        self, account: str, posts: Iterable[PostRow], *, from_age: float = 0, at_fixed_ages: bool = False
    ) -> dict[str, list[PostReading]]:
        """Return the readings of posts from an age in hours on, or those at the fixed ages; the youngest age first.

        Raises `DatabaseUnavailableError`.
        """
        ids = [post.id for post in posts]
        return self._table.readings(account, ids, from_slot=int(from_age * 60), is_labelled=at_fixed_ages)

    def has_looked(self, account: str) -> bool:
        """Return whether a worker has finished a look at an account; raises `DatabaseUnavailableError`."""
        look = self._table.look(account)
        return look is not None and look.looked_at is not None

    def progress(self) -> PostProgress | None:
        """Return how far the reading of posts is, or None where the database is unavailable."""
        try:
            counts = self._table.counts()
        except DatabaseUnavailableError:
            return None
        last = counts.last_looked_at
        return {"kept": counts.kept, "last_looked_at": None if last is None else our_time(last)}

    def _is_to_keep(self, post: Post, now: float) -> bool:
        """Return whether a post is young enough; what retention has deleted, the next list must not bring back."""
        if not self._keep_days:
            return True
        return post.timestamp.timestamp() >= midnight(pacific_day(utc(now)) - timedelta(days=self._keep_days))

    def _counts(self, post: Post, slot: AgeSlot, now: float) -> PartRow:
        counts = post.counts
        reasons = {"likes": counts.likes_reason, "comments": counts.comments_reason}
        values = {"likes": counts.likes, "comments": counts.comments}
        return self._part(post, slot, now, values, reasons)

    def _insights(self, post: Post, values: PostValues, now: float) -> PartRow:
        slot = slot_of(now - post.timestamp.timestamp())
        numbers = {name: values[name].value for name in POST_METRICS}
        return self._part(post, slot, now, numbers, {name: values[name].reason for name in POST_METRICS})

    def _part(
        self,
        post: Post,
        slot: AgeSlot,
        now: float,
        values: Mapping[str, float | int | None],
        reasons: Mapping[str, str | None],
    ) -> PartRow:
        return PartRow(
            post.id,
            slot.minutes,
            slot.age_label,
            now,
            {name: as_number(value) for name, value in values.items()},
            {name: reason or "not_answered" for name, reason in reasons.items() if values[name] is None},
            self._origin.source,
            self._origin.api_version,
        )

    def _note(self, noted: Mapping[tuple[str, str], _Noted]) -> None:
        with self._lock:
            for key, each in noted.items():
                self._noted[key] = each
                self._noted.move_to_end(key)
            while len(self._noted) > MAX_NOTED:
                self._noted.popitem(last=False)


def post_row(post: Post, now: float) -> PostRow:
    """Return a post as it is kept; a long caption is cut."""
    return PostRow(
        post.id,
        post.timestamp.timestamp(),
        media_type=post.media_type,
        media_product_type=post.media_product_type,
        permalink=post.permalink,
        caption=None if post.caption is None else cut(post.caption, MAX_CAPTION),
        first_seen_at=now,
        last_seen_at=now,
    )


def _counts_slot(post: Post, now: float) -> AgeSlot | None:
    """Return the slot of likes and comments; None for those of an age at which they are not kept alone."""
    age = now - post.timestamp.timestamp()
    slot = slot_of(age)
    return slot if slot.age_label is not None or age < COUNTS_ALONE else None


def both(*listeners: Callable[[Account, Sequence[Item]], None]) -> Callable[[Account, Sequence[Item]], None]:
    """Return a function that hands what is listed to several listeners."""

    def listen(account: Account, items: Sequence[Item]) -> None:
        for listener in listeners:
            listener(account, items)

    return listen


def _is_not_found(values: PostValues) -> bool:
    return {each.reason for each in values.values()} == {ObjectNotFoundError.code}
