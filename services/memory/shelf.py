"""What this process has lately seen of the memory, so that it need not ask the store for it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping

from services.store.memories import Row, Slot

OVERHEAD = 400  # bytes that a row takes beside its value, roughly

Key = tuple[str, str]


class Shelf:
    """Rows by account and key, the least recently used dropped first; bounded in bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._rows: OrderedDict[Key, dict[str, Row]] = OrderedDict()
        self._bytes = 0
        self._changed: dict[str, int] = {}
        self._tick = 0

    @property
    def tick(self) -> int:
        """The number of changes so far: what was read before a change must not be put here after it."""
        return self._tick

    def last_change(self, account: str) -> int:
        """Return the tick at which an account's values were last replaced."""
        return self._changed.get(account, 0)

    def get(self, account: str, key: str) -> Mapping[str, Row]:
        """Return the known parts of a key."""
        with self._lock:
            found = self._rows.get((account, key))
            if found is None:
                return {}
            self._rows.move_to_end((account, key))
            return dict(found)

    def put(self, account: str, rows: Mapping[Slot, Row], *, seen_at: int) -> None:
        """Take in rows that were read at a tick, unless the account has changed since."""
        with self._lock:
            if self._changed.get(account, 0) > seen_at:
                return
            for slot, row in rows.items():
                parts = self._rows.setdefault((account, slot.key), {})
                self._bytes += _size(row) - (_size(parts[slot.part]) if slot.part in parts else 0)
                parts[slot.part] = row
                self._rows.move_to_end((account, slot.key))
            while self._bytes > self._most and self._rows:
                _, dropped = self._rows.popitem(last=False)
                self._bytes -= sum(map(_size, dropped.values()))

    def drop(self, account: str) -> None:
        """Forget everything of an account, for something of it was replaced."""
        with self._lock:
            self._tick += 1
            self._changed[account] = self._tick
            for key in [key for key in self._rows if key[0] == account]:
                self._bytes -= sum(map(_size, self._rows.pop(key).values()))


def _size(row: Row) -> int:
    return len(row.value) + OVERHEAD
