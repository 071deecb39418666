"""Reads a refusal of Instagram: which row of the table it is, and what it says beyond that."""

from __future__ import annotations

import re
from collections.abc import Mapping

from services.clients.failures import as_failure, readable
from services.clients.http import TOO_MANY, Reply
from services.clients.outcomes import INSTAGRAM, instagram_outcome
from services.clients.quota import seconds_to_regain_access
from services.errors import ProviderError
from services.redaction import Redaction

SERVER_ERROR = 500

_UNKNOWN = INSTAGRAM[100, None]


def failure(error: Mapping[str, object], reply: Reply, redaction: Redaction) -> ProviderError:
    """Return the failure that an error envelope (its inner object) stands for."""
    code, subcode = _number(error.get("code")), _number(error.get("error_subcode"))
    words = readable(error.get("message"), redaction)
    outcome = instagram_outcome(code, subcode, words)
    if outcome is None and reply.status == TOO_MANY:
        return throttled(reply)
    if outcome is None:
        transient = error.get("is_transient") is True or (code is None and reply.status >= SERVER_ERROR)
        outcome = INSTAGRAM[2, None] if transient else _UNKNOWN
    return as_failure(
        outcome,
        "instagram",
        words=words,
        reference=readable(error.get("fbtrace_id"), redaction) or None,
        wait=seconds_to_regain_access(reply.headers),
    )


def throttled(reply: Reply) -> ProviderError:
    """Return the failure that status 429 stands for where no code says more."""
    return as_failure(INSTAGRAM[4, None], "instagram", wait=seconds_to_regain_access(reply.headers))


def _number(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,9}", value, re.ASCII):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
