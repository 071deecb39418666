"""Field expressions: `id,owner{id},media.limit(5).after(x){caption}`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulator.graph.errors import GraphError, nonexisting_field, parameter

NAME = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*")
CLOSING = re.compile(r"\}\s*")
MODIFIER = re.compile(r"\.\s*([a-z_]+)\(([^()]*)\)\s*")
DEEPEST = 10  # levels of braces


@dataclass(frozen=True)
class Field:
    """One field with its modifiers, such as limit, and the fields asked of what it leads to."""

    name: str
    modifiers: Mapping[str, str] = field(default_factory=dict)
    children: tuple["Field", ...] = ()


@dataclass(frozen=True)
class Node:
    """Something with fields: its type, and its values, which may be functions of the field that asks."""

    type: str
    values: Mapping[str, Any]


def parse_fields(text: str) -> tuple[Field, ...]:
    """Parse a field expression; an empty one is no field."""
    if not text.strip():
        return ()
    fields, end = _Parser(text).fields(0)
    if end != len(text):
        raise _syntax_error(f"Expected end of string instead of {text[end]!r}", end, text)
    return fields


def expression(fields: Sequence[Field]) -> str:
    """Write fields as the expression they were parsed from."""
    return ",".join(
        one.name
        + "".join(f".{name}({value})" for name, value in one.modifiers.items())
        + (f"{{{expression(one.children)}}}" if one.children else "")
        for one in fields
    )


def select(node: Node, fields: Sequence[Field]) -> dict[str, Any]:
    """Return the asked fields of a node, and always its id; a field without a value is left out."""
    chosen: dict[str, Any] = {}
    for asked in fields or (Field("id"),):
        if asked.name not in node.values:
            raise nonexisting_field(asked.name, node.type)
        value = node.values[asked.name]
        value = _rendered(value(asked) if callable(value) else value, asked)
        if value is not None:
            chosen[asked.name] = value
    return {**chosen, "id": node.values["id"]}


def _rendered(value: Any, asked: Field) -> Any:
    if isinstance(value, Node):
        return select(value, asked.children)
    if isinstance(value, tuple):
        return {"data": [select(node, asked.children) for node in value]} if value else None
    if asked.children and value is not None and not isinstance(value, dict):
        raise parameter(f"Subfields are not supported by {asked.name}")
    return value


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text

    def fields(self, start: int, depth: int = 0) -> tuple[tuple[Field, ...], int]:
        found: dict[str, Field] = {}
        while True:
            one, end = self._field(start, depth)
            if one.name in found:
                raise _syntax_error(f"Field {one.name} specified more than once", start, self._text)
            found[one.name] = one
            if not self._text.startswith(",", end):
                return tuple(found.values()), end
            start = end + 1

    def _field(self, start: int, depth: int) -> tuple[Field, int]:
        name = NAME.match(self._text, start)
        if not name:
            raise _syntax_error("Expected name", start, self._text)
        end = name.end()
        modifiers: dict[str, str] = {}
        children: tuple[Field, ...] = ()
        while modifier := MODIFIER.match(self._text, end):
            modifiers[modifier[1]] = modifier[2]
            end = modifier.end()
        if self._text.startswith("{", end):
            if depth == DEEPEST:
                raise _syntax_error("Too many levels", end, self._text)
            children, end = self.fields(end + 1, depth + 1)
            closing = CLOSING.match(self._text, end)
            if not closing:
                raise _syntax_error("Expected }", end, self._text)
            end = closing.end()
        return Field(name[1], modifiers, children), end


def _syntax_error(reason: str, place: int, text: str) -> GraphError:
    return GraphError(f'Syntax error "{reason}" at character {place}: {text}', 2500)
