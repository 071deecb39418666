"""Posting times: by weekday and hour, how the account's posts did; from kept posts, without a provider call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

from typing_extensions import TypedDict

from services.accounts.resolver import AccountResolver
from services.answers import Answer, Origin, Table
from services.days import utc
from services.posts.compared import ComparedPost, ComparedPostsReader, Typical, typical
from services.posts.insights import rate_of
from services.reasons import Unavailable, explain

MOST_DAYS, USUAL_DAYS = 365, 90
CELL_FLOOR = 3  # posts of a cell
WEEKDAYS, HOURS = range(1, 8), range(24)


class PostingTime(TypedDict):
    """The posts published in one hour of a weekday (1 is Monday, as in ISO 8601), and their medians.

    `reason` says why a median is unknown: fewer than `meta.floor` posts, or what they lack.
    """

    weekday: int
    hour: int
    posts: int
    median_reach: float | None
    median_engagement_rate: float | None
    reason: str | None


COLUMNS = tuple(PostingTime.__annotations__)


class PostingTimes:
    """When an account's posts did best."""

    def __init__(self, *, accounts: AccountResolver, compared: ComparedPostsReader, origin: Origin) -> None:
        self._accounts = accounts
        self._compared = compared
        self._origin = origin

    def by_hour(
        self, days: int, zone: ZoneInfo, *, media_product_type: str | None = None, account: str | None = None
    ) -> Answer:
        """Return one cell for each hour of each weekday in a time zone, Monday first; raises `BusyError`."""
        selected = self._accounts.find(account)
        found = self._compared.read(selected.id, days)
        by_cell: dict[tuple[int, int], list[ComparedPost]] = defaultdict(list)
        for post in found.posts:
            if media_product_type in {None, post.row.media_product_type}:
                moment = utc(post.row.posted_at).astimezone(zone)
                by_cell[moment.isoweekday(), moment.hour].append(post)
        medians = {(weekday, hour): _medians(by_cell[weekday, hour]) for weekday in WEEKDAYS for hour in HOURS}
        cells = [_cell(*key, len(by_cell[key]), each) for key, each in medians.items()]
        return Answer(
            body={"tz": zone.key, "cells": cells},
            account=selected.id,
            origin=self._origin,
            freshness=found.freshness,
            meta={
                "account": selected.id,
                "username": self._accounts.username(selected),
                "api_version": self._origin.api_version,
                **found.meta,
                "floor": CELL_FLOOR,
            },
            unavailable=_unavailable(medians.values()),
            warnings=found.warnings,
            table=Table(COLUMNS, cells),
        )


class _Medians(NamedTuple):
    """The medians of one cell, under their names in it."""

    median_reach: Typical
    median_engagement_rate: Typical


def _medians(posts: Sequence[ComparedPost]) -> _Medians:
    return _Medians(
        median_reach=typical([post.values["reach"] for post in posts], floor=CELL_FLOOR),
        median_engagement_rate=typical([rate_of(post.values, "reach") for post in posts], floor=CELL_FLOOR),
    )


def _cell(weekday: int, hour: int, posts: int, medians: _Medians) -> PostingTime:
    reach, rate = medians
    return {
        "weekday": weekday,
        "hour": hour,
        "posts": posts,
        "median_reach": reach.value,
        "median_engagement_rate": rate.value,
        "reason": reach.reason or rate.reason,
    }


def _unavailable(cells: Collection[_Medians]) -> list[Unavailable]:
    """Explain each reason of each median once."""
    kinds = dict.fromkeys(
        (name, each.reason) for medians in cells for name, each in medians._asdict().items() if each.reason is not None
    )
    return [explain(name, reason, of_media=True) for name, reason in kinds]
