"""What each number of an export is, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from services.insights.catalogue import METRICS
from services.media.catalogue import MEDIA_METRICS
from services.store.exported_tables import DAYS, Section

COUNTS: Mapping[str, str] = {
    "followers": "Followers, as they were first read on the day",
    "follows": "Accounts that the account follows, as they were first read on the day",
    "media_count": "Posts of the account, as they were first read on the day",
}


@cache
def definition(section: Section, metric: str | None) -> str | None:
    """Return what a metric of a section counts, or None for one that no catalogue has."""
    if metric is None:
        return None
    if section.subject == DAYS and metric in COUNTS:
        return COUNTS[metric]
    found = METRICS.get(metric) if section.subject == DAYS else MEDIA_METRICS.get(metric)
    return None if found is None else found.description
