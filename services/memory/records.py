"""Looks things up: in what this process has lately seen, then in the store."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from services.clock import Clock
from services.memory.rules import DAY, FOR_EVER, STALE_IF_ERROR, Json, Rule
from services.memory.shelf import Shelf
from services.store import StoreAway
from services.store.memories import Memories, Row, Slot

SHELF_BYTES = 8 * 1024 * 1024
LATEST = 4_102_444_800  # The year 2100, in Unix seconds.
# What a row may come to that was damaged, or written by another version of this program: as good as none.
STRANGE = (ValueError, TypeError, KeyError, AttributeError)
FINAL_KEPT_FOR = 30 * DAY  # What is final is kept for ever, but in the history.


@dataclass(frozen=True)
class Memo:
    """A remembered value: when it was fetched, when it expires (Unix seconds), and whether it has."""

    value: Json
    fetched_at: float
    expires_at: float
    stale: bool = False
    passing: bool = False  # for those who wait for it now, and not remembered


class Records:
    """The rows of the memory, as memos."""

    def __init__(self, memories: Memories, clock: Clock, *, redact: Callable[[str], str]) -> None:
        self._memories = memories
        self._clock = clock
        self._redact = redact
        self._shelf = Shelf(SHELF_BYTES)
        self._listeners: list[Callable[[str], None]] = []

    @property
    def tick(self) -> int:
        """The number of changes so far."""
        return self._shelf.tick

    def last_change(self, account: str) -> int:
        """Return the tick at which an account's values were last replaced."""
        return self._shelf.last_change(account)

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Have a listener told of each account whose values were replaced, here or elsewhere."""
        self._listeners.append(listener)

    def look(self, account: str, rules: Mapping[Slot, Rule]) -> dict[Slot, Memo]:
        """Return what is kept of some slots, marked stale where it has expired."""
        rows = {
            Slot(key, part): row
            for key in {slot.key for slot in rules}
            for part, row in self._shelf.get(account, key).items()
        }
        found = self._memos(rules, rules, rows)
        behind = {slot.key for slot in rules if slot not in found or found[slot].stale}
        if behind:
            found |= self._memos([slot for slot in rules if slot.key in behind], rules, self._stored(account, behind))
        return found

    def memo(self, row: Row, rule: Rule) -> Memo | None:
        """Return a row as its rule sees it now, or None where it may not serve."""
        now = self._clock.now().timestamp()
        if row.kept_until <= now:
            return None
        try:
            value = json.loads(row.value)
            expires_at = rule.expires_at(value, row.fetched_at)
        except STRANGE:
            return None
        if expires_at is None or not 0 < row.fetched_at <= LATEST or not isinstance(value, dict):
            return None
        return Memo(value, row.fetched_at, expires_at, stale=now >= expires_at)

    def row(self, value: Json, rule: Rule, fetched_at: float) -> Row:
        """Return a value as a row."""
        expires_at = rule.expires_at(value, fetched_at)
        if expires_at is None or expires_at == FOR_EVER:
            kept_until = fetched_at + FINAL_KEPT_FOR
        else:
            kept_until = max(expires_at, fetched_at) + STALE_IF_ERROR
        # A provider may echo a credential, and no file of ours may hold one.
        text = self._redact(json.dumps(value, separators=(",", ":")))
        return Row(text.encode(), fetched_at, kept_until)

    def learn(self, account: str, rows: Mapping[Slot, Row], *, replaced: bool) -> None:
        """Take in rows that were just written; where they replace others, what was made of those is dropped."""
        if replaced:
            self.forget(account)
        self._shelf.put(account, rows, seen_at=self._shelf.tick)

    def note(self, account: str, rows: Mapping[Slot, Row]) -> None:
        """Write rows that need no flight."""
        self._shelf.put(account, rows, seen_at=self._shelf.tick)
        try:
            self._memories.note(account, rows)
        except StoreAway:
            return

    def forget(self, account: str) -> None:
        """Drop what this process knows of an account, for the store knows better."""
        self._shelf.drop(account)
        for listener in self._listeners:
            listener(account)

    def _stored(self, account: str, keys: Collection[str]) -> Mapping[Slot, Row]:
        seen_at = self._shelf.tick
        try:
            rows = self._memories.read(account, keys)
        except StoreAway:
            return {}
        self._shelf.put(account, rows, seen_at=seen_at)
        return rows

    def _memos(self, slots: Collection[Slot], rules: Mapping[Slot, Rule], rows: Mapping[Slot, Row]) -> dict[Slot, Memo]:
        found = {slot: self.memo(rows[slot], rules[slot]) for slot in slots if slot in rows}
        return {slot: memo for slot, memo in found.items() if memo is not None}
