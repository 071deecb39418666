"""`since` and `until` in words, as PHP's strtotime reads them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from simulator.graph.strtotime import strtotime
from tests.simulator.caller import PACIFIC, error, midnight

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=PACIFIC)  # a Saturday


def pacific(*parts):
    return datetime(*parts, tzinfo=PACIFIC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("today", pacific(2026, 11, 21)),
        ("midnight", pacific(2026, 11, 21)),
        ("yesterday", pacific(2026, 11, 20)),
        ("Tomorrow", pacific(2026, 11, 22)),
        ("yesterday noon", pacific(2026, 11, 20, 12)),
        ("tomorrow 14:30", pacific(2026, 11, 22, 14, 30)),
        ("-7 days", pacific(2026, 11, 14, 12)),
        ("+1 day", pacific(2026, 11, 22, 12)),
        ("7 days ago", pacific(2026, 11, 14, 12)),
        ("1 week 2 days ago", pacific(2026, 11, 12, 12)),
        ("now -1 day", pacific(2026, 11, 20, 12)),
        ("-30 minutes", pacific(2026, 11, 21, 11, 30)),
        ("an hour ago", pacific(2026, 11, 21, 11)),
        ("last week", pacific(2026, 11, 14, 12)),
        ("next month", pacific(2026, 12, 21, 12)),
        ("1 year ago", pacific(2025, 11, 21, 12)),
        ("2026-01-31 +1 month", pacific(2026, 3, 3)),
        ("last monday", pacific(2026, 11, 16)),
        ("last saturday", pacific(2026, 11, 14)),
        ("saturday", pacific(2026, 11, 21)),
        ("next saturday", pacific(2026, 11, 28)),
        ("first day of last month", pacific(2026, 10, 1, 12)),
        ("last day of this month", pacific(2026, 11, 30, 12)),
        ("2026-01-01", pacific(2026, 1, 1)),
        ("2026-07-01", pacific(2026, 7, 1)),
        ("2026/01/02", pacific(2026, 1, 2)),
        ("01/31/2026", pacific(2026, 1, 31)),
        ("20260131", pacific(2026, 1, 31)),
        ("1 January 2026", pacific(2026, 1, 1)),
        ("Jan 1st, 2026", pacific(2026, 1, 1)),
        ("January 2026", pacific(2026, 1, 1)),
        ("nov 5 2026 3:00 pm", pacific(2026, 11, 5, 15)),
        ("2026-01-01 12:30:15", pacific(2026, 1, 1, 12, 30, 15)),
        ("2026-01-01T12:00:00Z", datetime(2026, 1, 1, 12, tzinfo=UTC)),
        ("2026-01-01T12:00:00+0000", datetime(2026, 1, 1, 12, tzinfo=UTC)),
        ("2026-01-01 12:00 +02:00", datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))),
        ("@1234567890", datetime(2009, 2, 13, 23, 31, 30, tzinfo=UTC)),
    ],
)
def test_words_name_moments(text, expected):
    assert strtotime(text, NOW.timestamp(), PACIFIC) == expected.timestamp()


@pytest.mark.parametrize(
    "text",
    ["", " ", "whenever", "yesterdayish", "2026-13-01", "2026-02-30", "25:00", "5 o clock", "today ago", "-7", "days"],
)
def test_anything_else_is_no_date(text):
    assert strtotime(text, NOW.timestamp(), PACIFIC) is None


def test_an_hour_is_an_hour_also_where_the_clocks_change():
    before = pacific(2026, 11, 1, 0, 30).timestamp()

    assert strtotime("+3 hours", before, PACIFIC) == before + 3 * 3600


def test_insights_take_words(settled):
    in_words = settled.series("reach", since="2026-11-10", until="2026-11-12")
    in_seconds = settled.series("reach", since=midnight("2026-11-10"), until=midnight("2026-11-12"))

    assert in_words == in_seconds
    assert len(settled.series("reach", since="-7 days", until="yesterday")) == 6


def test_posts_take_words(caller):
    account = caller.become("prolific")

    in_words = caller.media(since="-2 days", until="yesterday", limit=100).json()["data"]
    seconds = {"since": int(caller.simulator.clock.now()) - 2 * 86_400, "until": midnight("2026-11-20")}

    assert account["id"] == caller.account
    assert in_words == caller.media(**seconds, limit=100).json()["data"]
    assert in_words


def test_the_zone_of_words_is_a_switch(settled):
    settled.switch(words_zone="utc")

    assert settled.series("reach", since="2026-11-10", until="2026-11-11") == settled.series(
        "reach",
        since=int(datetime(2026, 11, 10, tzinfo=UTC).timestamp()),
        until=int(datetime(2026, 11, 11, tzinfo=UTC).timestamp()),
    )


def test_what_is_no_date_is_refused(caller):
    assert (
        error(caller.insights("reach", since="whenever"))["message"] == "(#100) Param since must be a valid timestamp"
    )
