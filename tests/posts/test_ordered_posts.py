"""Posts in the order of time: ranges, rankings and sums are those of a look at every post."""

from __future__ import annotations

from datetime import UTC, datetime
from heapq import nlargest

from hypothesis import given
from hypothesis import strategies as st

from services.posts import ordered_posts
from services.posts.engagement_rate import Interactions
from services.posts.ordered_posts import OrderedPosts, by_score
from services.posts.post import as_post

TYPES = st.sampled_from(["FEED", "REELS", "AD", None, "NEW_TYPE"])
COUNTS = st.none() | st.integers(0, 5)
MOMENTS = st.integers(0, 60)  # few, so that posts share moments
ITEMS = st.lists(st.tuples(MOMENTS, TYPES, COUNTS, COUNTS), max_size=40)


def posts_of(items):
    return [
        as_post(
            {
                "id": str(number),
                "timestamp": datetime.fromtimestamp(moment, UTC).replace(year=2026).strftime("%Y-%m-%dT%H:%M:%S+0000"),
                "media_product_type": type_,
                "like_count": likes,
                "comments_count": comments,
            }
        )
        for number, (moment, type_, likes, comments) in enumerate(items)
    ]


def seconds(moment):
    return datetime.fromtimestamp(moment, UTC).replace(year=2026).timestamp()


def moment_of(post):
    return post.timestamp.timestamp()


@given(ITEMS, MOMENTS, st.integers(1, 50), TYPES)
def test_the_best_posts_since_a_moment_are_those_of_a_look_at_every_post(items, since, limit, type_):
    posts = sorted(posts_of(items), key=moment_of, reverse=True)
    ordered = OrderedPosts(posts)
    known = [post for post in posts if moment_of(post) >= seconds(since)]
    matching = [post for post in known if type_ in {None, post.media_product_type}]

    end = ordered.since(seconds(since))

    assert list(ordered.posts[:end]) == known
    assert ordered.best(end, limit, type_) == nlargest(limit, matching, key=by_score)
    assert ordered.matching(end, type_) == len(matching)
    assert ordered.untyped(end) == sum(not post.has_known_type for post in known)


@given(ITEMS, MOMENTS, MOMENTS)
def test_the_interactions_of_a_range_are_those_of_its_posts(items, since, until):
    since, until = min(since, until), max(since, until)
    ordered = OrderedPosts(posts_of(items))
    wanted = [post.counts for post in ordered.posts if seconds(since) <= moment_of(post) <= seconds(until)]
    expected = Interactions.of(wanted)

    found = ordered.interactions(*ordered.between(seconds(since), seconds(until)))

    assert (found.posts, found.known, found.total) == (expected.posts, expected.known, expected.total)
    if expected.known:
        assert [found.median(), found.median()] == [expected.median()] * 2
    assert list(found.of_posts()) == wanted


def test_posts_out_of_order_are_put_into_the_order_of_time():
    posts = posts_of([(10, "FEED", 1, 1), (30, "FEED", 2, 2), (20, "FEED", 3, 3)])

    assert [post.id for post in OrderedPosts(posts).posts] == ["1", "2", "0"]


def test_a_median_is_found_once_and_so_many_are_remembered_as_there_is_room_for(monkeypatch):
    found, median = [], ordered_posts.median
    monkeypatch.setattr(ordered_posts, "median", lambda counts: found.append(len(counts)) or median(counts))
    monkeypatch.setattr(ordered_posts, "MOST_MEDIANS", 2)
    ordered = OrderedPosts(posts_of([(number, "FEED", number, 0) for number in range(5)]))

    for end in (3, 4, 3, 4, 5, 3):
        ordered.interactions(0, end).median()

    assert found == [3, 4, 5, 3]
