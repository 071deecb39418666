"""The worker checks each account once a day, a few at a time, and no account whose token is rejected."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from services.accounts.check_rotation import CHECKED_EVERY, CheckRotation
from services.accounts.token_encryption import TokenEncryption, new_key
from services.clients.graph.models import Account
from services.store.account_health import CallRow, CheckRow
from services.store.accounts import AccountRow
from tests.world import WorldWorker

KEY = new_key()
MANY = 8
REJECTED = 3


@pytest.fixture
def world(make_world):
    world = make_world(TOKEN_KEY=KEY, ACCESS_LONG_LIVED_TOKEN="", INSTAGRAM_ACCOUNT_ID="")
    listed = world.simulator.get("/_simulator/accounts").json()["accounts"][:MANY]
    encryption = TokenEncryption([KEY], learn=lambda _: None)
    for number, each in enumerate(listed):
        token = "EAArejectedTOKENofANaccount" if number == REJECTED else each["token"]
        row = AccountRow(each["id"], each["username"], "facebook", each["page_id"], encryption.seal(token), number)
        world.services.store.accounts.put(row)
    world.ids = [each["id"] for each in listed]
    world.advance(seconds=3)
    return world


def rounds(world, worker, number):
    """Run some rounds of the job; return the accounts that were called for in each."""
    called = []
    for _ in range(number):
        worker.run()
        calls = world.calls()
        called.append({account for account in world.ids if any(f"/{account}?" in path for path in calls)})
        world.advance(seconds=61)
    return called


def test_each_account_is_checked_once_a_day_and_a_rejected_one_no_more(world):
    worker = WorldWorker(world, "checks")

    first = rounds(world, worker, 3)

    assert [len(called) for called in first[:1]] == [5]
    assert set.union(*first) | {world.ids[REJECTED]} == set(world.ids)
    assert first[2] == set()
    states = {each["id"]: each["health"] for each in world.body("/accounts")["accounts"]}
    assert {states[account]["state"] for account in world.ids if account != world.ids[REJECTED]} <= {
        "ok",
        "permissions_missing",
    }
    assert states[world.ids[REJECTED]]["state"] == "needs_login"
    assert all(health["checked_at"] is not None for health in states.values())
    world.advance(days=1)

    second = rounds(world, worker, 2)

    assert set.union(*second) == set(world.ids) - {world.ids[REJECTED]}


def rotation_of(accounts, checked, store, clock, *, may_work=lambda _: True):
    return CheckRotation(
        SimpleNamespace(all=lambda: accounts),
        SimpleNamespace(of=lambda account: checked.append(account.id)),
        store.account_health,
        may_work=may_work,
        clock=clock,
    )


def test_an_account_is_checked_again_unless_it_needs_another_token(store, clock):
    now, health, checked = clock.timestamp(), store.account_health, []
    for code in ("provider_blocked", "token_expired", "token_invalid"):
        health.called([CallRow(f"call: {code}", rejected_at=now, rejected_as=code)])
    for code in ("object_not_found", "token_expired", "token_revoked"):
        health.checked(CheckRow(f"check: {code}", now, code))
        health.checked(CheckRow(f"answered since: {code}", now, code))
        health.called([CallRow(f"answered since: {code}", answered_at=now + 1)])
    health.checked(CheckRow("not a day ago", now + 1))
    clock.wait(CHECKED_EVERY)
    rotation = rotation_of([Account(account, "token") for account in health.rows()], checked, store, clock)

    while rotation.run() and len(checked) < MANY:
        for account in checked:
            health.checked(CheckRow(account, clock.timestamp()))

    assert sorted(checked) == [
        "answered since: object_not_found",
        "answered since: token_expired",
        "answered since: token_revoked",
        "call: provider_blocked",
        "check: object_not_found",
    ]


def test_those_that_were_checked_longest_ago_come_first_as_far_as_their_quota_has_room(store, clock):
    accounts, checked = [Account(str(number), "token") for number in range(MANY)], []
    for number, account in enumerate(accounts):
        store.account_health.checked(CheckRow(account.id, clock.timestamp() - CHECKED_EVERY - number))
    rotation = rotation_of(accounts, checked, store, clock, may_work=lambda account: account != "6")

    assert rotation.run() == 5
    assert checked == ["7", "5", "4", "3", "2"]
