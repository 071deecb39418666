"""Writes what a fetch brings while it goes on, on another thread: no call waits for the database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from services.executors import submit_if_possible

WRITERS = 4  # threads
COLLECT_FOR = 0.05  # seconds: sixty answers that come at once are one or two transactions, not sixty

K = TypeVar("K")
V = TypeVar("V")


class PartWriter(Generic[K, V]):
    """The writing of one fetch: a part at a time, of all that has come since the last one.

    A part that cannot be written is tried again with the next one. What is left at the end is for the caller to write,
    who then gets the error.
    """

    def __init__(self, write: Callable[[Mapping[K, V]], object], threads: ThreadPoolExecutor) -> None:
        self._write = write
        self._threads = threads
        self._waiting: dict[K, V] = {}
        self._written: dict[K, V] = {}
        self._has_thread = False
        self._is_writing = False
        self._is_over = False
        self._changed = threading.Condition()

    def add(self, values: Mapping[K, V]) -> None:
        """Have values written within moments; a later value of a key replaces an earlier one."""
        with self._changed:
            self._waiting |= values
            if self._has_thread or not self._waiting:
                return
            self._has_thread = True
        if not submit_if_possible(self._threads, self._run):
            self._write_part()
            with self._changed:
                self._has_thread = False

    def finish(self) -> Mapping[K, V]:
        """Write no further part; return all that was written, when none is being written any more."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._is_writing)
            return self._written

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_over, COLLECT_FOR)
            is_written = self._write_part()
            with self._changed:
                if self._is_over or not self._waiting or not is_written:
                    self._has_thread = False
                    return

    def _write_part(self) -> bool:
        """Write what waits, unless the fetch is over; return whether that went well."""
        with self._changed:
            if self._is_over:
                return False
            part, self._waiting = self._waiting, {}
            self._is_writing = True
        try:
            self._write(part)
        except Exception:  # noqa: BLE001  # Raised by the caller's own writing, if it is still there then.
            with self._changed:
                self._waiting = part | self._waiting
            return False
        else:
            self._written |= part
            return True
        finally:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
