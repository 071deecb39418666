"""How far a command is: a bar on a terminal, elsewhere a line for each tenth."""

from __future__ import annotations

import threading
from typing import TextIO

BAR = 30  # characters
CLEAR = "\r\x1b[K"  # the line of the bar, for another one


class Progress:
    """Shows the progress of one thing after another; safe for threads."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._label = ""
        self._tenth = -1  # of the present thing, that has a line
        self._has_bar = False

    def show(self, label: str, done: int, total: int, unit: str) -> None:
        """Show how much of something is done."""
        part = done / total if total else 1.0
        with self._lock:
            if label != self._label:
                self._label, self._tenth = label, -1
            if self._out.isatty():
                bar = "#" * round(part * BAR)
                self._out.write(f"\r{label}  [{bar:.<{BAR}}] {done:,} of {total:,} {unit} ")
                self._has_bar = done < total
                self._out.write("" if self._has_bar else "\n")
                self._out.flush()
            elif (tenth := int(part * 10)) != self._tenth:
                self._tenth = tenth
                self._write(f"{label}: {done:,} of {total:,} {unit}")

    def begin(self) -> None:
        """Begin again: the first tenth gets a line, also for the same label."""
        with self._lock:
            self._label = ""

    def say(self, line: str) -> None:
        """Write a line; the bar stands below it from the next time it is shown."""
        with self._lock:
            self._write(line)

    def clear(self) -> None:
        """Remove the bar until it is shown again, for a line that is written elsewhere."""
        with self._lock:
            self._clear()
            self._out.flush()

    def _clear(self) -> None:
        self._out.write(CLEAR if self._has_bar else "")
        self._has_bar = False

    def _write(self, line: str) -> None:
        self._clear()
        self._out.write(f"{line}\n")
        self._out.flush()
