"""How much of a provider's limit is used, as its answers report it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

REFRESH_BELOW = 90  # percent of a limit up to which values are refreshed in the background
WORK_BELOW = 75  # percent up to which other background work goes on; the rest is for callers
QUOTA_PAUSE = 300.0  # seconds after which background work that had to pause looks at the quota again

APP = ""  # the account of a `Usage` that is of the whole app


@dataclass(frozen=True)
class Usage:
    """How much of a limit is used, in percent: the largest of its `kinds`, or 0 where none was reported.

    `account` is "" for the whole app. Until `blocked_until` no call may be made. Both times are Unix seconds.
    """

    account: str
    percent: float
    kinds: Mapping[str, float]
    blocked_until: float | None
    read_at: float
