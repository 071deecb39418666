"""`make backfill`: reads a range, shows how far it is, and goes on where it was stopped."""

from __future__ import annotations

import io
from datetime import date

import pytest

from commands import UsageError
from commands.backfill import Backfill, fill, main
from services.errors import ProviderNotConfiguredError, ProviderUnavailableError
from services.history.snapshots import BackfillStep

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
    expected = "^Instagram cannot be asked for any day of this range: it keeps days from 2024-11-"
    with pytest.raises(UsageError, match=expected):
        backfill(since=days.get("since"), until=days.get("until"))

    assert backfill.world.calls("insights") == []


def test_a_terminal_gets_a_bar(backfill):
    _, shown = backfill(Terminal())

    lines = shown.split("\r")
    assert lines[1].endswith("[##############................] 10 of 21 calls ")
    assert lines[-1].endswith(f"[{'#' * 30}] 21 of 21 calls \n")


def test_it_waits_for_a_throttle_and_gives_up_where_nothing_comes(backfill, capsys):
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
    assert capsys.readouterr().err.startswith(f"{account}: Instagram has a temporary fault. ")
    assert shown.splitlines()[-1].startswith(f"{account}: waits ")
    assert missing(world, "reach") == ["2026-11-09", "2026-11-14"]


def test_a_pause_for_the_quota_lets_no_account_fail_for_ever(backfill, monkeypatch, capsys):
    world, turns = backfill.world, []

    def step(_account, **_options):
        turns.append(len(turns))
        if len(turns) > 20:
            pytest.fail("It does not end.")
        if len(turns) % 2:
            raise ProviderUnavailableError("It is down.", provider="instagram")
        return BackfillStep(9, is_paused=True)

    monkeypatch.setattr(world.services.snapshots, "backfill", step)

    code, _ = backfill()

    assert (code, len(turns)) == (1, 9)
    assert capsys.readouterr().err.startswith(f"{world.account['id']}: It is down.")


def test_an_account_that_is_removed_meanwhile_does_not_stop_the_others(backfill, capsys):
    world, out = backfill.world, io.StringIO()
    removed, account = "17841499999999999", world.account["id"]

    failed = Backfill(world.services.snapshots, world.clock, out).run([removed, account], **DAYS)

    total = 4 * OF_EACH_DAY + SERIES
    assert failed == 1
    assert out.getvalue().splitlines()[-1] == f"{account}: {total} of {total} calls"
    assert capsys.readouterr().err.startswith(f"{removed}: ")


@pytest.mark.parametrize("cause", ["token", "provider_not_configured"])
def test_a_failure_that_does_not_pass_is_not_waited_for(backfill, monkeypatch, capsys, cause):
    world = backfill.world
    if cause == "token":
        world.fault(cause)
    else:

        def find(_reference):
            raise ProviderNotConfiguredError("It was encrypted with another key.", provider="instagram")

        monkeypatch.setattr(world.services.snapshots._accounts, "find", find)
    before = world.clock.timestamp()

    code, shown = backfill()

    assert (code, world.clock.timestamp()) == (1, before)
    assert "waits" not in shown
    assert capsys.readouterr().err.startswith(f"{world.account['id']}: ")


def test_arguments_that_are_wrong(capsys):
    with pytest.raises(SystemExit):
        main(["--since", "2026-02-01", "--until", "2026-01-01"])
    assert "--since 2026-02-01 is after --until 2026-01-01" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--since", "yesterday"])
    assert "accepted: a date such as 2026-01-31" in capsys.readouterr().err
