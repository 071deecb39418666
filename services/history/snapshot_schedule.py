"""When the snapshots of an account are taken: daily soon after midnight in California, spread over the accounts."""

from __future__ import annotations

import zlib
from datetime import date

from services.cache.policies import HOUR, MINUTE
from services.days import midnight
from services.history.snapshot_plan import last_settled_day, settled_at

AFTER_MIDNIGHT = 2 * MINUTE
SPREAD = 58 * MINUTE  # over which the snapshots of all accounts are spread
WEEK = 7  # days


def due_at(account_id: str, day: date) -> float:
    """Return when the snapshot of a Pacific day is due (Unix seconds).

    Around a clock change in spring it is an hour later, so that the newest day to be settled is.
    """
    newest = last_settled_day(midnight(day) + HOUR)
    begin = max(float(midnight(day)), settled_at(newest))
    return begin + AFTER_MIDNIGHT + zlib.crc32(account_id.encode()) % int(SPREAD)


def is_weekly_day(account_id: str, day: date) -> bool:
    """Return whether a day is the one in seven on which more is done for an account."""
    return (day.toordinal() + zlib.crc32(account_id.encode())) % WEEK == 0
