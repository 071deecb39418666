"""How much of a provider's limit is used, as its answers report it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
