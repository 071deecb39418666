"""The query is read once, and as Flask would read it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.wrappers import Request

from routes.query_string import parameters_of

PIECES = ["a", "b=1", "=", "&", "&&", "+", "%20", "%41", "%C3%A9", "%FF", "%zz", "%", ",", ";", "é", "=x=", "?", "/"]


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_parameters_are_those_that_flask_reads(query):
    environ = {"QUERY_STRING": query.encode().decode("latin-1"), "REQUEST_METHOD": "GET"}

    found = parameters_of(dict(environ))

    expected = Request(environ).args
    assert len(found) == len(list(expected.items(multi=True)))
    for name in dict(found):
        assert [value for each, value in found if each == name] == expected.getlist(name)


@pytest.mark.parametrize("query", ["limit=3&time_range=7d", "time%5Frange=7d&limit=3", "&limit=%33&&time_range=7d&"])
def test_every_spelling_of_a_query_is_answered_alike(world, query):
    expected = world.get("/top-posts?time_range=7d&limit=3")

    response = world.get(f"/top-posts?{query}")

    assert response.status_code == 200
    assert response.data == expected.data
