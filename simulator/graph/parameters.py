"""Values of parameters, read from text or refused."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from simulator.graph.errors import parameter
from simulator.graph.scope import Scope
from simulator.graph.strtotime import strtotime
from simulator.world.days import PACIFIC

SECONDS = re.compile(r"-?\d{1,15}")
COUNT = re.compile(r"\d{1,9}")
FARTHEST = int(
    datetime(2100, 1, 1, tzinfo=UTC).timestamp()
)  # Nothing is known beyond, so that a far moment is this one.


def moment(name: str, text: str, scope: Scope) -> int:
    """Read a moment: Unix seconds, or a date in words."""
    if SECONDS.fullmatch(text):
        return max(0, min(int(text), FARTHEST))
    zone = UTC if scope.switches["words_zone"] == "utc" else PACIFIC
    when = strtotime(text, scope.now, zone)
    if when is None:
        raise parameter(f"Param {name} must be a valid timestamp")
    return max(0, min(int(when), FARTHEST))


def positive(name: str, text: str) -> int:
    """Read a whole number above 0."""
    if not COUNT.fullmatch(text) or not int(text):
        raise parameter(f"Param {name} must be a positive integer")
    return int(text)


def listed(text: str | None) -> list[str]:
    """Read names between commas, or the JSON list that Meta's own library sends, each of them once."""
    bare = (text or "").strip().strip("[]").replace('"', "")
    return list(dict.fromkeys(name.strip() for name in bare.split(",") if name.strip()))


def check_one_of(name: str, value: str, accepted: Sequence[str]) -> None:
    """Refuse a value that is not among the accepted ones, and name those."""
    if value not in accepted:
        raise parameter(f"{name} must be one of the following values: {', '.join(accepted)}")
