"""Which texts are decoded, and that a deep one costs no more than its refusal."""

from __future__ import annotations

import gc
import json
import sys

import pytest

from services.clients.json_text import decode


class NeedsDepth:
    """An object in a cycle whose finalizer needs some of the stack."""

    finalized = 0

    def __init__(self):
        self.itself = self

    def __del__(self):
        self.call(60)
        type(self).finalized += 1

    def call(self, depth):
        return depth and self.call(depth - 1)


def nested(opening, closing, depth):
    return opening * depth + "1" + closing * depth


@pytest.mark.parametrize(
    ("opening", "closing", "most"),
    [("[", "]", 50), ('{"a":', "}", 50), ('{"a":[', "]}", 25)],
)
def test_a_text_is_decoded_up_to_the_accepted_depth(opening, closing, most):
    good, deep = nested(opening, closing, most), nested(opening, closing, most + 1)

    assert decode(good) == json.loads(good)
    assert decode(good.encode()) == json.loads(good)
    with pytest.raises(ValueError, match="nested too deep"):
        decode(deep)


@pytest.mark.parametrize(
    "value",
    [
        {"caption": "[" * 1_000, "more": [1, {"a": "}" * 500}]},
        {"caption": '\\"' + "[{" * 100 + '"'},
        ["[", '"', "\\", "{" * 60, "\n"] * 20,
        [[[]] * 1_000] * 10,
    ],
)
def test_brackets_within_strings_and_side_by_side_do_not_count(value):
    assert decode(json.dumps(value)) == value
    assert decode(json.dumps(value).encode()) == value


@pytest.mark.parametrize("text", ["[" * 100_000, "]" * 100_000, "[" * 60 + '"' + "]" * 60, '{"a": "', "", "[}", "]["])
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        decode(text)


def test_a_deep_text_takes_no_finalizer_with_it(monkeypatch):
    lost = []
    monkeypatch.setattr(sys, "unraisablehook", lost.append)
    monkeypatch.setattr(NeedsDepth, "finalized", 0)
    before = gc.get_threshold()
    gc.set_threshold(900, 1, 1)
    try:
        for _ in range(20):
            for _ in range(20):
                NeedsDepth()
            with pytest.raises(ValueError, match="nested too deep"):
                decode("[" * 100_000)
    finally:
        gc.set_threshold(*before)
    gc.collect()

    assert (lost, NeedsDepth.finalized) == ([], 400)
