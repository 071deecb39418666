"""Lists of media and of insights: how a page is asked for, and how an answer is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from services.clients.graph.errors import unreadable
from services.clients.graph.models import Item, MediaPage


def page_params(fields: str, *, limit: int, after: str | None) -> dict[str, str]:
    """Return the parameters of a page: so many media behind a cursor, from the first one on without it."""
    return {"fields": fields, "limit": str(limit)} | ({"after": after} if after else {})


def page_of(answer: Item) -> MediaPage:
    """Read a page of media; the last one has a cursor too."""
    paging = answer.get("paging")
    cursors = paging.get("cursors") if isinstance(paging, dict) else None
    following = cursors.get("after") if isinstance(cursors, dict) else None
    more = isinstance(paging, dict) and paging.get("next") is not None
    # What is no object is a media that cannot be read; only the list itself must be one.
    media = [item if isinstance(item, dict) else {} for item in list_of(answer)]
    return MediaPage(media, more, following if isinstance(following, str) else None)


def insights_field(metrics: Sequence[str], *, breakdown: str | None = None, as_totals: bool = False) -> str:
    """Return the field that expands the insights of each media of a list; the options are as in `media_insights`."""
    modifiers = [f".breakdown({breakdown})"] if breakdown else []
    modifiers += [".metric_type(total_value)"] if as_totals else []
    return f"insights.metric({','.join(metrics)}){''.join(modifiers)}"


def by_name(answer: Item) -> dict[str, Item]:
    """Return the items of an insights answer by the names of their metrics; of one that comes twice the first."""
    named: dict[str, Item] = {}
    for item in list_of(answer):
        if isinstance(item, dict):
            named.setdefault(str(item.get("name")), item)
    return named


def listed_insights(media: Item) -> dict[str, Item]:
    """Return the insights that a list has of one media, by metric; a media without any may lack them altogether."""
    insights = media.get("insights")
    return by_name(insights) if isinstance(insights, dict) and isinstance(insights.get("data"), list) else {}


def is_list(edge: object) -> TypeGuard[Item]:
    """Return whether an expanded edge is a page; one without anything may be left out of the answer."""
    return isinstance(edge, dict) and isinstance(edge.get("data"), list)


def list_of(answer: Item) -> list[object]:
    """Return what an answer lists; raise the failure of an answer without a list."""
    data = answer.get("data")
    if not isinstance(data, list):
        raise unreadable("an answer without data")
    return data
