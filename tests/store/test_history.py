"""The history in both engines: which reading of a value stays, whatever the order, and how ranges are read."""

from __future__ import annotations

import itertools

import pytest

from services.store.account_snapshots import AccountSnapshot
from services.store.follower_counts import DailyCount, FollowerCount
from services.store.history import DayColumns, DayState, HistoryKey, HistoryValue, NumberColumns
from tests.stores import query


def key(day="2026-11-01", metric="reach", breakdown=(), last=None):
    return HistoryKey(metric, breakdown, day, last or day)


def value(number, read_at, *, final=False, buckets=None, reason=None, **origin):
    return HistoryValue(number, buckets, read_at, reason, final, **origin)


UNKNOWN = value(None, 40.0, reason="not_answered")
EARLY, LATE = value(5, 10.0), value(6, 20.0, source="sandbox", api_version="v25.0")
FINAL, OLD_FINAL = value(7, 15.0, final=True), value(8, 12.0, final=True)


def kept(store, account="a"):
    return dict(store.history.days(account, since="2026-01-01", until="2026-12-31"))


@pytest.mark.parametrize(
    ("readings", "stays"),
    [
        ([UNKNOWN, EARLY, LATE], LATE),  # known beats unknown, newer beats older
        ([UNKNOWN, LATE, FINAL], FINAL),  # final beats provisional, though it is older
        ([OLD_FINAL, FINAL, UNKNOWN], FINAL),
    ],
)
def test_the_best_reading_stays_in_any_order(store, readings, stays):
    for number, order in enumerate(itertools.permutations(readings)):
        for reading in order:
            store.history.keep(str(number), {key(): reading})

        assert kept(store, str(number)) == {key(): stays}


def test_of_two_readings_of_one_moment_the_last_one_stays(store):
    for reading in (EARLY, EARLY._replace(value=6)):
        store.history.keep("a", {key(): reading})

    assert kept(store) == {key(): EARLY._replace(value=6)}


def test_an_unknown_value_is_kept_with_its_reason_and_the_moment_it_was_last_asked_for(store):
    for reading in (value(None, 10.0, reason="refused"), UNKNOWN, value(None, 30.0, reason="refused")):
        store.history.keep("a", {key(): reading})

    assert kept(store) == {key(): UNKNOWN}
    assert store.history.kept_metrics("a") == []
    state = DayState(known=False, final=False, read_at=40.0, reason="not_answered")
    assert store.history.states("a", since="2026-11-01", until="2026-11-01") == {("reach", ()): {"2026-11-01": state}}


def test_the_states_of_days_are_read_without_those_that_are_final_long_since(store):
    keys = [key("2026-10-01"), key("2026-10-02"), key("2026-11-01"), key("2026-11-02", breakdown=("follow_type",))]
    store.history.keep("a", dict(zip(keys, (FINAL, LATE, FINAL, UNKNOWN), strict=True)))
    store.history.keep("a", {key("2026-11-03", last="2026-11-09"): FINAL, key("2026-10-01", "views"): FINAL})

    found = store.history.states("a", since="2026-10-15", until="2026-11-30", open_since="2026-09-01")

    assert {kind: sorted(days) for kind, days in found.items()} == {
        ("reach", ()): ["2026-10-02", "2026-11-01"],
        ("reach", ("follow_type",)): ["2026-11-02"],
    }
    assert store.history.states_of("a", [keys[0], keys[3], key("2026-11-03"), key("2026-11-05")]) == {
        keys[0]: DayState(known=True, final=True, read_at=15.0),
        keys[3]: DayState(known=False, final=False, read_at=40.0, reason="not_answered"),
    }


def test_an_unknown_value_is_never_final(store):
    store.history.keep("a", {key(): value(None, 10.0, final=True, reason="not_answered")})

    assert kept(store)[key()].final is False


def test_a_breakdown_without_a_total_may_be_final(store):
    of_reels = value(None, 10.0, final=True, buckets={("REEL",): 5}, reason="not_answered")
    store.history.keep("a", {key(): of_reels})

    assert store.history.read("a", [key()]) == {key(): of_reels}


def test_an_origin_that_no_column_can_hold_is_left_out(store):
    store.history.keep("a", {key(): value(5, 10.0, source="x" * 17, api_version="v" * 17)})
    store.history.keep("b", {key(): value(5, 10.0, source="x" * 16, api_version="v" * 16)})

    assert kept(store) == {key(): value(5, 10.0, source="", api_version=None)}
    assert kept(store, "b") == {key(): value(5, 10.0, source="x" * 16, api_version="v" * 16)}


def test_a_known_value_has_no_reason_to_be_unknown(store):
    store.history.keep("a", {key(): value(5, 10.0, reason="refused")})

    assert kept(store) == {key(): value(5, 10.0)}


def test_a_part_that_was_final_stays_final_where_a_later_answer_lacks_it(store):
    store.history.keep("a", {key(): value(5, 10.0, final=True, buckets={("REEL",): 5})})

    store.history.keep("a", {key(): value(6, 20.0, final=True)})

    assert store.history.read("a", [key()]) == {key(): value(6, 20.0, final=True, buckets={("REEL",): 5})}


def test_a_known_part_stays_where_the_new_one_is_unknown_and_is_not_taken_for_final(store):
    store.history.keep("a", {key(): value(5, 10.0, buckets={("REEL",): 5})})

    store.history.keep("a", {key(): value(6, 20.0, final=True)})

    assert kept(store) == {key(): value(6, 20.0, buckets={("REEL",): 5})}
    assert store.history.read("a", [key()]) == {}
    store.history.keep("a", {key(): value(None, 30.0, buckets={("REEL",): 7}, reason="not_answered")})
    assert kept(store) == {key(): value(6, 30.0, buckets={("REEL",): 7})}


def test_only_final_values_are_read_by_their_keys(store):
    store.history.keep("a", {key(): FINAL, key("2026-11-02"): LATE, key("2026-11-03"): UNKNOWN})

    found = store.history.read("a", [key(), key("2026-11-02"), key("2026-11-03")])

    assert found == {key(): FINAL}


def test_a_range_is_read_in_order(store):
    keys = [
        key(day, metric, breakdown)
        for metric, breakdown in (("reach", ()), ("reach", ("follow_type",)), ("views", ()))
        for day in ("2026-10-31", "2026-11-01", "2026-11-02")
    ]
    store.history.keep("a", {each: value(number / 2, 1.0) for number, each in enumerate(keys)})
    store.history.keep(
        "a", {key("2026-10-26", last="2026-11-01"): FINAL, key("2026-10-27", last="2026-11-01"): UNKNOWN}
    )
    store.history.keep("a", {key("2026-11-01", last="2026-11-07"): FINAL})
    store.history.keep("b", {key(): FINAL})
    span = {"since": "2026-11-01", "until": "2026-11-02"}
    wanted = [each for each in keys if each.first_day > "2026-10-31"]

    assert [found for found, _ in store.history.days("a", **span)] == wanted
    chosen = store.history.days("a", **span, metrics=["reach"], breakdowns=[("follow_type",)])
    assert [found for found, _ in chosen] == wanted[2:4]
    kinds = [("reach", ()), ("reach", ("follow_type",)), ("views", ())]
    for with_windows in (False, True):
        days, windows = store.history.series("a", **span, kinds=kinds, with_windows=with_windows)
        assert {key(day, *kind): shown for kind, of_kind in days.items() for day, shown in of_kind.items()} == {
            each: kept[:5] for each, kept in store.history.days("a", **span)
        }
        assert windows == {}
    of_one_kind, _ = store.history.series("a", **span, kinds=[kinds[1]], with_windows=False)
    assert {kind: list(days) for kind, days in of_one_kind.items()} == {kinds[1]: ["2026-11-01", "2026-11-02"]}
    for until, within in (
        ("2026-11-01", {("reach", ()): {("2026-10-26", "2026-11-01"): FINAL[:5]}}),
        ("2026-10-31", {}),
    ):
        assert within == store.history.series("a", since="2026-10-01", until=until, kinds=kinds, with_windows=True)[1]
    assert store.history.kept_metrics("a") == [("reach", ()), ("reach", ("follow_type",)), ("views", ())]


def test_final_values_of_consecutive_days_are_added_up(store):
    november = [f"2026-11-{day:02}" for day in range(1, 10)]
    for metric in ("views", "likes"):
        days = {key(day, metric): value(number + 0.5, 10.0 + number, final=True) for number, day in enumerate(november)}
        store.history.keep("a", days)
    store.history.keep("a", {key("2026-11-01", "views", ("follow_type",)): FINAL, key("2026-10-31", "views"): FINAL})
    store.history.keep("a", {key("2026-11-04", "views", last="2026-11-06"): FINAL})
    store.history.keep("a", {key("2026-11-10", "likes"): LATE, key("2026-11-10", "views"): UNKNOWN})
    store.history.keep("b", {key(day, "saves"): FINAL for day in november})
    store.history.keep("c", {key(day, "views"): FINAL for day in november if day != "2026-11-05"})
    store.history.keep("c", {key("2026-11-05", "views"): LATE})

    first, second = ("2026-11-01", "2026-11-03"), ("2026-11-04", "2026-11-10")
    assert store.history.sums("a", ["views", "likes", "saves"], [first, second]) == {
        (metric, window): found
        for metric in ("views", "likes")
        for window, found in ((first, (4.5, 10.0, *first)), (second, (36, 13.0, "2026-11-04", "2026-11-09")))
    }
    all_days = (november[0], november[-1])
    whole = store.history.sums("b", ["saves"], [all_days])
    assert whole == {("saves", all_days): (63, 15.0, *all_days)}
    assert isinstance(whole["saves", all_days].value, int)
    store.history.keep("b", {key("2026-11-10", "saves"): value(None, 5.0, final=True, buckets={("REEL",): 1})})
    longer = (november[0], "2026-11-10")
    assert store.history.sums("b", ["saves"], [longer]) == {("saves", longer): (63, 15.0, *all_days)}
    assert store.history.sums("c", ["views"], [all_days]) == {}
    assert store.history.sums("c", ["views"], [first, second]) == {("views", first): (21, 15.0, *first)}


def test_days_without_a_known_value_are_missing(store):
    store.history.keep("a", {key("2026-11-01"): FINAL, key("2026-11-02"): UNKNOWN, key("2026-11-03"): LATE})
    store.history.keep("a", {key("2026-11-02", last="2026-11-08"): FINAL, key("2026-11-02", "views"): FINAL})
    store.history.keep("a", {key("2026-11-02", breakdown=("follow_type",)): FINAL})
    store.history.keep("b", {key("2026-11-02"): FINAL})

    missing = store.history.missing_days("a", "reach", since="2026-10-31", until="2026-11-04")

    assert missing == ["2026-10-31", "2026-11-02", "2026-11-04"]


def test_the_first_follower_count_of_a_day_stays(store):
    counts = store.follower_counts
    first, later = (
        FollowerCount("2026-11-01", 100, 10.0, 7, 3, "sandbox", "v25.0"),
        FollowerCount("2026-11-01", 99, 20.0),
    )
    again = first._replace(followers=98)
    for order in ((first, later, again), (later, first, again)):
        store.deletion.of_account("a")
        for each in order:
            counts.keep("a", each)
        assert counts.days("a", since="2026-11-01", until="2026-11-01") == [first]

    next_one = FollowerCount("2026-11-05", 104, 50.0)
    counts.keep("a", next_one)
    counts.keep("a", FollowerCount("2026-11-06", -1, 60.0))
    counts.keep("a", FollowerCount("2026-11-06", 10**400, 60.0))
    assert counts.days("a", since="2026-11-02", until="2026-11-07") == [next_one]
    names = ["media_count", "followers"]
    for columns in (
        counts.columns("a", names, since="2026-11-01", until="2026-11-07"),
        counts.columns_of_days("a", names, ["2026-11-05", "2026-11-06", "2026-11-01"]),
    ):
        assert (columns.days, columns.read_ats) == (("2026-11-01", "2026-11-05"), (10.0, 50.0))
        assert columns.counts == {"media_count": (3, None), "followers": (100, 104)}
        assert columns.known("media_count") == {"2026-11-01": DailyCount(3, 10.0)}
    assert counts.known_counts("a") == ["followers", "follows", "media_count"]
    assert counts.known_counts("b") == []
    counts.keep("c", FollowerCount("2026-11-06", 0, 60.0))
    assert counts.known_counts("c") == ["followers"]


def test_a_known_count_of_a_day_stays_where_another_reading_lacks_it(store):
    counts = store.follower_counts
    readings = (
        FollowerCount("2026-11-01", 100, 10.0, media_count=3),
        FollowerCount("2026-11-01", 101, 20.0, follows=7),
        FollowerCount("2026-11-01", 102, 30.0, 8, 4),
    )
    for order in itertools.permutations(readings):
        store.deletion.of_account("a")
        for each in order:
            counts.keep("a", each)
        (kept,) = counts.days("a", since="2026-11-01", until="2026-11-01")
        assert (kept.followers, kept.read_at, kept.media_count, kept.follows in {7, 8}) == (100, 10.0, 3, True)


def test_the_progress_of_snapshots_is_kept(store):
    snapshots = store.account_snapshots
    assert snapshots.find("a") == AccountSnapshot("a")

    snapshots.begin_backfill("a", now=10.0, calls=40)
    snapshots.begin_backfill("a", now=20.0, calls=30)
    snapshots.note_backfill("a", left=12)
    snapshots.complete("a", day="2026-11-02", taken_at=30.0)
    snapshots.complete("a", day="2026-11-01", taken_at=40.0)

    assert snapshots.all() == [AccountSnapshot("a", "2026-11-02", 30.0, 10.0, None, 40, 12)]
    assert [snapshots.counts(day=f"2026-11-0{day}").taken for day in (1, 2, 3)] == [1, 1, 0]
    snapshots.note_backfill("a", left=0, ended_at=50.0)
    assert snapshots.find("a").backfill_ended_at == 50.0


def test_final_values_of_consecutive_and_of_scattered_days_are_found(store):
    keys = [key(day) for day in ("2025-01-01", "2026-11-01", "2026-11-02")]
    store.history.keep("a", {**dict.fromkeys(keys, FINAL), key("2026-11-03"): LATE})

    assert set(store.history.read("a", [*keys[1:], key("2026-11-03")])) == set(keys[1:])
    assert set(store.history.read("a", [keys[0], keys[2]])) == {keys[0], keys[2]}


def test_days_are_read_by_column_in_their_order(store):
    store.history.keep("a", {key("2026-11-02"): LATE, key("2026-11-01"): UNKNOWN, key("2026-11-01", "views"): FINAL})
    store.history.keep("a", {key("2026-11-03", breakdown=("follow_type",)): EARLY, key("2026-11-04"): EARLY})
    store.history.keep("b", {key("2026-11-03"): EARLY})
    of_reach = DayColumns(("2026-11-01", "2026-11-02"), (None, 6.0), ("not_answered", None), (0, 0), (40.0, 20.0))
    range_ = {"since": "2026-11-01", "until": "2026-11-03"}

    together = store.history.day_columns("a", ["views", "reach", "likes"], **range_)

    assert together == {"reach": of_reach, "views": DayColumns(("2026-11-01",), (7.0,), (None,), (1,), (15.0,))}
    assert store.history.day_columns("a", ["reach"], **range_) == {"reach": of_reach}
    assert store.history.day_columns("a", ["likes"], **range_) == {}
    assert store.history.number_columns("a", ["views"], **range_) == {
        "views": NumberColumns((7.0,), (None,), (1,), (15.0,))
    }


@pytest.mark.parametrize("store_settings", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "damage",
    ["value = 'many'", "value = x'00'", "read_at = 'then'", "read_at = 1e20", "final = 0.5", "reason = x'ff'"],
)
def test_a_damaged_day_is_absent_from_the_columns(store, store_settings, damage):
    store.history.keep("a", {key("2026-11-01"): FINAL, key("2026-11-02"): FINAL, key("2026-11-03"): UNKNOWN})
    query(store_settings, "gateway", f"UPDATE metric_values SET {damage} WHERE first_day = '2026-11-02'")
    range_ = {"since": "2026-11-01", "until": "2026-11-03"}

    days = store.history.day_columns("a", ["reach"], **range_)["reach"]
    numbers = store.history.number_columns("a", ["reach"], **range_)["reach"]

    assert (days.days, days.values) == (("2026-11-01", "2026-11-03"), (7.0, None))
    assert numbers.values == (7.0, None)


@pytest.mark.parametrize("store_settings", ["sqlite"], indirect=True)
@pytest.mark.parametrize("damaged", ["5", "[5]", "[[5, 3]]", "null", "["])
def test_a_day_with_damaged_buckets_is_absent_from_its_series(store, store_settings, damaged):
    kind = "reach", ("age",)
    whole = value(7, 15.0, final=True, buckets={("25-34",): 7})
    store.history.keep("a", {key("2026-11-01", *kind): whole, key("2026-11-02", *kind): whole})
    query(store_settings, "gateway", "UPDATE metric_values SET buckets = :b WHERE first_day = '2026-11-02'", b=damaged)
    range_ = {"since": "2026-11-01", "until": "2026-11-03"}

    series, _ = store.history.series("a", kinds=[kind], with_windows=False, **range_)

    assert {day: kept.buckets for day, kept in series[kind].items()} == {"2026-11-01": {("25-34",): 7}}
    assert [day for (_, _, day, _), _ in store.history.days("a", **range_)] == ["2026-11-01"]
