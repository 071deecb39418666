"""What a report has and lacks: every window it lists, numbers not keys, and a reason for each null."""

from __future__ import annotations

import pytest

from services.reports.report import missing, windows_of

MEASURES = ("mean", "min", "max", "median")
STATISTICS = ("likes", "comments", "views")


def points(values):
    return [{"numberOfItems": size, "value": value} for size, value in values.items()]


def block(values, **parts):
    """A block whose statistics all have the same numbers by window, but for the named `parts`."""
    statistic = dict.fromkeys(MEASURES, points(values))
    return {"total": 30, **dict.fromkeys(STATISTICS, statistic), "engagement_rate": points(values)} | parts


def shown(**blocks):
    """The reasons of what a report lacks, by metric."""
    found = {}
    for entry in missing({"posts": WHOLE, "reels": WHOLE} | blocks):
        found.setdefault(entry["metric"], []).append(entry["reason"])
        assert entry["message"]
    return found


WHOLE = block({6: 1, 12: 2, 30: 0})
NULL = dict.fromkeys(MEASURES, points({6: None, 12: None, 30: None}))
PARTLY = dict.fromkeys(MEASURES, points({6: None, 12: 2, 30: 3}))


def test_a_whole_report_lacks_nothing():
    assert shown() == {}


@pytest.mark.parametrize(
    ("sizes", "total", "reason"),
    [
        ([25], 25, "few_items"),  # as on Modash's page
        ([6, 12, 25], 25, "few_items"),
        ([25], 30, "window_missing"),
        ([25], None, "window_missing"),
        ([4], 4, "few_items"),
        ([6, 12, 30, 60], 60, None),
        ([6.0, 12, 30], 30, None),
    ],
)
def test_every_window_that_has_a_number_is_shown_whatever_its_size(sizes, total, reason):
    reels = block(dict.fromkeys(sizes, 5), total=total)
    if total is None:
        del reels["total"]

    windows = windows_of({"reels": reels})["reels"]

    assert windows["likes"] == dict.fromkeys(MEASURES, sorted(sizes))
    assert windows["engagement_rate"] == {"mean": sorted(sizes)}
    assert set(shown(reels=reels)) == (
        {f"reels.{each}" for each in (*STATISTICS, "engagement_rate")} if reason else set()
    )
    assert shown(reels=reels).get("reels.likes") == ([reason] if reason else None)


def test_posts_that_hide_one_count_may_be_those_that_hide_another():
    hidden = {"posts_with_hidden_likes": 4, "posts_with_turned_off_comments": 4}
    rate = points({6: None, 12: 2, 30: 3})

    assert shown(posts=WHOLE | {"engagement_rate": rate} | hidden) == {"posts.engagement_rate": ["not_answered"]}


def test_a_window_with_a_number_lacks_none_although_it_is_listed_without_one_too():
    twice = dict.fromkeys(MEASURES, points({6: 1, 12: 2, 30: 3}) + points({6: None}))

    assert shown(posts=WHOLE | {"likes": twice}) == {}


def test_few_items_name_the_windows_that_were_not_sent_either():
    reels = block({25: 5}, total=25)

    (message,) = {entry["message"] for entry in missing({"posts": WHOLE, "reels": reels})}

    assert message == "There are no 30 reels: Modash has counted 25. It sent no number over 6 and 12 either."


@pytest.mark.parametrize(
    ("parts", "reasons"),
    [
        ({"likes": NULL, "posts_with_hidden_likes": 30}, {"posts.likes": ["hidden"]}),
        ({"likes": NULL, "posts_with_hidden_likes": 0}, {"posts.likes": ["not_answered"]}),
        ({"likes": NULL}, {"posts.likes": ["not_answered"]}),
        ({"likes": PARTLY, "posts_with_hidden_likes": 6}, {"posts.likes": ["hidden"]}),
        ({"likes": PARTLY, "posts_with_hidden_likes": 5}, {"posts.likes": ["not_answered"]}),
        ({"likes": NULL, "posts_with_hidden_likes": 12}, {"posts.likes": ["hidden", "not_answered"]}),
        ({"likes": NULL, "total": 4, "posts_with_hidden_likes": 4}, {"posts.likes": ["hidden"]}),
        ({"views": NULL, "posts_with_hidden_likes": 30}, {"posts.views": ["not_answered"]}),
        ({"views": NULL, "posts_with_hidden_views": 30}, {"posts.views": ["hidden"]}),
        ({"comments": NULL, "videos_with_turned_off_comments": 30}, {"posts.comments": ["hidden"]}),
        ({"engagement_rate": NULL["mean"], "posts_with_hidden_likes": 30}, {"posts.engagement_rate": ["hidden"]}),
        ({"engagement_rate": NULL["mean"], "posts_with_hidden_comments": 30}, {"posts.engagement_rate": ["hidden"]}),
        ({"likes": NULL, "posts_with_hidden_likes": "30"}, {"posts.likes": ["not_answered"]}),
        ({"likes": None}, {"posts.likes": ["not_answered"]}),
        ({"likes": {}}, {"posts.likes": ["not_answered"]}),
        ({"likes": WHOLE["likes"] | {"max": None}}, {"posts.likes": ["window_missing"]}),
        ({"total": None}, {"posts.total": ["not_answered"]}),
        ({"total": "30"}, {"posts.total": ["unreadable"]}),
        ({"total": 0}, {"posts.total": ["few_items"]}),
        (
            {
                "posting_statistics": {
                    "daily": {"mean": {"numberOfItems": 30, "value": None}},
                    "weekDayHour": {"mean": {}},
                }
            },
            {"posts.posting_statistics.daily": ["not_answered"]},
        ),
        ({"posting_statistics": None}, {"posts.posting_statistics": ["not_answered"]}),
        ({"posts_with_hidden_likes": None}, {"posts.posts_with_hidden_likes": ["not_answered"]}),
        ({"shares": NULL}, {"posts.shares": ["not_answered"]}),
        ({"reposts": NULL, "posts_with_hidden_reposts": 30}, {"posts.reposts": ["hidden"]}),
        ({"rate_by_views": [{"numberOfItems": 6, "value": None}]}, {"posts.rate_by_views": ["not_answered"]}),
        ({"likes": WHOLE["likes"] | {"p90": NULL["mean"]}}, {"posts.likes": ["not_answered"]}),
    ],
)
def test_a_null_has_a_reason_which_is_hidden_only_where_the_counts_say_so(parts, reasons):
    assert shown(posts=WHOLE | parts) == reasons


def test_a_window_without_a_number_is_not_claimed():
    windows = windows_of({"posts": WHOLE | {"likes": PARTLY, "views": NULL, "shares": PARTLY}})["posts"]

    assert windows["shares"] == windows["likes"]
    assert windows["likes"] == {measure: [12, 30] for measure in MEASURES}
    assert windows["views"] == {measure: [] for measure in MEASURES}


@pytest.mark.parametrize("huge", [10**400, -(10**400)])
def test_a_number_of_hundreds_of_digits_is_unreadable(huge):
    reels = block({6: None, 12: huge}, total=huge, reels_with_hidden_likes=huge)

    reasons = shown(reels=reels)

    assert reasons["reels.total"] == ["unreadable"]
    assert reasons["reels.likes"] == ["not_answered", "unreadable", "window_missing"]
    assert windows_of({"reels": reels})["reels"]["likes"]["mean"] == []
