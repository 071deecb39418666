"""A cached value beside its bytes: read once, and the same whether it was decoded before or is decoded again."""

from __future__ import annotations

import gc

from services.cache.values import CachedValue, HeldRow, read_once
from services.store.cache_entries import EntryRow

TEXT = b'{"number": 1, "_asked": [5.0, 9.0]}'


def test_when_a_value_was_asked_for_in_vain_is_no_part_of_it_also_after_it_was_read():
    value = CachedValue(TEXT)

    before, read, after = dict(value), read_once(value, lambda json: json["number"]), dict(value)

    assert (before, read, after) == ({"number": 1}, 1, {"number": 1})
    assert value.asked == (5.0, 9.0)


def test_what_is_read_out_of_a_value_is_read_once_for_all_requests():
    row, reads = HeldRow(EntryRow(TEXT, 1.0, 2.0)), []

    def read(json):
        reads.append(json["number"])
        return tuple(reads)

    assert [read_once(row.value, read) for _ in range(3)] == [(1,)] * 3


def test_what_is_read_out_of_a_value_takes_the_place_of_its_json():
    value, decoded = CachedValue(TEXT), []

    value.read_once(lambda json: decoded.append(json) or 1)

    assert not any(each is value for each in gc.get_referrers(decoded[0]))
