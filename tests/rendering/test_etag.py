"""The ETag of a body: every byte of it counts, in however many parts it is read."""

from __future__ import annotations

from hashlib import sha256

import pytest

from routes.etag import DIGITS, MOST_IN_PARTS, PART, etag_of

LENGTHS = [0, 1, PART - 1, PART, PART + 1, 2 * PART, MOST_IN_PARTS - 1, MOST_IN_PARTS, MOST_IN_PARTS + 1]


@pytest.mark.parametrize("length", LENGTHS)
def test_an_etag_is_of_the_whole_body(length):
    body = b"a" * length

    assert etag_of(body) == f'"{sha256(body).hexdigest()[:DIGITS]}"'
    assert len({etag_of(each) for each in (body, body + b"a", b"b" + body)}) == 3
