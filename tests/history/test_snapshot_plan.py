"""Which days are asked for, and in which order: the plan alone, from invented states."""

from __future__ import annotations

from datetime import date, timedelta

from services.history.snapshot_plan import Plan, kinds
from services.store.history import DayState
from tests.support import utc

NOW = utc("2026-11-21T18:00").timestamp()
TODAY = date(2026, 11, 21)
YESTERDAY = NOW - 86_400
FINAL = DayState(known=True, final=True, read_at=NOW - 30 * 86_400)
PROVISIONAL = DayState(known=True, final=False, read_at=YESTERDAY)


def unknown(reason="not_answered", read_at=YESTERDAY):
    return DayState(known=False, final=False, read_at=read_at, reason=reason)


def age(days):
    return TODAY - timedelta(days=days)


def states(changes=(), *, ages=range(1, 730), login="facebook"):
    """Return every day of every kind as final, but for changes by (kind, age); None is a day never asked for."""
    found = {kind: {str(age(days)): FINAL for days in ages} for kind in kinds(login)}
    for (kind, days), state in dict(changes).items():
        if state is None:
            del found[kind][str(age(days))]
        else:
            found[kind][str(age(days))] = state
    return found


def plan(changes=(), *, now=NOW, login="facebook", **more):
    return Plan(login, states(changes, login=login, **more), now)


def listed(requests):
    return [((TODAY - request.window.first).days, request.breakdown, set(request.metrics)) for request in requests]


def never(days):
    return {(kind, each): None for kind in kinds("facebook") for each in days}


TOTALS = {metric for metric, breakdown in kinds("facebook") if not breakdown} - {"follower_count"}
REACH, VIEWS, SAVES = ("reach", ()), ("views", ()), ("saves", ())


def test_a_day_is_five_calls_and_yesterday_is_one():
    daily = listed(plan(never((1, 2, 3, 4))).daily())

    assert daily[0] == (4, (), {"follower_count"})
    assert daily[1] == (1, (), TOTALS)
    assert sorted(breakdown for days, breakdown, _ in daily[2:]) == [
        (),
        ("contact_button_type",),
        ("follow_type",),
        ("media_product_type",),
        ("media_product_type", "follow_type"),
    ]
    assert {days for days, _, _ in daily[2:]} == {4}


def test_of_a_day_only_what_is_not_final_is_asked_for():
    changes = {
        (REACH, 4): PROVISIONAL,
        (VIEWS, 5): None,
        (SAVES, 3): PROVISIONAL,
        (SAVES, 6): unknown("provider_timeout"),
    }

    assert listed(plan(changes).daily()) == [(6, (), {"saves"}), (5, (), {"views"}), (4, (), {"reach"})]


def test_a_call_that_failed_today_is_made_again_tomorrow():
    changes = {(SAVES, 6): unknown("provider_timeout", read_at=NOW - 60)}

    assert plan(changes).daily() == []
    assert plan(changes).backfill() == []


def test_a_day_that_failed_before_the_last_settled_ones_is_asked_for_by_snapshot_and_back_fill():
    changes = {(SAVES, 30): unknown("provider_timeout")}

    assert listed(plan(changes).daily()) == listed(plan(changes).backfill()) == [(30, (), {"saves"})]


def test_unknown_days_are_asked_for_daily_in_turn_and_first_what_is_about_to_vanish():
    days = (20, 40, 60, 88, 200, 300, 727)
    changes = {(SAVES, each): unknown() for each in days}

    turns = [[days for days, _, _ in listed(plan(changes, now=NOW).daily())]]
    for number in (1, 2):
        later = plan(changes, now=NOW + number * 86_400)
        turns.append([(TODAY - request.window.first).days for request in later.daily() if len(request.metrics) == 1])

    assert turns[0][:2] == [727, 88]
    assert all(len([each for each in turn if each in days]) == 4 for turn in turns)
    assert {each for turn in turns for each in turn} >= set(days)
    asked_today = {key: unknown(read_at=NOW - 60) for key in changes}
    assert plan(asked_today).daily() == []


def test_a_metric_that_was_never_known_is_asked_for_with_new_days_only():
    changes = {(SAVES, each): unknown() for each in range(1, 100)} | {(SAVES, 4): None}

    assert listed(plan(changes).daily()) == [(4, (), {"saves"})]


def test_a_refused_metric_is_asked_for_once_a_week():
    changes = {(SAVES, 5): unknown("refused", read_at=NOW - 6 * 86_400), (SAVES, 4): None}

    assert plan(changes).daily() == []
    assert listed(plan(changes, now=NOW + 2 * 86_400).daily())[-1][2] >= {"saves"}
    week_ago = {(SAVES, 5): unknown("refused", read_at=NOW - 7 * 86_400), (SAVES, 4): None}
    assert listed(plan(week_ago).daily())[-1][2] >= {"saves"}


def test_a_refusal_of_old_days_says_nothing_of_new_ones():
    changes = {(SAVES, 500): unknown("refused", read_at=NOW), (SAVES, 4): None}

    assert listed(plan(changes).daily()) == [(4, (), {"saves"})]


def test_a_back_fill_begins_with_what_is_about_to_vanish_and_goes_on_with_the_newest():
    changes = {(kind, days): None for kind in (REACH, SAVES) for days in (10, 84, 300, 722, 723, 729)}

    assert [days for days, _, _ in listed(plan(changes).backfill())] == [729, 723, 84, 10, 300, 722]
    ranged = plan(changes).backfill(since=age(723), until=age(300))
    assert [days for days, _, _ in listed(ranged)] == [723, 300, 722]
    assert listed(ranged)[0][2] == {"reach", "saves"}
    assert plan(changes).backfill(since=TODAY) == []


def test_each_metric_is_asked_for_as_long_as_it_is_kept_by_the_login():
    whole = Plan("instagram", {}, NOW)

    first = {}
    for request in whole.backfill():
        for metric in request.metrics:
            kind = (metric, request.breakdown)
            first[kind] = min(first.get(kind, TODAY), request.window.first)
    assert first[REACH] == age(729)
    assert first["reach", ("follow_type",)] == first["reach", ("media_product_type", "follow_type")] == age(365)
    assert first["follower_count", ()] == age(30)
    assert ("profile_views", ()) not in first
    assert len([request for request in whole.backfill() if request.series]) == 1
