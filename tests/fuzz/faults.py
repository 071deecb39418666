"""What a suite has found: each kind of fault once, with the simplest case that shows it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Sequence
from logging import LogRecord

from tests.support import ROOT

SHOWN = 12  # kinds of faults; after those are mended, there is time for the others


def bug_in(records: Sequence[LogRecord]) -> str:
    """The last bug that was logged: what it is, and the last function of this project that it went through."""
    error = records[-1].exc_info[1]
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if str(ROOT) in frame.filename and "site-packages" not in frame.filename]
    return f"{type(error).__name__} in {own[-1].filename.removeprefix(f'{ROOT}/')}, {own[-1].name}"


class Faults:
    """Faults by their kinds: the same words with other values are the same kind."""

    def __init__(self) -> None:
        self._simplest: dict[str, tuple[str, str]] = {}

    def add(self, fault: str, case: str) -> None:
        kind = re.sub(r"-?\d[\d.e+]*|'.*?'|None", "...", fault)
        _, known = self._simplest.setdefault(kind, (fault, case))
        if len(case) < len(known):
            self._simplest[kind] = (fault, case)

    def __bool__(self) -> bool:
        return bool(self._simplest)

    def __str__(self) -> str:
        simplest = sorted(self._simplest.values(), key=lambda found: len(found[1]))
        shown = "\n".join(f"{fault}\n    {case}" for fault, case in simplest[:SHOWN])
        return f"{len(simplest)} kinds of faults:\n{shown}"
