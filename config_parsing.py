"""How the text of a setting becomes a value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from config_checks import range_in_words

_QUOTES = "\"'`\u00ab\u00bb\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2039\u203a\uff02\uff07"


def _boolean(text: str) -> bool:
    if text.lower() in {"true", "1", "yes", "on"}:
        return True
    if text.lower() in {"false", "0", "no", "off"}:
        return False
    raise ValueError(f"is {text!r}; accepted: true, false")


def _number(text: str) -> float:
    try:
        if text.isascii():  # Python reads the digits of every script.
            return float(text)
    except ValueError:
        pass
    raise ValueError(f"is {text!r}; accepted: a number")


def _integer(text: str) -> int:
    if not re.fullmatch(r"-?\d{1,9}", text, re.ASCII):
        raise ValueError(f"is {text!r}; accepted: a whole number")
    return int(text)


def unquoted(text: str) -> str:
    """Return a value without the spaces and the pair of quotes around it, as a shell and `.env` take them off.

    `docker run --env-file` keeps them. Raises `ValueError` for any other quotation mark at an end of the value, which
    would become a part of it: a single one, or a typographic one.
    """
    value = text.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1].strip()
    if value and (value[0] in _QUOTES or value[-1] in _QUOTES):
        raise ValueError("begins or ends with a quotation mark; write it without")
    return value


def listed(text: str) -> tuple[str, ...]:
    """Return the parts of a comma-separated list."""
    return tuple(part for part in re.split(r"[,\s]+", text) if part)


def _without_slashes(text: str) -> tuple[str, ...]:
    """Return the parts of a list of hosts and origins; a copied address may end in a slash."""
    return tuple(part.rstrip("/") for part in listed(text))


READERS: Mapping[str, Callable[[str], object]] = {
    "bool": _boolean,
    "float": _number,
    "int": _integer,
    "tuple[str, ...]": _without_slashes,
}


def read_value(name: str, kind: str, text: str) -> object:
    """Return what the text of a setting of a type says; raises `ValueError` with what is accepted."""
    try:
        return READERS.get(kind, str)(text)
    except ValueError as error:
        raise ValueError(f"{error}{range_in_words(name)}") from None
