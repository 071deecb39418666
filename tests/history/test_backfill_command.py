"""`make backfill`: reads a range, shows how far it is, and goes on where it was stopped."""

from __future__ import annotations

import io
from datetime import date

import pytest

from commands.backfill import fill, main

DAYS = {"since": date(2026, 11, 10), "until": date(2026, 11, 13)}
SERIES, OF_EACH_DAY = 1, 5  # calls


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def backfill(make_world):
    world = make_world("ordinary")

    def run(out=None, reference=None, **days):
        out = out or io.StringIO()
        code = fill(world.services, world.clock, reference, **(days or DAYS), out=out)
        return code, out.getvalue()

    run.world = world
    return run


def missing(world, metric, breakdown=()):
    span = {"since": "2026-11-09", "until": "2026-11-14"}
    return world.services.store.history.missing_days(world.account["id"], metric, breakdown, **span)


def test_a_range_is_read_and_nothing_else_and_nothing_twice(backfill):
    world, account = backfill.world, backfill.world.account["id"]

    first = backfill(reference=world.account["username"])
    calls = world.calls("insights")
    second = backfill()

    total = 4 * OF_EACH_DAY + SERIES
    assert first == (
        0,
        f"{account}: {total} calls to make\n"
        f"{account}: 10 of {total} calls\n{account}: 20 of {total} calls\n{account}: {total} of {total} calls\n",
    )
    assert len(calls) == len(set(calls)) == total
    assert second == (0, f"{account}: nothing is missing; everything that Instagram answers was read before\n")
    assert world.calls("insights") == []
    for metric, breakdown in (("reach", ("media_product_type", "follow_type")), ("follower_count", ())):
        assert missing(world, metric, breakdown) == ["2026-11-09", "2026-11-14"]
    assert world.services.snapshots.progress()["backfill"]["accounts"] == 0


@pytest.mark.parametrize(
    "days",
    [
        {"since": date(2015, 1, 1), "until": date(2015, 2, 1)},
        {"until": date(2015, 2, 1)},
        {"since": date(2026, 11, 20), "until": date(2026, 12, 1)},
        {"since": date(2035, 1, 1)},
    ],
)
def test_a_range_of_which_instagram_has_nothing_is_refused_with_what_it_has(backfill, days):
    code, shown = backfill(since=days.get("since"), until=days.get("until"))

    assert code == 1
    assert shown.startswith("Instagram cannot be asked for any day of this range: it keeps days from 2024-11-")
    assert backfill.world.calls("insights") == []


def test_a_terminal_gets_a_bar(backfill):
    _, shown = backfill(Terminal())

    lines = shown.split("\r")
    assert lines[1].endswith("[##############................] 10 of 21 calls ")
    assert lines[-1].endswith(f"[{'#' * 30}] 21 of 21 calls \n")


def test_it_waits_for_a_throttle_and_gives_up_where_nothing_comes(backfill):
    world, account = backfill.world, backfill.world.account["id"]
    world.fault("throttled", minutes=5, times=1)
    before = world.clock.timestamp()

    code, shown = backfill()

    assert code == 0
    assert world.clock.timestamp() - before >= 300
    assert shown.splitlines()[1] == f"{account}: waits 300 s (provider_rate_limited)"
    world.fault("server_error")
    code, shown = backfill(since=date(2026, 11, 1), until=date(2026, 11, 2))
    assert code == 1
    assert shown.splitlines()[-1].startswith(f"{account}: ")
    assert missing(world, "reach") == ["2026-11-09", "2026-11-14"]


def test_arguments_that_are_wrong(capsys):
    with pytest.raises(SystemExit):
        main(["--since", "2026-02-01", "--until", "2026-01-01"])
    assert "--since 2026-02-01 is after --until 2026-01-01" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--since", "yesterday"])
    assert "accepted: a date such as 2026-01-31" in capsys.readouterr().err
