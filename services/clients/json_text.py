"""JSON from outside this process, decoded only where it is nested no deeper than an answer can be.

Python's decoder calls itself for each level until the interpreter refuses. Whatever runs near that limit fails too: a
garbage collection there loses finalizers, and with them connections that were to be closed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

MAX_DEPTH = 50  # levels; an answer of a provider has at most 10
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_AS_BRACKETS = bytes.maketrans(b"{}", b"[]")


def decode(
    text: str | bytes | bytearray,
    *,
    parse_constant: Callable[[str], Any] | None = None,
    parse_float: Callable[[str], Any] | None = None,
    parse_int: Callable[[str], Any] | None = None,
    object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """Return the value of a JSON text; raise `ValueError` where it is not JSON, or nested deeper than `MAX_DEPTH`.

    The options are those of `json.loads`.
    """
    if _is_too_deep(text.encode(errors="replace") if isinstance(text, str) else text):
        raise ValueError("The text is nested too deep.")
    return json.loads(
        text,
        parse_constant=parse_constant,
        parse_float=parse_float,
        parse_int=parse_int,
        object_pairs_hook=object_pairs_hook,
    )


def _is_too_deep(text: bytes | bytearray) -> bool:
    # Brackets within strings can only make it seem deeper, so the strings are looked for in few texts.
    return _seems_too_deep(text) and _seems_too_deep(_STRING.sub(b"", text))


def _seems_too_deep(text: bytes | bytearray) -> bool:
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return False
    brackets = bytes(text.translate(_AS_BRACKETS, _NO_BRACKETS))
    for _ in range(MAX_DEPTH):
        inner = brackets.replace(b"[]", b"")
        if len(inner) == len(brackets):
            break
        brackets = inner
    # What is left is deeper, or it has no pair: a text that was cut, or no JSON at all.
    return b"[]" in brackets or len(brackets) > MAX_DEPTH
