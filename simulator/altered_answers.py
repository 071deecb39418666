"""True answers, made false in one respect."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from simulator.messages import Reply

NO_NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
NOT_UTF8 = b"\xff\xfe\xc3("


def replaced(reply: Reply, at: str, value: Any) -> Reply:
    """Return an answer with another value at a path such as `data.0.values.0.value`; without the path, as it was."""

    def change(content: Any) -> str:
        *steps, last = at.split(".")
        place = content
        for step in steps:
            place = place[_key(place, step)] if _has(place, step) else None
        if _has(place, last):
            place[_key(place, last)] = value
        return _text(content)

    return _changed(reply, change)


def without_numbers(reply: Reply, name: str) -> Reply:
    """Return an answer in which every number is NaN or infinite, which JSON does not know."""
    return _changed(reply, lambda content: _text(_numberless(content, NO_NUMBERS[name])))


def duplicated(reply: Reply) -> Reply:
    """Return an answer in which every plain member of an object comes twice: the truth, then null."""
    return _changed(reply, _doubled)


def misread(reply: Reply) -> Reply:
    """Return an answer whose first text is not UTF-8; without any text, what follows its end is not."""
    head, found, tail = reply.body.partition(b':"')
    return replace(reply, body=head + found + NOT_UTF8 + tail)


def _changed(reply: Reply, change: Callable[[Any], str]) -> Reply:
    try:
        content = json.loads(reply.body)
    except ValueError:
        return reply  # There is nothing true to spoil.
    return replace(reply, body=change(content).encode())


def _text(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"))


def _has(place: Any, step: str) -> bool:
    if isinstance(place, list):
        return step.isdecimal() and int(step) < len(place)
    return isinstance(place, dict) and step in place


def _key(place: Any, step: str) -> Any:
    return int(step) if isinstance(place, list) else step


def _numberless(value: Any, instead: float) -> Any:
    if isinstance(value, dict):
        return {name: _numberless(member, instead) for name, member in value.items()}
    if isinstance(value, list):
        return [_numberless(member, instead) for member in value]
    return instead if isinstance(value, int | float) and not isinstance(value, bool) else value


def _doubled(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_doubled, value))}]"
    if not isinstance(value, dict):
        return _text(value)
    members = []
    for name, member in value.items():
        members.append(f"{_text(name)}:{_doubled(member)}")
        if not isinstance(member, dict | list):
            members.append(f"{_text(name)}:null")
    return f"{{{','.join(members)}}}"
