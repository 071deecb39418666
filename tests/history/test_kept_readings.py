"""What a caller's request leaves in the history: every finished day that was answered, and the day's follower count."""

from __future__ import annotations

from services.store.database import DatabaseUnavailableError

DAYS = {"since": "2026-11-01", "until": "2026-11-30"}


def kept(world):
    store = world.services.store
    return {key.first_day: value for key, value in store.history.days(world.account["id"], **DAYS)}


def counts(world):
    return world.services.store.follower_counts.days(world.account["id"], **DAYS)


def test_finished_days_are_kept_and_only_those_that_can_change_no_more_are_final(world):
    world.body("/account-insights?period=day&metrics=views&since=2026-11-17&until=2026-11-21")

    days = kept(world)

    assert {day: value.final for day, value in days.items()} == {
        "2026-11-17": True,
        "2026-11-18": True,
        "2026-11-19": False,
        "2026-11-20": False,
    }
    version = world.services.account_insights._origin.api_version
    assert {(value.source, value.api_version) for value in days.values()} == {("instagram", version)}
    assert all(value.read_at == world.clock.timestamp() for value in days.values())


def test_a_day_without_an_answer_is_kept_with_its_reason(make_world):
    world = make_world("small")

    world.body("/account-insights?period=day&metrics=follower_count&since=2026-11-12&until=2026-11-13")

    assert {day: (value.value, value.reason, value.final) for day, value in kept(world).items()} == {
        "2026-11-12": (None, "not_answered", False),
        "2026-11-13": (None, "not_answered", False),
    }


def test_a_provisional_day_of_the_history_does_not_answer_a_caller(world):
    path = "/account-insights?period=day&metrics=views&since=2026-11-20&until=2026-11-20"
    world.body(path)
    world.advance(hours=7)
    world.calls()

    world.body(path)
    world.settle()

    assert len(world.calls("insights")) == 1


def test_the_first_profile_of_a_pacific_day_is_its_follower_count(world):
    world.body("/growth-trends?period=7d")
    first = world.clock.timestamp()
    world.advance(hours=3)
    world.body("/growth-trends?period=7d&refresh=true")
    world.advance(hours=11)
    world.body("/growth-trends?period=7d&refresh=true")

    found = counts(world)

    assert [(count.day, count.read_at) for count in found] == [
        ("2026-11-21", first),
        ("2026-11-22", first + 14 * 3600),
    ]
    assert found[0].followers > 0
    assert None not in (found[0].follows, found[0].media_count)
    assert found[0].source == "instagram"


def test_a_database_that_is_unavailable_costs_no_profile_and_the_next_one_is_kept(world, monkeypatch):
    def fail(*_):
        raise DatabaseUnavailableError("gone")

    monkeypatch.setattr(world.services.store.follower_counts, "keep", fail)

    assert world.get("/growth-trends?period=7d").status_code == 200
    assert counts(world) == []
    monkeypatch.undo()
    world.advance(hours=1)
    world.body("/growth-trends?period=7d&refresh=true")
    assert [count.read_at for count in counts(world)] == [world.clock.timestamp()]
