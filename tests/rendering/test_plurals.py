"""Numbers in sentences."""

from __future__ import annotations

import pytest

from services.rendering.plurals import counted, in_digits


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (0, ("report",), "0 reports"),
        (1, ("report",), "1 report"),
        (2, ("report",), "2 reports"),
        (12_345, ("report",), "12,345 reports"),
        (1, ("key is", "keys are"), "1 key is"),
        (0, ("key is", "keys are"), "0 keys are"),
    ],
)
def test_one_is_counted_in_the_singular(number, words, text):
    assert counted(number, *words) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.25, "0.25"), (100.0, "100"), (123_456.25, "123456.25"), (1_000_000.0, "1000000"), (10**12, "1000000000000")],
)
def test_a_large_number_keeps_all_its_digits(number, text):
    assert in_digits(number) == text
