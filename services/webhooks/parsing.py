"""The body of a delivery as changes; what cannot be read of it never takes the rest with it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from services.clients.graph.models import id_of
from services.clients.json_text import MAX_DEPTH, decode
from services.store.webhooks import Change, Delivery, DeliveryContent

OBJECT = "instagram"
MILLISECONDS_FROM = 1e11  # as seconds it would be the year 5138; some fields have times in milliseconds
EARLIEST = 1_262_304_000.0  # 2010-01-01, before Instagram began
MAX_AHEAD = 86_400.0  # seconds by which a time may be later than its delivery, because a clock is wrong
MAX_DIGITS = 4300  # of an integer that Python reads
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


class _Unreadable(Exception):
    """A part of a delivery that is no change; the text says why."""


def read(delivery: Delivery) -> DeliveryContent:
    """Return the changes of a delivery, and in words what of it is none.

    Two shapes occur: `changes[]` within an entry, and `field` and `value` in the entry itself.
    """
    faults = Counter[str]()
    try:
        body = _decoded(delivery.body, faults)
    except ValueError:
        return DeliveryContent(delivery, (), "It is not JSON.")
    if not isinstance(body, dict) or body.get("object") != OBJECT:
        return DeliveryContent(delivery, (), "Its object is not instagram.")
    entries = body.get("entry")
    if not isinstance(entries, list):
        return DeliveryContent(delivery, (), "It has no list of entries.")
    changes = []
    for entry in entries:
        for part in _parts(entry):
            try:
                changes.append(_change(part, entry, delivery))
            except _Unreadable as fault:
                faults[str(fault)] += 1
    failure = " ".join(f"{count} x {fault}" for fault, count in sorted(faults.items()))
    return DeliveryContent(delivery, changes, failure or None)


def _decoded(body: bytes, faults: Counter[str]) -> Any:
    """Return the value of a body; what of it is nested too deep to be decoded is None, and counted."""
    try:
        return decode(body, parse_int=_integer)
    except ValueError:
        shallow, cuts = _without_depths(body)
        if not cuts:
            raise
        faults["A part is nested too deep."] = cuts
        return decode(shallow, parse_int=_integer)


def _without_depths(body: bytes) -> tuple[bytes, int]:
    """Replace each part of a JSON text that is nested too deep by null; return how many there were."""
    kept: list[bytes] = []
    depth = start = cuts = 0
    for token in _STRING_OR_BRACKET.finditer(body):
        if token[0] in {b"[", b"{"}:
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept += [body[start : token.start()], b"null"]
                cuts += 1
        elif token[0] in {b"]", b"}"}:
            if depth == MAX_DEPTH + 1:
                start = token.end()
            depth -= 1
    return b"".join([*kept, body[start:]]), cuts


def _integer(text: str) -> int | str:
    """Return a number, or its digits where they are too many for Python."""
    return int(text) if len(text) <= MAX_DIGITS else text


def _parts(entry: object) -> Iterator[object]:
    """Give what may be changes of an entry; at least one, so that an entry without any is counted as a fault."""
    changes = entry.get("changes") if isinstance(entry, dict) else None
    if isinstance(changes, list):
        yield from changes
    elif changes is not None or not isinstance(entry, dict):
        yield None
    if isinstance(entry, dict) and ("field" in entry or changes is None):
        yield entry


def _change(part: object, entry: object, delivery: Delivery) -> Change:
    if not isinstance(entry, dict):
        raise _Unreadable("An entry is no object.")
    if (account := id_of(entry.get("id"))) is None:
        raise _Unreadable("An entry has no id.")
    if not isinstance(part, dict):
        raise _Unreadable("A change is no object.")
    field = part.get("field")
    if not isinstance(field, str) or not field:
        raise _Unreadable("A change has no field.")
    if "value" not in part:
        raise _Unreadable("A change has no value.")
    # Without a time that can be it is taken for as old as its delivery: later than it happened, never before. One of
    # the far future would keep every later value out.
    return Change(account, field, part["value"], _seconds(entry.get("time"), delivery.received_at))


def _seconds(time: object, received_at: float) -> float:
    if isinstance(time, str) and re.fullmatch(r"\d{1,16}(\.\d{1,9})?", time, re.ASCII):
        time = float(time)
    if isinstance(time, bool) or not isinstance(time, int | float) or not 0 < time < 1000 * MILLISECONDS_FROM:
        return received_at
    seconds = time / 1000 if time >= MILLISECONDS_FROM else float(time)
    return seconds if EARLIEST <= seconds <= received_at + MAX_AHEAD else received_at
