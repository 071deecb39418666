"""Numbers of a story from polling and from webhooks: which counts, and what a delivery means."""

from __future__ import annotations

from itertools import chain

import pytest

from services.media.delivered_stories import delivered
from services.media.live_story import LiveStory
from services.media.story_values import newest, polled, values_of
from services.media.values import MediaValue
from services.store.stories import StoryNumber

FEW = "insufficient_viewers"
NAVIGATION = {"tap_forward": 10, "tap_back": 2, "tap_exit": 3, "swipe_forward": 5}


def poll(at=100.0, **values):
    story = LiveStory("1", 10.0, "IMAGE", None, {name: known(value) for name, value in values.items()}, is_read=True)
    return polled(story, at).numbers


def known(value):
    if isinstance(value, dict):
        return MediaValue(sum(value.values()), buckets=value)
    return value if isinstance(value, MediaValue) else MediaValue(value)


def webhook(at=200.0, **value):
    return delivered("1", {"media_id": "1", **value}, at).numbers


def counted(*numbers):
    return {
        metric: (each.value.value, each.value.reason, each.source)
        for metric, each in values_of(chain(*numbers)).items()
    }


@pytest.mark.parametrize("at", [50.0, 200.0])
def test_a_webhook_is_the_last_word_where_it_gives_a_number(at):
    assert counted(poll(reach=90), webhook(at, reach=95)) == {"reach": (95, None, "webhook")}


def test_fewer_than_five_of_a_webhook_replaces_no_known_number():
    assert counted(poll(replies=3), webhook(replies=-1)) == {"replies": (3, None, "polling")}
    assert counted(webhook(replies=-1)) == {"replies": (None, FEW, "webhook")}
    few = MediaValue(None, FEW)
    assert counted(poll(replies=few), webhook(replies=-1)) == {"replies": (None, FEW, "webhook")}
    assert counted(poll(replies=few), webhook(replies=6)) == {"replies": (6, None, "webhook")}


def test_the_buckets_of_a_webhook_are_those_of_navigation_and_make_its_total():
    found = values_of([*poll(navigation=NAVIGATION), *webhook(taps_forward=12, taps_back=-1, exits=4)])

    assert found["navigation"].value.buckets == NAVIGATION | {"tap_forward": 12, "tap_exit": 4}
    assert (found["navigation"].value.value, found["navigation"].source) == (23, "webhook")
    assert found["navigation"].read_at == 200.0


def test_a_bucket_that_is_unknown_leaves_the_polled_total():
    found = values_of([*poll(navigation=NAVIGATION), *webhook(taps_forward=12, navigation={"OF_TOMORROW": -1})])

    assert (found["navigation"].value.value, found["navigation"].source) == (20, "polling")


def test_a_total_of_a_webhook_is_not_replaced_by_the_sum_of_its_buckets():
    later = webhook(taps_forward=12, taps_back=7, exits=8, navigation={"swipe_forward": 5})

    found = values_of([*webhook(150.0, navigation=33), *later])

    assert (found["navigation"].value.value, found["navigation"].read_at) == (33, 150.0)


def test_without_every_bucket_navigation_has_no_total():
    found = values_of(webhook(taps_forward=12, taps_back=7, exits=8))

    assert found["navigation"].value == MediaValue(
        None, "total_not_reported", buckets={"tap_forward": 12, "tap_back": 7, "tap_exit": 8, "swipe_forward": None}
    )


def test_a_delivery_may_have_the_names_of_the_api():
    found = values_of(webhook(views=40, navigation={"TAP_FORWARD": 5, "tap_back": -1}, shares=6))

    assert found["views"].value.value == 40
    assert found["navigation"].value.buckets == dict.fromkeys(NAVIGATION) | {"tap_forward": 5}


def test_impressions_answer_views_only_where_nothing_else_does():
    only = values_of(webhook(impressions=28))
    both = values_of([*poll(views=30), *webhook(impressions=28)])

    assert (only["views"].value.value, only["views"].answered_by) == (28, "impressions")
    assert (both["views"].value.value, both["views"].answered_by) == (30, None)
    assert both["impressions"].value.value == 28
    assert "views" not in values_of(webhook(impressions=-1))


def test_impressions_answer_views_that_were_read_as_unknown_and_none_that_were_delivered():
    few = poll(views=MediaValue(None, FEW))
    read = values_of([*few, *webhook(impressions=28)])
    delivered_too = counted(few, webhook(impressions=28, views=-1))

    assert (read["views"].value.value, read["views"].answered_by) == (28, "impressions")
    assert delivered_too == {"views": (None, FEW, "webhook"), "impressions": (28, None, "webhook")}


@pytest.mark.parametrize("odd", ["many", None, True, -5, [], 1e30])
def test_what_is_no_number_in_a_delivery_is_unknown(odd):
    assert counted(webhook(reach=odd)) == {"reach": (None, "unreadable", "webhook")}


def test_unknown_names_of_a_delivery_are_kept_and_endless_ones_are_not():
    assert counted(webhook(**{"sticker_taps": 9, "x" * 65: 1})) == {"sticker_taps": (9, None, "webhook")}


def test_a_delivery_without_a_time_of_the_story_is_placed_before_its_own():
    row = delivered("1", {"media_id": "1"}, 200_000.0)

    assert (row.created_at, row.ordered_at, row.delivered_at, row.read_at) == (None, 110_000.0, 200_000.0, None)


def test_numbers_of_two_readings_are_joined_as_the_table_does():
    old = [StoryNumber("reach", "", "polling", 5, None, 1.0), StoryNumber("views", "", "polling", None, FEW, 1.0)]
    new = [StoryNumber("reach", "", "polling", None, FEW, 2.0), StoryNumber("views", "", "polling", 4, None, 2.0)]

    assert newest(old, new) == [old[0], new[1]]
    assert newest(new, old) == [old[0], new[1]]
    for read_at, value in ((0.5, 5), (1.0, 4)):
        other = StoryNumber("reach", "", "polling", 4, None, read_at)
        assert [each.value for each in newest(old[:1], [other])] == [value]
