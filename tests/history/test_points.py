"""The days of which each is known: their JSON is that of their points, whatever they hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.history.points import KnownDays
from services.rendering.prepared_json import json_text

NUMBERS = st.floats(width=64) | st.integers(-(10**6), 10**18).map(float) | st.sampled_from([-0.0, 0.5, 1e16, 1e-7])
MOMENTS = st.floats(-1e11, 1e11) | st.integers(0, 2**31).map(float)
DAYS = (
    st.dates().map(str) | st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(["%b", '","', '"', "\\"])
)


@given(st.lists(st.tuples(DAYS, NUMBERS, st.integers(0, 1), MOMENTS), max_size=5), st.booleans())
def test_the_text_of_known_days_is_that_of_their_points(rows, is_counted):
    days, values, finals, moments = zip(*rows, strict=True) if rows else ((), (), (), ())
    known = KnownDays(days, values, finals, moments if is_counted else ())

    assert known.as_json() == json_text(list(known))
    assert [(point["date"], point["final"]) for point in known] == [(day, final == 1) for day, _, final, _ in rows]


def test_counts_are_integers_and_moments_are_whole_seconds():
    known = KnownDays(["2026-11-01", "2026-11-02"], [5.0, 2.5], [1, 0], [1793520000.9, 1793606400.0])

    assert known.as_json() == (
        b'[{"date":"2026-11-01","value":5,"reason":null,"final":true,"counted_at":"2026-11-01T08:00:00Z"},'
        b'{"date":"2026-11-02","value":2.5,"reason":null,"final":false,"counted_at":"2026-11-02T08:00:00Z"}]'
    )
