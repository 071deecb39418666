"""Damages JSON in every way there is, one place at a time or many at once, and says in words what was done."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

Way = tuple[str | int, ...]  # the keys that lead to a value; the first is that of the wrapper, which is always 0
Operation = Callable[[Any, Any], None]

LONG = "long text " * 2000
OTHERS: dict[str, Any] = {
    "null": None,
    "true": True,
    "0": 0,
    "-1": -1,
    "1.5": 1.5,
    "10**30": 10**30,
    "10**400, beyond every float": 10**400,
    "10**4300 - 1, the longest number that Python reads": 10**4300 - 1,
    "1e308": 1e308,
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "an empty text": "",
    "the text 7": "7",
    "a long text": LONG,
    "half a surrogate pair": "\ud83d",
    "control characters": "a\r\nb\x00\x1b",
    "the first moment": "0001-01-01T00:00:00+0000",
    "the last moment": "9999-12-31T23:59:59+0000",
    "[]": [],
    "{}": {},
    "[[[]]]": [[[]]],
}


def sites(tree: Any, way: Way = ()) -> Iterator[Way]:
    """Every value of a tree, as the way to it."""
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, child in children:
        yield (*way, key)
        yield from sites(child, (*way, key))


def replacement(value: Any) -> Operation:
    def replace(parent: Any, key: Any) -> None:
        parent[key] = copy.deepcopy(value)

    return replace


def remove(parent: Any, key: Any) -> None:
    del parent[key]


def nest_in_list(parent: Any, key: Any) -> None:
    parent[key] = [parent[key]]


def nest_in_object(parent: Any, key: Any) -> None:
    parent[key] = {str(key): parent[key]}


def double(parent: Any, key: Any) -> None:
    if isinstance(parent[key], list):
        parent[key] += copy.deepcopy(parent[key])


def swap(parent: Any, key: Any) -> None:
    """Exchange a value with that of the next key."""
    keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
    other = keys[(keys.index(key) + 1) % len(keys)]
    parent[key], parent[other] = parent[other], parent[key]


OPERATIONS: dict[str, Operation] = {
    **{f"is {name}": replacement(value) for name, value in OTHERS.items()},
    "is removed": remove,
    "is nested in a list": nest_in_list,
    "is nested in an object": nest_in_object,
    "has each item twice": double,
    "is swapped with the next": swap,
}


def apply(wrapped: list[Any], way: Way, name: str) -> str:
    """Do one operation in place; return what was done, in words."""
    parent: Any = wrapped
    for key in way[:-1]:
        parent = parent[key]
    OPERATIONS[name](parent, way[-1])
    path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in way[1:])
    return f"${path} {name}"


def text_of(wrapped: list[Any]) -> bytes:
    """The damaged body as it goes over the wire; a body that was removed is empty."""
    return json.dumps(wrapped[0]).encode() if wrapped else b""


def one_by_one(body: Any) -> Iterator[tuple[str, bytes]]:
    """Every operation at every place that it changes."""
    good = json.dumps(body)
    for way in sites([body]):
        for name in OPERATIONS:
            wrapped = [json.loads(good)]
            what = apply(wrapped, way, name)
            if (text := text_of(wrapped)) != good.encode():
                yield what, text


def many_at_once(body: Any, random: Random) -> tuple[str, bytes]:
    """Some operations one after the other, at places chosen at random."""
    wrapped = json.loads(json.dumps([body]))
    done: list[str] = []
    for _ in range(random.choice((1, 2, 2, 3, 3, 4, 6, 10))):
        ways = list(sites(wrapped))
        if not ways or len(ways) > 2000:
            break
        done.append(apply(wrapped, random.choice(ways), random.choice(list(OPERATIONS))))
    return "; ".join(done), text_of(wrapped)


def raw(body: Any) -> Iterator[tuple[str, bytes]]:
    """Damage to the text itself."""
    good = json.dumps(body).encode()
    for tenth in range(1, 10):
        yield f"cut after {tenth} tenths", good[: len(good) * tenth // 10]
    yield "a byte order mark", b"\xef\xbb\xbf" + good
    yield "UTF-16", good.decode().encode("utf-16")
    yield "invalid UTF-8", good.replace(b'": "', b'": "\xff\xc0\x80', 1)
    yield "a raw NUL", good.replace(b'": ', b'": \x00', 1)
    yield "something after its end", good + b"}"
    yield "itself twice", good + good
    yield "a number of 5000 digits", good.replace(b": ", b": " + b"9" * 5000 + b', "x": ', 1)
    yield "a key twice", good.replace(b"{", b'{"data": 1, "posts": 2, "error": 3, ', 1)
    yield "nothing", b""
    yield "white space", b" \r\n\t "
    yield "HTML", b"<!DOCTYPE html><html><body><h1>Sorry, something went wrong.</h1></body></html>"
    yield "no JSON", b"OK"
    for found in re.finditer(rb": (\d[\d.]*)", good):
        yield f"1e999 for {found[1].decode()}", good[: found.start(1)] + b"1e999" + good[found.end(1) :]
    # Around the depth that is accepted, and around those that readers and writers bear.
    for depth in (*range(40, 61), 200, *range(400, 1001, 100), 100_000):
        yield f"{depth} lists in each other", b"[" * depth + b"]" * depth
        inner = b'{"a":' * depth + b"1" + b"}" * depth
        yield f"{depth} objects in each other within", good.replace(b": {", b': {"deep": ' + inner + b", ", 1)
