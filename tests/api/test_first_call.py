"""The first call of the README: it has numbers at any time of the day, also of a day that has just ended."""

from __future__ import annotations

import pytest

from tests.support import utc

FIRST = "/account-insights?period=day&metrics=impressions,reach"
LATE = ("2026-12-01", "2026-12-03", "2026-12-12")  # days of which Instagram would show nothing at first


@pytest.mark.parametrize("hours", [8.02, 13.9, 31.9])
@pytest.mark.parametrize("day", LATE)
def test_the_last_finished_day_of_the_sandbox_account_has_numbers(make_world, day, hours):
    world = make_world("ordinary")
    assert world.account["id"] == "17841400000000000"
    world.clock.set(utc(f"{day}T00:00"))
    world.advance(hours=24 + hours)

    data = world.body(FIRST)["data"]

    assert [values["date"] for each in data for values in each["values"]] == [day, day]
    assert all(values["value"] > 0 for each in data for values in each["values"])
