"""A cached value beside its bytes: decoded once, read once, and shared by all threads that look at it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, cast

from services.cache.policies import Json
from services.store.cache_entries import CacheKey, EntryRow

T = TypeVar("T")

ASKED = "_asked"  # in a cached value: when it was asked for again in vain, and when it may be asked for again


class CachedValue(Mapping[str, object]):
    """The JSON object of a row, or what was read out of it; none of both may ever be changed.

    The decoded JSON of a list of posts takes more memory than the posts themselves. So what is read by `read_once`
    takes its place, and it is decoded again where a key is looked up afterwards.
    """

    __slots__ = ("_json", "_read", "_text", "asked")

    def __init__(self, text: bytes) -> None:
        """Decode the bytes of a row; raises `ValueError` or `AttributeError` where they are no JSON object."""
        self._text = text
        decoded = json.loads(text)
        # When it was asked for again in vain, and when it may be asked for again.
        self.asked: tuple[float | None, float] = tuple(decoded.pop(ASKED, (None, 0.0)))
        self._json: dict[str, object] | None = decoded
        self._read: dict[Callable[[Json], Any], object] = {}

    def __getitem__(self, key: str) -> object:
        return self._decoded()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._decoded())

    def __len__(self) -> int:
        return len(self._decoded())

    def read_once(self, read: Callable[[Json], T]) -> T:
        """Return what a function reads out of the value; it is called once. Raises what it raises."""
        found = self._read.get(read)
        if found is None:
            found = self._read[read] = read(self._decoded())
            self._json = None
        return cast("T", found)

    def _decoded(self) -> dict[str, object]:
        decoded = self._json
        if decoded is None:
            decoded = json.loads(self._text)
            decoded.pop(ASKED, None)
            self._json = decoded
        return decoded


class HeldRow:
    """A row of the database as this process holds it, with its value once that was looked at."""

    __slots__ = ("_value", "row")

    def __init__(self, row: EntryRow) -> None:
        self.row = row
        self._value: CachedValue | None = None

    @property
    def value(self) -> CachedValue:
        """The value; raises as `CachedValue` does where the row is damaged."""
        if self._value is None:
            self._value = CachedValue(self.row.value)
        return self._value


def bare(rows: Mapping[CacheKey, HeldRow]) -> dict[CacheKey, EntryRow]:
    """Return rows as the database takes them."""
    return {cache_key: held.row for cache_key, held in rows.items()}


def read_once(value: Json, read: Callable[[Json], T]) -> T:
    """Return what a function reads out of a value: once for all requests, if the value is a cached one.

    The result is shared by threads, so it must be immutable, or nothing may change it.
    """
    return value.read_once(read) if isinstance(value, CachedValue) else read(value)
