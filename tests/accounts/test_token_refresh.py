"""The worker keeps tokens: refreshed in time, stored before use, warned of, and nothing lost by a kill."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

import pytest

from commands import account as account_command
from config import SANDBOX_CREDENTIALS, Config
from services.accounts.diagnosis import UNCLEAR
from services.accounts.token_encryption import new_key
from services.background.job_schedule import TOKEN_OF
from services.clients.graph.tokens import NewToken
from services.errors import ProviderError, ProviderNotConfiguredError, TokenInvalidError
from services.store.account_tokens import AccountTokens
from tests.accounts.token_world import TokenWorld

DAY = 86_400.0
ENDS_SOON = "The token of an account ends soon"


@pytest.fixture
def make_world(simulator, make_client):
    def make(**settings):
        return TokenWorld(simulator, make_client, **settings)

    return make


@pytest.fixture
def world(make_world):
    return make_world()


@pytest.fixture
def added(world):
    """Add an account with a token of some age, and return its id."""

    def add(login, *, number=3, **order):
        account = world.listed[number]["id"]
        world.add(account, login, world.give(account, login, **order))
        world.calls()
        return account

    return add


def warnings(caplog, message=ENDS_SOON):
    return [record for record in caplog.records if record.message == message]


def test_an_instagram_token_is_refreshed_at_once_where_its_end_is_unknown(world, added):
    account = added("instagram", age_days=59)
    given = world.token(account)

    world.refresh.check(account)

    assert world.token(account) != given
    assert world.state(account).state == "ok"
    assert world.state(account).expires_at == pytest.approx(world.clock.timestamp() + 60 * DAY, abs=DAY)
    assert world.services.accounts.profile(world.services.accounts.find(account)).value["username"]


def test_it_is_refreshed_again_a_month_before_its_end_and_otherwise_only_checked(world, added):
    account = added("instagram", age_days=10)
    world.refresh.check(account)
    world.calls()
    refreshed, before = [], 0
    for day in (1, 15, 29, 30, 31, 45, 59, 60, 61):
        world.advance(days=day - before)
        before = day
        world.refresh.check(account)
        refreshed += [day] * len(world.calls("refresh_access_token"))

    assert refreshed == [30, 60]


def test_a_token_that_is_too_young_is_refreshed_a_day_later(world, added):
    account = added("instagram", age_days=0.5)
    given = world.token(account)

    due_at = world.refresh.check(account).due_at

    assert (world.token(account), world.state(account).state) == (given, "ok")
    assert due_at - world.clock.timestamp() <= DAY
    assert len(world.calls("refresh_access_token")) == 1
    for days in (0, 1):
        world.advance(days=days)
        due_at = world.refresh.check(account).due_at
        assert world.calls("refresh_access_token") == []
    assert due_at - world.clock.timestamp() <= 301
    world.advance(minutes=10)
    world.refresh.check(account)
    assert world.token(account) != given


def test_a_refresh_may_hand_back_the_same_token(world, added):
    world.simulator.post("/_simulator/switches", {"igl_refresh_new_token": False})
    account = added("instagram", age_days=50)
    given = world.token(account)

    world.refresh.check(account)

    assert world.token(account) == given
    assert world.state(account).expires_at > world.clock.timestamp() + 59 * DAY


class Killed(BaseException):
    """The end of a process, which nothing catches."""


@pytest.mark.parametrize("step", ["put", "replace", "note_warning", "keep_only"])
def test_killed_at_any_step_the_account_is_read_and_the_next_run_goes_on(world, added, monkeypatch, step):
    account = added("instagram", age_days=50)

    def killed(*_, **__):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(AccountTokens, step, killed)
        try:
            world.refresh.check(account)
        except Killed:
            pass
        else:
            assert step == "note_warning"  # There was nothing to warn of.
    world.restart()
    read = world.services.accounts.profile(world.services.accounts.find(account)).value["username"]
    world.refresh.check(account)

    assert read
    assert world.state(account).expires_at > world.clock.timestamp() + 59 * DAY
    assert len([row for row in world.table.all() if row.account == account]) == 1


def test_the_old_token_is_used_until_the_new_one_was_answered(world, added):
    account = added("instagram", age_days=50)
    given = world.token(account)
    world.fault("server_error", path="user_id")  # what a new token is tried with

    with pytest.raises(ProviderError):
        world.refresh.check(account)

    assert (world.token(account), world.row(account).pending is None) == (given, False)
    world.calls()
    world.heal()
    world.clock.wait(60)
    world.refresh.check(account)
    assert world.token(account) != given
    assert world.calls("refresh_access_token") == []


def test_a_token_that_waits_takes_the_place_of_one_that_was_refused_meanwhile(world, added):
    account = added("instagram", age_days=50)
    world.fault("server_error", path="user_id")
    with pytest.raises(ProviderError):
        world.refresh.check(account)
    world.heal()
    world.advance(days=11)  # The given token ends after 60 days.
    path = f"/top-posts?time_range=7d&account={account}"
    before = world.client.get(path).status_code

    world.refresh.check(account)

    world.clock.wait(6)  # The account is left alone for five seconds after the refusal.
    assert (before, world.client.get(path).status_code) == (401, 200)
    assert (world.state(account).state, world.row(account).failure) == ("ok", None)


@pytest.mark.parametrize("kind", ["of another account", "not accepted"])
def test_a_refreshed_token_that_does_not_read_the_account_is_dropped_for_a_day(world, added, kind):
    account = added("instagram", age_days=5)
    world.refresh.check(account)
    world.advance(days=31)
    used = world.token(account)
    brought = world.give(world.listed[4]["id"], "instagram") if kind == "of another account" else "IGAASIMunknown"
    sealed = world.services.token_encryption.seal(brought)
    world.table.put(world.row(account)._replace(pending=sealed, pending_expires_at=world.clock.timestamp() + DAY))
    world.calls()

    world.refresh.check(account)

    assert (world.token(account), world.row(account).pending, world.state(account).state) == (used, None, "ok")
    assert world.calls("refresh_access_token") == []
    world.advance(days=1, minutes=1)
    world.refresh.check(account)
    assert world.token(account) not in (used, brought)


def test_with_a_wrong_key_the_refreshed_token_of_an_account_stays(world, added):
    account = added("instagram", age_days=50)
    world.refresh.check(account)
    refreshed, key = world.token(account), world.settings["TOKEN_KEY"]
    world.restart(TOKEN_KEY=new_key())
    with pytest.raises(ProviderNotConfiguredError):
        world.refresh.check(account)

    world.restart(TOKEN_KEY=key)

    assert world.token(account) == refreshed


def test_no_token_is_in_the_clear_in_the_table(world, added):
    account = added("instagram", age_days=50)
    world.refresh.check(account)

    assert world.token(account) not in repr([tuple(row) for row in world.table.all()])
    assert world.row(account).sealed


def test_the_token_of_the_settings_is_refreshed_and_a_new_setting_wins(make_world):
    world = make_world()
    account = world.listed[4]["id"]
    given = world.give(account, "instagram", age_days=50)
    world.configure(given)

    world.refresh.check(account)
    world.restart()

    assert world.token(account) != given
    another = world.give(account, "instagram", age_days=2)
    world.configure(another)
    assert world.token(account) == another


def test_without_a_key_the_token_of_the_settings_is_not_refreshed_and_the_next_step_is_named(make_world, caplog):
    world = make_world()
    account = world.listed[4]["id"]
    world.configure(world.give(account, "instagram", age_days=5), TOKEN_KEY="")
    world.calls()
    for days in (45, 1, 1, 6, 1):
        world.refresh.check(account)
        world.advance(days=days)

    assert world.calls("refresh_access_token") == []
    assert len(warnings(caplog, "The token of an account cannot be refreshed")) == 1
    assert [record.days_left for record in warnings(caplog)][:2] == [14, 7]
    assert "TOKEN_KEY" in warnings(caplog)[0].next_step


def test_a_facebook_token_is_warned_of_at_14_7_and_1_days_once_each_and_then_called_refused(world, added, caplog):
    account = added("facebook", age_days=40)
    for _ in range(25):
        for _ in range(3):
            world.refresh.check(account)
        world.advance(days=1)

    assert [record.days_left for record in warnings(caplog)] == [14, 7, 1]
    assert {record.account for record in warnings(caplog)} == {account}
    assert all("Log in" in record.next_step or "token" in record.next_step for record in warnings(caplog))
    assert len(warnings(caplog, "Instagram does not accept the token of an account any more")) == 1
    assert (world.state(account).state, world.state(account).reason) == ("expired", "expired")
    assert len(world.calls("debug_token")) < 25 * 3  # After its end it is not asked about any more.


def test_the_warning_comes_at_its_moment_and_not_up_to_a_day_late(world, added):
    account = added("facebook", age_days=40.25)

    due_at = world.refresh.check(account).due_at
    world.clock.set(world.clock.now())
    while world.row(account).warned_days is None:
        world.advance(seconds=due_at - world.clock.timestamp())
        due_at = world.refresh.check(account).due_at

    assert world.state(account).expires_at - world.clock.timestamp() == pytest.approx(14 * DAY, abs=5)


def test_a_token_that_is_new_on_its_last_day_is_looked_at_when_it_has_ended(world, added):
    account = added("facebook", age_days=59.5)

    due_at = world.refresh.check(account).due_at

    assert due_at - world.state(account).expires_at == pytest.approx(1, abs=0.001)


def test_the_end_of_a_refused_token_is_not_warned_of(world, added, caplog):
    account = added("facebook", age_days=40)
    world.refresh.check(account)
    world.take_back(account, "facebook", 460)
    for days in (7, 12, 7):
        world.refresh.check(account)
        world.advance(days=days)

    assert warnings(caplog) == []


def test_the_next_end_of_a_token_is_warned_of_once_its_end_was_moved(world, added, caplog):
    world.simulator.post("/_simulator/switches", {"igl_refresh_new_token": False})
    account = added("instagram", age_days=50)
    for _ in range(2):
        world.refresh.check(account)
        world.fault("server_error", path="refresh_access_token")
        world.advance(days=47)
        with pytest.raises(ProviderError):
            world.refresh.check(account)
        world.heal()
        world.advance(hours=1)

    assert [record.days_left for record in warnings(caplog)] == [13, 13]


def test_a_page_token_does_not_end_but_its_access_to_data_does(world, added, caplog):
    account = added("facebook", age_days=60, page=True)
    for _ in range(32):
        world.refresh.check(account)
        world.advance(days=1)

    assert [(record.days_left, record.reason) for record in warnings(caplog)] == [
        (days, "data_access_expires_soon") for days in (14, 7, 1)
    ]
    assert (world.state(account).state, world.state(account).reason) == ("expired", "data_access_expired")


def test_a_short_token_of_the_facebook_login_is_exchanged(world):
    account = world.listed[0]["id"]
    world.add(account, "facebook", "EAASHORTsomething")
    world.refresh.check(account)

    assert not world.token(account).startswith("EAASHORT")


def test_without_a_key_a_short_token_of_the_facebook_login_stays_and_the_next_step_is_named(make_world, caplog):
    world = make_world()
    account = world.listed[0]["id"]
    given = {"ACCESS_LONG_LIVED_TOKEN": "EAASHORTsomething", "INSTAGRAM_ACCOUNT_ID": account}
    world.restart(**given, TOKEN_KEY="")
    world.calls()

    world.refresh.check(account)
    world.refresh.check(account)

    assert world.calls("fb_exchange_token") == []
    (line,) = warnings(caplog, "The token of an account cannot be refreshed")
    assert (line.account, "TOKEN_KEY" in line.next_step) == (account, True)
    assert (world.row(account).reason, world.state(account).state) == ("not_refreshed", "expiring")
    assert "Set TOKEN_KEY" in world.state(account).next_step


@pytest.mark.parametrize("code", [100, 190])
def test_a_short_token_of_the_facebook_login_whose_exchange_is_refused_is_used_to_its_end(world, caplog, code):
    account = world.listed[0]["id"]
    world.add(account, "facebook", "EAASHORTsomething")
    world.fault("error", path="oauth/access_token", code=code)

    world.refresh.check(account)

    assert world.token(account) == "EAASHORTsomething"
    row, state = world.row(account), world.state(account)
    assert (row.checked_at, row.failure, state.state) == (world.clock.timestamp(), None, "expiring")
    assert [line.account for line in warnings(caplog, "The short-lived token of an account is not exchanged")] == [
        account
    ]
    world.heal()
    world.refresh.check(account)
    assert not world.token(account).startswith("EAASHORT")


@pytest.mark.parametrize("secret", ["", SANDBOX_CREDENTIALS["instagram_app_secret"]])
def test_a_token_of_the_instagram_login_that_lives_for_an_hour_is_exchanged_or_its_next_step_named(world, secret):
    account, given = world.listed[0]["id"], "IGAASHORT-granted"
    world.add(account, "instagram", given)
    world.restart(INSTAGRAM_APP_SECRET=secret)
    step = world.services.checkup.checks.token(given, "instagram").next_step

    world.refresh.check(account)

    assert world.token(account) == ("IGAASIMLONG-granted" if secret else given)
    assert ("The worker" if secret else "run `make connect` with it") in step
    assert (world.row(account).expires_at is not None) == bool(secret)


def test_a_refresh_without_permission_is_named_and_tried_again_a_day_later(world, added):
    account = added("instagram", age_days=50)
    given = world.token(account)
    world.fault("permission", path="refresh_access_token")

    due_at = world.refresh.check(account).due_at

    assert (world.state(account).state, world.state(account).missing_scopes) == (
        "missing_permission",
        ("instagram_business_basic",),
    )
    assert due_at - world.clock.timestamp() == pytest.approx(DAY, abs=2)
    world.heal()
    world.calls()
    world.refresh.check(account)
    assert world.calls("refresh_access_token") == []
    world.advance(days=1, minutes=1)
    world.refresh.check(account)
    assert (world.state(account).state, world.token(account) != given) == ("ok", True)


def test_without_the_credentials_of_its_app_a_token_is_read_and_not_inspected(world, added):
    account = added("facebook", age_days=5)
    world.restart(APP_ID="", APP_SECRET="")

    world.refresh.check(account)

    assert (world.state(account).state, world.state(account).reason) == ("unknown", "not_inspected")
    assert world.state(account).checked_at == world.clock.timestamp()
    assert world.calls("debug_token") == []


def test_missing_permissions_are_named(world):
    account = world.listed[0]["id"]
    world.add(account, "facebook", "EAASIMLONG-no-insights")

    world.refresh.check(account)

    assert (world.state(account).state, world.state(account).missing_scopes) == (
        "missing_permission",
        ("instagram_manage_insights",),
    )
    assert world.token(account) == "EAASIMLONG-no-insights"
    assert world.refresh.check(account).due_at > world.clock.timestamp()


def test_a_refusal_from_before_the_account_of_the_settings_was_known_stays_its_own(make_world):
    world = make_world()
    account = world.listed[4]["id"]
    token = world.give(account, "instagram", age_days=5)
    world.configure(token)
    assert world.token(account) == token
    world.take_back(account, "instagram", 467)
    world.client.get("/api/instagram/insights/test", query_string={"media_id": "1", "access_token": token})
    assert [(row.account, row.state) for row in world.table.all()] == [("", "invalid")]

    world.calls()
    world.refresh.check(account)

    assert world.calls() == []
    assert world.state(account).state == "invalid"


@pytest.mark.parametrize(("login", "subcode"), [("facebook", 460), ("instagram", 467)])
def test_a_refused_token_is_tried_no_more_until_it_is_replaced(world, added, login, subcode):
    account = added(login, age_days=5)
    world.refresh.check(account)
    world.take_back(account, login, subcode)
    world.refresh.check(account)
    world.calls()
    for _ in range(5):
        world.advance(days=1)
        world.refresh.check(account)
        assert world.client.get(f"/top-posts?time_range=7d&account={account}").status_code == 401

    assert world.calls() == []
    assert world.state(account).state == "invalid"
    world.advance(days=1)
    world.add(account, login, world.give(account, login, age_days=0.5))
    assert world.client.get(f"/top-posts?time_range=7d&account={account}").status_code == 200
    world.refresh.check(account)
    assert world.state(account).state == "ok"


@pytest.mark.parametrize(("login", "subcode"), [("facebook", 459), ("instagram", 464)])
def test_what_the_user_can_make_good_is_tried_once_a_day_by_the_worker_only(world, added, login, subcode):
    account = added(login, age_days=5)
    world.take_back(account, login, subcode)
    world.refresh.check(account)
    world.calls()
    world.refresh.check(account)
    assert len(world.calls()) == 1
    assert world.client.get(f"/top-posts?time_range=7d&account={account}").status_code == 401
    assert world.calls() == []

    world.take_back(account, login, None)
    world.advance(days=1)
    world.refresh.check(account)

    assert world.state(account).state == "ok"
    assert world.client.get(f"/top-posts?time_range=7d&account={account}").status_code == 200


def test_a_refusal_that_may_mean_a_short_token_is_followed_by_an_exchange(world, added, monkeypatch):
    account = added("instagram", age_days=50)
    long_lived = world.give(account, "instagram")

    def refused(_token):
        raise TokenInvalidError("It is not accepted.", provider="instagram", reason=next(iter(UNCLEAR)))

    monkeypatch.setattr(world.refresh._client, "refresh", refused)
    given = NewToken(long_lived, world.clock.timestamp() + 60 * DAY)
    monkeypatch.setattr(world.refresh._client, "exchange_short", lambda _login, _token: given)

    world.refresh.check(account)

    assert (world.token(account), world.state(account).state) == (long_lived, "ok")


def test_a_token_that_another_process_found_refused_meanwhile_stays_refused(world, added, monkeypatch):
    account = added("facebook", age_days=5)
    world.take_back(account, "facebook", 460)
    world.refresh.check(account)
    world.take_back(account, "facebook", None)
    world.advance(hours=1)
    monkeypatch.setattr(world.table, "accepted", lambda _row: False)

    world.refresh.check(account, is_asked=True)

    assert world.state(account).state == "invalid"
    assert world.client.get(f"/top-posts?time_range=7d&account={account}").status_code == 401


def test_a_refused_token_is_looked_at_daily_whenever_it_would_have_been_refreshed(world, added):
    account = added("instagram", age_days=50)
    world.refresh.check(account)
    world.advance(days=29, hours=20)
    world.take_back(account, "instagram", 467)

    assert world.refresh.check(account).due_at == world.clock.timestamp() + DAY


def test_a_token_that_ends_early_is_refreshed_again_once_it_is_old_enough(world, added, monkeypatch):
    account, asked = added("instagram", age_days=50), []

    def refresh(token):
        asked.append(world.clock.timestamp())
        return NewToken(token, world.clock.timestamp() + 20 * DAY)

    monkeypatch.setattr(world.refresh._client, "refresh", refresh)
    began_at = world.clock.timestamp()
    for moment in (0, DAY, DAY + 299, DAY + 300):
        world.advance(seconds=began_at + moment - world.clock.timestamp())
        world.refresh.check(account)

    assert asked == [began_at, began_at + DAY + 300]


def test_the_token_that_takes_the_place_of_another_is_written_at_that_moment(world, added, monkeypatch):
    """By that moment other processes find it, however long its trial took."""
    account, owner = added("instagram", age_days=50), world.refresh._client.owner
    given = world.token(account)

    def slow(login, token):
        if token != given:
            world.clock.wait(10)
        return owner(login, token)

    monkeypatch.setattr(world.refresh._client, "owner", slow)

    world.refresh.check(account)

    assert world.token(account) != given
    assert world.row(account).written_at == world.clock.timestamp()


def test_of_two_processes_that_find_an_end_near_one_says_so(world, added, caplog):
    account = added("facebook", age_days=50)
    world.refresh.check(account)
    row = world.row(account)._replace(warned_days=None)
    caplog.clear()

    world.refresh._notices.warn(row, world.services.token_states)

    assert warnings(caplog) == []


@pytest.mark.parametrize("fault", [{"kind": "server_error"}, {"kind": "throttled", "minutes": 5}, {"kind": "html"}])
def test_a_fault_that_passes_makes_no_token_a_refused_one(world, added, fault):
    account = added("facebook", age_days=5)
    world.fault(**fault)
    with pytest.raises(ProviderError):
        world.refresh.check(account)
    world.heal()
    world.advance(hours=1)

    world.refresh.check(account)

    assert world.state(account).state == "ok"


def test_a_wrong_secret_of_the_app_makes_no_token_a_refused_one(world, added):
    account = added("facebook", age_days=5)
    world.restart(APP_SECRET="another-secret-of-the-app")

    world.refresh.check(account)

    assert (world.state(account).state, world.state(account).reason) == ("unknown", "app_not_accepted")


def test_a_worker_begins_with_each_account_and_notices_a_new_token_and_one_that_is_gone(world, added, caplog):
    caplog.set_level(logging.INFO)
    account = added("instagram", age_days=50)
    world.services.store.jobs.put("tokens", "", due_at=world.clock.timestamp())

    assert [world.run_jobs(), world.run_jobs()] == [1, 1]
    assert world.services.store.jobs.keys(TOKEN_OF) == {account}
    assert world.row(account).sealed
    world.add(account, "instagram", world.give(account, "instagram", age_days=10))
    world.advance(minutes=1)
    assert [world.run_jobs(), world.run_jobs(), world.run_jobs()] == [1, 1, 0]
    assert len(warnings(caplog, "The token of an account is refreshed")) == 2
    world.services.store.accounts.remove(account)
    world.advance(minutes=6)
    assert [world.run_jobs(), world.run_jobs()] == [1, 1]
    assert world.table.all() == []
    assert world.services.store.jobs.keys(TOKEN_OF) == set()


# What callers and operators see


def health(world, account):
    (entry,) = [each for each in world.client.get("/accounts").get_json()["accounts"] if each["id"] == account]
    return entry["health"]


def check_of_tokens(world):
    world.clock.wait(3600)  # The checks of /status are kept for some minutes.
    return next(each for each in world.client.get("/status").get_json()["checks"] if each["name"] == "tokens")


def test_an_end_that_is_near_is_shown_by_accounts_and_status(world, added):
    account = added("facebook", age_days=50)
    world.refresh.check(account)

    assert (health(world, account)["state"], health(world, account)["reason"]) == ("expiring", "expires_soon")
    assert "ends at" in health(world, account)["message"]
    shown = world.client.get("/metrics").get_data(as_text=True)
    assert 'insights_tokens{state="expiring"} 1.0' in shown
    assert f'insights_token_expires_in_seconds{{account="{account}"}}' in shown
    check = check_of_tokens(world)
    assert (check["ok"], check["message"]) == (True, "1 within 14 days of their end")
    assert check["next_step"].startswith("GET /accounts names each.")


@pytest.mark.parametrize(
    ("given", "step"),
    [
        (("settings", "instagram", True), "set ACCESS_LONG_LIVED_TOKEN to it and restart"),
        (("table", "instagram", True), "run `make connect` with it"),
        (("table", "instagram", False), "run `make connect ARGS=--long-lived` with it"),
        (("table", "facebook", False), 'run `make account ARGS="add --login facebook --page-id <page id>"` with it'),
    ],
)
def test_the_next_step_of_a_dead_token_is_that_of_where_it_was_given(make_world, run_command, caplog, given, step):
    given_in, login, secret = given
    names = [] if secret else ["APP_ID", "APP_SECRET", "INSTAGRAM_APP_ID", "INSTAGRAM_APP_SECRET"]
    world = make_world(**dict.fromkeys(names, ""))
    account = world.listed[3]["id"]
    token = world.give(account, login, age_days=5)
    if given_in == "settings":
        world.configure(token, GRAPH_LOGIN=login, INSTAGRAM_ACCOUNT_ID=account)
    else:
        world.add(account, login, token)
    world.take_back(account, login, 467)
    answer = world.client.get(f"/top-posts?time_range=7d&account={account}")
    world.services.health_recorder.share()

    said = [
        answer.get_json()["hint"],
        health(world, account)["next_step"],
        warnings(caplog, "Instagram does not accept the token of an account any more")[0].next_step,
        check_of_tokens(world)["next_step"],
    ]
    if given_in == "table":
        said.append(run_command(account_command, Config.from_env(world.settings), "check", account)[1])

    assert [step in each for each in said] == [True] * len(said), said
    assert [given_in == "settings" or "ACCESS_LONG_LIVED_TOKEN" not in each for each in said] == [True] * len(said)


@pytest.mark.parametrize(
    ("subcode", "step"),
    [
        (459, "Log in at facebook.com, then try again."),
        (464, "Confirm it at facebook.com, then try again."),
        (492, "Give the user a role on the page, then log in again."),
    ],
)
def test_where_the_cause_of_a_refusal_has_a_step_of_its_own_that_is_the_next_one(world, added, subcode, step):
    account = added("facebook", age_days=5)
    world.take_back(account, "facebook", subcode)

    refused = world.client.get(f"/top-posts?time_range=7d&account={account}").get_json()

    assert (refused["hint"], health(world, account)["next_step"]) == (step, step)


def test_a_token_that_meta_calls_invalid_without_a_reason_has_a_next_step_too(world, added, monkeypatch):
    account = added("facebook", age_days=5)
    details = world.refresh._client.details
    monkeypatch.setattr(
        world.refresh._client, "details", lambda token: replace(details(token), is_valid=False, failure=None)
    )

    world.refresh.check(account)

    refused = world.client.get(f"/top-posts?time_range=7d&account={account}").get_json()
    assert (refused["code"], health(world, account)["reason"]) == ("token_invalid", "not_accepted")
    assert "run `make connect` with it" in refused["hint"]
    assert health(world, account)["next_step"] == refused["hint"]


def test_a_refusal_that_a_command_finds_is_in_the_log_of_the_gateway(world, added, run_command, caplog):
    caplog.set_level(logging.INFO)
    account = added("instagram", age_days=5)
    world.token(account)
    world.take_back(account, "instagram", 467)
    run_command(account_command, Config.from_env(world.settings), "check", account)
    logging.disable(logging.NOTSET)

    for task in world.services.heartbeat._tasks:
        if task.name == "read the table of tokens":
            task.run()
            task.run()

    (line,) = warnings(caplog, "Another process found that Instagram does not accept the token of an account")
    assert (line.account, line.reason) == (account, "revoked")


def test_a_refused_token_and_a_missing_permission_are_shown_by_accounts_and_status(world, added):
    account, other = added("instagram", age_days=5), world.listed[0]["id"]
    world.add(other, "facebook", "EAASIMLONG-no-insights")
    world.take_back(account, "instagram", 460)
    for each in (account, other):
        world.refresh.check(each)

    assert (health(world, account)["state"], health(world, account)["reason"]) == ("needs_login", "password_changed")
    assert (health(world, other)["state"], health(world, other)["reason"]) == ("permissions_missing", "scopes_missing")
    assert "instagram_manage_insights" in health(world, other)["message"]
    check = check_of_tokens(world)
    assert (check["ok"], check["message"]) == (False, "1 not accepted any more, 1 without a permission")


def test_the_check_of_one_account_tries_a_refused_token_again_and_remove_deletes_it(world, added, run_command):
    account = added("instagram", age_days=5)
    world.take_back(account, "instagram", 467)
    world.refresh.check(account)
    world.take_back(account, "instagram", None)
    config = Config.from_env(world.settings)

    _, said, _ = run_command(account_command, config, "check", account)

    assert re.search(r"ok   token: accepted, expires in (59|60) days, at 2027-", said), said
    assert world.table.find(account, world.row(account).fingerprint).failure is None
    run_command(account_command, config, "remove", account)
    assert world.table.all() == []
