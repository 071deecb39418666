"""History out of one database and into another: nothing is lost, nothing better is replaced."""

from __future__ import annotations

import csv
import io
import json
from contextlib import contextmanager
from datetime import date

import pytest
from sqlalchemy import Engine, String, event, insert

from services.export import Export
from services.history.transfer import importing
from services.history.transfer.importing import HistoryImport, OtherModeError
from services.store import transfer as transfer_module
from services.store.exported_tables import SECTIONS
from services.store.follower_counts import FollowerCount
from services.store.history import HistoryKey, HistoryValue
from services.store.line_fields import FIELDS, exact_time, moment_of
from services.store.posts import PartRow, PostRow
from services.store.store import Store
from services.store.stories import StoryNumber, StoryRow
from services.store.transfer import Selection
from tests.history.transfer.history_rows import all_rows, fill, gateway_of, history_rows
from tests.stores import ENGINES, new_english_store, new_store

ACCOUNT = "17841400000000001"
READ_AT = 1_763_625_600.0  # 2025-11-20T08:00:00Z
TODAY = date(2026, 12, 1)


@contextmanager
def opened(engine, mode="live"):
    with new_store(engine) as settings:
        store = Store.open(settings.get("DATABASE_URL", ""), settings.get("INSTANCE_PATH", ""), mode=mode)
        try:
            yield store
        finally:
            store.close()


@pytest.fixture
def store():
    with opened("sqlite") as opened_:
        yield opened_


@contextmanager
def noted(target, name, note):
    """Let a function get what happens within the block."""
    event.listen(target, name, note)
    try:
        yield
    finally:
        event.remove(target, name, note)


def exported(store, format_="ndjson", mode="live", selection=None):
    export = Export(store.transfer, None, mode=mode, clock=None)
    return "".join(export.text(export.all_accounts(), selection or Selection(), format_))


def imported(store, text, mode="live"):
    """Import a text; return the counts and the lines that were refused."""
    refused = []
    importing = HistoryImport(store.transfer, mode, lambda number, reason: refused.append((number, reason)), TODAY)
    return importing.read(io.StringIO(text, newline="")), refused


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


# Out and in


def test_the_same_history_is_the_same_export_on_each_engine_and_back(monkeypatch):
    monkeypatch.setattr(transfer_module, "PAGE", 5)
    with opened("sqlite") as first, opened("postgresql") as second, opened("sqlite") as third:
        fill(first)
        text = exported(first)

        assert len(set(text.splitlines())) == len(text.splitlines())
        assert imported(second, text)[1] == []
        assert exported(second) == text
        assert imported(third, exported(second, "csv"))[1] == []

        assert exported(third) == text
        assert exported(third, "csv") == exported(first, "csv")
        assert all_rows(first) == all_rows(second) == all_rows(third)
        assert {line["kind"] for line in lines_of(text)} == {section.kind for section in SECTIONS}


def test_the_order_does_not_depend_on_the_collation_of_the_database(monkeypatch):
    monkeypatch.setattr(transfer_module, "PAGE", 5)
    with opened("sqlite") as first, new_english_store() as settings:
        second = Store.open(settings["DATABASE_URL"], "", mode="live")
        fill(first)
        fill(second, accounts=("17841400000000001", "17841400000000002"))

        assert exported(first) == exported(second)
        second.close()


def test_that_a_part_of_a_reading_was_read_is_exported_also_where_nothing_of_it_is_known(store):
    nothing = PartRow("1", 60, None, READ_AT, {}, {}, "instagram", None)
    seen = PostRow("1", READ_AT, first_seen_at=READ_AT, last_seen_at=READ_AT)
    store.posts.keep(ACCOUNT, [seen], insights=[nothing])

    with opened("sqlite") as second:
        assert imported(second, exported(store))[1] == []
        assert all_rows(second) == all_rows(store)


@pytest.mark.parametrize("odd", ["", "x" * 65, "a\0b"])
@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.kind)
def test_a_row_whose_key_no_import_takes_is_in_no_export(store, caplog, section, odd):
    name = next(column.name for column in section.key if isinstance(column.type, String))
    rows = history_rows(section, ACCOUNT, 3)
    rows[1][name] = odd
    with gateway_of(store).write() as connection:
        connection.execute(insert(section.table), rows)

    with opened("sqlite") as other:
        assert imported(other, exported(store))[1] == []
        assert [row[name] for row in all_rows(other)[section.kind]] == sorted(rows[number][name] for number in (0, 2))
    assert {record.getMessage() for record in caplog.records} == {"A damaged row is treated as absent"}


def test_an_export_may_be_imported_twice_and_over_itself(store):
    fill(store)
    text = exported(store)

    counts, refused = imported(store, text)

    assert refused == []
    assert counts.rows == sum(len(rows) for rows in all_rows(store).values())
    assert exported(store) == text


@pytest.mark.parametrize("moment", [0.0, 1_763_625_600.0, 1_763_625_600.1234567, 1_763_712_000.0000002, 1.1e9 + 0.1])
def test_a_time_is_written_with_every_digit_that_it_needs(moment):
    assert moment_of(exact_time(moment)) == moment


def test_the_times_of_a_clock_have_six_decimals_or_none():
    lengths = {len(exact_time(1_795_000_000 + microseconds / 1e6)) for microseconds in range(0, 1_000_000, 997)}

    assert lengths == {len("2026-11-18T11:06:40Z"), len("2026-11-18T11:06:40.123456Z")}


def test_a_number_is_followed_by_its_buckets_and_each_line_says_what_it_is(store):
    key = HistoryKey("reach", ("follow_type",), "2026-11-01", "2026-11-01")
    buckets = {("NON_FOLLOWER",): 3, ("FOLLOWER",): None}
    store.history.keep(ACCOUNT, {key: HistoryValue(10, buckets, 1_763_625_600.5)})

    total, follower, other = lines_of(exported(store))

    assert tuple(total) == FIELDS
    assert (total["account"], total["metric"], total["breakdown"]) == (ACCOUNT, "reach", "follow_type")
    assert (total["bucket"], total["date"], total["value"], total["final"]) == (None, "2026-11-01", 10, True)
    assert (total["read_at"], total["mode"]) == ("2025-11-20T08:00:00.500000Z", "live")
    assert total["definition"].startswith("Accounts that saw any of the account's content")
    assert (follower["bucket"], follower["value"], follower["reason"]) == ("FOLLOWER", None, "bucket_unknown")
    assert (other["bucket"], other["value"], other["reason"]) == ("NON_FOLLOWER", 3, None)


def test_csv_has_a_head_and_no_text_in_it_is_a_formula(store):
    fill(store)

    text = exported(store, "csv")

    assert text.startswith("\ufeff" + ",".join(FIELDS) + "\r\n")
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    assert not [cell for row in rows for cell in row.values() if cell.strip().startswith(("=", "+", "@", "\uff1d"))]
    assert {row["bucket"] for row in rows} >= {"'=1+1", "''x", "'\uff1d1", "'12345678901234567"}
    assert {row["account"] for row in rows} == {"'17841400000000001", "'17841400000000002"}


def test_an_export_can_be_limited_to_metrics_and_days(store):
    for metric in ("reach", "views"):
        for day in ("2026-10-31", "2026-11-01", "2026-11-02"):
            store.history.keep(ACCOUNT, {HistoryKey(metric, (), day, day): HistoryValue(1, None, 1.0)})

    selection = Selection(("views",), date(2026, 11, 1), date(2026, 11, 1))

    found = lines_of(exported(store, selection=selection))

    assert [(line["metric"], line["date"]) for line in found] == [("views", "2026-11-01")]


def test_a_reading_of_a_post_is_of_the_day_of_its_insights(store):
    origin = {"reasons": {}, "source": "instagram", "api_version": None}
    counts = PartRow("1", 60, None, READ_AT, {"likes": 5, "comments": 1}, **origin)
    insights = PartRow("1", 60, None, READ_AT + 2 * 86_400, {"reach": 7}, **origin)
    store.posts.keep(ACCOUNT, [PostRow("1", READ_AT)], counts=[counts], insights=[insights])

    limited = {
        str(day): {each["metric"] for each in lines_of(exported(store, selection=Selection(since=day)))}
        for day in (date(2025, 11, 22), date(2025, 11, 23))
    }

    assert limited == {"2025-11-22": {"likes", "comments", "reach"}, "2025-11-23": set()}


# What is better stays


# A kept value (number, moment of reading, final), one that is imported, and the number that stays.
MEETINGS = {
    "unknown": ((7, READ_AT + 1, False), (None, READ_AT + 2, False), 7),
    "known": ((None, READ_AT + 2, False), (7, READ_AT + 1, False), 7),
    "older": ((7, READ_AT + 2, True), (5, READ_AT + 1, True), 7),
    "newer": ((7, READ_AT + 1, True), (5, READ_AT + 2, True), 5),
    "provisional": ((7, READ_AT + 1, True), (5, READ_AT + 2, False), 7),
    "final": ((7, READ_AT + 2, False), (5, READ_AT + 1, True), 5),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_known_value_is_not_replaced_by_an_unknown_one_nor_a_final_one_by_a_provisional_one(engine):
    def value(number, read_at, final):
        return HistoryValue(number, None, read_at, final=final, reason=None if number else "not_answered")

    with opened(engine) as store, opened("sqlite") as other:
        for metric, (kept, new, _) in MEETINGS.items():
            key = HistoryKey(metric, (), "2026-11-01", "2026-11-01")
            store.history.keep(ACCOUNT, {key: value(*kept)})
            other.history.keep(ACCOUNT, {key: value(*new)})
        store.follower_counts.keep(ACCOUNT, FollowerCount("2026-11-01", 900, READ_AT + 1, media_count=3))
        other.follower_counts.keep(ACCOUNT, FollowerCount("2026-11-01", 950, READ_AT + 2))

        imported(store, exported(other))

        stay = {line["metric"]: line["value"] for line in lines_of(exported(store))}
        assert stay == {metric: number for metric, (_, _, number) in MEETINGS.items()} | {
            "followers": 900,
            "media_count": 3,
        }


@pytest.mark.parametrize("is_turned", [False, True])
def test_what_two_gateways_know_of_a_post_is_put_together_in_any_order(is_turned):
    def part(age_label, **values):
        return PartRow("1", 1_440, age_label, READ_AT, values, {}, "instagram", None)

    seen = READ_AT + 10, READ_AT + 15, READ_AT + 20, READ_AT + 100_000
    with opened("sqlite") as first, opened("sqlite") as second:
        earlier = PostRow("1", READ_AT, None, None, "link", "old", first_seen_at=seen[0], last_seen_at=seen[2])
        later = PostRow("1", READ_AT, "IMAGE", None, None, "new", first_seen_at=seen[1], last_seen_at=seen[3])
        first.posts.keep(ACCOUNT, [earlier], counts=[part(24, likes=5, comments=1)])
        second.posts.keep(ACCOUNT, [later], insights=[part(None, reach=7)])
        into, out_of = (second, first) if is_turned else (first, second)

        imported(into, exported(out_of))

        whole = PostRow("1", READ_AT, "IMAGE", None, "link", "new", first_seen_at=seen[0], last_seen_at=seen[3])
        assert into.posts.find(ACCOUNT, "1") == whole
        ((reading,),) = into.posts.readings(ACCOUNT, ["1"]).values()
        known = {name: number for name, number in reading.values.items() if number is not None}
        assert (reading.age_label, known) == (24, {"likes": 5, "comments": 1, "reach": 7})


@pytest.mark.parametrize("is_turned", [False, True])
def test_of_two_counts_of_a_day_the_earlier_one_is_kept_with_what_it_lacks(is_turned):
    with opened("sqlite") as first, opened("sqlite") as second:
        first.follower_counts.keep(ACCOUNT, FollowerCount("2026-11-01", 900, READ_AT + 1, follows=7))
        second.follower_counts.keep(ACCOUNT, FollowerCount("2026-11-01", 950, READ_AT + 2, follows=8, media_count=3))
        into, out_of = (second, first) if is_turned else (first, second)

        imported(into, exported(out_of))

        values = {line["metric"]: line["value"] for line in lines_of(exported(into))}
        assert values == {"followers": 900, "follows": 7, "media_count": 3}


@pytest.mark.parametrize("is_turned", [False, True])
def test_what_two_gateways_know_of_a_story_is_put_together_in_any_order(is_turned):
    def number(metric, value, later):
        reason = None if value is not None else "not_answered"
        return StoryNumber(metric, "", "polling", value, reason, READ_AT + later)

    with opened("sqlite") as first, opened("sqlite") as second:
        first.stories.keep(
            ACCOUNT,
            [
                StoryRow(
                    *("1", READ_AT, None, "IMAGE"),
                    read_at=READ_AT + 10,
                    delivered_at=READ_AT + 40,
                    numbers=[number("reach", 5, 10), number("views", 8, 10), number("replies", None, 30)],
                )
            ],
        )
        second.stories.keep(
            ACCOUNT,
            [
                StoryRow(
                    *("1", READ_AT, READ_AT, None, "link"),
                    read_at=READ_AT + 20,
                    numbers=[number("reach", 6, 20), number("views", None, 20), number("replies", 2, 20)],
                )
            ],
        )
        into, out_of = (second, first) if is_turned else (first, second)

        imported(into, exported(out_of))

        whole = StoryRow("1", READ_AT, READ_AT, "IMAGE", "link", read_at=READ_AT + 20, delivered_at=READ_AT + 40)
        found = into.stories.find(ACCOUNT, "1")
        assert found == whole
        assert {each.metric: each.value for each in found.numbers} == {"reach": 6, "views": 8, "replies": 2}


# What is refused


def line(**changes):
    return json.dumps(
        {
            "account": ACCOUNT,
            "metric": "reach",
            "date": "2026-11-01",
            "first_day": "2026-11-01",
            "value": 1,
            "final": True,
            "kind": "account",
            "read_at": "2026-11-04T00:00:00Z",
            "mode": "live",
            "source": "instagram",
        }
        | changes
    )


BAD = [
    ("{", "it is not JSON; the file may be cut off here"),
    ("[1]", "accepted: one JSON object a line"),
    (line(followers=1), "followers is no field; a newer version may have written it"),
    (line(kind="orders"), "kind: accepted: "),
    (line(mode="test"), "mode: accepted: live, sandbox"),
    (line(account=None), "account: it is missing"),
    (line(kind="followers", metric="fans"), "metric: accepted: followers, follows, media_count"),
    (line(kind="followers", metric="follows"), "followers: its line is missing"),
    (line(account="x" * 65), "account: accepted: a text of 1 to 64 characters"),
    (line(date="2026-02-30"), "date: accepted: a day such as 2026-11-21"),
    (line(value="7"), "value: accepted: a number"),
    (line(value=10**400), "value: accepted: a number"),
    (line(value=True), "value: accepted: a number"),
    (line(read_at="yesterday"), "read_at: accepted: a time such as 2026-11-21T18:00:00Z"),
    (line(final=1), "final: accepted: true, false"),
    (line(final=[]), "final: accepted: true, false"),
    (line(mode={}), "mode: accepted: live, sandbox"),
    (line(value=-1), "value: accepted: a number from 0 to 9007199254740992"),
    (line(value=2**53 + 2), "value: accepted: a number from 0 to 9007199254740992"),
    (line(value=1e300), "value: accepted: a number from 0 to 9007199254740992"),
    (line(kind="followers", metric="followers", value=7.5, final=None), "value: accepted: a whole number"),
    (line(kind="post_number", metric="likes", media="1", value=7.5, final=None), "value: accepted: a whole number"),
    (line(reason="refused"), "reason: accepted: null, because the value is known"),
    (line(value=None, reason="refused"), "final: accepted: false, because nothing of the value is known"),
    (line(date="2009-12-31"), "date: accepted: a day from 2010-01-01 to 2026-12-02"),
    (line(date="2026-12-03"), "date: accepted: a day from 2010-01-01 to 2026-12-02"),
    (line(first_day="1000-11-01"), "first_day: accepted: a day from 2010-01-01 to 2026-12-02"),
    (line(first_day="2026-11-02"), "first_day: accepted: a day that is not after date"),
    (line(read_at="1999-11-04T00:00:00Z"), "read_at: accepted: a time from 2010-01-01 to 2026-12-02"),
    (line(read_at="2026-12-04T00:00:00Z"), "read_at: accepted: a time from 2010-01-01 to 2026-12-02"),
    (line(kind="story", details={"ordered_at": "2222-02-02T00:00:00Z"}), "details: ordered_at: accepted: a time from"),
    (
        line(kind="post_number", metric="likes", media="1", details={"slot": -1}),
        "details: slot: accepted: a whole number from 0 to 2147483647",
    ),
    (
        line(kind="post_number", metric="likes", media="1", details={"slot": True}),
        "details: slot: accepted: a whole number from 0 to 2147483647",
    ),
    (
        line(kind="post_number", metric="likes", media="1", details={"slot": 2**31}),
        "details: slot: accepted: a whole number from 0 to 2147483647",
    ),
    (
        line(kind="story", media="1", details={"ordered_at": "2026-11-01T00:00:00Z", "media_type": "x" * 33}),
        "details: media_type: accepted: a text of at most 32 characters",
    ),
    (line(metric=["followers"], kind="followers"), "metric: accepted: "),
    (line(details={"colour": 1}), "details: colour is unknown; a newer version may have written it"),
    (line(bucket="FOLLOWER"), "bucket: the line of its number is not before it"),
    (line(details={"buckets": 2}), "2 of its lines of buckets are missing or were refused"),
]


def test_a_bad_line_is_refused_with_its_number_and_reason_and_the_others_are_kept(store):
    text = "\n".join([line(), *(bad for bad, _ in BAD), line(date="2026-11-02", first_day="2026-11-02")])

    counts, refused = imported(store, text)

    assert sorted(number for number, _ in refused) == list(range(2, len(BAD) + 2))
    for (_, reason), (_, expected) in zip(sorted(refused), BAD, strict=True):
        assert reason.startswith(expected)
    assert [each["date"] for each in lines_of(exported(store))] == ["2026-11-01", "2026-11-02"]
    assert (counts.lines, counts.refused, counts.rows) == (len(BAD) + 2, len(BAD), 2)


def test_a_bad_line_between_a_number_and_its_buckets_takes_no_more_than_itself(store):
    number = line(breakdown="follow_type", value=2**53, details={"buckets": 1})
    bucket = line(breakdown="follow_type", bucket="FOLLOWER", value=2**53)

    _, refused = imported(store, "\n".join([number, line(metric="views", read_at="then"), bucket]))

    assert [number for number, _ in refused] == [2]
    assert [found["value"] for found in lines_of(exported(store))] == [2**53, 2**53]


def test_a_number_with_a_bad_bucket_is_refused_as_a_whole(store):
    good = line(breakdown="follow_type", bucket="FOLLOWER")
    bad = line(breakdown="follow_type", bucket="NON_FOLLOWER", value="x")

    _, refused = imported(store, "\n".join([line(breakdown="follow_type", details={"buckets": 2}), good, bad]))

    assert [number for number, _ in refused] == [3, 1]
    assert exported(store) == ""


BUCKETS = [
    line(breakdown="follow_type", details={"buckets": 2}),
    line(breakdown="follow_type", bucket="FOLLOWER", value=3),
    line(breakdown="follow_type", bucket="NON_FOLLOWER", value=4),
]


@pytest.mark.parametrize(
    "lines",
    [
        [each for each in BUCKETS for _ in range(2)],
        BUCKETS * 2,
        [*BUCKETS, BUCKETS[1]],
        [BUCKETS[0], line(breakdown="follow_type", bucket="FOLLOWER", value=1), *BUCKETS[1:]],
    ],
)
def test_lines_of_buckets_that_come_twice_are_one_row_and_the_last_number_of_a_bucket_counts(store, lines):
    _, refused = imported(store, "\n".join(lines))

    assert refused == []
    assert [(each["bucket"], each["value"]) for each in lines_of(exported(store))] == [
        *((None, 1), ("FOLLOWER", 3), ("NON_FOLLOWER", 4)),
    ]


def test_equal_numbers_of_two_accounts_that_follow_each_other_are_a_row_each(store):
    of_day = {"kind": "followers", "final": None, "first_day": None}
    both = [line(account=account, metric="followers", value=5, **of_day) for account in ("1", "2")]
    both.append(line(account="2", metric="follows", value=3, **of_day))

    assert imported(store, "\n".join(both))[1] == []
    assert [(each["account"], each["metric"], each["value"]) for each in lines_of(exported(store))] == [
        *(("1", "followers", 5), ("2", "followers", 5), ("2", "follows", 3)),
    ]


def test_an_import_commits_some_rows_at_once(store, monkeypatch):
    monkeypatch.setattr(importing, "ROWS_AT_ONCE", 2)
    days, commits = [f"2026-11-{day:02}" for day in range(1, 6)], []
    with noted(Engine, "commit", commits.append):
        imported(store, "\n".join(line(date=day, first_day=day) for day in days))

    assert [each["date"] for each in lines_of(exported(store))] == days
    assert len(commits) == 3


def test_a_time_of_the_last_day_is_accepted_to_its_end(store):
    _, refused = imported(store, "\n".join(line(read_at=f"2026-12-03T{time}Z") for time in ("07:59:59", "08:00:00")))

    assert [number for number, _ in refused] == [2]


def test_a_day_may_be_that_of_a_clock_that_is_ahead(store):
    days = ("2026-12-02", "2026-12-03")

    _, refused = imported(store, "\n".join(line(date=day, first_day=day, final=False) for day in days))

    assert [number for number, _ in refused] == [2]


def test_a_bucket_says_why_it_is_unknown_as_an_export_does(store):
    total = line(breakdown="follow_type", details={"buckets": 1})
    bucket = line(breakdown="follow_type", bucket="FOLLOWER", value=None, reason="refused")

    _, refused = imported(store, f"{total}\n{bucket}")

    assert refused[0] == (2, "reason: accepted: bucket_unknown, because the value of the bucket is unknown")
    assert exported(store) == ""


def test_a_cell_may_be_as_long_as_an_export_writes_it(store):
    before = csv.field_size_limit(1_000)
    try:
        _, refused = imported(store, f"account,kind,mode\r\n{'1' * 5_000},account,live\r\n")
    finally:
        csv.field_size_limit(before)

    assert [reason for _, reason in refused if "not CSV" in reason] == []
    assert len(refused) == 1  # For want of all that a line has.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{\0"\0a\0', (1, "it has NUL characters; accepted: UTF-8 or, with a byte order mark, UTF-16")),
        ("account,kind\r\n1,account\r\n", (1, "the head has no mode")),
        ("account,kind,mode\r\n1,account\r\n", (2, "it has 2 cells, and the head 3")),
        ("account,kind,mode,value\r\n1,account,live,x\r\n", (2, "value: accepted: a number")),
        ('account,kind,mode\r\n1,account,"live\r\n', (2, "it is not CSV")),
        ("\r\n\r\naccount,kind,mode,value\r\n1,account,live,x\r\n", (4, "value: accepted: a number")),
    ],
)
def test_bad_csv_is_refused_with_its_line(store, text, expected):
    _, (refused,) = imported(store, text)

    assert refused[0] == expected[0]
    assert refused[1].startswith(expected[1])


def test_rows_of_the_sandbox_never_become_live_ones():
    with opened("sqlite", mode="sandbox") as sandbox, opened("sqlite") as live:
        fill(sandbox)
        text = exported(sandbox, mode="sandbox")

        with pytest.raises(OtherModeError, match="Line 1 is of sandbox mode, and this gateway runs in live mode"):
            imported(live, text)

        assert exported(live) == ""
