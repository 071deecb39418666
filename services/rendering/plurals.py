"""Numbers in sentences: one report, two reports; 1234567.25 credits."""

from __future__ import annotations


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with what it counts, which is named for one and, if `s` is not all that differs, for many."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def in_digits(number: float) -> str:
    """Return a number with all its digits, and without the fraction of a whole one."""
    return f"{number:.15g}"
