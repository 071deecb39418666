"""The remembered list of posts against the true one: random posts, deletions and moments of reading."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.cache.entries import CacheEntry
from services.cache.policies import DAY, HOUR, KEPT_POSTS_TTL, OLD_POSTS_TTL
from services.posts import listed_posts
from services.posts.cached_list import LIMIT_REACHED, CachedPostList, ListReading
from services.posts.listed_posts import ListedPosts, PostListPolicy

NOW = datetime(2026, 11, 21, 18, tzinfo=UTC).timestamp()
PAGE = 5  # posts; small, so that few posts make many pages
DAYS = 30


def item(number, moment, likes=0):
    time = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
    return {"id": str(number), "timestamp": time, "like_count": likes, "comments_count": 0}


class Instagram:
    """The posts of an account, as Instagram lists them."""

    def __init__(self, moments):
        self.posts = {}
        for moment in moments:
            self.publish(moment)

    def publish(self, moment):
        number = len(self.posts)
        self.posts[number] = item(number, moment)

    def delete(self, choice):
        there = [number for number, post in self.posts.items() if post]
        if there:
            self.posts[there[choice % len(there)]] = None

    def listed(self):
        """The posts that are there, newest first."""
        there = [(post["timestamp"], number) for number, post in self.posts.items() if post]
        return [self.posts[number] for _, number in sorted(there, reverse=True)]

    def read(self, since, known=(), read_at=NOW):
        """Read pages as `PostReader` does."""
        reading, posts = ListReading(since, read_at=read_at, known=known), self.listed()
        for start in range(0, len(posts), PAGE):
            is_done = reading.add(posts[start : start + PAGE])
            if is_done and start + PAGE < len(posts):
                return reading.done()
        return reading.ended()

    def ids(self, since):
        return [post["id"] for post in self.listed() if moment_of(post) >= since]


def moment_of(post):
    return datetime.fromisoformat(post["timestamp"]).timestamp()


def since_of(listed, since):
    return [post["id"] for post in listed.posts if moment_of(post) >= since]


def ids_of(listed):
    return {post["id"] for post in listed.posts}


def joined(instagram, known, read_at, since):
    return CachedPostList.from_json(instagram.read(since, ids_of(known), read_at).above(known).as_json())


past = st.integers(0, int(DAYS * DAY)).map(lambda seconds: NOW - seconds)
spread = st.lists(past, max_size=40, unique=True)  # no two posts at one second
crowded = st.lists(st.integers(0, 12).map(lambda hours: NOW - hours * HOUR), max_size=40)
events = st.lists(st.tuples(st.sampled_from(["publish", "delete"]), st.integers(0, 1000)), max_size=12)


@given(spread | crowded, st.integers(1, DAYS))
def test_what_is_read_at_once_is_the_true_list(moments, days):
    instagram, since = Instagram(moments), NOW - days * DAY

    listed = CachedPostList.from_json(instagram.read(since).as_json())

    assert since_of(listed, since) == instagram.ids(since)
    assert listed.reaches(since)


@given(spread, st.lists(st.integers(1, 1000), max_size=15), st.integers(1, DAYS))
def test_new_posts_are_joined_without_gap_or_double(moments, gaps, days):
    instagram, since = Instagram(moments), NOW - days * DAY
    known = instagram.read(since)
    for number, _ in enumerate(gaps):
        instagram.publish(NOW + number + 1)

    listed = joined(instagram, known, NOW + DAYS * DAY, since)

    assert since_of(listed, since) == instagram.ids(since)
    assert len(ids_of(listed)) == len(listed.posts)
    assert listed.reaches(since)


@given(crowded, st.integers(0, 15), st.integers(1, DAYS))
def test_posts_of_one_second_are_all_kept(moments, published, days):
    instagram, since = Instagram(moments), NOW - days * DAY
    known = instagram.read(since)
    for _ in range(published):
        instagram.publish(NOW + 1)

    listed = joined(instagram, known, NOW + DAYS * DAY, since)

    assert sorted(since_of(listed, since)) == sorted(instagram.ids(since))
    assert len(ids_of(listed)) == len(listed.posts)


@settings(max_examples=200)
@given(spread, st.lists(events, max_size=6), st.integers(1, DAYS))
def test_a_list_refreshed_again_and_again_lacks_no_post_and_keeps_no_deleted_one_of_its_head(moments, rounds, days):
    instagram, since = Instagram(moments), NOW - days * DAY
    known, now = instagram.read(since), NOW
    for round_ in rounds:
        now += HOUR
        for number, (event, choice) in enumerate(round_):
            if event == "publish":
                instagram.publish(now - 60 + number)
            else:
                instagram.delete(choice)
        known = joined(instagram, known, now, since)
        listed, true = since_of(known, since), instagram.ids(since)

        assert known.reaches(since)
        assert set(true) <= set(listed)
        assert [post for post in listed if post in set(true)] == true
        assert len(ids_of(known)) == len(known.posts)
        assert all(moment_of(post) < known.head_from for post in known.posts if post["id"] not in instagram.ids(0))
        assert [moment_of(post) for post in known.posts] == sorted(map(moment_of, known.posts), reverse=True)


@given(spread, spread, st.integers(1, DAYS), st.integers(1, DAYS))
def test_a_list_never_claims_to_reach_further_back_than_it_does(moments, later, days, more_days):
    instagram, since = Instagram(moments), NOW - days * DAY
    known = instagram.read(since)
    for moment in later:
        instagram.publish(moment + DAYS * DAY)

    listed = joined(instagram, known, NOW + DAYS * DAY, since)

    further = NOW - more_days * DAY
    assert not listed.reaches(further) or since_of(listed, further) == instagram.ids(further)


def test_a_list_may_lack_posts_of_the_second_with_which_it_ends():
    listed = CachedPostList(head_from=NOW)

    assert (listed.reaches(NOW), listed.reaches(NOW + 1)) == (False, True)


def test_a_post_that_comes_on_two_pages_is_listed_once():
    reading = ListReading(NOW - DAY, read_at=NOW)
    reading.add([item(1, NOW - 1), item(2, NOW - 2)])
    reading.add([item(2, NOW - 2), item(3, NOW - 3)])

    assert [post["id"] for post in reading.ended().posts] == ["1", "2", "3"]


@pytest.mark.parametrize(("unreadable", "is_cut"), [(LIMIT_REACHED - 2, False), (LIMIT_REACHED - 1, True)])
def test_a_list_that_ends_at_the_limit_of_instagram_is_cut_there(unreadable, is_cut):
    reading = ListReading(NOW - DAY, read_at=NOW)
    reading.add([item(1, NOW - 1), *[{}] * unreadable])

    assert reading.ended().truncated is is_cut


def test_a_list_out_of_order_that_was_read_far_enough_reaches_what_was_needed():
    reading = ListReading(NOW - DAY, read_at=NOW)
    reading.add([item(1, NOW - 2), item(2, NOW - 1)])
    ends = [reading.add([item(number, NOW - 2 * DAY - number)]) for number in (3, 4, 5)]

    assert ends == [False, False, True]
    assert reading.done().reaches(NOW - DAY)


def test_a_list_that_ends_after_the_older_one_was_read_is_not_continued_by_it():
    instagram = Instagram([NOW - HOUR])
    known = instagram.read(NOW - DAY)
    for minutes in range(1, 3 * PAGE + 1):  # Nothing is known of the first ones, which are not read.
        instagram.publish(NOW + minutes * 60)

    later = CachedPostList.from_json(instagram.read(NOW + 14 * 60, read_at=NOW + HOUR).above(known).as_json())

    assert later.head_from > known.read_at
    assert not later.reaches(NOW - DAY)
    assert str(0) not in ids_of(later)


@pytest.mark.parametrize(("waited", "is_kept"), [(KEPT_POSTS_TTL - 1, True), (KEPT_POSTS_TTL, False)])
def test_posts_that_no_answer_has_are_kept_for_a_day_and_no_longer(waited, is_kept):
    known = replace(Instagram([NOW - HOUR]).read(NOW - DAY), empty_since=NOW)

    kept = CachedPostList(read_at=NOW + waited).without_posts_of(known)

    assert (kept is not None) is is_kept


@given(spread, st.integers(1, DAYS), st.integers(1, 48), st.integers(0, 12))
def test_no_needed_count_is_fresh_for_longer_than_promised(moments, days, hours, published):
    instagram, rule = Instagram(moments), PostListPolicy(seconds=days * DAY)
    known = instagram.read(rule.first(NOW))
    now = NOW + hours * HOUR
    for number in range(published):
        instagram.publish(now - 60 + number)

    listed = joined(instagram, known, now, rule.first(now))

    expires_at = rule.expires_at(listed.as_json(), now)
    read_now = [moment_of(post) >= listed.head_from for post in listed.posts if moment_of(post) >= rule.first(now)]
    assert expires_at is not None
    assert expires_at <= now + HOUR
    assert all(read_now) or expires_at <= NOW + OLD_POSTS_TTL


@given(spread | crowded, st.integers(1, DAYS))
def test_a_list_comes_back_from_json_as_it_was(moments, days):
    listed = Instagram(moments).read(NOW - days * DAY)

    assert CachedPostList.from_json(listed.as_json()) == listed


def test_a_range_of_a_list_is_made_once_and_so_many_are_remembered_as_there_is_room_for(monkeypatch):
    monkeypatch.setattr(listed_posts, "MOST_RANGES", 2)
    listed = ListedPosts.of(Instagram([NOW - number * HOUR for number in range(5)]).read(NOW - DAY))
    entry = CacheEntry({}, NOW, NOW + HOUR)

    ranges = [listed.range_since(entry, NOW - hours * HOUR) for hours in (1, 2, 1, 2, 3, 1)]
    stale = listed.range_since(replace(entry, stale=True), NOW - HOUR)

    assert [len(each.posts) for each in ranges] == [2, 3, 2, 3, 4, 2]
    assert (ranges[0] is ranges[2], ranges[1] is ranges[3], ranges[0] is ranges[5]) == (True, True, False)
    assert (ranges[5].entry.stale, stale.entry.stale) == (False, True)
