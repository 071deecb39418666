"""How long before the end of a token it is warned of."""

from __future__ import annotations

from services.cache.policies import DAY

WARN_DAYS = (14, 7, 1)  # days before the end of a token
WARNED_BEFORE = WARN_DAYS[0] * DAY  # seconds
