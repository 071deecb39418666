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
