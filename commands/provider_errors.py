"""`make provider-errors`: writes the tables of docs/provider-errors.md from the error rules of both providers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from services.clients.error_mapping import ErrorRule
from services.clients.graph.error_codes import INSTAGRAM_RULES, NO_TOKEN, PERMISSION, UNKNOWN, VIEWERS
from services.clients.modash.error_codes import (
    MODASH_FAULT,
    MODASH_NO_ADDRESS,
    MODASH_REFUSED,
    MODASH_RULES,
    MODASH_STATUS_RULES,
    UNKNOWN_CREATOR,
)

DOCUMENT = Path(__file__).parent.parent / "docs" / "provider-errors.md"
BEGIN, END = "<!-- tables: written by `make provider-errors` -->\n", "<!-- end of the tables -->\n"
HEAD = "| refusal | answer | message and hint | retry_after | gateway |\n| --- | --- | --- | --- | --- |\n"


def main() -> int:
    """Write the tables into the document."""
    argparse.ArgumentParser(prog="make provider-errors", description=__doc__).parse_args()
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def with_tables(document: str) -> str:
    """Return the document with current tables between its two marks."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


def tables() -> str:
    """Return one Markdown table for each provider."""
    titled = {"Instagram, by code and subcode": instagram_rules(), "Modash, by code": modash_rules()}
    return "\n".join(
        f"## {title}\n\n{HEAD}{''.join(_row(refusal, rule) for refusal, rule in rules_)}"
        for title, rules_ in titled.items()
    )


def rules() -> Iterator[tuple[str, ErrorRule]]:
    """Yield every rule of both providers with the name of the refusal."""
    yield from instagram_rules()
    yield from modash_rules()


def instagram_rules() -> Iterator[tuple[str, ErrorRule]]:
    """Yield the rules of Instagram, sorted by code and subcode."""
    for (code, subcode), rule in sorted(INSTAGRAM_RULES.items(), key=lambda row: (row[0][0], row[0][1] or 0)):
        yield str(code) if subcode is None else f"{code}/{subcode}", rule
        if (code, subcode) == (10, None):
            yield '10, with "not enough viewers" in its text', VIEWERS
    yield "200 to 299", PERMISSION
    yield '2500 with "active access token" in its text, 200 with "Provide valid app ID"', NO_TOKEN
    yield "80000 to 80014, but those listed", INSTAGRAM_RULES[80_002, None]
    yield "another code below 5xx, or none", UNKNOWN


def modash_rules() -> Iterator[tuple[str, ErrorRule]]:
    """Yield the rules of Modash: by code, then by status for codes that are not known."""
    for name, rule in MODASH_RULES.items():
        yield f"`{name}`", rule
    for status, rule in MODASH_STATUS_RULES.items():
        yield f"status {status}, another code, or none", rule
    yield 'no code, and "User not found" in its text', UNKNOWN_CREATOR
    yield "`error: true` at 5xx, another code", MODASH_FAULT
    yield "`error: true` at 404, another code", MODASH_NO_ADDRESS
    yield "`error: true`, another code", MODASH_REFUSED


def _row(refusal: str, rule: ErrorRule) -> str:
    wait = rule.wait or rule.error.usual_wait
    cells = (
        refusal,
        f"{rule.error.status} `{rule.cause or rule.error.code}`",
        f"{rule.message} {rule.hint}",
        "" if wait is None else str(wait),
        rule.retry_strategy.value,
    )
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    sys.exit(main())
