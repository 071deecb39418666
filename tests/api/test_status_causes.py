"""/status names the same causes as `make connect`, for the account of the settings and for added ones."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from config import Config
from services.accounts.registry import READ_EVERY
from services.accounts.token_encryption import TokenEncryption, new_key
from services.store.accounts import AccountRow
from tests.end_to_end.test_connect import APP_USER, LISTED, UNREADABLE
from tests.movable_clock import MovableClock
from tests.support import live_settings, utc

ACCOUNT, PAGE = "17841400000000000", "100000000000000"
KEY = new_key()


@pytest.fixture
def live(simulator):
    """The settings of a live gateway with the simulator's providers and no account."""
    listed = simulator.get("/_simulator/accounts").json()
    account = listed["accounts"][0]
    settings = live_settings(simulator.url, account, listed["app"], listed["modash"]["key"])
    return settings | {"ACCESS_LONG_LIVED_TOKEN": "", "INSTAGRAM_ACCOUNT_ID": "", "TOKEN_KEY": KEY, "RETRY_BUDGET": "0"}


@pytest.fixture
def checks(make_client, live):
    """The checks of a gateway with these settings and added accounts (id, token, page)."""

    def read(*added, now=None, **changes):
        clock = MovableClock(now or datetime.now(UTC))
        client = make_client(Config.from_env(live | changes), clock=clock)
        services = client.application.extensions["services"]
        encryption = TokenEncryption([KEY], learn=lambda _: None)
        for number, (account, token, page) in enumerate(added):
            login = "instagram" if token.startswith("IGAA") else "facebook"
            name = f"account.{number}"
            services.store.accounts.put(AccountRow(account, name, login, page, encryption.seal(token), 1.0))
        clock.wait(READ_EVERY)
        return {check["name"]: check for check in client.get("/status").get_json()["checks"]}

    return read


def codes(check):
    return tuple(cause["code"] for cause in check["causes"])


CONFIGURED = [
    ("EAASIMLONG-no-page", "account link", ("no_page",)),
    ("EAASIMLONG-page-not-ticked", "account link", ("page_not_ticked",)),
    ("EAASIMLONG-portfolio-page-only", "account link", ("page_in_portfolio",)),
    ("EAASIMLONG-portfolio-without-account", "account link", ("page_in_portfolio", *LISTED)),
    ("EAASIMLONG-not-linked", "account link", LISTED),
    ("EAASIMLONG-linked-elsewhere", "account link", ("account_linked_elsewhere",)),
    ("EAASIMLONG-wrong-scopes", "token", ("scopes_of_other_login",)),
    ("EAASIMLONG-no-pages-show-list", "token", ("scopes_missing",)),
    ("EAASIMLONG-no-insights", "insights", ("insights_permission_missing",)),
    ("EAASIMLONG-no-insights-empty", "insights", ("insights_permission_missing",)),
    ("EAASIMLONG-role-missing", "account link", APP_USER),
    ("EAASIMLONG-private", "account link", UNREADABLE),
    ("EAASIMLONG-revoked", "token", ("token_app_removed",)),
    ("EAASIMLONG-checkpoint", "token", ("token_checkpoint",)),
    ("EAASIMLONG-unconfirmed", "token", ("token_unconfirmed_user",)),
    ("EAASIMLONG-page-role-lost", "token", ("page_role_missing",)),
    ("EAASIMLONG-other-app", "token", ("token_of_other_app",)),
    ("SIMINSTAGRAM-granted", "token", ("token_of_other_login",)),
    ("IGAASIMLONG-personal", "account link", ("account_personal", *UNREADABLE)),
    ("IGAASIMLONG-expired", "token", ("token_expired",)),
    ("IGAASIMLONG-in-development", "account link", ("scopes_missing", *APP_USER)),
    ("IGAASIMLONG-standard-access", "account link", APP_USER),
    ("IGAASIMLONG-no-insights", "insights", ("insights_permission_missing",)),
]


@pytest.mark.parametrize(("token", "name", "expected"), CONFIGURED)
def test_the_cause_is_named_for_the_account_of_the_settings(checks, simulator, token, name, expected):
    base = "graph.instagram.com" if token.startswith("IGAA") else "graph.facebook.com"
    changes = {"GRAPH_BASE_URL": f"{simulator.url}/{base}", "ACCESS_LONG_LIVED_TOKEN": token, "PAGE_ID": PAGE}

    found = checks(**changes)

    assert codes(found[name]) == expected
    assert (found[name]["ok"], found[name]["code"]) == (False, expected[0])
    assert found[name]["next_step"]
    simulator.post(f"/_simulator/logins/{token.partition('-')[2]}", {"repaired": True})
    if token.startswith("SIM"):
        changes["GRAPH_LOGIN"] = "instagram"
        changes["GRAPH_BASE_URL"] = f"{simulator.url}/graph.instagram.com"
    assert [each["ok"] for each in checks(**changes).values()][:3] == [True, True, True]


@pytest.mark.parametrize(
    ("state", "step"), [("checkpoint", "Log in at facebook"), ("unconfirmed", "Confirm the account")]
)
def test_what_the_user_can_make_good_at_facebook_is_the_first_step(checks, state, step):
    found = checks(ACCESS_LONG_LIVED_TOKEN=f"EAASIMLONG-{state}", INSTAGRAM_ACCOUNT_ID=ACCOUNT, PAGE_ID=PAGE)

    assert found["token"]["next_step"].startswith(step)


def test_a_page_that_is_hidden_does_no_harm_where_the_account_is_known(checks):
    found = checks(ACCESS_LONG_LIVED_TOKEN="EAASIMLONG-portfolio", INSTAGRAM_ACCOUNT_ID=ACCOUNT, PAGE_ID=PAGE)

    assert (found["account link"]["ok"], found["insights"]["ok"]) == (True, True)


def test_an_app_secret_that_is_wrong_is_named(checks):
    found = checks(
        ACCESS_LONG_LIVED_TOKEN="EAASIMLONG-granted", INSTAGRAM_ACCOUNT_ID=ACCOUNT, APP_SECRET="anothersecret"
    )

    assert codes(found["token"]) == ("app_not_accepted",)
    assert codes(found["account link"]) == ("app_not_accepted", "token_of_other_app")


def test_an_account_of_which_yesterday_is_not_reported_yet_can_be_read(checks, simulator):
    midnight_in_california = utc("2026-11-27T08:00:00")
    simulator.post("/_simulator/clock", {"now": midnight_in_california.isoformat()})
    listed = simulator.get("/_simulator/accounts").json()["accounts"]
    late = next(each for each in listed if each["username"] == "ninety_nine")
    url = f"{simulator.url}/graph.facebook.com/v25.0/{late['id']}/insights"
    yesterday = {"since": utc("2026-11-26T08:00:00").timestamp(), "until": midnight_in_california.timestamp() - 1}
    asked = {"metric": "reach", "period": "day", "metric_type": "total_value", "access_token": late["token"]}

    answer = simulator.session.get(url, params={**asked, **{name: int(at) for name, at in yesterday.items()}}).json()
    found = checks((late["id"], "EAASIMPAGE-several-1", late["page_id"]), now=midnight_in_california)

    assert answer["data"] == []
    assert found["account.0"]["ok"] is True


def test_a_few_added_accounts_are_checked_each(checks, simulator):
    listed = simulator.get("/_simulator/accounts").json()["accounts"]
    second = next(each for each in listed if each["username"] == "ninety_nine")
    added = (
        (second["id"], "EAASIMPAGE-several-1", second["page_id"]),
        (ACCOUNT, "EAASIMPAGE-private-0", PAGE),
        ("1", "IGAASIMLONG-revoked", ""),
    )

    found = checks(*added)

    assert found["account.0"]["ok"] is True
    assert codes(found["account.1"]) == UNREADABLE
    assert codes(found["account.2"]) == ("token_app_removed",)
