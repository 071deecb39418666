"""How the text of a setting is read, by the type of its field."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping


def _boolean(text: str) -> bool:
    if text.lower() in {"true", "1", "yes", "on"}:
        return True
    if text.lower() in {"false", "0", "no", "off"}:
        return False
    raise ValueError(f"is {text!r}; accepted: true, false")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"is {text!r}; accepted: a number") from None


def _integer(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise ValueError(f"is {text!r}; accepted: a whole number")
    return int(text)


def listed(text: str) -> tuple[str, ...]:
    """Return the parts of a comma-separated list."""
    return tuple(part.rstrip("/") for part in re.split(r"[,\s]+", text) if part)


READERS: Mapping[str, Callable[[str], object]] = {
    "bool": _boolean,
    "float": _number,
    "int": _integer,
    "tuple[str, ...]": listed,
}
