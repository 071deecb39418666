"""Rows as a table: a header, and columns as wide as their cells."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.stage import Row

NOTHING = "-"
LARGE, MIDDLE, SMALL = 100, 10, 0.1  # from which a number needs no decimals, one, or two


def table(rows: Sequence[Row]) -> str:
    """Return the rows below their header; the first column is aligned left, the others right."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [columns, *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[position]) for line in lines) for position in range(len(columns))]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join([first.strip().ljust(widths[0]), *others])


def _cell(value: object) -> str:
    if value is None:
        return NOTHING
    if not isinstance(value, float):
        return str(value)
    decimals = next((count for count, least in enumerate((LARGE, MIDDLE, SMALL)) if abs(value) >= least), 4)
    return f"{value:,.{decimals}f}"
