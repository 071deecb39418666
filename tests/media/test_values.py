"""Numbers of one media, read out of Instagram's insights."""

import pytest

from services.media.values import (
    MediaValue,
    add_media_values,
    media_value_as_json,
    media_value_of,
    merge_media_values,
    read_item,
)

NAVIGATION = "story_navigation_action_type"


def broken_down(value, results, keys=(NAVIGATION,)):
    breakdowns = [{"dimension_keys": list(keys), "results": results}]
    total = {"breakdowns": breakdowns} if value is None else {"value": value, "breakdowns": breakdowns}
    return {"name": "navigation", "period": "lifetime", "values": [{"value": value}], "total_value": total}


def row(*names, value):
    return {"dimension_values": list(names), "value": value}


@pytest.mark.parametrize(
    ("item", "value", "reason"),
    [
        ({"name": "reach", "values": [{"value": 1408}]}, 1408, None),
        ({"name": "reach", "total_value": {"value": 1408}}, 1408, None),
        ({"name": "reels_skip_rate", "values": [{"value": 48.4}]}, 48.4, None),
        ({"name": "reach", "values": [{"value": 0}]}, 0, None),
        ({"name": "reach", "values": []}, None, "not_answered"),
        ({"name": "reach", "values": [{}]}, None, "not_answered"),
        ({"name": "reach", "values": [{"value": "many"}]}, None, "unreadable"),
        ({"name": "reach", "values": [{"value": -1}]}, None, "unreadable"),
        ({"name": "reach"}, None, "not_answered"),
        (None, None, "not_answered"),
    ],
)
def test_a_number_is_read_from_either_place_and_never_invented(item, value, reason):
    found = read_item(item)

    assert (found.value, found.reason) == (value, reason)


@pytest.mark.parametrize("spell", [str.lower, str.upper])
def test_buckets_are_read_by_name_and_those_left_out_are_0_where_the_others_add_up(spell):
    item = broken_down(12, [row(spell("tap_forward"), value=9), row(spell("tap_exit"), value=3)])

    found = read_item(item, NAVIGATION)

    assert found.buckets == {"swipe_forward": 0, "tap_back": 0, "tap_exit": 3, "tap_forward": 9}
    assert found.bucket("TAP_EXIT") == MediaValue(3)


def test_buckets_left_out_are_unknown_where_the_others_do_not_add_up():
    found = read_item(broken_down(12, [row("tap_forward", value=9)]), NAVIGATION)

    assert found.buckets == {"swipe_forward": None, "tap_back": None, "tap_exit": None, "tap_forward": 9}
    assert found.bucket("tap_back") == MediaValue(None, "bucket_unknown")


def test_a_bucket_with_an_unknown_name_passes_through_and_makes_the_others_unknown():
    found = read_item(broken_down(12, [row("tap_forward", value=9), row("tap_twice", value=3)]), NAVIGATION)

    assert found.buckets == {
        "swipe_forward": None,
        "tap_back": None,
        "tap_exit": None,
        "tap_forward": 9,
        "tap_twice": 3,
    }


def test_the_position_of_a_dimension_does_not_matter():
    item = broken_down(3, [row("LIFETIME", "tap_exit", value=3)], keys=("timeframe", NAVIGATION))

    assert read_item(item, NAVIGATION).bucket("tap_exit") == MediaValue(3)


def test_a_newly_unknown_number_does_not_replace_a_known_one():
    known = MediaValue(12, buckets={"tap_exit": 3, "tap_forward": 9})
    unknown = MediaValue(None, "not_answered")

    assert merge_media_values(known, unknown) == known
    assert merge_media_values(known, MediaValue(13, buckets={"tap_exit": None})) == MediaValue(
        13, buckets={"tap_exit": 3, "tap_forward": 9}
    )
    assert merge_media_values(unknown, known) == known


def test_a_sum_is_unknown_where_a_part_is():
    likes, hidden = MediaValue(12), MediaValue(None, "not_answered")

    assert add_media_values({"likes": likes, "comments": MediaValue(3)}) == MediaValue(15)
    assert add_media_values({"likes": likes, "comments": hidden}) == hidden


@pytest.mark.parametrize(
    "value", [MediaValue(1.5), MediaValue(None, "refused", "(#100) no"), MediaValue(3, buckets={"tap_exit": None})]
)
def test_a_cached_value_is_read_as_it_was_written(value):
    assert media_value_of(media_value_as_json(value)) == value


def test_a_damaged_cached_value_is_none():
    with pytest.raises(ValueError, match="not a number"):
        media_value_of({"value": "12"})
