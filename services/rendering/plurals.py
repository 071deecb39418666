"""Numbers in sentences: one report, two reports."""

from __future__ import annotations


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with what it counts, which is named for one and, if `s` is not all that differs, for many."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
