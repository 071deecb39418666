"""Parts of replies as JSON text, made once: a reply takes the text over, instead of writing the values again."""

from __future__ import annotations

import json

import orjson

# A date or a dataclass in a reply is a mistake, which both writers refuse.
OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


def json_text(value: object) -> bytes:
    """Return a value as JSON in UTF-8, its fields in their documented order.

    orjson takes a fifth of the time, but refuses some of what a provider's report may hold: whole numbers beyond
    64 bits, for example.
    """
    try:
        return orjson.dumps(value, option=OPTIONS)
    except TypeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def prepared(text: bytes) -> object:
    """Return JSON text as it may stand in the place of its value in a reply."""
    return orjson.Fragment(text)
