"""What is remembered of refusals: of one odd media, and of a metric that no media has any more."""

from __future__ import annotations

import pytest

from services.media.known_refusals import MediaRefusals

ACCOUNT = "17841400000000001"


@pytest.fixture
def refusals(cache):
    return MediaRefusals(cache)


def test_a_media_that_refuses_a_metric_twice_is_one_media(refusals):
    def others(media_id):
        return refusals.refused_by_others(ACCOUNT, "REELS", ["views"], media_id)

    assert [others("1"), others("1"), others("2")] == [set(), set(), {"views"}]


def test_a_metric_that_was_answered_in_between_was_refused_by_one_media_only(refusals):
    refusals.refused_by_others(ACCOUNT, "REELS", ["views"], "1")

    refusals.note_answered(ACCOUNT, "REELS", ["views"])

    assert refusals.refused_by_others(ACCOUNT, "REELS", ["views"], "2") == set()


def test_what_a_media_itself_refuses_is_said_of_it_before_what_its_type_refuses(make_cache):
    reader, writer = (MediaRefusals(make_cache()) for _ in range(2))
    writer.note_metrics(ACCOUNT, "REELS", {"views": ("not_for_this_media", "")}, media_id="1")
    writer.note_metrics(ACCOUNT, "REELS", {"views": ("insufficient_viewers", "")}, media_id="2")
    reader.of_single_media(ACCOUNT, ["1", "2"], ["views"])  # So that these are not read again, and the others are.
    writer.note_metrics(ACCOUNT, "REELS", {"views": ("refused", "")})
    own = {"1": "not_for_this_media", "2": "insufficient_viewers", "3": "refused"}

    of_one = {each: reader.of_metrics(ACCOUNT, "REELS", ["views"], media_id=each)["views"] for each in own}
    of_many = reader.of_many(ACCOUNT, dict.fromkeys(own, "REELS"), ["views"])

    assert {media_id: refusal.reason for (media_id, _), refusal in of_many.items()} == own
    assert {media_id: refusal.reason for media_id, refusal in of_one.items()} == own
