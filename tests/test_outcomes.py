"""The table of outcomes in the README is the data that decides them."""

from __future__ import annotations

from commands.outcomes import README, rows, with_table
from services.errors import Remedy


def test_the_readme_has_the_table_as_it_is():
    text = README.read_text(encoding="utf-8")

    assert with_table(text) == text


def test_every_row_says_what_it_is_and_what_to_do():
    for what, outcome in rows():
        assert outcome.message.endswith("."), what
        assert outcome.hint.endswith("."), what
        assert outcome.remedy in Remedy
        assert 400 <= outcome.error.status < 600


def test_what_throttles_or_blocks_tells_a_wait():
    for what, outcome in rows():
        if outcome.error.status in {429, 503}:
            assert outcome.wait or outcome.error.usual_wait, what
