"""How values of parameters and of Accept are read, at both sides of each bound."""

from __future__ import annotations

from datetime import date

import pytest

from routes import parameter_types
from routes.replies import MAX_ACCEPTED, MAX_ACCEPTED_ITEM, CompleteResponse, negotiated


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("2010-01-01", date(2010, 1, 1)),
        ("2100-01-01", date(2100, 1, 1)),
        ("1262304000", 1_262_304_000),
        ("4102444800", 4_102_444_800),
    ],
)
def test_a_time_is_read_up_to_both_ends_of_its_range(given, read):
    assert parameter_types.bound(given) == read


@pytest.mark.parametrize("given", ["2009-12-31", "2100-01-02", "1262303999", "4102444801"])
def test_a_time_beyond_its_range_is_refused(given):
    with pytest.raises(ValueError, match="outside the range"):
        parameter_types.bound(given)


def test_days_are_read_up_to_their_bound():
    read = parameter_types.days_up_to(30).func

    assert [read(given) for given in ("1d", "30d")] == [1, 30]
    for given in ("0d", "31d"):
        with pytest.raises(ValueError, match="out of range"):
            read(given)


@pytest.mark.parametrize(("given", "name"), [("123", "123"), ("000123", "123"), ("@00123", "@00123")])
def test_an_id_of_a_creator_is_one_name_however_many_zeros_it_begins_with(given, name):
    assert parameter_types.creator(given) == name


@pytest.mark.parametrize(("length", "is_read"), [(MAX_ACCEPTED_ITEM, True), (MAX_ACCEPTED_ITEM + 1, False)])
def test_a_long_item_of_accept_is_not_read(length, is_read):
    item = "text/csv".ljust(length)

    assert (negotiated(item) == "text/csv") is is_read


@pytest.mark.parametrize(("before", "is_read"), [(MAX_ACCEPTED - 1, True), (MAX_ACCEPTED, False)])
def test_more_items_of_accept_than_a_caller_can_mean_are_not_read(before, is_read):
    items = [*["application/json;q=0.1"] * before, "text/csv"]

    assert (negotiated(",".join(items)) == "text/csv") is is_read


@pytest.mark.parametrize(("method", "body"), [("GET", [b"{}"]), ("HEAD", [])])
def test_the_reply_to_a_head_has_no_body(method, body):
    assert CompleteResponse(b"{}", 200, [])({"REQUEST_METHOD": method}, lambda *_: None) == body


def test_a_plus_sign_that_a_query_made_a_space_is_one_again():
    assert parameter_types.time_zone("Etc/GMT 5").key == "Etc/GMT+5"
