"""Changes, and the body of a delivery of some of them, byte for byte as Meta writes it.

https://developers.facebook.com/docs/graph-api/webhooks/getting-started
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

OBJECT = "instagram"
SHAPES = ("changes", "entry", "mixed")


@dataclass(frozen=True)
class Change:
    """One change of an account; `time` is in Unix seconds, `number` counts the changes of a simulator."""

    account: str
    field: str
    value: Any
    time: int
    number: int = 0


def envelope(changes: Sequence[Change], shape: str) -> dict[str, Any]:
    """Return the JSON of a delivery: with `changes` in its entries, with field and value right in them, or mixed."""
    return {"object": OBJECT, "entry": list(_entries(changes, shape))}


def raw(content: Mapping[str, Any]) -> bytes:
    r"""Write JSON as Meta does: every character beyond ASCII as \uxxxx, and each slash escaped.

    A receiver that parses a body and writes it again gets other bytes, and with them another signature.
    """
    return json.dumps(content, separators=(",", ":")).replace("/", r"\/").encode("ascii")


def _entries(changes: Sequence[Change], shape: str) -> Iterator[dict[str, Any]]:
    for place, ((account, time), group) in enumerate(groupby(changes, lambda change: (change.account, change.time))):
        parts = [{"field": change.field, "value": change.value} for change in group]
        if shape == "changes" or (shape == "mixed" and place % 2 == 0):
            yield {"id": account, "time": time, "changes": parts}
        else:
            yield from ({"id": account, "time": time, **part} for part in parts)
