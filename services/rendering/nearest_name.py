"""The name that a misspelt one probably means."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

MAX_NAME = 100  # characters; comparing takes time that grows with the product of both lengths
NEAR = 0.6  # of 1: the ratio of difflib
VERY_NEAR = 0.8  # the ratio that a metric needs which another endpoint has by that very name


def did_you_mean(text: str, accepted: Sequence[str], cutoff: float = NEAR) -> str:
    """Return a question, to follow a sentence, for the accepted name that is nearest; empty if none is near.

    Upper and lower case do not matter.
    """
    if len(text) > MAX_NAME:
        return ""
    by_lower = {name.lower(): name for name in accepted}
    near = get_close_matches(text.strip().lower(), list(by_lower), n=1, cutoff=cutoff)
    return f" Did you mean {by_lower[near[0]]}?" if near else ""


def did_you_mean_any(wrong: Sequence[str], accepted: Sequence[str]) -> str:
    """Return a question for each of some names that has a near one."""
    return "".join(dict.fromkeys(did_you_mean(name, accepted) for name in wrong))
