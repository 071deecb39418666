"""Engagement: the score of a post, and the mean rate of many."""

from __future__ import annotations

from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.posts.engagement_rate import OwnRate, engagement_rate, rate_by_own_base
from services.posts.engagement_score import Counts

numbers = st.integers(0, 10**7)
known = st.builds(Counts, numbers, numbers)
any_counts = st.builds(Counts, st.none() | numbers, st.none() | numbers)
followers = st.integers(1, 10**9)
HIDDEN = Counts(None, 3, likes_reason="likes_hidden")


@pytest.mark.parametrize(
    ("likes", "comments", "score", "interactions"),
    [
        (10, 5, 15, 15),
        (0, 0, 0, 0),
        (None, 5, 5, None),
        (10, None, 10, None),
        (None, None, None, None),
        (None, 0, 0, None),
    ],
)
def test_a_score_counts_what_is_known_and_interactions_need_both(likes, comments, score, interactions):
    post = Counts(likes, comments)

    assert (post.score, post.interactions) == (score, interactions)


def test_where_no_post_has_a_rate_the_most_common_reason_is_that_of_all():
    posts = [OwnRate(5, None, reason) for reason in ("no_reach", "not_answered", "not_answered", "refused")]

    rate = rate_by_own_base(posts, "mean_of_posts")

    assert (rate.rate, rate.reason, rate.posts_left_out) == (None, "not_answered", 4)


def test_the_rate_is_the_mean_over_posts_as_a_fraction():
    rate = engagement_rate([Counts(90, 10), Counts(40, 10)], 1000)

    assert rate.rate == pytest.approx((0.1 + 0.05) / 2)
    assert (rate.numerator, rate.denominator, rate.posts_used, rate.posts_left_out) == (150, 1000, 2, 0)


def test_hidden_likes_are_left_out_and_counted():
    rate = engagement_rate([Counts(90, 10), Counts(None, 500)], 1000)

    assert rate.rate == pytest.approx(0.1)
    assert (rate.numerator, rate.posts_used, rate.posts_left_out) == (100, 1, 1)


@pytest.mark.parametrize(
    ("posts", "followers_", "reason"),
    [
        ([Counts(1, 1)], None, "followers_unknown"),
        ([Counts(1, 1)], 0, "no_followers"),
        ([], 100, "no_posts"),
        ([], None, "followers_unknown"),
        ([HIDDEN, HIDDEN], 100, "likes_hidden"),
        ([HIDDEN, Counts(None, 4, likes_reason="unreadable")], 100, "unreadable"),
        ([Counts(5, None, comments_reason="not_answered"), HIDDEN], 100, "not_answered"),
        ([Counts(None, None, "likes_hidden", "unreadable")], 100, "likes_hidden"),
        ([Counts(5, None, comments_reason="comments_hidden")], 100, "comments_hidden"),
        ([Counts(5, None, comments_reason="comments_hidden"), HIDDEN], 100, "likes_hidden"),
    ],
)
def test_without_a_base_the_rate_is_unknown_with_its_reason(posts, followers_, reason):
    rate = engagement_rate(posts, followers_)

    assert (rate.rate, rate.reason) == (None, reason)


def test_posts_without_any_interaction_have_a_rate_of_zero():
    assert engagement_rate([Counts(0, 0)], 100).rate == 0


@given(st.lists(known, min_size=1), followers)
def test_the_rate_is_the_mean_of_the_posts_own_rates(posts, base):
    rate = engagement_rate(posts, base).rate

    assert rate == pytest.approx(fmean((post.likes + post.comments) / base for post in posts))


@given(st.lists(any_counts), st.none() | st.integers(0, 10**9))
def test_every_post_is_used_or_left_out_and_there_is_a_rate_or_a_reason(posts, base):
    rate = engagement_rate(posts, base)

    assert rate.posts_used + rate.posts_left_out == len(posts)
    assert (rate.rate is None) == (rate.reason is not None)


@given(st.lists(known, min_size=1), st.lists(st.builds(Counts, st.none(), numbers)), followers)
def test_hidden_likes_never_change_the_rate(posts, hidden, base):
    assert engagement_rate(posts + hidden, base).rate == engagement_rate(posts, base).rate
