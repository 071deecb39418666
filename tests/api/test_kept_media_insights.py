"""Media insights that were shown moments ago: other requests are made of them, as if they read again."""

from __future__ import annotations

import pytest

from services.media.reader import MediaReader

SELECTIONS = [
    "",
    "metrics=reach",
    "metrics=plays,engagement,clips_replays_count",  # answered by another one, by a sum, and by none
    "metrics=profile_activity,likes",
    "metrics=replies,navigation",  # which this type of media lacks
    "metrics=replies,views",
    "metrics=reach,shares&media_type=STORY",
]


@pytest.fixture
def media(world):
    """A post and a reel."""
    posts = world.body("/top-posts?time_range=30d&limit=50")["top_posts"]
    return [
        next(post["id"] for post in posts if post["media_product_type"] == product_type)
        for product_type in ("FEED", "REELS")
    ]


@pytest.fixture
def paths(media):
    return [f"/api/instagram/insights/{each}?{selection}" for each in media for selection in SELECTIONS]


def test_what_was_shown_before_is_what_reading_again_gives_at_any_moment(world, paths):
    # At once, after a while, and after a part of the values has expired.
    for minutes in (0, 30, 40):
        world.advance(minutes=minutes)
        for path in paths[:2]:
            world.get(f"{path}&refresh=true")  # What else is shown of the media stays as old as it is.
        for form in ("", "&format=json"):
            for path in paths:
                world.get(f"{path}{form}")
            world.settle()
        own = f"account={world.account['id']}"
        kept = [(world.body(f"{path}&{own}"), world.get(f"{path}&{own}&format=csv").data) for path in paths]
        for path, (body, table) in zip(paths, kept, strict=True):
            world.services.cache.forget(world.account["id"])
            assert world.body(path) == body, (minutes, path)
            world.services.cache.forget(world.account["id"])
            assert world.get(f"{path}&format=csv").data == table, (minutes, path)


def test_another_request_over_the_same_values_reads_nothing(world, paths, monkeypatch):
    for _ in range(2):
        for path in paths:
            world.get(path)
        world.settle()
    for path in paths:
        world.get(f"{path}&format=json")

    def read(*_arguments, **_options):
        raise AssertionError("It is read again.")

    monkeypatch.setattr(MediaReader, "read", read)

    statuses = [world.get(f"{path}&format=csv").status_code for path in paths]
    assert set(statuses) <= {200, 422}
    assert statuses.count(200) >= len(paths) - 2


def test_a_value_that_another_process_reads_again_is_shown_after_its_change_is_noticed(world, media):
    path = f"/api/instagram/insights/{media[0]}?metrics=reach,likes"
    before = world.body(path)["meta"]["fetched_at"]
    here = world.services
    world.advance(minutes=30)
    world.restart()  # a second process over the same store
    world.body(f"{path}&refresh=true")
    world.settle()

    here.cache.invalidate_changed()

    assert here.media_insights.of_media(media[0], ["reach"]).as_json()["meta"]["fetched_at"] > before


def test_a_refresh_reads_what_was_shown_moments_ago(world, media):
    path = f"/api/instagram/insights/{media[0]}?metrics=reach"
    before = world.body(path)["meta"]["fetched_at"]
    world.advance(minutes=1)

    after = world.body(f"{path}&refresh=true")["meta"]["fetched_at"]

    assert before < after == world.body(f"{path}&format=json")["meta"]["fetched_at"]


def test_what_is_stale_is_not_shown_again(world, media, monkeypatch):
    path = f"/api/instagram/insights/{media[0]}?metrics=reach"
    world.body(path)
    world.advance(hours=8)
    world.fault("server_error")
    read, times = MediaReader.read, []

    def counted(*arguments, **options):
        times.append(1)
        return read(*arguments, **options)

    monkeypatch.setattr(MediaReader, "read", counted)

    stale = [world.body(f"{path}{more}")["meta"]["stale"] for more in ("&format=json", "&media_type=FEED")]

    assert (stale, len(times)) == ([True, True], 2)


def test_a_refusal_that_has_expired_is_not_shown_again(world, media, monkeypatch):
    path = f"/api/instagram/insights/{media[0]}?metrics=replies"
    for form in ("", "&format=json"):
        world.get(f"{path}{form}")
        world.settle()
    read, reads = MediaReader.read, []
    monkeypatch.setattr(MediaReader, "read", lambda *given: reads.append(given) or read(*given))
    own = f"{path}&format=csv"
    assert world.get(own).status_code == 200
    assert reads == []

    world.advance(days=31)
    world.get(own)

    assert len(reads) == 1
