"""`make outcomes`: prints the table of outcomes into the README, from the data that decides them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from services.clients.outcomes import (
    INSTAGRAM,
    MODASH,
    MODASH_FAULT,
    MODASH_REFUSED,
    MODASH_STATUS,
    PERMISSION,
    VIEWERS,
    Outcome,
)

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- outcomes: printed by `make outcomes` -->\n", "<!-- end of outcomes -->\n"
HEAD = (
    "| what comes | status | code | what callers are told | retry_after | what the gateway does |\n"
    "| --- | --- | --- | --- | --- | --- |\n"
)


def main() -> int:
    """Write the README anew where its table is not the data's."""
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def with_table(readme: str) -> str:
    """Return the README with the table between its two marks made anew."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


def table() -> str:
    """Return all rows as Markdown."""
    return HEAD + "".join(_row(what, outcome) for what, outcome in rows())


def rows() -> Iterator[tuple[str, Outcome]]:
    """Go through all rows: Instagram's by code and subcode, then Modash's by code and status."""
    for (code, subcode), outcome in sorted(INSTAGRAM.items(), key=lambda row: (row[0][0], row[0][1] or 0)):
        yield f"Instagram {code}" if subcode is None else f"Instagram {code}/{subcode}", outcome
        if (code, subcode) == (10, None):
            yield 'Instagram 10, "not enough viewers"', VIEWERS
    yield "Instagram 200 to 299", PERMISSION
    for name, outcome in MODASH.items():
        yield f"Modash `{name}`", outcome
    for status, outcome in MODASH_STATUS.items():
        yield f"Modash {status}, other code", outcome
    yield "Modash 5xx, other code", MODASH_FAULT
    yield "Modash, anything else", MODASH_REFUSED


def _row(what: str, outcome: Outcome) -> str:
    wait = outcome.wait or outcome.error.usual_wait
    cells = (
        what,
        str(outcome.error.status),
        f"`{outcome.cause or outcome.error.code}`",
        f"{outcome.message} {outcome.hint}",
        "" if wait is None else str(wait),
        outcome.remedy.value,
    )
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    sys.exit(main())
